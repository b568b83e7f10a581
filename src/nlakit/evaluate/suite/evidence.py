"""Claims held against the text, where a corpus does not know its truth; and how good that is where it does."""

from __future__ import annotations

from collections.abc import Sequence

from nlakit.claims.evidence import Evidence
from nlakit.errors import EndpointError, SpendingError
from nlakit.evaluate.bench import Bench
from nlakit.evaluate.claims import JudgedClaim, share
from nlakit.evaluate.evaluation import DataTable
from nlakit.evaluate.evidence import (
    Finding,
    Judged,
    judge_by_model,
    judge_by_words,
    judgements_table,
    surroundings,
    truth_of,
)
from nlakit.truth import LEVELS, Verdict

OWN = ("evidence_true", *(f"evidence_true_{level}" for level in LEVELS), "evidence_related", "evidence_read")
OTHER = ("evidence_true_other", *(f"evidence_true_other_{level}" for level in LEVELS))
AGREEMENT = ("evidence_agreement", "evidence_agreement_chance")
AGAINST_TRUTH = (
    *AGREEMENT,
    "evidence_agreement_majority",
    "evidence_auroc",
    *(f"evidence_auroc_{level}" for level in LEVELS),
)
JUDGE = ("judge_agreement", "judge_agreement_majority", "judge_checked")
_ORDER = (Verdict.UNRELATED, Verdict.RELATED, Verdict.TRUE)
"""Verdicts by words, from the least evidence to the most."""


def measure(bench: Bench) -> None:
    """Judge the sampled explanations against their own texts and, as a control, against those of other documents.

    With a judge that cannot be asked, or that nobody approved to pay, what it would have said is left out.
    """
    evidence_N = surroundings(bench)
    texts = [evidence_N] if bench.other_N is None else [evidence_N, [evidence_N[row] for row in bench.other_N]]
    if bench.other_N is None:
        bench.found.leave_out((*OTHER, *AGAINST_TRUTH), "all rows are of one document, so texts cannot be exchanged")
    elif bench.judged is None:
        bench.found.leave_out(AGAINST_TRUTH, bench.why_no_truth)
    else:
        _measure_agreement(bench, bench.judged, *texts)
    if not bench.config.judge.teacher:
        reading = [judge_by_words(bench.claim_reader, bench.explanations, some) for some in texts]
        bench.found.leave_out(JUDGE, "evaluate.judge names no model")
    else:
        try:
            reading = judge_by_model(bench, texts)
        except (SpendingError, EndpointError) as error:
            reason = f"the judge {bench.config.judge.teacher!r} cannot be asked ({error})"
            bench.found.leave_out((*OWN, *OTHER, *JUDGE), reason)
            return
        _measure_judge(bench, reading)
    _measure_reading(bench, reading[0].read)
    for name, found in zip(("evidence_true", "evidence_true_other"), reading, strict=False):
        _measure_claims(bench, found.findings, name)


def _measure_reading(bench: Bench, read: Sequence[bool]) -> None:
    """Add the share of the explanations that parsed whose judgement could be read."""
    found = bench.found
    usable = [row for row, explanation in enumerate(bench.explanations) if explanation.ok]
    owners = [found.documents_N[row] for row in usable]
    found.measures["evidence_read"] = found.estimator.mean("evidence_read", [float(item) for item in read], owners)


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
    """Hold the verdict by words against the truth, claim by claim, beside one answer for all; with a table by level."""
    found = bench.found
    owners = [found.documents_N[item.row] for item in judged]
    for name, texts_N in zip(AGREEMENT, (evidence_N, others_N), strict=True):
        agree = [float(item.true == _borne_out(item, texts_N)) for item in judged]
        found.measures[name] = found.estimator.mean(name, agree, owners)
    _add_majority(bench, "evidence_agreement_majority", [item.true for item in judged], owners)
    _rank(bench, "evidence_auroc", judged, evidence_N)
    for level in LEVELS:
        some = [item for item in judged if item.claim.level == level]
        _rank(bench, f"evidence_auroc_{level}", some, evidence_N)
    found.tables["evidence"] = _table(judged, evidence_N)


