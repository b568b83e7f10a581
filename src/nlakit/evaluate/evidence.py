"""Claims judged by the text around their position: by their words, or by a model.

Axes: N rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nlakit.claims.evidence import Evidence
from nlakit.claims.exchange import ClaimReader
from nlakit.data.annotate import require_approval
from nlakit.data.judgement import Case, Judgement, ModelJudge
from nlakit.data.tokens import tokenise
from nlakit.evaluate.bench import Bench
from nlakit.explanations import Explanation
from nlakit.truth import Level, Verdict

FOLLOWING_TOKENS = 32
"""How much of what follows a position counts as what comes next (our choice)."""
JUDGE_CHARACTERS = 16_000
"""What a judge is given of the text before a position, from its end: it is paid by length (our choice: about 4,000 tokens)."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One judged claim of one row's explanation."""

    row: int
    level: Level
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Judged:
    """The judged claims of the explanations that parsed."""

    findings: list[Finding]
    read: list[bool]
    """For each of these explanations, whether its judgement could be read."""


def surroundings(bench: Bench) -> list[Evidence]:
    """Return the text before and after each held-out row."""
    rows = bench.heldout
    found = tokenise(bench.target, rows.documents, bench.settings.extract.max_tokens)
    tokens_of = {tokens.document.id: tokens for tokens in found}
    evidence_N = []
    for document, position in zip(rows.document_ids, rows.column("position"), strict=True):
        tokens = tokens_of[document]
        here, last = tokens.offsets[position][1], min(position + FOLLOWING_TOKENS, len(tokens) - 1)
        evidence_N.append(Evidence(tokens.text[:here], tokens.text[here : tokens.offsets[last][1]]))
    return evidence_N


def judge_by_words(reader: ClaimReader, explanations: Sequence[Explanation], evidence_N: Sequence[Evidence]) -> Judged:
    """Read the claims of the explanations that parsed, and judge each by its words."""
    findings = [
        Finding(row, claim.level, evidence.verdict(claim))
        for row, (explanation, evidence) in enumerate(zip(explanations, evidence_N, strict=True))
        if explanation.ok
        for claim in reader.claims(explanation.text)
    ]
    return Judged(findings, [True for explanation in explanations if explanation.ok])


def judge_by_model(bench: Bench, texts: Sequence[Sequence[Evidence]]) -> list[Judged]:
    """Let the judge read the sampled explanations and hold them against several texts each (``texts[k][row]``).

    Raises what :class:`~nlakit.data.judgement.ModelJudge` raises, and SpendingError for a cost that nobody approved.
    """
    judge = ModelJudge(bench.config.judge)
    usable = [row for row, explanation in enumerate(bench.explanations) if explanation.ok]
    cases = [
        [
            Case(bench.explanations[row].text, evidence_N[row].before[-JUDGE_CHARACTERS:], evidence_N[row].after)
            for row in usable
        ]
        for evidence_N in texts
    ]
    require_approval(judge.plan([case for some in cases for case in some], bench.answers), judge.check, bench.progress)
    try:
        answers = [judge.judge(some) for some in cases]
    finally:
        if receipt := judge.receipt():
            bench.progress.say(receipt)
    return [_judged(usable, found) for found in answers]


def _judged(rows: Sequence[int], answers: Sequence[Sequence[Judgement] | None]) -> Judged:
    """Gather what the judge said of the explanations of some rows."""
    findings = [
        Finding(row, item.level, item.verdict) for row, items in zip(rows, answers, strict=True) for item in items or ()
    ]
    return Judged(findings, [items is not None for items in answers])
