"""Readings: what a pair says about the vectors of a text, with the scores that tell how far to trust it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from rich.table import Table
from rich.text import Text
from torch import Tensor

from nlakit.errors import InputError
from nlakit.explanations import Explanation, Outcome

EARLY_TOKEN = "early token"  # noqa: S105 - a flag's name
SPECIAL_TOKEN = "special token"  # noqa: S105 - a flag's name
OUTLIER_NORM = "outlier norm"
EARLY_POSITIONS = 10
"""Tokens at the start of a text have vectors that few words describe; these are flagged, and any that a pair never trained on."""
OUTLIER_FACTOR = 3.0
"""A norm this many times above or below the median of its text is flagged."""
SUPPORT_SAMPLES = 8
"""Further samples of a vector whose agreement is looked at, for the support of its claims."""
BANDS = (
    (0.9, "green", "0.90 and more: believe"),
    (0.5, "yellow", "0.50 and more: check"),
    (0.0, "red", "less: a guess"),
)
"""Lowest support, colour and advice of each band."""
FLAGGED = "with a flag: check at most"
"""What the bands do not say of themselves."""
NEIGHBOURS = 2
"""Tokens on each side whose readings are looked at for what recurs."""


@dataclass(frozen=True, slots=True)
class Score:
    """How well one text rebuilds one vector."""

    error: float
    """2(1 - cos), in [0, 4]: 0 the same direction, 2 unrelated."""
    cosine: float
    """Cosine of reconstruction and vector."""
    explained: float | None
    """1 - error / variance: this row's share in an FVE; one row may be far below 0. ``None`` for a pair without a variance."""


@dataclass(frozen=True, slots=True)
class SupportedClaim:
    """One claim of an explanation, and how far to believe it."""

    slot: str
    """Which fact it speaks about."""
    value: str
    """What it says about it."""
    start: int
    """Where its words begin in the explanation, in characters."""
    end: int
    support: float
    """In [0, 1]: where truth is known, about this share of the claims with this support are true (docs/reading.md)."""
    signals: dict[str, float | None]
    """What the support was computed from (:mod:`nlakit.claims.signals`)."""


@dataclass(frozen=True, slots=True)
class ScoredExplanation:
    """One explanation with its score; a failed one has an outcome other than ``ok`` and no score."""

    text: str
    outcome: Outcome
    score: Score | None = None
    claims: list[SupportedClaim] | None = None
    """Its claims with their support, where that was asked for."""

    @property
    def explanation(self) -> Explanation:
        """The explanation alone."""
        return Explanation(self.text, self.outcome)

    @property
    def ok(self) -> bool:
        """Whether there is an explanation at all."""
        return self.outcome is Outcome.OK


@dataclass(frozen=True, slots=True)
class Reading:
    """What the pair says about the vector at one token."""

    position: int
    """Index of the token in the text, counted from 0, special tokens included."""
    token_id: int
    token: str
    """The token as text, with the white space before it."""
    norm: float
    """L2 norm of the raw vector."""
    explanations: list[ScoredExplanation]
    """One for every sample."""
    flags: list[str] = field(default_factory=list)
    """Reasons for caution: ``early token``, ``special token``, ``outlier norm``."""

    def __str__(self) -> str:
        """Write the reading as plain lines."""
        flags = f"  [{', '.join(self.flags)}]" if self.flags else ""
        lines = [f"{self.position:>4} {self.token!r}{flags}"]
        for item in self.explanations:
            lines.append(f"     {_share(item)}  {_words(item)}")
            lines += [
                f"             {claim.support:.2f}  {item.text[claim.start : claim.end]}" for claim in item.claims or ()
            ]
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """Return the reading as JSON-ready types."""
        record = asdict(self)
        for item in record["explanations"]:
            item["outcome"] = str(item["outcome"].value)
        return record

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Self:
        """Rebuild a reading from :meth:`to_json`; raises ``InputError`` when a field is missing or unknown."""
        try:
            explanations = [
                ScoredExplanation(
                    item["text"],
                    Outcome(item["outcome"]),
                    None if item["score"] is None else Score(**item["score"]),
                    None if item.get("claims") is None else [SupportedClaim(**claim) for claim in item["claims"]],
                )
                for item in record["explanations"]
            ]
            return cls(**{**record, "explanations": explanations})
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"this is no reading: {type(error).__name__}: {error}") from error