def _add_majority(bench: Bench, name: str, true: Sequence[bool], owners: Sequence[str]) -> None:
    """Add the agreement of one answer for all claims, whichever is right more often."""
    usual = sum(true) * 2 >= len(true)
    bench.found.measures[name] = bench.found.estimator.mean(name, [float(item == usual) for item in true], owners)


def _measure_judge(bench: Bench, reading: Sequence[Judged]) -> None:
    """Say what of the judge's replies was not read, and hold what it says of the own texts against the truth."""
    found, own = bench.found, reading[0]
    if any(some.faults or some.skipped for some in reading):
        found.tables["judgements"] = judgements_table(own, reading[1] if len(reading) > 1 else None)
    if bench.reader is None or bench.judged is None:
        found.leave_out(JUDGE, bench.why_no_truth)
        return
    made: dict[int, list[JudgedClaim]] = {}
    for item in bench.judged:
        made.setdefault(item.row, []).append(item)
    texts = [explanation.text for explanation in bench.explanations]
    truths = [truth_of(item.claim, texts[item.row], made.get(item.row, ()), bench.reader) for item in own.findings]
    checked = [(item, true) for item, true in zip(own.findings, truths, strict=True) if true is not None]
    owners = [found.documents_N[item.row] for item, _ in checked]
    agree = [float((item.verdict is Verdict.TRUE) == true) for item, true in checked]
    found.measures["judge_agreement"] = found.estimator.mean("judge_agreement", agree, owners)
    _add_majority(bench, "judge_agreement_majority", [true for _, true in checked], owners)
    owners = [found.documents_N[item.row] for item in own.findings]
    known = [float(true is not None) for true in truths]
    found.measures["judge_checked"] = found.estimator.mean("judge_checked", known, owners)


def _rank(bench: Bench, name: str, judged: Sequence[JudgedClaim], evidence_N: Sequence[Evidence]) -> None:
    """Add the AUROC with which words rank true claims above false ones."""
    scores = [float(_ORDER.index(evidence_N[item.row].verdict(item.claim))) for item in judged]
    owners = [bench.found.documents_N[item.row] for item in judged]
    labels = [float(item.true) for item in judged]
    if len(set(labels)) < 2:
        bench.found.leave_out(
            [name], f"of {len(labels)} claims all are true or none is, so there is nothing to tell apart"
        )
        return
    bench.found.measures[name] = bench.found.estimator.auroc(name, scores, labels, owners)


def _table(judged: Sequence[JudgedClaim], evidence_N: Sequence[Evidence]) -> DataTable:
    """Return by level how far words tell true claims from false ones."""
    rows = []
    for level in LEVELS:
        true = [item.true for item in judged if item.claim.level == level]
        words = [_borne_out(item, evidence_N) for item in judged if item.claim.level == level]
        with_words = [hit for hit, there in zip(true, words, strict=True) if there]
        without = [hit for hit, there in zip(true, words, strict=True) if not there]
        same = share([hit == there for hit, there in zip(true, words, strict=True)])
        usual = max(sum(true), len(true) - sum(true)) / len(true) if true else None
        rows.append((level, len(true), share(true), share(words), share(with_words), share(without), same, usual))
    return DataTable(
        title="Words as evidence, against the truth",
        about="How far words in the text tell which claims are true, by the level that the corpus gives a claim. Where claims "
        "are as often true without their words as with them, words tell nothing; where one answer for all agrees with the truth "
        "more often than words do, words must not be used to say which claims are true.",
        heads=(
            "level",
            "claims",
            "true",
            "words in the text",
            "true where they are",
            "true where they are not",
            "words agree",
            "one answer for all agrees",
        ),
        rows=tuple(rows),
    )


def _borne_out(item: JudgedClaim, evidence_N: Sequence[Evidence]) -> bool:
    return evidence_N[item.row].verdict(item.claim) is Verdict.TRUE
