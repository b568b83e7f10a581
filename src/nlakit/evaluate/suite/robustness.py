"""Explanations under attack: whether they lie while the target behaves as before, and whether a signal exposes it.

Axes: N rows, D vector width.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from nlakit.claims.likelihood import Span
from nlakit.claims.signals import Read, claim_signals
from nlakit.claims.support import support_of
from nlakit.evaluate.attack import Attacked, Attacker, Passes
from nlakit.evaluate.bench import Bench
from nlakit.evaluate.claims import JudgedClaim
from nlakit.evaluate.definitions.robustness import DEFINITIONS, ROWS, Budget
from nlakit.evaluate.evaluation import DataTable
from nlakit.evaluate.fidelity import explanation_errors
from nlakit.explanations import Explanation
from nlakit.models.readings import SUPPORT_SAMPLES
from nlakit.models.sites import Site
from nlakit.truth import Verdict


def measure(bench: Bench) -> None:
    """Attack rows whose clean reading makes a true claim, and read them anew."""
    found = bench.found
    names = [definition.name for definition in DEFINITIONS]
    if bench.judged is None:
        found.leave_out(names, bench.why_no_truth)
        return
    spans = _true_spans(bench.judged)
    attacker = Attacker(bench.target, Site.parse(bench.pair.card.site), bench.pair.verbalizer, Budget())
    rows = [row for row in sorted(spans) if attacker.has_room(bench.places[row][0][: bench.places[row][1] + 1])][:ROWS]
    if not rows:
        found.leave_out(names, "no explanation makes a true claim that could be attacked")
        return
    attacked, at_random = [], []
    for row in rows:
        rng = random.Random(bench.seed("attack", row))
        ids, position = bench.places[row]
        clean_V = attacker.clean(ids[: position + 1])
        attacked.append(attacker.attack(ids[: position + 1], clean_V, bench.explanations[row].text, spans[row], rng))
        at_random.append(attacker.random_prefix(ids[: position + 1], clean_V, rng))
    found.tables["attack"] = _spent(attacker.passes, len(rows))
    documents = [bench.found.documents_N[row] for row in rows]
    found.measures["attack_met"] = found.estimator.mean("attack_met", [float(a.met) for a in attacked], documents)
    met = [place for place, item in enumerate(attacked) if item.met]
    if not met:
        found.leave_out(names[1:], "no attack left the target's behaviour as it was")
        return
    _compare(bench, [rows[p] for p in met], [attacked[p] for p in met], [at_random[p] for p in met])


def _compare(bench: Bench, rows: Sequence[int], attacked: Sequence[Attacked], at_random: Sequence[Attacked]) -> None:
    """Read the rows attacked, with a random prefix and clean, and compare truth and what could expose the attack."""
    found = bench.found
    documents = [found.documents_N[row] for row in rows]
    vectors = {
        "attack_claims_true_before": bench.heldout.vectors_ND[list(rows)],
        "attack_claims_true": torch.stack([item.vector_D for item in attacked]),
        "attack_claims_true_random": torch.stack([item.vector_D for item in at_random]),
    }
    error_N: dict[str, Tensor] = {}
    truth: dict[str, tuple[list[float], list[str]]] = {}
    support_N: dict[str, list[float]] = {}
    for name, vectors_ND in vectors.items():
        written = [sample.explanation for sample in bench.explain(name, vectors_ND)]
        verdicts = _verdicts(bench, rows, written)
        owners = [documents[place] for place, _ in verdicts]
        truth[name] = ([float(true) for _, true in verdicts], owners)
        found.measures[name] = found.estimator.mean(name, *truth[name])
        error_N[name] = explanation_errors(bench.pair.reconstructor, written, vectors_ND)
        support_N[name] = _mean_support(bench, name, vectors_ND, written)
    found.measures["attack_kl"] = found.estimator.mean("attack_kl", [item.kl for item in attacked], documents)
    both = [*documents, *documents]
    labels = np.asarray([True] * len(rows) + [False] * len(rows), dtype=float)
    clean = "attack_claims_true_before"
    for ending in ("", "_random"):
        told = f"attack_claims_true{ending}"
        lost = f"attack_claims_lost{ending}"
        found.measures[lost] = found.estimator.difference(lost, *truth[clean], *truth[told])
        errors = torch.cat([error_N[told], error_N[clean]])
        doubts = -np.asarray([*support_N[told], *support_N[clean]])
        for name, scores in (
            (f"attack_auroc_error{ending}", errors.numpy()),
            (f"attack_auroc_support{ending}", doubts),
        ):
            found.measures[name] = found.estimator.auroc(name, scores, labels, both)


def _spent(passes: Passes, rows: int) -> DataTable:
    """Return what the search and its control took, as it was counted."""
    return DataTable(
        title="What the attack took",
        about="Texts that were put through each model for the search and the random prefixes. The readings come on top.",
        heads=("model", "rows attacked", "forward passes", "a row"),
        rows=(
            ("target", rows, passes.target, passes.target / rows),
            ("verbalizer", rows, passes.verbalizer, passes.verbalizer / rows),
        ),
    )


def _true_spans(judged: Sequence[JudgedClaim]) -> dict[int, list[Span]]:
    """Return the places of the values of the true claims of each row that has one."""
    spans: dict[int, list[Span]] = {}
    for item in judged:
        if item.true:
            spans.setdefault(item.row, []).append((item.claim.value_start, item.claim.value_end))
    return spans


def _verdicts(bench: Bench, rows: Sequence[int], written: Sequence[Explanation]) -> list[tuple[int, bool]]:
    """Return (place in ``rows``, whether true) for every claim."""
    if bench.reader is None or bench.truths is None:
        return []
    return [
        (place, bench.reader.judge(claim, bench.truths[row]) is Verdict.TRUE)
        for place, (row, item) in enumerate(zip(rows, written, strict=True))
        if item.ok
        for claim in bench.reader.claims(item.text)
    ]


def _mean_support(bench: Bench, what: str, vectors_ND: Tensor, written: Sequence[Explanation]) -> list[float]:
    """Return the mean support of each explanation's claims, 0 where it has none."""
    if bench.reader is None:
        return []
    pair, calibration = bench.pair, support_of(bench.pair)
    samples = [s.explanation for s in bench.explain(f"{what}: samples", vectors_ND, samples=SUPPORT_SAMPLES)]
    reads = [
        Read(item, samples[place * SUPPORT_SAMPLES : (place + 1) * SUPPORT_SAMPLES], [])
        for place, item in enumerate(written)
    ]
    found_N = claim_signals(pair, bench.reader, vectors_ND, reads)
    return [sum(calibration.apply(signals) for _, signals in found) / len(found) if found else 0.0 for found in found_N]
