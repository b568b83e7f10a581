"""One rollout: explanations sampled for a batch of vectors, and what the reconstructor makes of them.

Axes: P prompts (vectors) of a step, G samples per prompt, N = P * G samples with those of a prompt together, B samples of a
micro-batch, D vector width.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nlakit.explanations import Outcome
from nlakit.models.reconstructor import Reconstructor
from nlakit.models.sampler import Sample, sample
from nlakit.models.verbalizer import Verbalizer
from nlakit.train.batches import length_batches
from nlakit.train.optimise import require_finite
from nlakit.vectors import FAILED_ERROR, direction_error


@dataclass(frozen=True)
class Rollout:
    """Sampled explanations of P vectors, G each."""

    vectors_ND: Tensor
    """The vector that each sample explains."""
    samples: list[Sample]
    """Ids, text, outcome and log-probabilities of each, those of a vector together."""
    group_size: int
    """G."""

    @property
    def failed_N(self) -> Tensor:
        """True where there is no usable explanation."""
        return torch.tensor([sample.outcome is not Outcome.OK for sample in self.samples])

    @property
    def lengths_N(self) -> Tensor:
        """Sampled tokens of each, tags included."""
        return torch.tensor([len(sample.ids) for sample in self.samples])

    @property
    def tokens(self) -> int:
        """Sampled tokens altogether."""
        return sum(len(sample.ids) for sample in self.samples)

    @property
    def distinct(self) -> float:
        """Distinct texts over usable ones, among the first samples of the groups: 1 when no two vectors share a text."""
        firsts = [s.text for s in self.samples[:: self.group_size] if s.outcome is Outcome.OK]
        return len(set(firsts)) / len(firsts) if firsts else 0.0

    def rate(self, outcome: Outcome) -> float:
        """Share of the samples with this outcome."""
        return Counter(sample.outcome for sample in self.samples)[outcome] / len(self.samples)

    def micro_batches(self, size: int) -> list[list[int]]:
        """Cut the samples into batches of similar length, for passes over the verbalizer."""
        return length_batches(range(len(self.samples)), self.lengths_N.tolist(), size)


def rollout(verbalizer: Verbalizer, vectors_PD: Tensor, *, group_size: int, max_new_tokens: int, seed: int) -> Rollout:
    """Sample ``group_size`` explanations of every vector at temperature 1, with their log-probabilities.

    At any other temperature the samples would not come from the distribution that the policy loss differentiates.

    Raises:
        DivergedError: if the verbalizer's output is not finite.
    """
    require_finite_output(verbalizer, vectors_PD)
    samples = sample(
        verbalizer,
        vectors_PD,
        samples=group_size,
        max_new_tokens=max_new_tokens,
        seed=seed,
        keep_log_probs=True,
    )
    return Rollout(vectors_PD.repeat_interleave(group_size, dim=0), samples, group_size)


@torch.no_grad()
def require_finite_output(verbalizer: Verbalizer, vectors_PD: Tensor) -> None:
    """Raise :class:`~nlakit.errors.DivergedError` when a log-probability after the prompt is not finite.

    Weights can be finite and still overflow inside the model, and no token can be drawn from NaN; one short forward pass
    tells before a rollout starts.
    """
    log_probs_11, _ = verbalizer.log_probs(vectors_PD[:1], [[verbalizer.end_id]])
    require_finite(log_probs_11, "the verbalizer's log-probability of a token")


def score(
    reconstructor: Reconstructor, rolled: Rollout, heard: Sequence[str], *, micro_batch: int, what: str
) -> Tensor:
    """Return the error of every sample, leaving the gradient of the mean error in the reconstructor.

    One pass serves the reward and the reconstructor's training, so that the two cannot disagree, and the caller's
    optimizer step comes after the rewards were taken: within a step the reconstructor is a fixed scorer (paper, RL).
    Failed samples are never given to the reconstructor, nor texts that its window does not hold; they count with the error of
    an unrelated direction.

    Args:
        reconstructor: its gradients are added to.
        rolled: the samples with their true vectors.
        heard: what the reconstructor reads of each sample: its text, or the same in other words.
        micro_batch: samples in one backward pass.
        what: names the step in errors.

    Returns:
        Errors 2(1 - cos), shape (N,), float32, without gradient.

    Raises:
        DivergedError: if a reconstruction is not finite.
    """
    errors_N = torch.full((len(rolled.samples),), FAILED_ERROR)
    ok = [row for row, found in enumerate(rolled.samples) if found.outcome is Outcome.OK]
    ids = dict(zip(ok, reconstructor.fitting_ids([heard[row] for row in ok]), strict=True))
    usable = {row: found for row, found in ids.items() if found is not None}
    lengths = [len(found.ids) for found in rolled.samples]
    for rows in length_batches(list(usable), lengths, micro_batch):
        errors_B = text_errors(reconstructor, [usable[row] for row in rows], rolled.vectors_ND[rows], what)
        (errors_B.sum() / len(usable)).backward()
        errors_N[rows] = errors_B.detach().cpu().float()
    return errors_N


def text_errors(reconstructor: Reconstructor, ids: list[list[int]], vectors_BD: Tensor, what: str) -> Tensor:
    """Return the error of each tokenised text's reconstruction against its vector, shape (B,), with gradient.

    Raises:
        DivergedError: if a reconstruction is not finite.
    """
    guesses_BD = reconstructor(*reconstructor.pad(ids))
    require_finite(guesses_BD, f"{what}: the reconstructor's output")
    return direction_error(guesses_BD, vectors_BD.to(guesses_BD.device))
