"""From values a row to a measure: the number, its bootstrap interval over documents, n and split.

Axes: N rows, or claims, or facts; each carries the id of its document. G documents, R bootstrap resamples, B bins, L levels of a
score, S strata.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch import Tensor

from nlakit.card import Measure
from nlakit.errors import InternalError
from nlakit.evaluate.measures import definition_of
from nlakit.vectors import bootstrap_draws, bootstrap_interval, fve

HELDOUT = "heldout"
"""The split that measures are taken on."""
NEW = "new"
"""In its place where documents are measured on that are not in the pair's corpus at all."""

FloatArray = npt.NDArray[np.floating]
Values = Tensor | npt.NDArray[np.floating] | Sequence[float]


@dataclass(frozen=True, slots=True)
class Estimator:
    """Turns values into measures with the same bootstrap settings throughout one evaluation."""

    resamples: int
    seed: int
    split: str = HELDOUT

    def mean(self, name: str, values_N: Values, documents_N: Sequence[str], weights_N: Values | None = None) -> Measure:
        """Return the mean, or with weights the ratio sum(w v) / sum(w), with its interval.

        ``n`` is the number of values that count, those with a weight above 0. With nothing to average the
        value and both ends are None.
        """
        values = np.asarray(values_N, dtype=np.float64)
        weights = np.ones_like(values) if weights_N is None else np.asarray(weights_N, dtype=np.float64)
        total = float(weights.sum())
        if total <= 0:
            definition_of(name)
            return Measure(value=None, n=0, split=self.split)
        value = float((values * weights).sum() / total)
        low, high = bootstrap_interval(
            values,
            documents_N,
            resamples=self.resamples,
            seed=self.seed,
            weights_N=weights,
            share=definition_of(name).unit == "fraction",
        )
        return self._measure(name, value, low, high, int((weights > 0).sum()))

    def fve(self, name: str, errors_N: Tensor, documents_N: Sequence[str], variance: float) -> Measure:
        """Return FVE from errors a row; the interval is that of the mean error, turned round."""
        low, high = bootstrap_interval(errors_N, documents_N, resamples=self.resamples, seed=self.seed)
        return self._measure(name, fve(errors_N, variance), 1 - high / variance, 1 - low / variance, len(errors_N))

    def difference(
        self, name: str, values_N: Values, documents_N: Sequence[str], others_M: Values, documents_M: Sequence[str]
    ) -> Measure:
        """Return the mean of some values less that of others; each resample draws the same documents for both.

        ``n`` is the number of the first. None where either are none.
        """
        values, others = np.asarray(values_N, dtype=np.float64), np.asarray(others_M, dtype=np.float64)
        if not len(values) or not len(others):
            definition_of(name)
            return Measure(value=None, n=len(values), split=self.split)
        index, draws = bootstrap_draws([*documents_N, *documents_M], self.resamples, self.seed)
        groups, own, other = int(index.max()) + 1, index[: len(values)], index[len(values) :]
        sums_G, others_G = (
            np.bincount(place, weights, minlength=groups) for place, weights in ((own, values), (other, others))
        )
        count_G, count_others_G = (np.bincount(place, minlength=groups) for place in (own, other))
        with np.errstate(invalid="ignore"):  # a resample may have drawn no value at all
            found = [
                (draws_RG @ sums_G) / (draws_RG @ count_G) - (draws_RG @ others_G) / (draws_RG @ count_others_G)
                for draws_RG in draws
            ]
        low, high = np.nanquantile(np.concatenate(found), [0.025, 0.975]) if groups > 1 else (np.nan, np.nan)
        return self._measure(name, float(values.mean() - others.mean()), float(low), float(high), len(values))

    def ratio(self, name: str, above_N: Values, below_N: Values, documents_N: Sequence[str]) -> Measure:
        """Return sum(above) / sum(below) over the same rows; each resample of documents draws both, so the interval is paired.

        Other than weights, ``below`` may be negative in some rows. The interval means something where its sum is clearly
        above 0; ``InternalError`` where it is not above 0 at all.
        """
        above, below = np.asarray(above_N, dtype=np.float64), np.asarray(below_N, dtype=np.float64)
        if below.sum() <= 0:
            raise InternalError(f"measure {name!r} divides by {below.sum():g}; leave it out where that is not above 0")
        index_N, draws = bootstrap_draws(documents_N, self.resamples, self.seed)
        above_G, below_G = np.bincount(index_N, weights=above), np.bincount(index_N, weights=below)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios_R = np.concatenate([(draws_RG @ above_G) / (draws_RG @ below_G) for draws_RG in draws])
        low, high = np.nanquantile(ratios_R, [0.025, 0.975]) if len(above_G) > 1 else (np.nan, np.nan)
        return self._measure(name, float(above.sum() / below.sum()), float(low), float(high), len(above))

    def auroc(
        self,
        name: str,
        scores_N: Values,
        labels_N: Values,
        documents_N: Sequence[str],
        strata_N: Sequence[str] | None = None,
    ) -> Measure:
        """Return the probability that what is labelled true scores above what is not, ties counting half.

        With ``strata_N`` only rows of one stratum are compared. No value where no true and false row can be compared.
        """
        scores, labels = np.asarray(scores_N, dtype=np.float64), np.asarray(labels_N, dtype=bool)
        strata = None if strata_N is None else np.unique(np.asarray(strata_N), return_inverse=True)[1]
        value = weighted_auroc(scores, labels, np.ones(len(scores)), strata)
        if np.isnan(value):
            definition_of(name)
            return Measure(value=None, n=len(scores), split=self.split)
        index_N, draws = bootstrap_draws(documents_N, self.resamples, self.seed)
        drawn_R = [
            weighted_auroc(scores, labels, drawn_G[index_N], strata) for draws_RG in draws for drawn_G in draws_RG
        ]
        low, high = np.nanquantile(drawn_R, [0.025, 0.975]) if index_N.max() else (np.nan, np.nan)
        return self._measure(name, value, float(low), float(high), len(scores))

    def calibration_error(
        self, name: str, scores_N: Values, labels_N: Values, documents_N: Sequence[str], bins: int
    ) -> Measure:
        """Return the expected calibration error: the distance of mean score and share true of each bin, averaged over rows.

        Bins are of equal width in [0, 1]. Each resample of documents has means and shares of its own; as noise only adds to
        distances, resamples lie above the value, and the interval is widened to hold it.
        """
        scores, labels = np.asarray(scores_N, dtype=np.float64), np.asarray(labels_N, dtype=np.float64)
        index_N, draws = bootstrap_draws(documents_N, self.resamples, self.seed)
        cell_N = index_N * bins + bin_of(scores, bins)
        size = (int(index_N.max()) + 1) * bins
        # A bin's share of the rows times its distance is |sum of (score - label)| over the number of rows.
        gaps_GB = np.bincount(cell_N, weights=scores - labels, minlength=size).reshape(-1, bins)
        rows_G = np.bincount(index_N)
        errors_R = np.concatenate([np.abs(draws_RG @ gaps_GB).sum(axis=1) / (draws_RG @ rows_G) for draws_RG in draws])
        value = float(np.abs(gaps_GB.sum(axis=0)).sum() / len(scores))
        low, high = np.quantile(errors_R, [0.025, 0.975]) if len(rows_G) > 1 else (np.nan, np.nan)
        return self._measure(name, value, min(float(low), value), max(float(high), value), len(scores))

    def _measure(self, name: str, value: float, low: float, high: float, n: int) -> Measure:
        """Build a measure under a registered name."""
        definition_of(name)
        if not np.isfinite(value):
            raise InternalError(f"measure {name!r} came out as {value}")
        if not np.isfinite([low, high]).all():  # rows of one document say nothing about others
            return Measure(value=value, n=n, split=self.split)
        return Measure(value=value, low=low, high=high, n=n, split=self.split)


