"""Agreement: whether the explanations of one vector make the same claims.

Where the vector holds a fact, the samples of its group that speak of it say the same; where it does not, each guesses something
else. Agreement thus tells the two apart without any truth, and can be rewarded.

Axes: P prompts of a step, G samples per prompt, N = P * G in prompt order.
"""

from __future__ import annotations

import torch
from torch import Tensor

from nlakit.claims.exchange import ClaimReader
from nlakit.claims.signals import Made
from nlakit.train.rollout import Rollout

AGAINST = 2.0
"""Weight of a sample that says otherwise, beside one that says the same: guesses between two values agree half of the time, and
more often where one of the two is frequent."""


def agreement_rewards(rolled: Rollout, reader: ClaimReader | None) -> Tensor:
    """Return for each sample the sum over its claims of what the other samples of its vector say of them, shape (N,).

    That is the share of the others that make the claim, less twice the share that say something else of the same slot. Silence
    is no vote: a fact that is held and mentioned only now and then would else be unlearnt (LOG.md). Failed samples make no
    claim, but count among the others. Zeros without a reader.
    """
    found_N = torch.zeros(len(rolled.samples))
    if reader is None:
        return found_N
    claims_N = [
        [] if failed else reader.claims(sample.text)
        for sample, failed in zip(rolled.samples, rolled.failed_N.tolist(), strict=True)
    ]
    size = rolled.group_size
    for row, claims in enumerate(claims_N):
        first = row - row % size
        others = Made.by([*claims_N[first:row], *claims_N[row + 1 : first + size]])
        found_N[row] = sum((others.same(claim) or 0.0) - AGAINST * (others.other(claim) or 0.0) for claim in claims)
    return found_N
