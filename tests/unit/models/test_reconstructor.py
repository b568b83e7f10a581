"""The reconstructor: blocks 0..K, the last real token, and a head that starts as the identity."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file, save_file

from nlakit.errors import InputError, ModelError
from nlakit.models.reconstructor import HEAD_FILE, Reconstructor
from nlakit.models.sites import Site
from nlakit.testing import FAMILIES, tiny_prompts, tiny_target

TEXTS = ["a cat", "The cat sat on the mat near the red door, and the dog slept.", "", "key in a box"]


def make(family="llama", layer=1, **options):
    target = tiny_target(family=family, **options)
    return Reconstructor.from_target(target, Site("resid", layer), tiny_prompts(target))


def moved(reconstructor):
    """Give the head some training."""
    with torch.no_grad():
        reconstructor.value_head.weight.add_(0.1 * torch.randn((32, 32), generator=torch.Generator().manual_seed(1)))
    return reconstructor


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("layer", [0, 1, 2])
def test_it_starts_as_the_targets_own_residual_stream(family, layer):
    """Untrained, it gives the raw output of block K at the prompt's last token, also at the last block."""
    target = tiny_target(family=family)
    reconstructor = Reconstructor.from_target(target, Site("resid", layer), tiny_prompts(target))
    ids = reconstructor.token_ids(["The cat"])[0]

    vector = reconstructor.reconstruct(["The cat"])[0]

    expected = Site("resid", layer).read(target, torch.tensor([ids]))[0, -1]
    torch.testing.assert_close(expected, vector, atol=1e-5, rtol=1e-5)
    assert layer + 1 == reconstructor.backbone.config.num_hidden_layers


def test_what_the_window_does_not_hold_is_told_from_the_rest():
    """Texts that are too long give zeros and are named; the others are rebuilt as alone, and asking for all is refused."""
    reconstructor = moved(make())
    texts = [TEXTS[0], "key " * reconstructor.max_positions, TEXTS[1]]

    vectors, fits = reconstructor.reconstruct_fitting(texts)

    assert fits == [True, False, True]
    assert not vectors[1].any()
    torch.testing.assert_close(reconstructor.reconstruct([TEXTS[0], TEXTS[1]]), vectors[[0, 2]], atol=1e-5, rtol=1e-5)
    with pytest.raises(InputError, match="window holds"):
        reconstructor.reconstruct(texts)
    assert reconstructor.reconstruct_fitting([])[0].shape == (0, 32)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("side", ["left", "right"])
