"""Claims held against the text, where a corpus does not know its truth; and how good that is where it does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nlakit.claims.anytext import FrameReader
from nlakit.claims.evidence import Evidence
from nlakit.data.tokens import tokenise
from nlakit.evaluate.bench import Bench
from nlakit.evaluate.claims import JudgedClaim, share
from nlakit.evaluate.evaluation import DataTable
from nlakit.explanations import Explanation
from nlakit.truth import LEVELS, Level, Verdict

FOLLOWING_TOKENS = 32
"""How much of what follows a position counts as what comes next (our choice)."""
MIN_COUNT = 5
"""Explanations in which a frame is seen, at least: an evaluation samples fewer than a training has (our choice)."""

OTHER = ("evidence_true_other", *(f"evidence_true_other_{level}" for level in LEVELS))
AGREEMENT = ("evidence_agreement", "evidence_agreement_chance")


@dataclass(frozen=True, slots=True)
class Finding:
    """One judged claim of one row's explanation."""

    row: int
    level: Level
    verdict: Verdict


def measure(bench: Bench) -> None:
    """Judge the sampled explanations against their own texts and, as a control, against those of other documents."""
    evidence_N = surroundings(bench)
    _measure_claims(bench, judge_by_words(bench.explanations, evidence_N), "evidence_true")
    bench.found.mean("evidence_read", [1.0] * len(evidence_N))
    if bench.other_N is None:
        reason = "all rows are of one document, so their texts cannot be exchanged"
        bench.found.leave_out((*OTHER, *AGREEMENT), reason)
        return
    others_N = [evidence_N[row] for row in bench.other_N]
    _measure_claims(bench, judge_by_words(bench.explanations, others_N), "evidence_true_other")
    if bench.judged is None:
        bench.found.leave_out(AGREEMENT, bench.why_no_truth)
    else:
        _measure_agreement(bench, bench.judged, evidence_N, others_N)


def surroundings(bench: Bench) -> list[Evidence]:
    """Return the text before and after each held-out row."""
    rows = bench.heldout
    found = tokenise(bench.target, rows.documents, bench.settings.extract.max_tokens)
    tokens_of = {tokens.document.id: tokens for tokens in found}
    evidence_N = []
    for document, position, context in zip(
        rows.document_ids, rows.column("position"), rows.column("context"), strict=True
    ):
        tokens = tokens_of[document]
        last = min(position + FOLLOWING_TOKENS, len(tokens.offsets) - 1)
        evidence_N.append(Evidence(context, tokens.text[tokens.offsets[position][1] : tokens.offsets[last][1]]))
    return evidence_N


def judge_by_words(explanations: Sequence[Explanation], evidence_N: Sequence[Evidence]) -> list[Finding]:
    """Read the claims of the explanations that parsed, by frames learnt from them, and judge each by its words."""
    reader = FrameReader.fit([output.text for output in explanations if output.ok], min_count=MIN_COUNT)
    return [
        Finding(row, claim.level, evidence.verdict(claim))
        for row, (explanation, evidence) in enumerate(zip(explanations, evidence_N, strict=True))
        if explanation.ok
        for claim in reader.claims(explanation.text)
    ]


def _measure_claims(bench: Bench, findings: Sequence[Finding], name: str) -> None:
    """Add the share of true claims, also by level, and with the own texts the share of related ones."""
    _add(bench, name, findings, Verdict.TRUE)
    for level in LEVELS:
        _add(bench, f"{name}_{level}", [item for item in findings if item.level == level], Verdict.TRUE)
    if name == "evidence_true":
        _add(bench, "evidence_related", findings, Verdict.RELATED)


def _add(bench: Bench, name: str, findings: Sequence[Finding], verdict: Verdict) -> None:
    """Add the share of the findings that have a verdict."""
    found = bench.found
    owners = [found.documents_N[item.row] for item in findings]
    hits = [float(item.verdict is verdict) for item in findings]
    found.measures[name] = found.estimator.mean(name, hits, owners)


def _measure_agreement(
    bench: Bench, judged: Sequence[JudgedClaim], evidence_N: Sequence[Evidence], others_N: Sequence[Evidence]
) -> None:
    """Hold the verdict by words against the truth, claim by claim; with a table by level."""
    found = bench.found
    owners = [found.documents_N[item.row] for item in judged]
    for name, texts_N in zip(AGREEMENT, (evidence_N, others_N), strict=True):
        agree = [float(item.true == _borne_out(item, texts_N)) for item in judged]
        found.measures[name] = found.estimator.mean(name, agree, owners)
    rows = []
    for level in LEVELS:
        of_level = [item for item in judged if item.claim.level == level]
        words = [_borne_out(item, evidence_N) for item in of_level]
        rows.append(
            (
                level,
                len(of_level),
                share([item.true for item in of_level]),
                share(words),
                share([item.true for item, found_ in zip(of_level, words, strict=True) if found_]),
                share([item.true for item, found_ in zip(of_level, words, strict=True) if not found_]),
            )
        )
    found.tables["evidence"] = DataTable(
        title="Words as evidence, against the truth",
        about="How far words in the text tell which claims are true, by the level that the corpus gives a claim. Where both "
        "last columns are alike, words tell nothing.",
        heads=("level", "claims", "true", "words in the text", "true where they are", "true where they are not"),
        rows=tuple(rows),
    )


def _borne_out(item: JudgedClaim, evidence_N: Sequence[Evidence]) -> bool:
    return evidence_N[item.row].verdict(item.claim) is Verdict.TRUE
