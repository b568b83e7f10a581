"""The support score held against the truth: whether it tells which claim to believe, and what each signal adds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from nlakit.card import Measure
from nlakit.claims.signals import SIGNALS
from nlakit.claims.support import FRAMES, KNOWN, STATEMENTS, Calibration, fit, support_of
from nlakit.errors import InputError
from nlakit.evaluate.bench import Bench, Found
from nlakit.evaluate.definitions.support import DEFINITIONS
from nlakit.evaluate.estimates import bin_of, weighted_auroc
from nlakit.evaluate.evaluation import DataTable
from nlakit.evaluate.support import KnownClaim, any_text_claims, first_rows, known_claims, reads_of
from nlakit.truth import LEVELS

ROWS = 400
"""Most held-out rows, and most training rows, whose claims are scored."""
BINS = 10
HIGH, LOW = 0.9, 0.5
OTHERS = {"agreement": "other samples", "recurrence": "neighbouring tokens"}
"""Who else may make a claim, by the signal that says how many of them do."""
HOW_MANY: Mapping[str, Callable[[float], bool]] = {
    "none": lambda share: share == 0.0,
    "up to half": lambda share: 0.0 < share <= 0.5,
    "more than half": lambda share: 0.5 < share < 1.0,
    "all": lambda share: share == 1.0,
}
"""Bins of the share of others that make a claim; with four neighbours finer ones would be empty."""
LABELS = {KNOWN: "the corpus knows them", FRAMES: "frames, names, numbers", STATEMENTS: "whole statements"}
"""What a kind of claims is called in the table."""
NAMES = [definition.name for definition in DEFINITIONS]


def measure(bench: Bench) -> None:
    """Score the claims of held-out rows, and refit without and with each signal alone on training rows."""
    found = bench.found
    if bench.truths is None or bench.reader is None:
        found.leave_out(NAMES, bench.why_no_truth)
        return
    heldout = first_rows(bench.heldout, ROWS)
    reads = reads_of(bench, heldout, bench.explanations[: len(heldout)], "support")
    claims = known_claims(bench, heldout, bench.reader, reads, "support")
    if len({item.true for item in claims}) < 2:
        found.leave_out(NAMES, f"of {len(claims)} claims all are true or none is, so there is nothing to tell apart")
        return
    calibration = support_of(bench.pair)
    support_C = scores(calibration, claims)
    true_C = np.asarray([item.true for item in claims])
    documents = [item.document for item in claims]
    found.measures["support_auroc"] = found.estimator.auroc("support_auroc", support_C, true_C, documents)
    for level in LEVELS:
        chosen = [place for place, item in enumerate(claims) if item.claim.level == level]
        name = f"support_auroc_{level}"
        if len({claims[place].true for place in chosen}) < 2:
            found.leave_out([name], f"of {len(chosen)} claims of level {level} all are true or none is")
            continue
        owners = [documents[place] for place in chosen]
        found.measures[name] = found.estimator.auroc(name, support_C[chosen], true_C[chosen], owners)
    slots = [item.claim.slot for item in claims]
    within = found.estimator.auroc("support_auroc_slot", support_C, true_C, documents, slots)
    found.measures["support_auroc_slot"] = within
    for name, inside in (("support_true_high", support_C >= HIGH), ("support_true_low", support_C < LOW)):
        found.measures[name] = found.estimator.mean(name, true_C.astype(float), documents, inside.astype(float))
    error = found.estimator.calibration_error("support_error", support_C, true_C, documents, BINS)
    found.measures["support_error"] = error
    found.tables["reliability"] = DataTable(
        title="Support against truth",
        about="Claims of held-out rows by their support, and the share of them that is true. Support can be taken at its word "
        "where the two agree.",
        heads=("from", "to", "mean support", "true", "claims"),
        rows=tuple(reliability(support_C, true_C)),
    )
    measure_recurrence(found, claims)
    _measure_signals(bench, claims)
    found_by_kind = {KNOWN: claims, **any_text_claims(bench, heldout, bench.reader, reads, "support: any text")}
    _measure_kinds(bench, found_by_kind)


def _measure_kinds(bench: Bench, by_kind: Mapping[str, Sequence[KnownClaim]]) -> None:
    """Hold support against the truth by how claims are found: as where nobody knows the language, beside those measured above."""
    found, rows = bench.found, []
    for kind, claims in by_kind.items():
        ending = "" if kind == KNOWN else f"_{kind}"
        auroc, error = f"support_auroc{ending}", f"support_error{ending}"
        true_C = np.asarray([item.true for item in claims], dtype=bool)
        if len(set(true_C.tolist())) < 2:
            found.leave_out((auroc, error), f"of {len(claims)} claims found so all are true or none is")
            continue
        support_C = scores(support_of(bench.pair, kind), claims)
        if ending:
            documents = [item.document for item in claims]
            found.measures[auroc] = found.estimator.auroc(auroc, support_C, true_C, documents)
            found.measures[error] = found.estimator.calibration_error(error, support_C, true_C, documents, BINS)
        taken = (found.measures[auroc].value, found.measures[error].value)
        known_C = scores(support_of(bench.pair), claims)
        by_known = (float(weighted_auroc(known_C, true_C, np.ones(len(claims)))), int((known_C < LOW).sum()))
        bands = (support_C >= HIGH, support_C < LOW)
        inside = [cell for band in bands for cell in (int(band.sum()), _share(true_C[band]))]
        rows.append((LABELS[kind], len(claims), _share(true_C), *taken, *inside, *by_known))
    high, low = f"support {HIGH} and more", f"under {LOW}"
    first = ("AUROC by the first row's numbers", f"under {LOW} by them")
    found.tables["kinds"] = DataTable(
        title="Support by how claims are found",
        about="The same explanations of held-out rows: their claims found by who knows the language, by frames learnt from the "
        "explanations, and as free prose is read, by whole statements. In the last two rows a claim is true if all is that the "
        "corpus finds in its words. Support of each kind has numbers of its own, fitted on Terrarium; the last two columns say "
        "what it would be without.",
        heads=("claims found as", "claims", "true", "AUROC", "calibration error", high, "true", low, "true", *first),
        rows=tuple(rows),
    )


def _share(true_C: np.ndarray) -> float | None:
    return float(true_C.mean()) if len(true_C) else None


def measure_recurrence(found: Found, claims: Sequence[KnownClaim]) -> None:
    """Hold the truth of claims against how many of the other samples, and of the readings at neighbouring tokens, make them too."""
    rows: list[tuple[str | float | int | None, ...]] = []
    for signal, others in OTHERS.items():
        asked = [(item, share) for item in claims if (share := item.signals[signal]) is not None]
        for label, inside in HOW_MANY.items():
            chosen = [item for item, share in asked if inside(share)]
            true = _share_true(found, "claims_true", chosen)
            details = _share_true(found, "claims_true", [item for item in chosen if item.claim.level == "detail"])
            rows.append((f"{label} {others}", true.value, true.low, true.high, true.n, details.value, details.n))
            if label in ("all", "none"):
                name = f"{signal}_true_{label}"
                found.measures[name] = _share_true(found, name, chosen)
    found.tables["recurrence"] = DataTable(
        title="Truth of claims by how many others make them",
        about="Claims of held-out rows by how many of the 8 other samples of the same vector, and of the readings at "
        "neighbouring tokens, make the same claim, and the share of them that is true, with 95 % intervals.",
        heads=("made too by", "true", "low", "high", "claims", "details true", "details"),
        rows=tuple(rows),
    )


def _share_true(found: Found, name: str, claims: Sequence[KnownClaim]) -> Measure:
    """Return the share of some claims that is true; no value of none."""
    return found.estimator.mean(name, [float(item.true) for item in claims], [item.document for item in claims])


def scores(calibration: Calibration, claims: Sequence[KnownClaim]) -> np.ndarray:
    """Return the support of each claim (C,)."""
    return np.asarray([calibration.apply(item.signals) for item in claims])


def reliability(support_C: np.ndarray, true_C: np.ndarray) -> list[tuple[float, float, float, float, int]]:
    """Return (from, to, mean support, share true, claims) of each bin of support that has a claim."""
    bin_C = bin_of(support_C, BINS)
    found = []
    for number in np.unique(bin_C).tolist():
        inside = bin_C == number
        mean, share = float(support_C[inside].mean()), float(true_C[inside].mean())
        found.append((number / BINS, (number + 1) / BINS, mean, share, int(inside.sum())))
    return found


def slot_shares(known: Sequence[KnownClaim], claims: Sequence[KnownClaim]) -> np.ndarray:
    """Return for each claim (C,) the share of the known claims of its slot that are true; that of all for an unknown slot."""
    judged: dict[str, list[bool]] = {}
    for item in known:
        judged.setdefault(item.claim.slot, []).append(item.true)
    everything = [item.true for item in known]
    return np.asarray([np.mean(judged.get(item.claim.slot, everything)) for item in claims])


def _aurocs(support_C: np.ndarray, claims: Sequence[KnownClaim]) -> tuple[float | None, ...]:
    """Return the AUROC over all claims, over details, and within slots; None where nothing can be compared."""
    true_C = np.asarray([item.true for item in claims])
    detail_C = np.asarray([item.claim.level == "detail" for item in claims])
    slot_C = np.unique([item.claim.slot for item in claims], return_inverse=True)[1]
    ones_C = np.ones(len(claims))
    found = (
        weighted_auroc(support_C, true_C, ones_C),
        weighted_auroc(support_C, true_C, 1.0 * detail_C),
        weighted_auroc(support_C, true_C, ones_C, slot_C),
    )
    return tuple(None if np.isnan(value) else value for value in found)


def _measure_signals(bench: Bench, claims: Sequence[KnownClaim]) -> None:
    """Fit on training rows with all signals, without each and with each alone; the AUROC is that on held-out claims."""
    if bench.training is None or bench.reader is None:
        return
    training = first_rows(bench.training, ROWS)
    explained = [sample.explanation for sample in bench.explain("support: training", training.vectors_ND)]
    reads = reads_of(bench, training, explained, "support: training")
    known = known_claims(bench, training, bench.reader, reads, "support: training")
    choices: list[tuple[str, tuple[str, ...]]] = [("all signals", SIGNALS)]
    choices += [(f"without {name}", tuple(other for other in SIGNALS if other != name)) for name in SIGNALS]
    choices += [(f"{name} alone", (name,)) for name in SIGNALS]
    rows = [("slot alone", *_aurocs(slot_shares(known, claims), claims))]
    for label, names in choices:
        try:
            fitted = fit([item.signals for item in known], [item.true for item in known], names)
        except InputError:
            return
        rows.append((label, *_aurocs(scores(fitted, claims), claims)))
    bench.found.tables["signals"] = DataTable(
        title="What each signal adds to support",
        about="AUROC of support on held-out claims when it is fitted anew on claims of training rows, with all signals, without "
        "one, and with one alone. Slot alone knows how often claims of a slot are true there, and nothing of the claim itself: "
        "what support tells beyond it shows within a slot.",
        heads=("signals", "AUROC", "details", "within a slot"),
        rows=tuple(rows),
        decimals=3,
    )