def flags_for(
    ids: Sequence[int], norms_T: Tensor, position: int, special: AbstractSet[int], min_position: int
) -> list[str]:
    """Return the reasons to take the reading of one token with caution.

    Args:
        ids: the tokens of the text.
        norms_T: norms of their vectors.
        position: of the token.
        special: ids of the tokenizer's special tokens.
        min_position: earliest position that the pair was trained on.
    """
    ratio = float(norms_T[position] / norms_T.median())
    flags = {
        EARLY_TOKEN: position < max(EARLY_POSITIONS, min_position),
        SPECIAL_TOKEN: ids[position] in special,
        OUTLIER_NORM: not 1 / OUTLIER_FACTOR <= ratio <= OUTLIER_FACTOR,
    }
    return [flag for flag, raised in flags.items() if raised]


def band_of(support: float, flags: Sequence[str] = ()) -> tuple[str, str]:
    """Return colour and advice of a support.

    Of a reading with a flag nothing is to be believed: support is fitted and measured on tokens without one.
    """
    bands = BANDS[1:] if flags else BANDS
    return next(((colour, advice) for low, colour, advice in bands if support >= low), bands[-1][1:])


def neighbours_of(position: int, ids: Sequence[int], special: AbstractSet[int]) -> list[int]:
    """Return the positions within ``NEIGHBOURS`` tokens of one, without special tokens, which no pair is trained on.

    Args:
        position: of the token.
        ids: the tokens of the text.
        special: ids of the tokenizer's special tokens.
    """
    return [
        near
        for near in range(max(0, position - NEIGHBOURS), min(len(ids), position + NEIGHBOURS + 1))
        if near != position and ids[near] not in special
    ]


def to_lines(readings: Sequence[Reading]) -> str:
    """Write readings as JSON lines."""
    return "".join(json.dumps(reading.to_json(), ensure_ascii=False) + "\n" for reading in readings)


def from_lines(text: str) -> list[Reading]:
    """Read what :func:`to_lines` wrote; raises ``InputError`` naming the first line that is no reading."""
    found = []
    for number, line in enumerate(text.rstrip("\n").split("\n"), start=1):
        try:
            found.append(Reading.from_json(json.loads(line)))
        except (json.JSONDecodeError, InputError) as error:
            raise InputError(f"line {number}: {error}") from error
    return found


def render_table(readings: Sequence[Reading]) -> Table:
    """Build a rich table: position, token, share explained, words; failures, flags and the support of claims are marked."""
    supported = any(item.claims is not None for reading in readings for item in reading.explanations)
    table = Table(
        show_lines=supported or any(len(reading.explanations) > 1 for reading in readings),
        caption=_legend() if supported else None,
    )
    table.add_column("pos", justify="right", style="dim")
    table.add_column("token", no_wrap=True)
    table.add_column("explained", justify="right")
    table.add_column("explanation", ratio=1)
    for reading in readings:
        words = Text("\n").join(_styled(item, reading.flags) for item in reading.explanations)
        if reading.flags:
            words.append(f"\n({', '.join(reading.flags)})", style="dim")
        shares = Text("\n".join(_share(item).strip() for item in reading.explanations))
        token = Text(reading.token.replace("\n", "\\n"), style="bold")
        table.add_row(str(reading.position), token, shares, words)
    return table


def _styled(item: ScoredExplanation, flags: Sequence[str]) -> Text:
    """The explanation, or how it failed; behind each claim stands its support, and both are coloured by it."""
    if not item.ok or item.claims is None:
        return Text(_words(item), style="" if item.ok else "italic red")
    text, at = Text(), 0
    for claim in sorted(item.claims, key=lambda claim: claim.start):
        style, _ = band_of(claim.support, flags)
        text.append(item.text[at : claim.start], style="dim")
        text.append(item.text[claim.start : claim.end], style=style)
        text.append(f" {claim.support:.2f}", style=f"{style} italic")
        at = max(at, claim.end)
    text.append(item.text[at:], style="dim")
    return text


def _legend() -> Text:
    """What the colours of claims mean."""
    bands = [Text(name, style=style) for _, style, name in BANDS]
    return Text("support: ").append_text(Text(", ").join([*bands, Text(FLAGGED, style="dim")]))


def _share(item: ScoredExplanation) -> str:
    """The share explained, right-aligned in six columns; a dash where there is none."""
    share = None if item.score is None else item.score.explained
    return "     -" if share is None else f"{share:6.2f}"


def _words(item: ScoredExplanation) -> str:
    """The explanation, or how it failed."""
    return item.text if item.ok else f"({item.outcome.value}) {item.text}".rstrip()
