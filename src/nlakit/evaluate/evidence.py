"""Claims judged by the text around their position: by their words, or by a model.

Axes: N rows.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from nlakit.claims.evidence import Evidence
from nlakit.claims.exchange import ClaimReader
from nlakit.data.annotate import require_approval
from nlakit.data.judgement import Case, Judgements, ModelJudge
from nlakit.data.tokens import tokenise
from nlakit.evaluate.bench import Bench
from nlakit.evaluate.claims import JudgedClaim
from nlakit.evaluate.evaluation import DataTable
from nlakit.evaluate.paraphrases import in_words
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
    claim: str
    """Its words: those of the explanation, or the judge's own."""
    level: Level
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Judged:
    """The judged claims of the explanations that parsed."""

    findings: list[Finding]
    read: list[bool]
    """For each of these explanations, whether its judgement could be read."""
    faults: Counter[str] = field(default_factory=Counter)
    """Why replies of a judge could not be read, and how often."""
    skipped: Counter[str] = field(default_factory=Counter)
    """Why single entries of other replies could not, and how often."""


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
        Finding(row, claim.text_span, claim.level, evidence.verdict(claim))
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


def _judged(rows: Sequence[int], answers: Sequence[Judgements]) -> Judged:
    """Gather what the judge said of the explanations of some rows."""
    findings = [
        Finding(row, item.claim, item.level, item.verdict)
        for row, answer in zip(rows, answers, strict=True)
        for item in answer.claims or ()
    ]
    return Judged(
        findings,
        [answer.claims is not None for answer in answers],
        Counter(answer.fault for answer in answers if answer.fault),
        Counter(why for answer in answers for why in answer.skipped),
    )


def judgements_table(own: Judged, other: Judged | None) -> DataTable:
    """Return how many replies of the judge could be read, and why others, or entries of them, could not."""
    told = {"its own": own} | ({} if other is None else {"another document's": other})
    return DataTable(
        title="Judgements",
        about="Replies of the judge, one an explanation and text. Those that could not be read, and single entries that could not, "
        "are in no measure.",
        heads=("text", "replies", "read", "not read", "claims", "entries not read"),
        rows=tuple(
            (text, len(some.read), sum(some.read), in_words(some.faults), len(some.findings), in_words(some.skipped))
            for text, some in told.items()
        ),
    )


def truth_of(words: str, explanation: str, claims: Sequence[JudgedClaim], reader: ClaimReader) -> bool | None:
    """Return whether all that a judge's claim speaks of is true; None where it cannot be told of what it speaks.

    ``claims`` are those of the explanation. A judge names no place, so its words are read as an explanation is, and of that
    counts what the explanation claims too: a sentence of the judge's own may read as something that nobody said. Words that say
    nothing so are looked up in the explanation, and speak of the claims whose values they spell there.
    """
    said = {claim.same for claim in reader.claims(words)}
    meant = [item for item in claims if item.claim.same in said] or _spelt(words, explanation, claims)
    return all(item.true for item in meant) if meant else None


def _spelt(words: str, explanation: str, claims: Sequence[JudgedClaim]) -> list[JudgedClaim]:
    """Return the claims whose values lie within ``words`` where these stand in the explanation; none if not exactly once."""
    wanted = words.strip(" .,;:!?\"'")
    places = [found.span() for found in re.finditer(rf"(?<!\w){re.escape(wanted)}(?!\w)", explanation, re.IGNORECASE)]
    if not wanted or len(places) != 1:
        return []
    [(start, end)] = places
    return [item for item in claims if start <= item.claim.value_start < item.claim.value_end <= end]
