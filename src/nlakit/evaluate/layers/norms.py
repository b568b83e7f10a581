"""Norms and directions of one layer: how large its vectors are, how uneven, and how much of a direction they share.

Axes: N rows, D vector width, R bootstrap resamples.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from torch import Tensor

from nlakit.card import Measure
from nlakit.models.readings import OUTLIER_FACTOR
from nlakit.vectors import VectorStats, bootstrap_draws, bootstrap_interval, unit

FITTED = "fit"
"""The split of these measures: the documents that everything is fitted on, whose mean and variance every FVE uses."""
ENDS = (0.05, 0.95)
"""Quantiles between which the norms of nine rows in ten lie."""


def norm_measures(
    vectors_ND: Tensor, stats: VectorStats, documents_N: Sequence[str], resamples: int, seed: int
) -> dict[str, Measure]:
    """Return ``norm``, ``norm_spread``, ``norm_outliers`` and ``mean_share`` of raw vectors, with intervals over documents.

    ``norm`` is the median; ``norm_spread`` the 95th percentile over the 5th; ``norm_outliers`` the share of rows more than
    ``OUTLIER_FACTOR`` times above or below the median; ``mean_share`` is |mean direction|² = 1 - Var (paper, method), how much
    of every direction is the same one. The median and the mean are held fixed in the intervals of the last two.
    """
    norms_N = vectors_ND.norm(dim=1).double().numpy()
    median = float(np.median(norms_N))
    low, high = np.quantile(norms_N, ENDS)
    ends_R3 = _quantiles(norms_N, documents_N, (0.5, *ENDS), resamples, seed)
    outliers_N = (norms_N > OUTLIER_FACTOR * median) | (norms_N < median / OUTLIER_FACTOR)
    distances_N = (unit(vectors_ND) - stats.mean_D).pow(2).sum(dim=1)

    def mean(values_N: npt.NDArray[np.floating]) -> tuple[float, float, float]:
        ends = bootstrap_interval(values_N, documents_N, resamples=resamples, seed=seed)
        return float(np.mean(values_N)), *ends

    found = {
        "norm": (median, *_ends(ends_R3[:, 0])),
        "norm_spread": (float(high / low), *_ends(ends_R3[:, 2] / ends_R3[:, 1])),
        "norm_outliers": mean(outliers_N.astype(np.float64)),
        "mean_share": mean(1.0 - distances_N.double().numpy()),
    }
    return {name: measured(value, low, high, len(norms_N), FITTED) for name, (value, low, high) in found.items()}


def measured(value: float, low: float, high: float, n: int, split: str) -> Measure:
    """Build a measure; ends that are no numbers, those of a single document, are left out."""
    if not np.isfinite([low, high]).all():
        return Measure(value=value, n=n, split=split)
    return Measure(value=value, low=low, high=high, n=n, split=split)


def _quantiles(
    values_N: npt.NDArray[np.float64], documents_N: Sequence[str], levels: Sequence[float], resamples: int, seed: int
) -> npt.NDArray[np.float64]:
    """Return quantiles of each resample of documents, (R, levels); NaN when there is only one document."""
    if len(set(documents_N)) < 2:
        return np.full((1, len(levels)), np.nan)
    order_N = np.argsort(values_N, kind="stable")
    index_N, draws = bootstrap_draws(documents_N, resamples, seed)
    found = []
    for draws_RG in draws:
        # How many rows of a resample are at most as large as each row, in the order of their values.
        counts_RN = np.cumsum(draws_RG[:, index_N[order_N]], axis=1)
        for counts_N in counts_RN:
            places = np.searchsorted(counts_N, np.asarray(levels) * counts_N[-1])
            found.append(values_N[order_N[np.minimum(places, len(order_N) - 1)]])
    return np.stack(found)


def _ends(values_R: npt.NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.quantile(values_R, [0.025, 0.975])
    return float(low), float(high)
