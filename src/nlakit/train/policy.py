"""The mathematics of the verbalizer's reinforcement-learning step, as pure functions.

Axes: P prompts (vectors) of a step, G samples per prompt, N = P * G samples in prompt order, T tokens of an explanation.

What differs from GRPO as published (Shao et al. 2024, "DeepSeekMath", section 4.1):

* One optimiser step per rollout (paper, section on open models: on-policy and synchronous), so the importance ratio is 1 and its
  clipping never acts; both are left out. The gradient is the same as with the ratio.
* The loss divides by the number of tokens in the rollout, not by the length of each explanation. Dividing per explanation
  makes a long bad explanation cheaper than a short bad one, and lengths drift upwards.
* The KL term is k2, not k3 (see :func:`kl_penalty`).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from nlakit.errors import InputError

MIN_SPREAD = 1e-6
"""Standard deviation under which the rewards of a group count as equal."""


def rewards(
    errors_N: Tensor,
    lengths_N: Tensor,
    failed_N: Tensor,
    *,
    length_penalty: float,
    failed_reward: float,
    bonuses_N: Tensor | None = None,
) -> Tensor:
    """Reward of each sample: minus the reconstruction error and a price per token; ``failed_reward`` for a failed one.

    Args:
        errors_N: direction errors 2(1 - cos) in [0, 4]; entries of failed samples are ignored and may be NaN.
        lengths_N: sampled tokens, tags and end of text included.
        failed_N: True where the output has no usable explanation (no closing tag, cut off at the cap, empty).
        length_penalty: reward taken away per token; stops the length from growing for nothing. Failed outputs do not pay
            it, or a group that failed throughout would be taught to fail shorter.
        failed_reward: the fixed reward of a failed output; -2 is the reward of an orthogonal guess.
        bonuses_N: added to the reward of samples that did not fail, such as that for agreement.

    Returns:
        Rewards, shape (N,), float64: group statistics of nearly equal rewards need the digits.

    Raises:
        InputError: if the three inputs differ in shape.

    The reward ``-error`` is that of the released open models of the paper; -2 and the exclusion of failed outputs from
    the reconstructor's training are from its released code.
    """
    if not errors_N.shape == lengths_N.shape == failed_N.shape or errors_N.ndim != 1:
        raise InputError(
            f"rewards() got shapes {tuple(errors_N.shape)}, {tuple(lengths_N.shape)} and {tuple(failed_N.shape)}; "
            "expected three vectors of one length: an error, a length and a failed flag for each sample"
        )
    failed_value = torch.full_like(errors_N, failed_reward, dtype=torch.float64)
    earned = -errors_N.double() - length_penalty * lengths_N.double()
    if bonuses_N is not None:
        earned = earned + bonuses_N.double()
    return torch.where(failed_N.bool(), failed_value, earned)


def group_advantages(rewards_PG: Tensor, *, eps: float = 1e-4) -> Tensor:
    """Advantage of each sample within its group: (reward - group mean) / (group standard deviation + eps).

    Args:
        rewards_PG: one row per prompt, one column per sample of that prompt.
        eps: added to the standard deviation, so that a group whose rewards differ by rounding is not blown up.

    Returns:
        Advantages, shape (P, G), float32; every row sums to zero. A group whose rewards are all equal says nothing
        about which sample was better and gets zeros.

    Raises:
        InputError: if there are fewer than two samples per group, or a reward is not finite.
    """
    if rewards_PG.ndim != 2 or rewards_PG.shape[1] < 2:
        raise InputError(
            f"group_advantages() got rewards of shape {tuple(rewards_PG.shape)}; expected (prompts, samples) with at least "
            "2 samples per prompt, because one sample cannot be compared with its group; set train.group_size to 2 or more"
        )
    rewards_PG = rewards_PG.double()
    if not torch.isfinite(rewards_PG).all():
        raise InputError("group_advantages() got rewards that are not finite; check the reconstructor's output first")
    centred_PG = rewards_PG - rewards_PG.mean(dim=1, keepdim=True)
    spread_P1 = centred_PG.square().mean(dim=1, keepdim=True).sqrt()
    advantages_PG = centred_PG / (spread_P1 + eps)
    return torch.where(spread_P1 > MIN_SPREAD, advantages_PG, torch.zeros_like(advantages_PG)).float()


def kl_penalty(log_probs_NT: Tensor, reference_log_probs_NT: Tensor) -> Tensor:
    """Penalty per sampled token that pulls the verbalizer towards the reference: k2 = (log p - log q)^2 / 2.

    Used as a loss on tokens sampled from p, its expected gradient is the gradient of KL(p || q) per token, which is what we
    want to limit. Two estimators that look as good are not, once differentiated: k1 = log p - log q has the expected gradient
    zero (the score function has mean zero), so as a loss it limits nothing; k3 has the gradient of KL(q || p). See
    J. Schulman, "Approximating KL Divergence" (2020), for the estimators as values.

    Args:
        log_probs_NT: log-probabilities of the sampled tokens under the verbalizer in training, with gradient.
        reference_log_probs_NT: the same tokens under the warm-start verbalizer, without gradient.

    Returns:
        Shape (N, T), nats squared.
    """
    return (log_probs_NT - reference_log_probs_NT.detach()).square() / 2


def kl_estimate(log_probs_NT: Tensor, reference_log_probs_NT: Tensor) -> Tensor:
    """Value of KL(p || q) per sampled token for the metrics: k3 = q/p - 1 - log(q/p), unbiased and never negative.

    Returns:
        Shape (N, T), nats, without gradient. The log ratio is cut at 20 so that one impossible token cannot overflow.
    """
    log_ratio_NT = (reference_log_probs_NT - log_probs_NT).detach().clamp(-20.0, 20.0)
    return torch.expm1(log_ratio_NT) - log_ratio_NT


@dataclass(frozen=True)
class PolicyLoss:
    """The loss of one (micro-)batch and the sums that its metrics are made of."""

    loss: Tensor
    """Scalar to differentiate."""
    kl_sum: float
    """Sum over tokens of the k3 estimate, nats."""
    surprise_sum: float
    """Sum over tokens of -log p, nats; its mean over sampled tokens estimates the entropy at temperature 1."""
    tokens: int
    """Explanation tokens in this batch."""


def policy_loss(
    log_probs_NT: Tensor,
    mask_NT: Tensor,
    advantages_N: Tensor,
    reference_log_probs_NT: Tensor,
    *,
    kl_coefficient: float,
    total_tokens: int | None = None,
) -> PolicyLoss:
    """Loss whose gradient raises the log-probability of samples better than their group, and stays near the reference.

    ``loss = sum over tokens of [-advantage * log p + kl_coefficient * k2] / total_tokens``

    Args:
        log_probs_NT: sampled tokens under the verbalizer in training, with gradient.
        mask_NT: 1 on explanation tokens, 0 on padding.
        advantages_N: from :func:`group_advantages`, flattened in sample order.
        reference_log_probs_NT: sampled tokens under the warm-start verbalizer.
        kl_coefficient: weight of the KL term; 0.01 in the paper's released settings.
        total_tokens: explanation tokens of the whole rollout when this is one micro-batch of it; the gradients of the
            micro-batches then add up to the gradient of the whole. Default: the tokens in ``mask_NT``.
    """
    mask_NT = mask_NT.to(log_probs_NT.dtype)
    tokens = int(mask_NT.sum().item())
    divisor = max(1, tokens if total_tokens is None else total_tokens)
    # Padding carries whatever the model said there; a product with the mask would let a NaN through.
    log_probs_NT = log_probs_NT.masked_fill(mask_NT == 0, 0.0)
    reference_log_probs_NT = reference_log_probs_NT.masked_fill(mask_NT == 0, 0.0)
    per_token_NT = -advantages_N.to(log_probs_NT.dtype)[:, None] * log_probs_NT
    per_token_NT = per_token_NT + kl_coefficient * kl_penalty(log_probs_NT, reference_log_probs_NT)
    return PolicyLoss(
        loss=(per_token_NT * mask_NT).sum() / divisor,
        kl_sum=float((kl_estimate(log_probs_NT, reference_log_probs_NT) * mask_NT).sum().item()),
        surprise_sum=float(-(log_probs_NT.detach() * mask_NT).sum().item()),
        tokens=tokens,
    )
