"""The target: its parts are found and proven, texts become tokens once."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from nlakit.errors import InputError, ModelError
from nlakit.models.decoder import find_parts
from nlakit.models.loading import find_folder
from nlakit.models.target import Target, model_fingerprint
from nlakit.testing import FAMILIES, tiny_model, tiny_pair, tiny_target, tiny_target_folder, tiny_tokenizer


@pytest.mark.parametrize("family", FAMILIES)
def test_parts_are_found_by_asking(family):
    """Blocks, embedding and final norm are found in every family without a table of names."""
    target = tiny_target(n_layers=3, d=32, family=family)

    assert (3, 32, 3) == (target.n_layers, target.d_model, len(target.blocks))
    assert target.embedding is target.model.get_input_embeddings()
    assert "norm" in type(target.final_norm).__name__.lower()
    assert not any(weight.requires_grad for weight in target.model.parameters())
    assert not target.model.training


def test_two_stacks_of_blocks_are_refused():
    """A decoder with two lists of the declared length is refused, for either might be the residual stream."""
    model = tiny_model(n_layers=2)
    model.model.more = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)])

    with pytest.raises(ModelError, match="has 2 lists of 2 blocks"):
        find_parts(model)


def test_a_final_norm_that_is_not_the_last_step_is_refused():
    """Where norm(last block) is not the reported last state, the parts found are wrong, and loading says so."""
    model = tiny_model()
    target = Target(model, tiny_tokenizer())
    target.parts = replace(target.parts, final_norm=nn.LayerNorm(32))

    with pytest.raises(ModelError, match=r"outputs of blocks \[2\]"):
        target.prove_blocks()


def test_a_block_whose_output_is_not_reported_is_refused():
    """A hidden state that is not the output of its block makes the site a different place, and loading says so."""
    model = tiny_model()
    target = Target(model, tiny_tokenizer())
    swapped = nn.ModuleList([target.blocks[1], target.blocks[0], target.blocks[2]])
    target.parts = replace(target.parts, blocks=swapped)

    with pytest.raises(ModelError, match=r"outputs of blocks \[0, 1\]"):
        target.prove_blocks()


def test_a_folder_loads_as_it_was_saved(tmp_path):
    """Loading gives the same logits, the same fingerprint and the folder it came from."""
    folder = tiny_target_folder(tmp_path / "target", seed=3)

    target = Target.load(folder)

    tokens = torch.tensor([[20, 30, 40]])
    assert torch.equal(tiny_model(seed=3)(tokens).logits, target.model(tokens).logits)
    assert model_fingerprint(tiny_model(seed=3)) == target.fingerprint
    assert folder == target.folder
    assert 256 == target.max_positions


def test_the_fingerprint_is_of_the_weights_and_not_of_their_dtype(tmp_path):
    """bfloat16 and float32 loads share a fingerprint; other weights have another one."""
    folder = tiny_target_folder(tmp_path / "target")

    assert Target.load(folder).fingerprint == Target.load(folder, dtype="bfloat16").fingerprint
    assert Target.load(folder).fingerprint != tiny_target(seed=1).fingerprint


def test_a_single_edited_neuron_shows_in_the_fingerprint():
    """Whoever ablates one neuron has another model."""
    model = tiny_model()
    before = model_fingerprint(model)
    with torch.no_grad():
        model.model.layers[1].mlp.down_proj.weight[:, 7] = 0
    assert model_fingerprint(model) != before


@pytest.mark.parametrize("weight", ["model.layers.1.mlp.up_proj.weight", "model.norm.weight"])
def test_missing_weights_are_refused(tmp_path, weight):
    """A checkpoint that lacks a weight is refused, where transformers would fill in random numbers."""
    folder = tiny_target_folder(tmp_path / "target")
    weights = load_file(folder / "model.safetensors")
    del weights[weight]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})

    with pytest.raises(ModelError, match=rf"1 missing \(first: {re.escape(weight)}\)"):
        Target.load(folder)


def test_unexpected_weights_are_refused(tmp_path):
    """A checkpoint with a weight the architecture has no place for is refused."""
    folder = tiny_target_folder(tmp_path / "target")
    weights = load_file(folder / "model.safetensors") | {"model.extra.weight": torch.zeros(2)}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})

    with pytest.raises(ModelError, match="1 unexpected"):
        Target.load(folder)


@pytest.mark.parametrize("content", ["{", None])
def test_a_folder_that_holds_no_model_is_refused(tmp_path, content):
    """An empty folder, or one with a broken configuration, gives a typed error."""
    if content is not None:
        (tmp_path / "config.json").write_text(content)

    with pytest.raises(ModelError, match="cannot load"):
        Target.load(tmp_path)


def test_truncated_weights_are_refused(tmp_path):
    """A weights file that was cut off gives a typed error."""
    folder = tiny_target_folder(tmp_path / "target")
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:5000])

    with pytest.raises(ModelError, match="cannot load a model"):
        Target.load(folder)


def test_names_that_are_paths_are_not_looked_up_on_the_hub(tmp_path):
    """A path that does not exist is an error at once; a bare name is left to the Hub."""
    with pytest.raises(ModelError, match="there is no folder"):
        find_folder(tmp_path / "absent")
    with pytest.raises(ModelError, match="there is no folder"):
        find_folder("./absent")
    assert find_folder("organisation/model") is None


def test_an_installed_name_goes_before_a_folder_of_the_same_name(tmp_path, monkeypatch):
    """A folder that happens to have an installed model's name does not hide the model; other folders get a full path."""
    monkeypatch.chdir(tmp_path)
    tiny_target_folder(tmp_path / "here")
    (tmp_path / "installed").mkdir()
    monkeypatch.setattr("nlakit.plugins.names", lambda _: ["installed"])
    monkeypatch.setattr("nlakit.plugins.load", lambda *_: lambda: tmp_path / "here")

    assert "installed" == Target.load("installed").name
    assert str(tmp_path / "here") == Target.load("here").name


