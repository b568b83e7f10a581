"""Steering: what the target writes when the vector at a token is made to say something else.

The reconstruction of the edited text minus that of the original, at the norm of the vector, is added to it. Any push changes
what is written; so the same prompt is gone on with unsteered, and with a random direction of the same size.

Axes: T tokens, D width of a vector.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, aclosing

import torch
from torch import Tensor

from nlakit.config import derive_seed
from nlakit.errors import InputError
from nlakit.models.pair import Pair, resolve_positions
from nlakit.serve.answers import Step
from nlakit.serve.engine import Parts
from nlakit.serve.prompted import Prompted
from nlakit.serve.service import Service, require_at_most
from nlakit.serve.v1.wire import SteerRequest, SteerResponse
from nlakit.vectors import unit


async def steer(service: Service, client: str, prompt: Prompted, given: SteerRequest) -> SteerResponse:
    """Go on with a prompt three times: as it is, steered, and pushed at random.

    Raises ``InputError`` for a position outside the prompt, and for texts that rebuild the same vector.
    """
    for text in (given.original, given.edited):
        require_at_most(len(text), service.limits.max_description_chars, "characters", "max_description_chars")
    (position,) = resolve_positions([given.position], len(prompt))
    vector_D = (await service.vectors(client, prompt.ids))[position]
    norm = float(vector_D.norm())
    pair = service.pair
    push_D = await service.engine.call(client, lambda: direction(pair, given.original, given.edited))
    push_D = push_D * norm * given.strength
    added = float(push_D.norm())
    random_D = at_random(push_D, derive_seed(given.seed, "steer"))

    def begin(vector_D: Tensor | None) -> Parts[Step]:
        changed = (
            None
            if vector_D is None
            else service.site.write(service.target, vector_D[None].to(service.target.device), torch.tensor([position]))
        )
        return service.answer(
            client,
            prompt.ids,
            max_new_tokens=min(given.completion_tokens, service.limits.max_completion_tokens),
            temperature=given.temperature,
            seed=given.seed,
            changed=changed,
        )

    async with AsyncExitStack() as begun:  # all three or none, and none goes on when the client has left
        answers = [
            await begun.enter_async_context(aclosing(begin(vector_D)))
            for vector_D in (None, vector_D + push_D, vector_D + random_D)
        ]
        unsteered, steered, random = await asyncio.gather(*(_said(service, steps) for steps in answers))
    return SteerResponse(position=position, norm=norm, added=added, unsteered=unsteered, steered=steered, random=random)


async def _said(service: Service, steps: Parts[Step]) -> str:
    return service.decode([step.token_id async for step in steps])


def direction(pair: Pair, original: str, edited: str) -> Tensor:
    """Return the difference (D,) of the unit vectors that two texts rebuild; ``InputError`` where there is none."""
    before_D, after_D = unit(pair.reconstruct([original, edited]))
    difference_D = after_D - before_D
    if not bool(difference_D.any()):
        raise InputError(
            "both texts rebuild the same vector, so there is no direction to steer in; change more of the reading."
        )
    return difference_D


def at_random(push_D: Tensor, seed: int) -> Tensor:
    """Return a random direction (D,) with the norm of a push."""
    drawn_D = torch.randn(push_D.shape, generator=torch.Generator().manual_seed(seed))
    return drawn_D / drawn_D.norm() * push_D.norm()
