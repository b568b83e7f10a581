"""Decodability: which facts a vector really holds, by one linear probe a slot.

A probe is a multinomial logistic regression from the direction of a vector to the value of one slot
(the place, the mood, ...). It is fitted on positions of training documents where the slot has a value
and asked about held-out positions. It is the yardstick for claims: what a linear read-out cannot find
in the vector, the verbalizer can only guess, and a claim about it is confabulated even when it happens
to be true. A fact that is held in a form which is not linear goes unseen, so the yardstick errs on the
side of doubt.

Axes: N rows, D vector width, C values of a slot.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nlakit.config import derive_seed
from nlakit.errors import InputError, missing_extra
from nlakit.truth import HELD_ABOVE, beyond_chance
from nlakit.vectors import unit

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression

Facts = Mapping[str, str]
"""What is true at one position: slot to value."""

PENALTIES = (0.03, 0.3, 3.0)
"""Inverse strengths of the L2 penalty to choose from, on validation documents of the training splits."""
MANY_VALUES = 100
"""A slot with more values than this (a word of the text) is fitted once, at ``MANY_VALUES_PENALTY``: choosing costs the
most where it changes the least."""
MANY_VALUES_PENALTY = 1.0
VALIDATION_SHARE = 0.2
MIN_ROWS = 20
"""A slot with fewer training positions gets no probe: the vector counts as not holding it."""
NOT_THERE = "(not there)"
"""What stands for the value of a slot at a row that has none, for probes that may also say so: :func:`with_absence`."""

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class SlotProbe:
    """The fitted probe of one slot."""

    slot: str
    classes: tuple[str, ...]
    """Values seen in training, in the order of the probabilities."""
    majority: str
    """The most frequent value in training: what guessing without the vector would say."""
    frequency_C: FloatArray
    """How often each value occurs in training, as a share."""
    weights_DC: FloatArray
    bias_C: FloatArray

    def probabilities(self, standard_ND: FloatArray) -> FloatArray:
        """Return the probability of each class (N, C) from standardised vectors."""
        logits_NC = standard_ND @ self.weights_DC + self.bias_C
        logits_NC -= logits_NC.max(axis=1, keepdims=True)
        powers_NC = np.exp(logits_NC)
        return np.asarray(powers_NC / powers_NC.sum(axis=1, keepdims=True))


@dataclass(frozen=True, slots=True)
class FactCheck:
    """What the probes say about one true fact at one position."""

    slot: str
    value: str
    """The true value."""
    probability: float
    """What the probe gives the true value, 0 for a value or a slot without a probe."""
    predicted: str | None
    """The value that the probe finds most probable."""
    majority: str | None
    """The slot's most frequent value in training."""
    frequency: float = 0.0
    """How often the true value occurs in training, as a share of the slot's rows."""

    @property
    def beyond_chance(self) -> float:
        """How far the probe goes from the value's frequency towards certainty; negative where it speaks against the value."""
        return beyond_chance(self.probability, self.frequency)

    @property
    def held(self) -> bool:
        """Whether the vector holds the fact."""
        return self.beyond_chance > HELD_ABOVE

    @property
    def decoded(self) -> bool:
        """Whether the probe's best value is the true one."""
        return self.predicted == self.value


