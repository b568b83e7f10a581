"""What grounding kept: a table with a line for each claim of the teacher, and what it says taken together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa

from nlakit.claims.grounding import Grounded

CONTRADICTED = 0.01
"""Share of the teacher's claims that the vectors contradict, above which there is an alarm: 0.1 % of an honest one's (LOG.md)."""
SILENT = 0.5
"""Share of the explanations of which nothing is left, above which there is an alarm: 0 % of Terrarium's (our choice)."""
WITHOUT_VECTOR = 0.5
"""Alarm where another document's vector bears out so large a part of what its own does (our choice)."""
SCHEMA = pa.schema(
    [
        ("row_id", pa.int64()),
        ("split", pa.string()),
        ("slot", pa.string()),
        ("value", pa.string()),
        ("score", pa.float64()),  # infinite where the text was too long to be scored
        ("contradicted", pa.bool_()),  # null where nobody could tell
        ("kept", pa.bool_()),
    ]
)


def claims_table(row_ids: Sequence[int], splits: Sequence[str], found: Sequence[Grounded]) -> pa.Table:
    """Return a line for each claim of each explanation, as it was scored in the teacher's own text."""
    lines = [
        (row_id, split, claim.slot, claim.value, score.value, score.contradicted, index not in grounded.failed)
        for row_id, split, grounded in zip(row_ids, splits, found, strict=True)
        for index, (claim, score) in enumerate(grounded.judged)
    ]
    columns = list(zip(*lines, strict=True)) or [()] * len(SCHEMA)
    return pa.table([pa.array(column, kind) for column, kind in zip(columns, SCHEMA.types, strict=True)], SCHEMA)


@dataclass(frozen=True)
class Kept:
    """What was kept of some explanations."""

    claims: pa.Table
    """Lines of :func:`claims_table`."""
    explanations: int
    silent: int
    """Explanations of which nothing was left."""

    def __add__(self, other: Kept) -> Kept:
        """Return what was kept of these and of others."""
        claims = pa.concat_tables([self.claims, other.claims])
        return Kept(claims, self.explanations + other.explanations, self.silent + other.silent)

    @classmethod
    def nothing(cls) -> Kept:
        """Return what was kept of no explanation."""
        return cls(SCHEMA.empty_table(), 0, 0)

    @property
    def share(self) -> float:
        """Share of the claims that were kept."""
        return sum(self.claims["kept"].to_pylist()) / max(1, len(self.claims))

    @cached_property
    def contradicted(self) -> float | None:
        """Share of the claims that the vectors contradict; None where nobody could tell."""
        known = [found for found in self.claims["contradicted"].to_pylist() if found is not None]
        return sum(known) / len(known) if known else None

    def by(self, column: str) -> dict[str, dict[str, int | None]]:
        """Return how many claims there are, are kept and are contradicted (None: nobody could tell), by slot or split."""
        wanted = [("kept", "count"), ("kept", "sum"), ("contradicted", "sum")]
        found = self.claims.group_by(column).aggregate(wanted).to_pylist()
        return {
            line[column]: {
                "claims": line["kept_count"], "kept": line["kept_sum"], "contradicted": line["contradicted_sum"]
            }
            for line in sorted(found, key=lambda line: str(line[column]))
        }  # fmt: skip

    def record(self) -> dict[str, Any]:
        """Return the counts by split and slot as JSON-ready types."""
        return {
            "explanations": self.explanations,
            "silent": self.silent,
            "splits": self.by("split"),
            "slots": self.by("slot"),
        }

    def outputs(self) -> dict[str, Any]:
        """Return the shares that the stage records: kept, by split, and contradicted."""
        kept = {
            f"kept_{split}": (found["kept"] or 0) / (found["claims"] or 1) for split, found in self.by("split").items()
        }
        return {
            "explanations": self.explanations,
            "silent": self.silent,
            "claims": len(self.claims),
            **kept,
            "contradicted": self.contradicted,
        }

    def doubts(self, where: str, kept_of_another: float | None) -> Iterator[tuple[str, str]]:
        """Yield (alarm, message) where little is kept, whatever the vector, or the vectors contradict the teacher too often.

        ``where`` is the folder with the table, ``kept_of_another`` the share that another document's vector bears out.
        """
        if kept_of_another is not None and kept_of_another > WITHOUT_VECTOR * self.share:
            message = (
                f"{kept_of_another:.0%} of the claims would be kept with the vector of another document, and {self.share:.0%} are "
                "with their own: what is kept owes little to the vector. The first round has not learnt to look at it (more "
                "texts, or ground.epochs), or the texts say the same of all vectors; a higher ground.threshold keeps less"
            )
            yield "kept_whatever_the_vector", message
        little = self.silent > SILENT * self.explanations
        if little:
            message = (
                f"nothing is left of {self.silent:,} of {self.explanations:,} explanations: the vectors hold little of what the "
                "teacher says, or the first round has learnt too little to tell. Give it more texts, or more passes "
                "(ground.epochs), before you trust it"
            )
            yield "little_kept", message
        if self.contradicted is not None and self.contradicted > CONTRADICTED:
            slots = self.by("slot")
            most = sorted(slots, key=lambda slot: -(slots[slot]["contradicted"] or 0))[:3]
            blame = (
                "it makes things up, unless the first round has learnt too little" if little else "it makes things up"
            )
            message = (
                f"the vectors contradict {self.contradicted:.1%} of the teacher's claims, above {CONTRADICTED:.0%}, most of all "
                f"about {', '.join(most)}: {blame}. What the vectors do not bear out is taken out; read some of its texts "
                f"({where}/claims-*.parquet has a line for each claim) before you trust what is taught from the rest"
            )
            yield "teacher_contradicted", message

    def summary(self, kept_of_another: float | None = None) -> str:
        """Say in a few words what was kept."""
        control = "" if kept_of_another is None else f" ({kept_of_another:.0%} with another document's vector)"
        against = "" if self.contradicted is None else f"{self.contradicted:.1%} contradicted, "
        return f"{self.share:.0%} of {len(self.claims):,} claims kept{control}, {against}{self.silent:,} explanations silent"
