"""How much of a layer a text can carry: ridge regression from words to directions, and its FVE.

The features are words and pairs of neighbouring words, hashed. A reconstructor reads a text better than that, so the number is
a cheap lower estimate of what the text carries, alike for all layers.

Axes: N fitted rows, M asked rows, F features, D vector width.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from nlakit.claims.probes import validation_rows
from nlakit.vectors import direction_error, unit

FEATURES = 4096
"""Columns into which words and pairs of words are hashed (our choice)."""
PENALTIES = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
"""Strengths of the L2 penalty to choose from, for rows of features of norm 1 (our choice)."""


class Ridge:
    """Ridge regression with an intercept from fixed inputs to any outputs.

    One decomposition of the inputs serves every layer and every strength, where a library's regression would decompose
    again for each. With X and Y centred and X Xᵀ = U diag(v) Uᵀ, the answer to q is (q Xᵀ) U diag(1 / (v + penalty)) Uᵀ Y.
    """

    def __init__(self, inputs_NF: Tensor, queries_MF: Tensor) -> None:
        center_F = inputs_NF.double().mean(dim=0)
        centered_NF = inputs_NF.double() - center_F
        self._values_N, self._basis_NN = torch.linalg.eigh(centered_NF @ centered_NF.T)
        self._queries_MN = (queries_MF.double() - center_F) @ centered_NF.T @ self._basis_NN

    def answers(self, outputs_ND: Tensor, penalties: Sequence[float]) -> Iterator[Tensor]:
        """Yield the predicted outputs of the queries (M, D) for each strength of the penalty."""
        mean_D = outputs_ND.double().mean(dim=0)
        rotated_ND = self._basis_NN.T @ (outputs_ND.double() - mean_D)
        for penalty in penalties:
            yield (self._queries_MN / (self._values_N.clamp(min=0) + penalty)) @ rotated_ND + mean_D


class DirectionRidge:
    """Ridge regression from inputs of some rows to their directions, with the strength chosen for each layer.

    The strength is the one whose answers have the least mean error on a fifth of the fitted documents.
    """

    def __init__(self, inputs_NF: Tensor, queries_MF: Tensor, documents_N: Sequence[str], seed: int) -> None:
        held = torch.from_numpy(validation_rows(documents_N, seed))
        self._held_N = held if 0 < int(held.sum()) < len(held) else None
        self._chooser = None if self._held_N is None else Ridge(inputs_NF[~held], inputs_NF[held])
        self._ridge = Ridge(inputs_NF, queries_MF)

    def errors(self, vectors_ND: Tensor, asked_MD: Tensor) -> Tensor:
        """Return the error 2(1 - cos) of each asked row (M,), fitted on ``vectors_ND``."""
        directions_ND = unit(vectors_ND)
        (answer_MD,) = self._ridge.answers(directions_ND, [self._choose(directions_ND)])
        return direction_error(answer_MD, asked_MD.double())

    def _choose(self, directions_ND: Tensor) -> float:
        if self._held_N is None or self._chooser is None:
            return 1.0
        held_MD = directions_ND[self._held_N].double()
        answers = self._chooser.answers(directions_ND[~self._held_N], PENALTIES)
        losses = [float(direction_error(answer_MD, held_MD).mean()) for answer_MD in answers]
        return PENALTIES[int(np.argmin(losses))]


def word_features(texts_N: Sequence[str]) -> Tensor:
    """Return words and neighbouring pairs of each text (N, F), at norm 1."""
    from sklearn.feature_extraction.text import HashingVectorizer

    words = r"\w+|[^\w\s]"
    hashed = HashingVectorizer(
        n_features=FEATURES, ngram_range=(1, 2), token_pattern=words, binary=True, alternate_sign=False
    )
    return torch.from_numpy(hashed.transform(texts_N).toarray().astype(np.float32))


def token_features(fit_N: Sequence[int], asked_M: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Return each row's token as one column of its own (N, F) and (M, F); an asked token that was not fitted is none of them."""
    columns = {token: column for column, token in enumerate(sorted(set(fit_N)))}
    found = []
    for tokens in (fit_N, asked_M):
        known = [(row, columns[token]) for row, token in enumerate(tokens) if token in columns]
        features_NF = torch.zeros(len(tokens), len(columns))
        features_NF[[row for row, _ in known], [column for _, column in known]] = 1.0
        found.append(features_NF)
    return found[0], found[1]
