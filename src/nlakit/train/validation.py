"""Measurements on rows that nothing trains on: whether it gets better, and whether the verbalizer uses its vector.

Every number comes with two controls: the words of another row, and words written without a vector. A verbalizer that
writes plausible text and ignores its input shows in nothing else.

Axes: N rows, D vector width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nlakit.data.sampling import other_document_rows
from nlakit.explanations import Outcome
from nlakit.models.reconstructor import Reconstructor
from nlakit.models.sampler import Sample, sample
from nlakit.models.verbalizer import Verbalizer
from nlakit.train.batches import length_batches
from nlakit.train.optimise import require_finite
from nlakit.train.rollout import require_finite_output
from nlakit.vectors import FAILED_ERROR, direction_error, fve

BATCH_ROWS = 128
"""Rows of one forward pass without gradient."""
ZERO_SAMPLES = 32
"""Texts sampled without a vector: rows differ in nothing there, so a few stand for all."""


@dataclass(frozen=True)
class ValidationRows:
    """Rows set aside by document, each with a partner of another document."""

    vectors_ND: Tensor
    documents: list[str]
    other_N: Tensor
    """Index of the row whose words serve as the shuffled control."""

    @classmethod
    def of(cls, vectors_ND: Tensor, documents: list[str], seed: int, stage: str) -> ValidationRows:
        """Pair the rows; where all are of one document, each is its own partner and the control says nothing."""
        other = other_document_rows(documents, seed, stage) or list(range(len(documents)))
        return cls(vectors_ND, documents, torch.tensor(other, dtype=torch.int64))

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.documents)


@torch.no_grad()
def cross_entropies(
    verbalizer: Verbalizer, rows: ValidationRows, completions: Sequence[Sequence[int]]
) -> dict[str, float]:
    """Return the cross-entropy of the rows' completions given the true vector, another row's, and none; nats per token.

    The gain of the true vector over the others is what the vector tells about the words.
    """
    lengths = [len(ids) for ids in completions]
    vectors = {
        "true": rows.vectors_ND,
        "shuffled": rows.vectors_ND[rows.other_N],
        "zero": torch.zeros_like(rows.vectors_ND),
    }
    totals = dict.fromkeys(vectors, 0.0)
    for batch in length_batches(range(len(completions)), lengths, BATCH_ROWS):
        for name, vectors_ND in vectors.items():
            log_probs_NT, mask_NT = verbalizer.log_probs(vectors_ND[batch], [completions[row] for row in batch])
            totals[name] -= float((log_probs_NT * mask_NT).double().sum())
    return {f"cross_entropy_{name}": total / sum(lengths) for name, total in totals.items()}


@torch.no_grad()
def round_trip(
    verbalizer: Verbalizer,
    reconstructor: Reconstructor,
    rows: ValidationRows,
    *,
    variance: float,
    max_new_tokens: int,
    seed: int,
) -> dict[str, float]:
    """Verbalize at temperature 1, reconstruct, compare: validation FVE with its controls, and the contrasts.

    Args:
        verbalizer: writes one explanation for each row.
        reconstructor: reads them.
        rows: the validation rows.
        variance: from the card, the denominator of FVE.
        max_new_tokens: cap of an explanation.
        seed: the same at every measurement, so that their differences are less noisy than their values.

    Returns:
        ``fve_validation`` (failed outputs count with error 2), ``fve_shuffled`` (another row's text against this row's
        vector), ``fve_zero`` (text written without a vector), ``parse_rate_validation``, and the keys of
        :func:`cross_entropies` with ``own_`` before them, since they are on the verbalizer's own samples.

    Raises:
        DivergedError: if the output of either half is not finite.
    """
    require_finite_output(verbalizer, rows.vectors_ND)
    samples = sample(verbalizer, rows.vectors_ND, max_new_tokens=max_new_tokens, seed=seed)
    texts_ND, usable_N = reconstruct_samples(reconstructor, samples)
    zeros_ND = torch.zeros_like(rows.vectors_ND[:ZERO_SAMPLES])
    blank = sample(verbalizer, zeros_ND, max_new_tokens=max_new_tokens, seed=seed)
    blank_ND, blank_usable_N = reconstruct_samples(reconstructor, blank)
    repeated_N = torch.arange(len(rows)) % len(blank)
    true_N = _errors(texts_ND, usable_N, rows.vectors_ND)
    shuffled_N = _errors(texts_ND[rows.other_N], usable_N[rows.other_N], rows.vectors_ND)
    zero_N = _errors(blank_ND[repeated_N], blank_usable_N[repeated_N], rows.vectors_ND)
    own = cross_entropies(verbalizer, rows, [found.ids for found in samples])
    return {
        "fve_validation": fve(true_N, variance),
        "fve_shuffled": fve(shuffled_N, variance),
        "fve_zero": fve(zero_N, variance),
        "parse_rate_validation": float(usable_N.float().mean()),
        **{f"own_{name}": nats for name, nats in own.items()},
    }


@torch.no_grad()
def reconstruct_samples(reconstructor: Reconstructor, samples: Sequence[Sample]) -> tuple[Tensor, Tensor]:
    """Return (vectors_ND, usable_N): reconstructions of the usable samples, zeros in the rows of failed and too long ones."""
    usable_N = torch.tensor([found.outcome is Outcome.OK for found in samples])
    texts = [found.text for found in samples if found.outcome is Outcome.OK]
    vectors_ND = torch.zeros(len(samples), reconstructor.width)
    found_MD, fits = reconstructor.reconstruct_fitting(texts, batch_size=BATCH_ROWS)
    vectors_ND[usable_N] = found_MD.cpu()
    usable_N[usable_N.clone()] = torch.tensor(fits, dtype=torch.bool)
    require_finite(vectors_ND, "the reconstructor's output")
    return vectors_ND, usable_N


def _errors(guesses_ND: Tensor, usable_N: Tensor, vectors_ND: Tensor) -> Tensor:
    errors_N = torch.full((len(vectors_ND),), FAILED_ERROR)
    if bool(usable_N.any()):
        errors_N[usable_N] = direction_error(guesses_ND[usable_N], vectors_ND[usable_N])
    return errors_N
