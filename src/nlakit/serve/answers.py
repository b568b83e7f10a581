"""What the target writes after a prompt, token by token.

Axes: T tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache

from nlakit.config import derive_seed
from nlakit.models.sampler import invert
from nlakit.models.target import Target
from nlakit.models.verbalizer import configured_ends


def answer(
    target: Target,
    ids: Sequence[int],
    *,
    max_new_tokens: int,
    temperature: float,
    seed: int = 0,
    changed: AbstractContextManager[None] | None = None,
) -> Iterator[int]:
    """Yield the tokens that the target writes after a prompt, an end token included, as many as its window holds at most.

    ``temperature`` 0 takes the likeliest token. ``changed`` is entered while the prompt is read and not afterwards: a hook that
    writes other vectors into it. The last token of the prompt is read with the rest.
    """
    ends = {*configured_ends(target.model), target.tokenizer.eos_token_id}
    generator = torch.Generator().manual_seed(derive_seed(seed, "answer"))
    cache = DynamicCache(config=target.model.config)
    given = list(ids)
    for number in range(min(max_new_tokens, target.max_positions - len(ids))):
        with torch.inference_mode(), changed if changed is not None and number == 0 else nullcontext():
            tokens_1T = torch.tensor([given], device=target.device)
            out = target.model(input_ids=tokens_1T, past_key_values=cache, use_cache=True, logits_to_keep=1)
            token = _draw(out.logits[0, -1].float(), temperature, generator)
        yield token
        if token in ends:
            return
        given = [token]


def _draw(logits_V: Tensor, temperature: float, generator: torch.Generator) -> int:
    if temperature == 0:
        return int(logits_V.argmax())
    cumulative_1V = ((logits_V - logits_V.max()) / temperature).exp().cumsum(dim=-1)[None]
    uniform_11 = torch.rand((1, 1), generator=generator).to(logits_V.device)
    return int(invert(cumulative_1V, uniform_11))
