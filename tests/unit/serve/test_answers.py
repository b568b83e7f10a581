"""What the target goes on with: the same with and without a cache, and ended where it should."""

from __future__ import annotations

import torch

from nlakit.serve.answers import answer
from nlakit.testing import tiny_target


def test_greedy_answers_are_those_of_whole_passes():
    """Written with a cache, token by token, is what a pass over everything says each time."""
    target = tiny_target()
    ids = target.encode("The red box is").ids
    written = list(answer(target, ids, max_new_tokens=12, temperature=0.0))

    so_far = list(ids)
    for token in written:
        with torch.inference_mode():
            assert token == int(target.model(input_ids=torch.tensor([so_far])).logits[0, -1].argmax())
        so_far.append(token)
    assert len(written) == 12 or written[-1] == target.tokenizer.eos_token_id


def test_the_seed_decides_what_is_drawn():
    """Equal seeds write alike, another seed otherwise, and the window is never overrun."""
    target = tiny_target()
    ids = target.encode("The red box is").ids
    first, again, other = (
        list(answer(target, ids, max_new_tokens=20, temperature=1.0, seed=seed)) for seed in (1, 1, 2)
    )

    assert first == again != other
    long = list(answer(target, ids, max_new_tokens=10**6, temperature=1.0, seed=3))
    assert len(ids) + len(long) <= target.max_positions
