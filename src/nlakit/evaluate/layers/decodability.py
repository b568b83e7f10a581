"""What each layer holds, by linear probes of the same questions, and how far one layer is behind another.

A question is one row and one slot. Two measures, both 0 for knowing nothing and 1 for knowing all:

* known of the surroundings, on any text: the share of its uncertainty that the vector removes,
  ``1 - sum(loss) / sum(baseline loss)``, with the loss -log p(true value). The baseline is the same probe of the token's own
  embedding, so that only what the token itself does not tell counts (usable information beyond a baseline: Xu et al. 2020,
  Hewitt et al. 2021);
* known facts, where a corpus knows its truth: the share of right answers that guessing the most frequent value leaves,
  ``(right - guessed) / (1 - guessed)``.

A group of slots counts once in a mean of groups, however many questions it has.

Axes: L layers, N rows, D vector width, Q questions, R bootstrap resamples, G documents.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nlakit.card import Measure
from nlakit.claims.probes import FactCheck, fit_probes
from nlakit.evaluate.layers.questions import Questions
from nlakit.vectors import bootstrap_draws, unit

ASKED = "asked"
"""The split of every measure of a sweep: documents that nothing was fitted on, and that the recipe does not hold out."""
LEAST_PROBABILITY = 1e-4
"""A probability counts as no less than this, so that one surprise does not outweigh a thousand rows (our choice)."""

WIDTH = 256
"""Wider vectors are probed in this many principal axes, which keeps probes of a large model in minutes (our choice)."""

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Known:
    """What the probes of every layer know: for each question what there is to gain, and what a layer gains of it."""

    gained_LQ: FloatArray
    there_Q: FloatArray
    groups_Q: npt.NDArray[np.str_]
    documents_Q: Sequence[str]
    resamples: int
    seed: int

    @cached_property
    def groups(self) -> tuple[str, ...]:
        """Groups in which there is something to gain, in alphabetical order."""
        return tuple(
            sorted(group for group in set(self.groups_Q.tolist()) if self.there_Q[self.groups_Q == group].sum() > 0)
        )

    def share(self, index: int, groups: Sequence[str]) -> Measure:
        """Return what a layer, by its index, gains of what there is: the mean over groups, with its interval over documents."""
        return self._measure(self.gained_LQ[index], groups)

    def behind(self, index: int, best: int, groups: Sequence[str]) -> Measure:
        """Return how much less a layer gains than another, on the same questions; the interval is of the difference."""
        return self._measure(self.gained_LQ[best] - self.gained_LQ[index], groups)

    def _measure(self, gained_Q: FloatArray, groups: Sequence[str]) -> Measure:
        inside = [self.groups_Q == group for group in groups if group in self.groups]
        count = int(sum(of_group.sum() for of_group in inside))
        if not inside:
            return Measure(value=None, n=0, split=ASKED)
        value = float(np.mean([gained_Q[of_group].sum() / self.there_Q[of_group].sum() for of_group in inside]))
        if len(set(self.documents_Q)) < 2:
            return Measure(value=value, n=count, split=ASKED)
        index_Q, draws = bootstrap_draws(self.documents_Q, self.resamples, self.seed)
        n_groups = int(index_Q.max()) + 1

        def sums_G(values_Q: FloatArray, of_group: npt.NDArray[np.bool_]) -> FloatArray:
            return np.asarray(
                np.bincount(index_Q[of_group], weights=values_Q[of_group], minlength=n_groups), np.float64
            )

        parts = [(sums_G(gained_Q, of_group), sums_G(self.there_Q, of_group)) for of_group in inside]
        with np.errstate(invalid="ignore", divide="ignore"):
            means_R = np.concatenate(
                [
                    np.mean([(draws_RG @ gained_G) / (draws_RG @ there_G) for gained_G, there_G in parts], axis=0)
                    for draws_RG in draws
                ]
            )
        low, high = np.quantile(means_R[np.isfinite(means_R)], [0.025, 0.975])
        return Measure(value=value, low=float(low), high=float(high), n=count, split=ASKED)


class Prober:
    """Fits probes on some rows and asks them on others, for one layer after the other."""

    def __init__(
        self, questions: Questions, fit_documents: Sequence[str], asked_documents: Sequence[str], seed: int
    ) -> None:
        self._questions = questions
        self._fit_documents = fit_documents
        self._seed = seed
        # Checks come by row and within a row by slot, in alphabetical order.
        asked = [(row, slot) for row, facts in enumerate(questions.asked_N) for slot in sorted(facts)]
        self.groups_Q = np.asarray([questions.groups_N[row][slot] for row, slot in asked], dtype=np.str_)
        self.documents_Q = [asked_documents[row] for row, _ in asked]

    def ask(self, fit_ND: Tensor, asked_ND: Tensor) -> list[FactCheck]:
        """Return what probes of these vectors say to each question."""
        fit_ND, asked_ND = narrow(fit_ND, asked_ND)
        probes = fit_probes(fit_ND, self._questions.fit_N, self._fit_documents, self._seed)
        return [check for row in probes.check(asked_ND, self._questions.asked_N) for check in row.values()]

    def known(self, gained: Sequence[FloatArray], there_Q: FloatArray, resamples: int) -> Known:
        """Gather what was gained by layer."""
        return Known(np.stack(gained), there_Q, self.groups_Q, self.documents_Q, resamples, self._seed)


def narrow(fit_ND: Tensor, asked_ND: Tensor) -> tuple[Tensor, Tensor]:
    """Return directions in the ``WIDTH`` principal axes of the fitted ones; narrower vectors come back as they are."""
    if fit_ND.shape[1] <= WIDTH:
        return fit_ND, asked_ND
    from sklearn.utils.extmath import randomized_svd

    directions_ND = unit(fit_ND)
    _, sizes, axes_WD = randomized_svd(directions_ND.numpy(), WIDTH, random_state=0)
    # An axis in which fitted rows do not differ would blow up the rounding of asked ones.
    axes_DW = torch.from_numpy(axes_WD[sizes > 1e-3 * sizes[0]].T.copy())
    return directions_ND @ axes_DW, unit(asked_ND) @ axes_DW


def losses(checks_Q: Sequence[FactCheck]) -> FloatArray:
    """Return -log p(true value) of each answer, in nats."""
    return -np.log(np.maximum([check.probability for check in checks_Q], LEAST_PROBABILITY))


def right(checks_Q: Sequence[FactCheck]) -> FloatArray:
    """Return 1 for each right answer, else 0."""
    return np.asarray([check.decoded for check in checks_Q], dtype=np.float64)


def guessed(checks_Q: Sequence[FactCheck]) -> FloatArray:
    """Return 1 where the most frequent value is the true one, else 0."""
    return np.asarray([check.majority == check.value for check in checks_Q], dtype=np.float64)
