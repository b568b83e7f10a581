"""Agreement: whether the explanations of one vector make the same claims.

Where the vector holds a fact, all samples of its group say it; where it does not, each guesses something else. Agreement
thus tells the two apart without any truth, and can be rewarded.

Axes: P prompts of a step, G samples per prompt, N = P * G in prompt order.
"""

from __future__ import annotations

from collections import Counter

import torch
from torch import Tensor

from nlakit.claims.exchange import ClaimReader
from nlakit.train.rollout import Rollout

HALF = 0.5
"""A claim that fewer of the other samples make costs, one that more of them make pays."""


def agreement_rewards(rolled: Rollout, reader: ClaimReader | None) -> Tensor:
    """Return for each sample the sum over its claims of (share of the other samples that make it - 1/2), shape (N,).

    A claim pays when most of the others make it too and costs when most do not, so what is surely held is said, and what is
    guessed is not. Failed samples make no claim, but count among the others. Zeros without a reader.
    """
    found_N = torch.zeros(len(rolled.samples))
    if reader is None:
        return found_N
    claims_N = [
        set() if failed else {claim.same for claim in reader.claims(sample.text)}
        for sample, failed in zip(rolled.samples, rolled.failed_N.tolist(), strict=True)
    ]
    size = rolled.group_size
    for start in range(0, len(claims_N), size):
        group = claims_N[start : start + size]
        made = Counter(claim for claims in group for claim in claims)
        for place, claims in enumerate(group):
            found_N[start + place] = sum((made[claim] - 1) / (size - 1) - HALF for claim in claims)
    return found_N