@torch.no_grad()
def test_the_last_real_token_is_read_under_padding_on_either_side(family, side):
    """A batch padded left or right gives the vectors of single texts, and so does reconstruct()."""
    reconstructor = moved(make(family))
    ids = reconstructor.token_ids(TEXTS)
    width = max(map(len, ids)) + 2
    tokens, mask = torch.zeros((4, width), dtype=torch.long), torch.zeros((4, width), dtype=torch.bool)
    for row, found in enumerate(ids):
        part = slice(0, len(found)) if side == "right" else slice(width - len(found), width)
        tokens[row, part], mask[row, part] = torch.tensor(found), True

    padded = reconstructor(tokens, mask)

    single = torch.cat([reconstructor(*reconstructor.pad(reconstructor.token_ids([text]))) for text in TEXTS])
    torch.testing.assert_close(single, padded, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(single, reconstructor.reconstruct(TEXTS), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("batch_size", [1, 2, 3])
def test_batches_come_back_in_order(batch_size):
    """Sorting by length inside does not change the order of the result."""
    reconstructor = moved(make())

    torch.testing.assert_close(
        reconstructor.reconstruct(TEXTS), reconstructor.reconstruct(TEXTS, batch_size=batch_size), atol=1e-5, rtol=1e-5
    )


def test_the_whole_path_has_a_gradient_and_reconstruct_has_none():
    """Training reaches embedding, every block and the head; scoring builds no graph."""
    reconstructor = make()

    reconstructor(*reconstructor.pad(reconstructor.token_ids(TEXTS))).square().sum().backward()

    assert all(weight.grad is not None for weight in reconstructor.parameters())
    assert not reconstructor.reconstruct(TEXTS).requires_grad


def test_it_is_a_copy_of_the_target():
    """Training it leaves the target alone, and the target keeps all of its blocks and its norm."""
    target = tiny_target()
    reconstructor = Reconstructor.from_target(target, Site("resid", 0), tiny_prompts(target))
    before = target.model(torch.tensor([[20, 21]])).logits

    with torch.no_grad():
        for weight in reconstructor.parameters():
            weight.add_(1)

    assert torch.equal(before, target.model(torch.tensor([[20, 21]])).logits)
    assert (3, 1) == (len(target.blocks), len(reconstructor.backbone.layers))
    assert 3 == target.model.config.num_hidden_layers


def test_making_one_draws_nothing_from_the_global_generator():
    """The head's start is the identity and costs no random numbers."""
    target = tiny_target()
    before = torch.get_rng_state()

    reconstructor = Reconstructor.from_target(target, Site("resid", 1), tiny_prompts(target))

    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(torch.eye(32), reconstructor.value_head.weight)


@pytest.mark.parametrize("bos", [False, True])
def test_prompts_have_bos_exactly_once(bos):
    """Special tokens are added once, and the prompt is never a chat."""
    reconstructor = make(bos=bos)
    ids = reconstructor.token_ids(["The cat"])[0]

    assert (1 if bos else 0) == ids.count(reconstructor.tokenizer.bos_token_id)
    assert reconstructor.tokenizer.convert_tokens_to_ids("<|user|>") not in ids


def test_a_text_beyond_the_window_is_refused():
    """The explanation's length and the window are in the message."""
    with pytest.raises(InputError, match="window holds 256"):
        make().reconstruct(["The cat sat. " * 100])


@pytest.mark.parametrize("family", FAMILIES)
def test_saving_and_loading_changes_nothing(tmp_path, family):
    """A loaded reconstructor gives the same vectors bit for bit."""
    reconstructor = moved(make(family))
    reconstructor.save(tmp_path)

    loaded = Reconstructor.load(tmp_path, reconstructor.prompts)

    assert torch.equal(reconstructor.reconstruct(TEXTS), loaded.reconstruct(TEXTS))
    assert all(torch.float32 == weight.dtype for weight in loaded.parameters())


def test_the_head_stays_float32_when_the_backbone_does_not(tmp_path):
    """bfloat16 storage rounds the backbone only."""
    reconstructor = moved(make())
    reconstructor.save(tmp_path, "bfloat16")

    loaded = Reconstructor.load(tmp_path, reconstructor.prompts)

    assert torch.equal(reconstructor.value_head.weight, loaded.value_head.weight)
    assert torch.bfloat16 == load_file(tmp_path / "model.safetensors")["layers.0.mlp.up_proj.weight"].dtype
    torch.testing.assert_close(reconstructor.reconstruct(TEXTS), loaded.reconstruct(TEXTS), atol=0.2, rtol=0.1)


def test_values_that_are_not_finite_are_neither_saved_nor_loaded(tmp_path):
    """NaN in the head is refused on the way out and on the way in."""
    reconstructor = make()
    reconstructor.save(tmp_path)
    save_file({"weight": torch.full((32, 32), float("inf"))}, tmp_path / HEAD_FILE)
    with pytest.raises(ModelError, match="not finite"):
        Reconstructor.load(tmp_path, reconstructor.prompts)

    with torch.no_grad():
        reconstructor.value_head.weight[0, 0] = float("nan")
    with pytest.raises(ModelError, match="value_head.weight holds NaN"):
        reconstructor.save(tmp_path)


def test_a_missing_or_damaged_head_is_refused(tmp_path):
    """No file, a cut-off file, another tensor's name and another width are typed errors."""
    reconstructor = make()
    reconstructor.save(tmp_path)
    head = tmp_path / HEAD_FILE
    save_file({"weight": torch.eye(16)}, head)
    with pytest.raises(ModelError, match="takes states of width 16"):
        Reconstructor.load(tmp_path, reconstructor.prompts)
    save_file({"w": torch.eye(32)}, head)
    with pytest.raises(ModelError, match="cannot be read"):
        Reconstructor.load(tmp_path, reconstructor.prompts)
    head.write_bytes(b"short")
    with pytest.raises(ModelError, match="cannot be read"):
        Reconstructor.load(tmp_path, reconstructor.prompts)
    head.unlink()
    with pytest.raises(ModelError, match="cannot be read"):
        Reconstructor.load(tmp_path, reconstructor.prompts)


def test_a_missing_block_weight_is_refused(tmp_path):
    """Only the final norm may be absent from the saved weights."""
    reconstructor = make()
    reconstructor.save(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    assert "norm.weight" not in weights
    del weights["layers.1.mlp.up_proj.weight"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})

    with pytest.raises(ModelError, match="1 missing"):
        Reconstructor.load(tmp_path, reconstructor.prompts)


def test_an_explanation_cannot_spell_control_tokens():
    """What spells a special token is read as text, so that no code outside readable words can carry a vector."""
    target = tiny_target()
    reconstructor = Reconstructor.from_target(target, Site("resid", 1), tiny_prompts(target))

    plain, spelt = reconstructor.token_ids(["ends here", f"ends {target.tokenizer.eos_token} here"])

    specials = set(target.tokenizer.all_special_ids)
    assert sum(token in specials for token in spelt) == sum(token in specials for token in plain)
