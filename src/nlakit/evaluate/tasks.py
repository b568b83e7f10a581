"""The paper's five reading tasks (its section on quantitative evaluation), without a judge model: claims are the answers.

Axes: N rows.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from nlakit.claims.exchange import Pool
from nlakit.config import derive_seed
from nlakit.explanations import Explanation
from nlakit.truth import Claim, Examiner, Truth, TruthReader, Verdict

CANDIDATES = 10
"""Continuations to choose from (paper: ten)."""


@dataclass(frozen=True)
class Sitting:
    """The rows of an evaluation with what an explanation claims of each."""

    reader: TruthReader
    truths: Sequence[Truth]
    documents_N: Sequence[str]
    claims_N: Sequence[Sequence[Claim]]
    seed: int

    @classmethod
    def of(
        cls,
        reader: TruthReader,
        truths: Sequence[Truth],
        documents_N: Sequence[str],
        explanations: Sequence[Explanation],
        seed: int,
    ) -> Sitting:
        """Read the claims; a failed output claims nothing."""
        claims_N = [reader.claims(item.text) if item.ok else [] for item in explanations]
        return cls(reader, truths, documents_N, claims_N, seed)

    def draw(self, *labels: object) -> random.Random:
        """Return a generator for one draw, which does not depend on the explanations."""
        return random.Random(derive_seed(self.seed, "task", *labels))


Marks = dict[int, float]
"""For each row to which a task applies, the probability that its explanation answers right."""


def next_text(sitting: Sitting) -> Marks:
    """Choose the row whose truth agrees with most of the claims, among ten; ties are split."""
    themes_N = [_theme(sitting.reader, truth) for truth in sitting.truths]
    marks: Marks = {}
    for row, document in enumerate(sitting.documents_N):
        others = [other for other, name in enumerate(sitting.documents_N) if name != document]
        alike = [other for other in others if themes_N[other] == themes_N[row]]
        pool = alike if len(alike) >= CANDIDATES - 1 else others
        if len(pool) < CANDIDATES - 1:
            continue
        candidates = [row, *sitting.draw("next", row).sample(pool, CANDIDATES - 1)]
        agreed = [_agreed(sitting.reader, sitting.claims_N[row], sitting.truths[place]) for place in candidates]
        best = [place for place, count in zip(candidates, agreed, strict=True) if count == max(agreed)]
        marks[row] = (row in best) / len(best)
    return marks


def yes_no(sitting: Sitting) -> Marks:
    """Ask one question a row on a fact of it, half of them with another value of its slot."""
    facts_N = [sitting.reader.facts(truth) for truth in sitting.truths]
    level = sitting.reader.level
    pool = Pool.of(
        Claim(slot, value, level(slot), "", 0, 0, 1) for facts in facts_N for slot, value in sorted(facts.items())
    )
    marks: Marks = {}
    for row, facts in enumerate(facts_N):
        if not facts:
            continue
        rng = sitting.draw("yes or no", row)
        slot = rng.choice(sorted(facts))
        asked = facts[slot]
        others = sorted(set(pool.values[slot]) - {asked})
        if others and rng.random() < 0.5:
            asked = rng.choice(others)
        said = _said(sitting.claims_N[row], slot)
        marks[row] = 0.5 if said is None else float((said == asked) == (facts[slot] == asked))
    return marks


def asked_for(task: str) -> Callable[[Sitting], Marks]:
    """Return a task whose questions the corpus knows; silence counts as an answer at random."""

    def take(sitting: Sitting) -> Marks:
        examiner: object = sitting.reader
        marks: Marks = {}
        if not isinstance(examiner, Examiner):
            return marks
        for row, truth in enumerate(sitting.truths):
            facts = sitting.reader.facts(truth)
            answered = []
            for question in examiner.questions(truth):
                if question.task == task:
                    said = _said(sitting.claims_N[row], question.slot)
                    answered.append(question.chance if said is None else float(said == facts[question.slot]))
            if answered:
                marks[row] = sum(answered) / len(answered)
        return marks

    return take


TASKS: Mapping[str, Callable[[Sitting], Marks]] = {
    "next_text": next_text,
    "yes_no": yes_no,
    "hints": asked_for("hints"),
    "motive": asked_for("motive"),
    "writer": asked_for("writer"),
}


def _theme(reader: TruthReader, truth: Truth) -> str | None:
    """Return the first theme of a row's truth, by the name of its slot."""
    facts = reader.facts(truth)
    themes = sorted(slot for slot in facts if reader.level(slot) == "theme")
    return facts[themes[0]] if themes else None


def _agreed(reader: TruthReader, claims: Sequence[Claim], truth: Truth) -> int:
    return sum(reader.judge(claim, truth) is Verdict.TRUE for claim in claims)


def _said(claims: Sequence[Claim], slot: str) -> str | None:
    """Return what the first claim about a slot says; None where none is."""
    return next((claim.value for claim in claims if claim.slot == slot), None)