def test_a_copy_for_training_is_float32_on_the_cpu(tmp_path):
    """A target that computes in bfloat16 is trained from in float32."""
    target = Target.load(tiny_target_folder(tmp_path / "target"), dtype="bfloat16")
    pair = tiny_pair(target)

    assert torch.bfloat16 == next(target.model.parameters()).dtype
    kinds = {weight.dtype for part in (pair.verbalizer.model, pair.reconstructor) for weight in part.parameters()}
    assert {torch.float32} == kinds


def test_an_unknown_dtype_is_refused():
    """float16 cannot hold activations and is refused by name."""
    with pytest.raises(ModelError, match="'float16'"):
        Target.load("anything", dtype="float16")


@pytest.mark.parametrize("bos", [False, True])
def test_special_tokens_are_there_exactly_once(bos):
    """BOS is added to plain text and not doubled in a rendered chat that already spells it."""
    target = tiny_target(bos=bos)
    rendered = target.render([{"role": "user", "content": "hello"}], add_generation_prompt=True)

    begin = target.tokenizer.bos_token_id
    plain, chat = target.encode("The cat"), target.encode(rendered)

    assert [1 if bos else 0] * 2 == [plain.ids.count(begin), chat.ids.count(begin)]
    assert "<|assistant|>" == chat.tokens[-1]


def test_tokens_are_the_pieces_of_the_text():
    """Tokens of plain text join to the text, with a character span for each."""
    text = "The cat sat on  the mat."
    encoded = tiny_target().encode(text)

    assert text == "".join(encoded.tokens)
    assert len(text) == encoded.offsets[-1][1]
    assert len(encoded) == len(encoded.ids) == len(encoded.offsets)


def test_a_literal_text_cannot_spell_special_tokens():
    """With literal=True the spelling of a special token becomes ordinary characters."""
    target = tiny_target()

    assert target.tokenizer.eos_token_id in target.encode("a<|end|>b").ids
    literal = target.encode("a<|end|>b", literal=True)
    assert not set(target.tokenizer.all_special_ids) & set(literal.ids)
    assert "a<|end|>b" == "".join(literal.tokens)


def test_texts_that_cannot_be_read_are_refused():
    """Empty text and text beyond the window are errors; max_tokens keeps the beginning instead."""
    target = tiny_target()
    long = "The cat sat. " * 200

    with pytest.raises(InputError, match="empty"):
        target.encode("")
    with pytest.raises(InputError, match="the window of 'tiny-llama' holds 256"):
        target.encode(long)
    assert target.encode(long[:200]).ids[:7] == target.encode(long, max_tokens=7).ids
    assert 256 == len(target.encode(long, max_tokens=100_000))


def test_chats_need_messages_and_a_template():
    """No messages and no chat template are named errors."""
    with pytest.raises(InputError, match="no messages"):
        tiny_target().render([])
    with pytest.raises(InputError, match="no chat template"):
        tiny_target(chat=False).render([{"role": "user", "content": "hello"}])
    with pytest.raises(InputError, match="needs the texts 'role' and 'content'"):
        tiny_target().render([{"role": "user"}])


def test_loading_leaves_the_settings_of_transformers_alone(tmp_path):
    """What is silenced while loading is as before afterwards."""
    from transformers.utils import logging

    before = logging.get_verbosity()
    Target.load(tiny_target_folder(tmp_path / "target"))

    assert before == logging.get_verbosity()
