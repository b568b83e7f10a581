"""Maths on activation vectors: directions, errors, variance explained, intervals.

Axes: N rows, D vector width, R bootstrap resamples, G groups (documents).

Everything is computed in at least float32 whatever comes in. An error is the squared distance of two
unit vectors, 2(1 - cos), in [0, 4]: 0 the same direction, 2 unrelated, 4 opposite. FVE compares the
mean error with the spread of the normalised vectors around their mean (paper, section 2).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nlakit.config import derive_seed
from nlakit.errors import InputError

FAILED_ERROR = 2.0
"""Error that a failed explanation counts with: that of an unrelated direction."""


def check_vectors(
    vectors: Tensor | npt.NDArray[np.floating], width: int | None = None, name: str = "vectors"
) -> Tensor:
    """Return vectors as a contiguous float32 tensor (N, D) after checking them.

    Raises :class:`~nlakit.errors.InputError` for a wrong number of axes, a width other than
    ``width``, or a value that is not finite (naming the first such row).
    """
    vectors_ND = torch.as_tensor(vectors)
    if vectors_ND.ndim != 2:
        raise InputError(f"{name} have shape {tuple(vectors_ND.shape)}, expected two axes (rows, width)")
    if width is not None and vectors_ND.shape[1] != width:
        raise InputError(
            f"{name} are {vectors_ND.shape[1]} wide, expected {width}: were they read from another model or site?"
        )
    if not (vectors_ND.is_floating_point() or vectors_ND.dtype in (torch.int32, torch.int64)):
        raise InputError(f"{name} have type {vectors_ND.dtype}, expected real numbers")
    vectors_ND = vectors_ND.to(torch.float32).contiguous()
    finite_N = torch.isfinite(vectors_ND).all(dim=1)
    if not bool(finite_N.all()):
        row = int((~finite_N).nonzero()[0])
        raise InputError(
            f"{name} hold NaN or infinity in {int((~finite_N).sum())} of {len(finite_N)} rows, the first is row {row}; "
            "leave these rows out"
        )
    return vectors_ND


def unit(vectors_ND: Tensor) -> Tensor:
    """Return the rows at norm 1; refuses a row that is zero or not finite, naming it."""
    vectors_ND = _wide(vectors_ND)
    norms_N = vectors_ND.norm(dim=-1)
    usable_N = torch.isfinite(norms_N) & (norms_N > 0)
    if not bool(usable_N.all()):
        row = int((~usable_N).reshape(-1).nonzero()[0])
        raise InputError(
            f"row {row} has norm {float(norms_N.reshape(-1)[row]):g} and therefore no direction; "
            "expected a finite vector that is not zero"
        )
    return vectors_ND / norms_N.unsqueeze(-1)


def direction_error(a_ND: Tensor, b_ND: Tensor) -> Tensor:
    """Return 2(1 - cos) of each pair of rows, in [0, 4]; differentiable in both arguments.

    Computed as the squared distance of the unit vectors, which keeps its precision when the
    directions are nearly equal.
    """
    if a_ND.shape != b_ND.shape:
        raise InputError(f"cannot compare vectors of shape {tuple(a_ND.shape)} with {tuple(b_ND.shape)}")
    return (unit(a_ND) - unit(b_ND)).pow(2).sum(dim=-1)


@dataclass(frozen=True, slots=True)
class VectorStats:
    """Mean and spread of a population of directions: the baseline of every FVE."""

    mean_D: Tensor
    """Mean of the unit vectors, not normalised itself, float32."""
    variance: float
    """Mean squared distance of the unit vectors from that mean, which equals 1 - |mean|²."""

    @classmethod
    def fit(cls, vectors_ND: Tensor) -> VectorStats:
        """Compute the statistics of the rows' directions, in float64."""
        if len(vectors_ND) < 2:
            raise InputError(f"statistics need at least 2 vectors, got {len(vectors_ND)}")
        unit_ND = unit(vectors_ND.to(torch.float64))
        mean_D = unit_ND.mean(dim=0)
        variance = float((unit_ND - mean_D).pow(2).sum(dim=1).mean())
        if variance <= 1e-12:
            raise InputError("all vectors have the same direction: there is no variance to explain")
        return cls(mean_D.to(torch.float32), variance)


