"""Fitting the support score of a pair: on claims of a training split, where a corpus knows what is true."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nlakit.calibration import Calibration
from nlakit.claims.support import fit
from nlakit.config import EvaluateConfig
from nlakit.errors import InputError
from nlakit.evaluate.rows import PROBE_SPLIT
from nlakit.evaluate.runner import PROBE_ROWS, make_bench
from nlakit.evaluate.support import KnownClaim, first_rows, known_claims
from nlakit.models.pair import Pair, pair_folder
from nlakit.progress import Progress

ROWS = 1000
"""Training rows whose claims are fitted on."""


def fit_support(source: str | Path, rows: int = ROWS, progress: Progress | None = None) -> Calibration:
    """Return the support score of a pair, fitted on rows of a training split; held-out rows are left to the evaluation.

    Raises as :func:`known_training_claims` does, and :class:`~nlakit.errors.MissingExtraError` without scikit-learn.
    """
    claims, about = known_training_claims(source, rows, progress)
    return fit([item.signals for item in claims], [item.true for item in claims], fitted_on=about)


def known_training_claims(
    source: str | Path, rows: int = ROWS, progress: Progress | None = None
) -> tuple[list[KnownClaim], dict[str, Any]]:
    """Return the claims of a pair about rows of a training split, with their signals and truth, and how they came about.

    Raises:
        CardError: when the card does not say where its rows came from.
        InputError: for a corpus that does not know its truth, or where all claims are true or none is.
    """
    folder = pair_folder(source)
    pair = Pair.from_pretrained(folder)
    bench = make_bench(folder, pair, EvaluateConfig(rows=1), probe_rows=max(rows, PROBE_ROWS))
    bench.progress = progress or Progress(silent=True)
    if bench.training is None or bench.reader is None:
        raise InputError(f"support of {pair.card.name!r} cannot be fitted: {bench.why_no_truth}")
    chosen = first_rows(bench.training, rows)
    explained = [sample.explanation for sample in bench.explain("calibration", chosen.vectors_ND)]
    claims = known_claims(bench, chosen, bench.reader, explained, "calibration")
    true = [item.true for item in claims]
    about = {
        "pair": pair.card.name, "split": PROBE_SPLIT, "rows": len(chosen), "claims": len(claims),
        "true": round(sum(true) / max(1, len(true)), 4),
    }  # fmt: skip
    return claims, about
