"""What the target writes after a prompt, token by token.

Axes: T tokens, D width of a vector, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache

from nlakit.config import derive_seed
from nlakit.errors import InputError
from nlakit.models.adapters import switch
from nlakit.models.sampler import invert
from nlakit.models.sites import Site
from nlakit.models.target import Target
from nlakit.models.verbalizer import configured_ends

SMALLEST_TEMPERATURE = 1e-6
_WORD = "zebra"
"""Stands for what is said, where only the words of a template around it are looked at."""


@dataclass(frozen=True, slots=True)
class Step:
    """One token of an answer."""

    token_id: int
    read_TD: Tensor | None
    """Raw vectors, in float32, of the tokens that were read to find it: those of the prompt, and later the one token before it.

    ``None`` where no site is watched.
    """


def answer(
    target: Target,
    ids: Sequence[int],
    *,
    max_new_tokens: int,
    temperature: float,
    seed: int = 0,
    changed: AbstractContextManager[None] | None = None,
    site: Site | None = None,
    ends: Collection[int] | None = None,
) -> Iterator[Step]:
    """Yield the tokens that the target writes after a prompt, an end token included, as many as its window holds at most.

    ``temperature`` 0 takes the likeliest token. ``changed`` is entered while the prompt is read and not afterwards: a hook that
    writes other vectors into it. With a ``site`` each token comes with the vectors that were read there. ``ends`` are those of
    :func:`answer_ends`, found already.
    """
    ends = answer_ends(target) if ends is None else ends
    generator = torch.Generator().manual_seed(derive_seed(seed, "answer"))
    cache = DynamicCache(config=target.model.config)
    given = list(ids)
    for number in range(min(max_new_tokens, target.max_positions - len(ids))):
        with (
            torch.inference_mode(),
            changed if changed is not None and number == 0 else nullcontext(),
            nullcontext() if site is None else site.watch(target) as seen,
        ):
            switch(target.model, None)  # others run between two tokens, and may have left an adapter on
            tokens_1T = torch.tensor([given], device=target.device)
            out = target.model(input_ids=tokens_1T, past_key_values=cache, use_cache=True, logits_to_keep=1)
            token = _draw(out.logits[0, -1].float(), temperature, generator)
        yield Step(token, seen[0][0].float().cpu() if seen else None)
        if token in ends:
            return
        given = [token]


def answer_ends(target: Target) -> set[int]:
    """Return the tokens with which a target ends an answer: those of its settings, and what its chat template closes one with."""
    return {*configured_ends(target.model), target.tokenizer.eos_token_id, *_turn_end(target)}


def _turn_end(target: Target) -> list[int]:
    """Return the control token that the chat template writes behind an answer; none where there is no template or no such token."""
    if not target.tokenizer.chat_template:
        return []
    try:
        closed = target.render([{"role": "user", "content": _WORD}, {"role": "assistant", "content": _WORD}])
    except InputError:  # a template of other roles
        return []
    behind = target.tokenizer(closed.rpartition(_WORD)[2], add_special_tokens=False)["input_ids"]
    return [token for token in behind[:1] if token in target.tokenizer.all_special_ids]


def _draw(logits_V: Tensor, temperature: float, generator: torch.Generator) -> int:
    if temperature == 0:
        return int(logits_V.argmax())
    # The smallest numbers are none in float32, and a division by none has no answer.
    cumulative_1V = ((logits_V - logits_V.max()) / max(temperature, SMALLEST_TEMPERATURE)).exp().cumsum(dim=-1)[None]
    uniform_11 = torch.rand((1, 1), generator=generator).to(logits_V.device)
    return int(invert(cumulative_1V, uniform_11))
