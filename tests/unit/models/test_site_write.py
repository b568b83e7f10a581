"""Writing vectors into a target: the way back from what a site reads."""

from __future__ import annotations

import pytest
import torch

from nlakit.errors import InputError
from nlakit.models.sites import Site, decoder_inputs
from nlakit.models.target import Target
from nlakit.testing import tiny_target

TOKENS = torch.tensor([[5, 6, 7, 8, 9], [9, 8, 7, 6, 5]])


def logits(target: Target) -> torch.Tensor:
    with torch.no_grad():
        return target.model(**decoder_inputs(TOKENS, None, target.takes_positions)).logits


@pytest.mark.parametrize("family", ["llama", "qwen3", "gpt2", "gpt_neox"])
def test_writing_back_what_was_read_changes_nothing(family: str) -> None:
    """The site's own vectors in their own places leave every logit as it was."""
    target = tiny_target(family=family)
    site = Site("resid", 1)
    positions = torch.tensor([2, 4])
    own_BD = site.read(target, TOKENS)[[0, 1], positions]
    before = logits(target)
    with site.write(target, own_BD, positions):
        assert torch.allclose(logits(target), before, atol=1e-5)
    assert torch.equal(logits(target), before)


def test_another_vector_changes_its_place_and_what_follows_alone() -> None:
    """Tokens before the written one cannot see it."""
    target = tiny_target()
    before = logits(target)
    with Site("resid", 1).write(target, torch.full((2, target.d_model), 3.0), torch.tensor([2, 4])):
        after = logits(target)
    assert torch.allclose(after[0, :2], before[0, :2], atol=1e-6)
    assert torch.allclose(after[1, :4], before[1, :4], atol=1e-6)
    assert not torch.allclose(after[0, 2], before[0, 2], atol=1e-3)
    assert not torch.allclose(after[1, 4], before[1, 4], atol=1e-3)


def test_vectors_that_do_not_fit_are_refused() -> None:
    """Another width, another number of positions, or another number of texts is named."""
    target, site = tiny_target(), Site("resid", 1)
    with (
        pytest.raises(InputError, match="cannot be written"),
        site.write(target, torch.ones(2, 3), torch.tensor([1, 2])),
    ):
        pass
    with pytest.raises(InputError, match="cannot be written"), site.write(target, torch.ones(2, 32), torch.tensor([1])):
        pass
    with pytest.raises(InputError, match="of 2 texts"), site.write(target, torch.ones(1, 32), torch.tensor([1])):
        logits(target)
