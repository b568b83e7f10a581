"""Sites: the output of block K, raw, and nothing after it is run."""

from __future__ import annotations

import pytest
import torch

from nlakit.errors import ConfigError, InputError, ModelError
from nlakit.models.sites import Site, decoder_inputs, default_layer, default_site, read_blocks, resolve_site
from nlakit.testing import FAMILIES, tiny_target

TOKENS = torch.tensor([[20, 30, 40, 50, 60], [25, 35, 45, 55, 65]])


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("layer", [0, 1])
def test_layer_k_is_hidden_state_k_plus_one(family, layer):
    """``resid.K`` equals ``hidden_states[K+1]`` bit for bit in every family."""
    target = tiny_target(family=family)
    states = target.model(TOKENS, output_hidden_states=True, use_cache=False).hidden_states

    assert torch.equal(states[layer + 1], Site("resid", layer).read(target, TOKENS))


@pytest.mark.parametrize("family", FAMILIES)
def test_the_last_layer_is_raw(family):
    """At the last block the vector is the state before the final norm, which ``hidden_states`` does not hold."""
    target = tiny_target(family=family)
    normed = target.model(TOKENS, output_hidden_states=True).hidden_states[-1]

    raw = Site("resid", 2).read(target, TOKENS)

    assert not torch.allclose(normed, raw, atol=1e-2)
    torch.testing.assert_close(target.final_norm(raw), normed)


def test_nothing_after_the_block_runs():
    """Later blocks, the final norm and the output layer are never called."""
    target = tiny_target()
    called = []
    before = len(target.blocks[1]._forward_hooks)
    for name, module in {"block 2": target.blocks[2], "norm": target.final_norm, "head": target.model.lm_head}.items():
        module.register_forward_pre_hook(lambda *_, name=name: called.append(name))

    Site("resid", 1).read(target, TOKENS)

    assert [] == called
    assert before == len(target.blocks[1]._forward_hooks)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_changes_nothing(family, side):
    """Vectors of a padded batch equal those of each text alone, on either side."""
    target = tiny_target(family=family)
    texts = [[20, 30, 40, 50, 60], [25, 35, 45]]
    width = 7
    tokens, mask = torch.zeros((2, width), dtype=torch.long), torch.zeros((2, width), dtype=torch.bool)
    for row, ids in enumerate(texts):
        part = slice(0, len(ids)) if side == "right" else slice(width - len(ids), width)
        tokens[row, part], mask[row, part] = torch.tensor(ids), True

    vectors = Site("resid", 1).read(target, tokens, mask)

    for row, ids in enumerate(texts):
        alone = Site("resid", 1).read(target, torch.tensor([ids]))[0]
        torch.testing.assert_close(alone, vectors[row, mask[row]], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_blocks_read_together_are_blocks_read_alone(family):
    """One pass over several blocks gives, place by place, what each site gives, and the model's own likeliest next tokens."""
    target = tiny_target(family=family)
    texts, positions = [0, 1, 1], [4, 0, 3]
    before = [len(block._forward_hooks) for block in target.blocks]

    vectors, following = read_blocks(target, [2, 0], TOKENS, texts, positions)

    for row, layer in enumerate((2, 0)):
        assert torch.equal(Site("resid", layer).read(target, TOKENS)[texts, positions], vectors[row])
    assert torch.equal(target.model(TOKENS).logits[texts, positions].argmax(dim=-1), following)
    assert before == [len(block._forward_hooks) for block in target.blocks]


def test_blocks_the_target_lacks_are_refused_together():
    """The error is the one of a site, before anything is run."""
    with pytest.raises(ModelError, match=r"resid\.3.*has blocks 0 to 2"):
        read_blocks(tiny_target(n_layers=3), [0, 3], TOKENS, [0], [0])
    with pytest.raises(InputError, match=r"257 tokens"):
        read_blocks(tiny_target(), [0], torch.zeros((1, 257), dtype=torch.long), [0], [0])


def test_vectors_have_no_gradient():
    """Reading builds no graph."""
    assert not Site("resid", 0).read(tiny_target(), TOKENS).requires_grad


@pytest.mark.parametrize(
    "text", ["resid", "resid.", "resid.-1", "resid.1.2", "mlp.1", "Resid.1", " resid.1", "resid.99999"]
)
def test_other_spellings_are_refused(text):
    """Anything but ``resid.K`` is an error that shows how to write it."""
    with pytest.raises(ConfigError, match=r"write 'resid\.K'"):
        Site.parse(text)


def test_a_site_is_what_it_is_written_as():
    """Parsing and writing are inverse."""
    assert "resid.12" == str(Site.parse("resid.12"))
    assert Site("resid", 12) == Site.parse("resid.12")


@pytest.mark.parametrize(("n_layers", "layer"), [(1, 0), (2, 0), (3, 1), (6, 3), (28, 18), (48, 31)])
def test_the_default_is_two_thirds_deep(n_layers, layer):
    """Two thirds of the blocks, rounded, are run: for 28 blocks that is ``resid.18``."""

    class Fake:
        pass

    fake = Fake()
    fake.n_layers = n_layers

    assert Site("resid", layer) == default_site(fake)
    assert layer == default_layer(n_layers)


def test_a_block_the_target_lacks_is_refused():
    """The error names the blocks there are."""
    target = tiny_target(n_layers=3)

    with pytest.raises(ModelError, match="has blocks 0 to 2"):
        Site("resid", 3).read(target, TOKENS)
    with pytest.raises(ModelError, match="has blocks 0 to 2"):
        resolve_site(target, "resid.3")
    assert Site("resid", 1) == resolve_site(target, "")
    assert 32 == resolve_site(target, "resid.2").width(target)


def test_more_tokens_than_the_window_are_refused():
    """The window's size is in the message."""
    with pytest.raises(InputError, match=r"257 tokens .* \(256\)"):
        Site("resid", 0).read(tiny_target(), torch.zeros((1, 257), dtype=torch.long))


def test_a_right_padded_batch_needs_no_mask():
    """Under right padding real tokens never see padding, so attention takes its causal path."""
    mask = torch.tensor([[1, 1, 1], [1, 0, 0]])

    assert {"input_ids"} == set(decoder_inputs(TOKENS[:, :3], mask))
    assert {"input_ids", "attention_mask", "position_ids"} == set(decoder_inputs(TOKENS[:, :3], mask.flip(1)))
