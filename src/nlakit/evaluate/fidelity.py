"""Reconstruction: how much of a vector survives the way through words, and the controls beside it.

Axes: N rows, D vector width.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from nlakit.claims.leverage import text_errors
from nlakit.errors import InputError
from nlakit.explanations import Explanation
from nlakit.models.reconstructor import Reconstructor
from nlakit.models.verbalizer import Verbalizer
from nlakit.vectors import FAILED_ERROR, direction_error

QUANTILES = 20
"""Steps in which a distribution of errors is kept: every twentieth of the rows."""


def explanation_errors(reconstructor: Reconstructor, explanations: Sequence[Explanation], vectors_ND: Tensor) -> Tensor:
    """Return each row's error (N,) when it is rebuilt from its explanation; a failed one counts with error 2."""
    if len(explanations) != len(vectors_ND):
        raise InputError(f"{len(explanations)} explanations and {len(vectors_ND)} vectors do not belong together")
    errors_N = torch.full((len(explanations),), FAILED_ERROR)
    usable = [row for row, explanation in enumerate(explanations) if explanation.ok]
    if usable:
        texts = [explanations[row].text for row in usable]
        errors_N[usable] = text_errors(reconstructor, texts, vectors_ND[usable])
    return errors_N


def constant_errors(vector_D: Tensor, vectors_ND: Tensor) -> Tensor:
    """Return each row's error (N,) when the answer is always the same vector."""
    return direction_error(vector_D.cpu().float().expand_as(vectors_ND), vectors_ND)


def quantiles(errors: Sequence[float]) -> tuple[float, ...]:
    """Return the least error, the greatest, and those between them in ``QUANTILES`` steps; nothing of nothing."""
    if not errors:
        return ()
    return tuple(round(float(item), 4) for item in np.quantile(errors, np.linspace(0, 1, QUANTILES + 1)))


def text_shares(explanations: Sequence[Explanation]) -> np.ndarray:
    """Return for each usable explanation one over the number of those with its text: they sum to the distinct texts."""
    texts = [explanation.text for explanation in explanations if explanation.ok]
    counts = Counter(texts)
    return np.asarray([1.0 / counts[text] for text in texts])


@torch.no_grad()
def cross_entropies(
    verbalizer: Verbalizer, vectors_ND: Tensor, completions: Sequence[Sequence[int]], batch_size: int
) -> tuple[Tensor, Tensor]:
    """Return nats (N,) that each completion costs the verbalizer given its vector, and its number of tokens (N,)."""
    nats_N, tokens_N = torch.zeros(len(completions)), torch.zeros(len(completions))
    order = sorted(range(len(completions)), key=lambda row: len(completions[row]))
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        log_probs_BT, mask_BT = verbalizer.log_probs(vectors_ND[rows], [completions[row] for row in rows])
        nats_N[rows] = -(log_probs_BT * mask_BT).sum(dim=1).float().cpu()
        tokens_N[rows] = mask_BT.sum(dim=1).float().cpu()
    return nats_N, tokens_N
