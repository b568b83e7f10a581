"""The test helpers: small, repeatable, and leaving global state alone."""

from __future__ import annotations

import pytest
import torch

from nlakit.testing import FAMILIES, tiny_corpus_file, tiny_model, tiny_recipe, tiny_tokenizer


@pytest.mark.parametrize("family", FAMILIES)
def test_models_are_decided_by_their_seed(family):
    """The same seed gives the same weights, another seed others, and the global generator is not touched."""
    before = torch.get_rng_state()
    first, again, other = (next(tiny_model(family=family, seed=seed).parameters()) for seed in (0, 0, 1))

    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(before, torch.get_rng_state())


def test_an_unknown_family_is_refused():
    """The message lists the families there are."""
    with pytest.raises(ValueError, match=", ".join(FAMILIES)):
        tiny_model(family="mamba")


def test_the_tokenizer_has_its_tags_as_tokens():
    """Explanation and concept tags, the marker and the chat roles are one token each."""
    tokenizer = tiny_tokenizer()

    for token in ("<explanation>", "</explanation>", "<concept>", "</concept>", "<|vector|>", "<|user|>"):
        assert 1 == len(tokenizer(token)["input_ids"])
    assert 400 == len(tokenizer)


def test_the_corpus_is_repeatable_and_varied(tmp_path):
    """The same seed writes the same file, with a different text in every line."""
    first, again = (tiny_corpus_file(tmp_path / name).read_text() for name in ("a", "b"))

    assert first == again
    assert 60 == len(set(first.splitlines()))


def test_the_recipe_can_be_changed(tmp_path):
    """Tables are updated, other keys replaced."""
    recipe = tiny_recipe(tmp_path, seed=5, train={"steps": 7})

    assert (5, 7, 4) == (recipe.seed, recipe.train.steps, recipe.train.prompts_per_step)