def fve(errors_N: Tensor, variance: float) -> float:
    """Return the fraction of variance explained, 1 - mean error / variance.

    1 is perfect, 0 as good as the mean vector, below 0 worse than it.
    """
    if variance <= 0:
        raise InputError(f"the variance is {variance:g}, expected a positive number")
    if errors_N.numel() == 0:
        raise InputError("there are no errors to average")
    return 1.0 - float(errors_N.to(torch.float64).mean()) / variance


def bootstrap_interval(
    values_N: Tensor | npt.NDArray[np.floating] | Sequence[float],
    groups: Sequence[str],
    *,
    resamples: int = 1000,
    seed: int = 0,
    weights_N: Tensor | npt.NDArray[np.floating] | Sequence[float] | None = None,
    level: float = 0.95,
    share: bool = False,
) -> tuple[float, float]:
    """Return the bootstrap interval of a (weighted) mean, resampling whole groups.

    Rows of one document are not independent, so documents are drawn with replacement and each
    resample's mean is over the rows of the drawn documents. With ``weights_N`` the statistic is the
    ratio sum(w v) / sum(w), for shares over claims rather than rows. ``(nan, nan)`` when fewer than two
    groups have anything to average. Intervals of a linear function of the mean (FVE) follow by applying it to
    both ends.

    With ``share`` the values are shares of a whole. Where all are 1, or all 0, so is every resample; the other end is then
    that of the exact interval for as many successes as there are groups (Clopper and Pearson 1934): of 400 documents
    without a counterexample, 0.991 to 1.
    """
    values = np.asarray(values_N, dtype=np.float64)
    weights = np.ones_like(values) if weights_N is None else np.asarray(weights_N, dtype=np.float64)
    if values.ndim != 1 or len(values) != len(groups) or weights.shape != values.shape:
        raise InputError(
            f"{values.shape} values, {weights.shape} weights and {len(groups)} groups do not belong together"
        )
    counted = len(set(np.asarray(groups)[weights > 0]))
    if counted < 2:
        return float("nan"), float("nan")
    seen = set(values[weights > 0].tolist())
    if share and seen in ({0.0}, {1.0}):
        least = ((1 - level) / 2) ** (1 / counted)
        return (least, 1.0) if seen == {1.0} else (0.0, 1 - least)
    index_N, draws = bootstrap_draws(groups, resamples, seed)
    n_groups = int(index_N.max()) + 1
    sums_G = np.bincount(index_N, weights=values * weights, minlength=n_groups)
    totals_G = np.bincount(index_N, weights=weights, minlength=n_groups)
    with np.errstate(invalid="ignore"):
        means_R = np.concatenate([(draws_RG @ sums_G) / (draws_RG @ totals_G) for draws_RG in draws])
    low, high = np.nanquantile(means_R, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def bootstrap_draws(
    groups: Sequence[str], resamples: int, seed: int
) -> tuple[npt.NDArray[np.intp], Iterator[npt.NDArray[np.int64]]]:
    """Draw whole groups with replacement: the number of each row's group, and how often each group is drawn.

    The draws come in portions (R, G) of all resamples, for statistics that :func:`bootstrap_interval` does not know; equal
    groups and seeds give equal draws.
    """
    _, index_N = np.unique(np.asarray(groups), return_inverse=True)
    n_groups = int(index_N.max()) + 1
    chunk = max(1, 4_000_000 // n_groups)

    def draws() -> Iterator[npt.NDArray[np.int64]]:
        rng = np.random.default_rng(derive_seed(seed, "bootstrap"))
        for start in range(0, resamples, chunk):
            yield rng.multinomial(n_groups, np.full(n_groups, 1.0 / n_groups), size=min(chunk, resamples - start))

    return index_N, draws()


def _wide(vectors: Tensor) -> Tensor:
    """Return vectors in float32, or in float64 when they come in float64."""
    return vectors if vectors.dtype == torch.float64 else vectors.to(torch.float32)