@dataclass(frozen=True, slots=True)
class Probes:
    """All slots' probes and the standardisation that they share."""

    center_D: FloatArray
    scale_D: FloatArray
    slots: Mapping[str, SlotProbe]
    training_rows: int

    def values(self, vectors_ND: Tensor, above: float) -> list[dict[str, str]]:
        """Return for each row the likeliest value of each slot that lies further beyond chance than a bound."""
        standard_ND = (_directions(vectors_ND) - self.center_D) / self.scale_D
        found_N: list[dict[str, str]] = [{} for _ in vectors_ND]
        for slot, probe in self.slots.items():
            probability_NC = probe.probabilities(standard_ND)
            for row, best in enumerate(probability_NC.argmax(axis=1)):
                if beyond_chance(probability_NC[row, best], probe.frequency_C[best]) > above:
                    found_N[row][slot] = probe.classes[int(best)]
        return found_N

    def check(self, vectors_ND: Tensor, facts_N: Sequence[Facts]) -> list[dict[str, FactCheck]]:
        """Return for each row what the probes say about each of its true facts, by slot."""
        if len(vectors_ND) != len(facts_N):
            raise InputError(f"{len(vectors_ND)} vectors and {len(facts_N)} sets of facts do not belong together")
        standard_ND = (_directions(vectors_ND) - self.center_D) / self.scale_D
        checks_N: list[dict[str, FactCheck]] = [{} for _ in facts_N]
        for slot in sorted({slot for facts in facts_N for slot in facts}):
            rows = [row for row, facts in enumerate(facts_N) if slot in facts]
            probe = self.slots.get(slot)
            if probe is None:
                for row in rows:
                    checks_N[row][slot] = FactCheck(slot, facts_N[row][slot], 0.0, None, None)
                continue
            index = {value: column for column, value in enumerate(probe.classes)}
            for row, probability_C in zip(rows, probe.probabilities(standard_ND[rows]), strict=True):
                true = facts_N[row][slot]
                column = index.get(true)
                checks_N[row][slot] = FactCheck(
                    slot,
                    true,
                    0.0 if column is None else float(probability_C[column]),
                    probe.classes[int(probability_C.argmax())],
                    probe.majority,
                    0.0 if column is None else float(probe.frequency_C[column]),
                )
        return checks_N


def fit_probes(vectors_ND: Tensor, facts_N: Sequence[Facts], documents_N: Sequence[str], seed: int = 0) -> Probes:
    """Fit one probe a slot on training rows.

    Vectors enter as directions, standardised by axis. The strength of the penalty is chosen for each slot
    on a fifth of its documents, by log-loss, and the probe is then fitted again on all of them. A slot with
    fewer than ``MIN_ROWS`` rows is left without a probe.

    Raises :class:`~nlakit.errors.MissingExtraError` without scikit-learn and
    :class:`~nlakit.errors.InputError` when the arguments differ in length.
    """
    if not len(vectors_ND) == len(facts_N) == len(documents_N):
        raise InputError(
            f"{len(vectors_ND)} vectors, {len(facts_N)} sets of facts and {len(documents_N)} document ids do not belong together"
        )
    regression = _logistic_regression()
    directions_ND = _directions(vectors_ND)
    center_D = directions_ND.mean(axis=0)
    scale_D = directions_ND.std(axis=0) + 1e-8
    standard_ND = (directions_ND - center_D) / scale_D
    probes: dict[str, SlotProbe] = {}
    for slot in sorted({slot for facts in facts_N for slot in facts}):
        rows = [row for row, facts in enumerate(facts_N) if slot in facts]
        if len(rows) < MIN_ROWS:
            continue
        values = np.asarray([facts_N[row][slot] for row in rows])
        held_back = validation_rows([documents_N[row] for row in rows], seed)
        with _one_thread():
            probes[slot] = _fit_slot(slot, standard_ND[rows], values, held_back, regression)
    return Probes(center_D, scale_D, probes, len(vectors_ND))


def with_absence(facts_N: Sequence[Facts]) -> list[dict[str, str]]:
    """Give every row ``NOT_THERE`` in each slot that it has no value for.

    A probe fitted on that is not forced to name a value. A slot that has a value in fewer than ``MIN_ROWS`` rows is left out.
    """
    counts = Counter(slot for facts in facts_N for slot in facts)
    slots = sorted(slot for slot, count in counts.items() if count >= MIN_ROWS)
    return [{slot: facts.get(slot, NOT_THERE) for slot in slots} for facts in facts_N]