def bin_of(scores_N: FloatArray, bins: int) -> npt.NDArray[np.intp]:
    """Return the bin of each score, of equal width in [0, 1]; a score of 1 belongs to the last."""
    return np.minimum((scores_N * bins).astype(np.intp), bins - 1)


def weighted_auroc(
    scores_N: FloatArray,
    labels_N: npt.NDArray[np.bool_],
    weights_N: FloatArray,
    strata_N: npt.NDArray[np.intp] | None = None,
) -> float:
    """Return the AUROC when row n stands there ``weights_N[n]`` times; nan where there is no true and false row to compare.

    With the number of each row's stratum, of all pairs of a true and a false row only those inside a stratum count.
    """
    if strata_N is None:
        strata_N = np.zeros(len(scores_N), dtype=np.intp)
    order_N = np.lexsort((scores_N, strata_N))
    scores, strata = scores_N[order_N], strata_N[order_N]
    new_N = np.ones(len(scores), dtype=bool)
    new_N[1:] = (scores[1:] != scores[:-1]) | (strata[1:] != strata[:-1])
    level_N = np.cumsum(new_N) - 1  # rows of one stratum that tie share a level
    weights, labels = weights_N[order_N], labels_N[order_N]
    hits_L, misses_L = np.bincount(level_N, weights * labels), np.bincount(level_N, weights * ~labels)
    hits_S, misses_S = np.bincount(strata, weights * labels), np.bincount(strata, weights * ~labels)
    pairs = float((hits_S * misses_S).sum())
    if not pairs:
        return float("nan")
    outside_S = np.cumsum(misses_S) - misses_S
    below_L = np.cumsum(misses_L) - misses_L - outside_S[strata[new_N]]
    return float((hits_L * (below_L + misses_L / 2)).sum() / pairs)
