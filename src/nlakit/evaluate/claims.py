"""Truth of claims: what explanations say, whether it is so, and whether the vector holds it.

The paper's study of confabulation (section on claims about the context) asked a judge model; here the corpus
knows its own truth and a plugin of the group ``nlakit.truth`` reads and judges the claims.

Axes: N rows; claims and facts are counted over all rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nlakit.card import Measure
from nlakit.claims.probes import FactCheck
from nlakit.evaluate.estimates import Estimator
from nlakit.evaluate.evaluation import LevelRow, SlotRow
from nlakit.explanations import Explanation
from nlakit.truth import LEVELS, Claim, Truth, TruthReader, Verdict


@dataclass(frozen=True, slots=True)
class JudgedClaim:
    """One claim of one row's explanation."""

    row: int
    claim: Claim
    verdict: Verdict
    fact: FactCheck | None
    """What the probes say about the true value of the claim's slot; None where the slot has no truth here."""

    @property
    def true(self) -> bool:
        """Whether it is so."""
        return self.verdict is Verdict.TRUE

    @property
    def held(self) -> bool:
        """Whether the vector holds the fact that the claim is about, whatever the claim says about it."""
        return self.fact is not None and self.fact.held

    @property
    def decodable(self) -> bool:
        """Whether the claim would be true if it gave the probe's best value."""
        return self.fact is not None and self.fact.decoded


def judge(
    reader: TruthReader,
    explanations: Sequence[Explanation],
    truths: Sequence[Truth],
    checks_N: Sequence[dict[str, FactCheck]],
) -> list[JudgedClaim]:
    """Read and judge the claims of every explanation that parsed; failed outputs claim nothing."""
    return [
        JudgedClaim(row, claim, reader.judge(claim, truth), checks.get(claim.slot))
        for row, (explanation, truth, checks) in enumerate(zip(explanations, truths, checks_N, strict=True))
        if explanation.ok
        for claim in reader.claims(explanation.text)
    ]


def claim_measures(
    judged: Sequence[JudgedClaim],
    checks_N: Sequence[dict[str, FactCheck]],
    parsed_N: Sequence[bool],
    documents_N: Sequence[str],
    estimator: Estimator,
) -> dict[str, Measure]:
    """Return every measure about claims and facts; see their definitions in ``measures``."""
    owners = [documents_N[item.row] for item in judged]
    measures = {
        "claims_true": estimator.mean("claims_true", [item.true for item in judged], owners),
        "claims_related": estimator.mean(
            "claims_related", [item.verdict is Verdict.RELATED for item in judged], owners
        ),
        "claims_held": estimator.mean("claims_held", [item.held for item in judged], owners),
        "claims_ceiling": estimator.mean("claims_ceiling", [item.decodable for item in judged], owners),
    }
    for level in LEVELS:
        of_level = [item for item in judged if item.claim.level == level]
        owners = [documents_N[item.row] for item in of_level]
        true, ceiling = f"claims_true_{level}", f"claims_ceiling_{level}"
        measures[true] = estimator.mean(true, [item.true for item in of_level], owners)
        measures[ceiling] = estimator.mean(ceiling, [item.decodable for item in of_level], owners)
    made_N = [0] * len(documents_N)
    for item in judged:
        made_N[item.row] += 1
    measures["claims_per_explanation"] = estimator.mean("claims_per_explanation", made_N, documents_N, parsed_N)
    facts = [(row, check) for row, checks in enumerate(checks_N) for check in checks.values()]
    owners = [documents_N[row] for row, _ in facts]
    held = [check.held for _, check in facts]
    said = {(item.row, item.claim.slot) for item in judged if item.true}
    stated = [(row, check.slot) in said for row, check in facts]
    measures["facts_held"] = estimator.mean("facts_held", held, owners)
    measures["facts_mentioned"] = estimator.mean("facts_mentioned", stated, owners, held)
    return measures


def slot_table(
    reader: TruthReader, judged: Sequence[JudgedClaim], checks_N: Sequence[dict[str, FactCheck]]
) -> tuple[SlotRow, ...]:
    """Return the table that holds claims against the vectors, by level and then by slot."""
    claims: dict[str, list[JudgedClaim]] = {}
    facts: dict[str, list[tuple[int, FactCheck]]] = {}
    for item in judged:
        claims.setdefault(item.claim.slot, []).append(item)
    for row, checks in enumerate(checks_N):
        for slot, check in checks.items():
            facts.setdefault(slot, []).append((row, check))
    said = {(item.row, item.claim.slot) for item in judged if item.true}
    rows = []
    for slot in sorted({*claims, *facts}):
        made, true_facts = claims.get(slot, []), facts.get(slot, [])
        held = [(row, slot) in said for row, check in true_facts if check.held]
        rows.append(
            SlotRow(
                slot=slot,
                level=reader.level(slot),
                claims=len(made),
                claims_true=share([item.true for item in made]),
                claims_decodable=share([item.decodable for item in made]),
                facts=len(true_facts),
                probe_accuracy=share([check.decoded for _, check in true_facts]),
                majority=share([check.majority == check.value for _, check in true_facts]),
                held=share([check.held for _, check in true_facts]),
                mentioned=share(held),
            )
        )
    return tuple(sorted(rows, key=lambda row: (LEVELS.index(row.level), row.slot)))


def level_table(judged: Sequence[JudgedClaim]) -> tuple[LevelRow, ...]:
    """Return the shares of the verdicts in each level."""
    rows = []
    for level in LEVELS:
        verdicts = [item.verdict for item in judged if item.claim.level == level]
        shares = {verdict: share([found is verdict for found in verdicts]) for verdict in Verdict}
        rows.append(
            LevelRow(
                level=level,
                claims=len(verdicts),
                true=shares[Verdict.TRUE],
                related=shares[Verdict.RELATED],
                unrelated=shares[Verdict.UNRELATED],
            )
        )
    return tuple(rows)


def share(hits: Sequence[bool]) -> float | None:
    """Return the share of hits; None of nothing."""
    return sum(hits) / len(hits) if hits else None