def _fit_slot(
    slot: str, standard_ND: FloatArray, values: npt.NDArray[np.str_], held_back: npt.NDArray[np.bool_], regression: Any
) -> SlotProbe:
    """Fit one slot: choose the penalty on the rows held back, then fit on all rows."""
    counts = Counter(values.tolist())
    if len(counts) == 1:
        only = np.zeros((standard_ND.shape[1], 1))
        value = next(iter(counts))
        return SlotProbe(slot, (value,), value, np.ones(1), only, np.zeros(1))
    training_ND, training = standard_ND[~held_back], values[~held_back]
    best, best_loss = MANY_VALUES_PENALTY, float("inf")
    choosable = len(counts) <= MANY_VALUES and held_back.any() and len(set(training.tolist())) > 1
    for strength in PENALTIES if choosable else ():
        candidate = _to_probe(slot, counts, _fit(regression, training_ND, training, strength))
        loss = _log_loss(candidate, standard_ND[held_back], values[held_back])
        if loss < best_loss:
            best, best_loss = strength, loss
    return _to_probe(slot, counts, _fit(regression, standard_ND, values, best))


def _fit(regression: Any, standard_ND: FloatArray, values: npt.NDArray[np.str_], strength: float) -> LogisticRegression:
    """Fit scikit-learn's multinomial logistic regression; a fit stopped early is still a probe."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # Half the numbers, half the time; the penalty keeps the problem well-conditioned.
        model: LogisticRegression = regression(C=strength, max_iter=200, tol=1e-3).fit(
            standard_ND.astype(np.float32), values
        )
    return model


def _to_probe(slot: str, counts: Mapping[str, int], model: LogisticRegression) -> SlotProbe:
    """Copy the coefficients out; two classes come as one column, the other's being zero."""
    weights_DC, bias_C = np.asarray(model.coef_, dtype=np.float64).T, np.asarray(model.intercept_, dtype=np.float64)
    if weights_DC.shape[1] == 1:
        weights_DC = np.concatenate([np.zeros_like(weights_DC), weights_DC], axis=1)
        bias_C = np.concatenate([np.zeros_like(bias_C), bias_C])
    classes = tuple(str(value) for value in model.classes_)
    seen_C = np.asarray([counts[value] for value in classes], dtype=np.float64)
    majority = min(counts, key=lambda value: (-counts[value], value))
    return SlotProbe(slot, classes, majority, seen_C / sum(counts.values()), weights_DC, bias_C)


def _log_loss(probe: SlotProbe, standard_ND: FloatArray, values: npt.NDArray[np.str_]) -> float:
    """Return the mean negative log-probability of the true values; an unseen value counts as 1e-6."""
    index = {value: column for column, value in enumerate(probe.classes)}
    probability_NC = probe.probabilities(standard_ND)
    true_N = [probability_NC[row, index[value]] if value in index else 0.0 for row, value in enumerate(values.tolist())]
    return float(-np.log(np.maximum(true_N, 1e-6)).mean())


def validation_rows(documents_N: Sequence[str], seed: int) -> npt.NDArray[np.bool_]:
    """Mark about a fifth of the documents' rows, keyed by document so that no document is on both sides."""
    chosen = {
        document: derive_seed(seed, "probe", document) % 1000 < 1000 * VALIDATION_SHARE for document in set(documents_N)
    }
    return np.asarray([chosen[document] for document in documents_N], dtype=np.bool_)


def _directions(vectors_ND: Tensor) -> FloatArray:
    """Return unit vectors as a float64 array."""
    return np.asarray(unit(vectors_ND).to(torch.float64).cpu().numpy())


def _one_thread() -> Any:
    """Compute on one thread for the length of a block: a probe's matrices are so small that threads mostly wait for each other."""
    from threadpoolctl import threadpool_limits  # comes with scikit-learn

    return threadpool_limits(limits=1)


def _logistic_regression() -> Any:
    """Return scikit-learn's class, or say how to install it."""
    try:
        from sklearn.linear_model import LogisticRegression
    except ImportError as error:
        raise missing_extra("scikit-learn", "eval", "measuring what the vectors hold (linear probes)") from error
    return LogisticRegression
