"""Released pairs: read as the format describes them, with the numbers that it describes."""

from __future__ import annotations

import json
import math
import shutil

import pytest
import torch
import yaml
from safetensors.torch import save_file
from tests.unit.models.reference import layout as layouts
from tests.unit.models.reference.layout import FAMILIES, D, K

from nlakit.card import Card
from nlakit.errors import CardError, ModelError, PairError
from nlakit.models.pair import Pair, load_card
from nlakit.models.sampler import sample
from nlakit.models.target import Target

TEXTS = ["A text about a cat.", "One two three: the old box by the window", "x"]


@pytest.fixture(scope="module", params=FAMILIES)
def written(request, tmp_path_factory):
    """A released pair of each family, the two spellings and both ways to save a reconstructor among them."""
    family = request.param
    old, whole = family in ("llama", "gemma3"), family in ("gemma3_text", "gemma3")
    return layouts.write(tmp_path_factory.mktemp(family), family, old=old, whole=whole)


@pytest.fixture(scope="module")
def pair(written):
    return Pair.from_pretrained(written.name, load_target=False)


@pytest.fixture(scope="module")
def qwen(tmp_path_factory):
    return layouts.write(tmp_path_factory.mktemp("qwen"), "qwen2")


@pytest.fixture
def copied(qwen, tmp_path):
    """A copy of the Qwen pair that a test may damage."""
    for role in ("av", "ar"):
        shutil.copytree(qwen.half(role), tmp_path / f"tiny-{role}")
    return tmp_path / "tiny"


def vectors(n, seed=0):
    return 20 * torch.randn((n, D), generator=torch.Generator().manual_seed(seed))


def edit(folder, **changes):
    """Change entries of a side file; double underscores go into tables."""
    path = folder / "nla_meta.yaml"
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    for key, value in changes.items():
        table, _, field = key.rpartition("__")
        (content[table] if table else content)[field] = value
    path.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")


def test_what_it_writes_is_what_the_format_describes(written, pair):
    """Greedy tokens equal those of a loop that replaces the marker's embedding row and runs the whole text every time."""
    vectors_ND = vectors(3)

    found = sample(pair.verbalizer, vectors_ND, temperature=0, max_new_tokens=8)

    assert [layouts.greedy(written.av, written, v, 8) for v in vectors_ND] == [item.ids for item in found]


def test_what_it_rebuilds_is_what_the_format_describes(written, pair):
    """Vectors are the raw output of block K at the last token through the head, and errors are 2(1 - cos)."""
    expected_ND = torch.stack([layouts.rebuilt(written, text) for text in TEXTS])
    vectors_ND = vectors(3)

    assert torch.allclose(expected_ND, pair.reconstruct(TEXTS), atol=1e-4, rtol=1e-4)
    cosines = torch.nn.functional.cosine_similarity(expected_ND, vectors_ND)
    errors = [score.error for score in pair.score(TEXTS, vectors_ND)]
    assert torch.allclose(2 * (1 - cosines), torch.tensor(errors), atol=1e-4)


def test_a_text_is_read_with_the_target_that_the_side_file_names(written):
    """Readings come from the output of block K, and shares of a variance that nobody recorded are absent."""
    pair = Pair.from_pretrained(written.name)
    target = Target.load(written.folder / "base")
    ids = torch.tensor([target.encode("The cat sat on the mat.", literal=True).ids])
    with torch.no_grad():
        states = target.model(input_ids=ids, output_hidden_states=True).hidden_states[K + 1][0]

    reading = pair.read("The cat sat on the mat.", positions=[4], temperature=0)[0]

    assert math.isclose(float(states[4].norm()), reading.norm, rel_tol=1e-5)
    assert all(item.score is None or item.score.explained is None for item in reading.explanations)
    assert [None] == [score.explained for score in pair.score(["x"], vectors(1))]
    assert " - " in str(reading)


def test_the_card_says_what_the_side_files_say(written, pair):
    """Templates come out as they were written, numbers and tokens too, and what has no meaning here is carried."""
    card = pair.card

    assert "A careful reader explains vectors {plainly}." in card.prompts.verbalizer
    assert layouts.AR == card.prompts.reconstructor
    assert (f"resid.{K}", "embedding", written.scale) == (card.site, card.injection, card.injection_scale)
    assert str(written.folder / "base") == card.target.model
    assert "somebody" == card.source["verbalizer"]["side_file"]["carried"]["created_by"]
    assert card.model_dump(exclude={"created_at"}) == load_card(written.name).model_dump(exclude={"created_at"})


def test_a_released_pair_saved_here_is_the_same_pair(written, pair, tmp_path):
    """In nlakit's own layout it describes and rebuilds as before, still without invented statistics."""
    again = Pair.from_pretrained(pair.save(tmp_path / "own"), load_target=False)

    assert again.card.stats is None
    assert torch.equal(pair.reconstruct(TEXTS), again.reconstruct(TEXTS))
    ids = [[i.ids for i in sample(p.verbalizer, vectors(2), max_new_tokens=6, seed=1)] for p in (pair, again)]
    assert ids[0] == ids[1]


def test_statistics_can_be_given_later(qwen):
    """With vectors of the target, shares of variance appear; without them an FVE is refused."""
    pair = Pair.from_pretrained(qwen.name, load_target=False)
    with pytest.raises(CardError, match="has no mean and variance"):
        pair.card.require_stats()

    score = pair.with_statistics(vectors(64)).score(["x"], vectors(1))[0]

    assert score.explained is not None
    assert score.explained < 1


def test_a_folder_with_both_halves_is_a_pair_and_so_is_either_half(qwen, tmp_path):
    """``folder/av`` with ``folder/ar``, and the name of one half, lead to the same pair, which is called what loads it again."""
    for role in ("av", "ar"):
        shutil.copytree(qwen.half(role), tmp_path / "both" / role)

    assert load_card(qwen.name).prompts == load_card(tmp_path / "both").prompts
    assert load_card(qwen.name).prompts == load_card(str(qwen.half("ar"))).prompts
    assert [qwen.name, str(tmp_path / "both")] == [load_card(name).name for name in (qwen.name, tmp_path / "both")]


@pytest.mark.parametrize(
    ("role", "changes", "message"),
    [
        ("both", {"tokens__injection_token_id": 5}, "declares the marker as token 5"),
        ("both", {"tokens__injection_right_neighbor_id": 5}, "and 5, and this tokenizer gives"),
        ("av", {"tokens__injection_token_id": 5}, "tokens.injection_token_id is 5 in .* and 400 in"),
        ("ar", {"tokens__critic_suffix_ids": [1, 2]}, "ends with the tokens"),
        ("ar", {"ar": {"num_hidden_layers": K + 1}}, "the layer is given as 2 and as 3"),
        ("ar", {"extraction_layer_index": K + 1, "ar": None}, "layer is 2 in .* and 3 in"),
        ("av", {"d_model": 16, "extraction__mse_scale": 4.0}, "d_model is 16 in .* and 32 in"),
        ("av", {"extraction__injection_scale": None}, "no extraction.injection_scale"),
        ("av", {"extraction__injection_scale": -1.0}, "injection_scale: Input should be greater than 0"),
        ("ar", {"extraction__mse_scale": None}, "mse_scale is None"),
        ("av", {"role": "critic"}, "role is 'ar'"),
        ("av", {"role": "judge"}, "role is 'judge'"),
        ("av", {"schema_version": 3}, "schema_version is 3"),
        ("av", {"extraction__norm": "whitened"}, "not raw"),
        ("av", {"prompt_templates": {"av": "no marker"}}, "exactly one {injection_char}"),
        ("av", {"base_checkpoint": None}, None),
    ],
)
def test_a_side_file_that_does_not_fit_is_refused(copied, role, changes, message):
    """Each disagreement, with tokenizer, weights or the other half, is one sentence; what one half omits the other gives."""
    for half in ("av", "ar") if role == "both" else (role,):
        edit(copied.with_name(f"tiny-{half}"), **changes)

    if message is None:
        assert Pair.from_pretrained(str(copied), load_target=False)
        return
    with pytest.raises(CardError, match=message) as caught:
        Pair.from_pretrained(str(copied), load_target=False)
    assert "\n" not in str(caught.value)


def test_weights_of_another_layer_or_width_are_refused(copied):
    """The depth and the width in ``config.json`` are compared before weights are read."""
    path = copied.with_name("tiny-ar") / "config.json"
    settings = json.loads(path.read_text())
    deeper = {"num_hidden_layers": K + 2, "layer_types": ["full_attention"] * (K + 2)}
    for change, message in ((deeper, "has 4 blocks"), ({"hidden_size": 64}, "is 64 wide")):
        path.write_text(json.dumps({**settings, **change}))
        with pytest.raises(CardError, match=message):
            Pair.from_pretrained(str(copied), load_target=False)


def test_missing_parts_are_named(copied):
    """A head, a half or a side file that is not there is named."""
    (copied.with_name("tiny-ar") / "value_head.safetensors").unlink()
    with pytest.raises(ModelError, match="has no value_head"):
        Pair.from_pretrained(str(copied), load_target=False)
    (copied.with_name("tiny-ar") / "nla_meta.yaml").unlink()
    with pytest.raises(PairError, match="has no nla_meta.yaml"):
        Pair.from_pretrained(str(copied), load_target=False)
    shutil.rmtree(copied.with_name("tiny-ar"))
    with pytest.raises(PairError, match="there is no folder"):
        Pair.from_pretrained(str(copied), load_target=False)


def test_a_head_that_nobody_trained_is_refused(copied):
    """The identity means that the head's weights were lost on the way."""
    save_file({"weight": torch.eye(D)}, copied.with_name("tiny-ar") / "value_head.safetensors")

    with pytest.raises(ModelError, match="the identity it started from"):
        Pair.from_pretrained(str(copied), load_target=False)


@pytest.fixture(scope="module")
def adapted(tmp_path_factory):
    """The community's variant: a LoRA adapter for the target, no injection scale; and the model it amounts to."""
    pytest.importorskip("peft")
    layout = layouts.write(tmp_path_factory.mktemp("lora"), "qwen2")
    folder = layout.half("av")
    for file in folder.glob("*"):
        if file.name != "nla_meta.yaml" and "token" not in file.name and file.suffix != ".jinja":
            file.unlink()
    edit(folder, extraction={"norm": "none"}, kind="nla_dataset", role=None)
    merged = layouts.model("qwen2", layouts.LAYERS, 2, len(layout.tokenizer))  # seed 2 is that of the base
    generator, tensors, rank, alpha = torch.Generator().manual_seed(9), {}, 4, 8
    for index, block in enumerate(merged.model.layers):
        linear = block.self_attn.q_proj
        a, b = torch.randn((rank, D), generator=generator), 0.3 * torch.randn((D, rank), generator=generator)
        name = f"base_model.model.model.layers.{index}.self_attn.q_proj"
        tensors |= {f"{name}.lora_A.weight": a, f"{name}.lora_B.weight": b}
        with torch.no_grad():
            linear.weight += alpha / rank * b @ a
    save_file(tensors, folder / "adapter_model.safetensors")
    settings = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": rank, "lora_alpha": alpha, "lora_dropout": 0.0,
                "target_modules": ["q_proj"], "base_model_name_or_path": str(layout.folder / "base")}  # fmt: skip
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    return layout, merged


def test_an_adapter_adds_its_vector_at_block_1(adapted):
    """Greedy tokens equal those of a loop with merged weights and h + |h| v/|v| at the output of block 1."""
    layout, merged = adapted
    vectors_ND = vectors(3)

    pair = Pair.from_pretrained(layout.name, load_target=False)
    found = [item.ids for item in sample(pair.verbalizer, vectors_ND, temperature=0, max_new_tokens=8)]

    assert ("resid.1", 1.0) == (pair.card.injection, pair.card.injection_scale)
    assert [layouts.greedy(merged, layout, v, 8, add_at=1) for v in vectors_ND] == found
    assert [layouts.greedy(merged, layout, v, 8, add_at=2) for v in vectors_ND] != found


def test_an_adapter_keeps_its_injection_when_saved_here(adapted, tmp_path):
    """The card records where the vector goes in, and a loaded copy does the same."""
    pair = Pair.from_pretrained(adapted[0].name, load_target=False)

    folder = pair.save(tmp_path / "own")
    again = Pair.from_pretrained(folder, load_target=False)

    assert "resid.1" == Card.load(folder).injection
    ids = [[i.ids for i in sample(p.verbalizer, vectors(2), max_new_tokens=6)] for p in (pair, again)]
    assert ids[0] == ids[1]


def test_where_the_vector_goes_in_can_be_said(adapted):
    """``injection`` names another block, and a block that is not there is refused in words."""
    layout, merged = adapted
    halves = (layout.half("av"), layout.half("ar"))

    pair = Pair.from_reference(*halves, injection="resid.2", load_target=False)
    found = [item.ids for item in sample(pair.verbalizer, vectors(2), temperature=0, max_new_tokens=6)]

    assert [layouts.greedy(merged, layout, v, 6, add_at=2) for v in vectors(2)] == found
    with pytest.raises(CardError, match="adds vectors at block 9, and .* has 4 blocks"):
        Pair.from_reference(*halves, injection="resid.9", load_target=False)


def test_an_adapter_that_could_run_code_is_refused(adapted, tmp_path):
    """Only safetensors are read."""
    layout, _ = adapted
    shutil.copytree(layout.half("av"), tmp_path / "tiny-av")
    (tmp_path / "tiny-av" / "adapter_model.safetensors").rename(tmp_path / "tiny-av" / "adapter_model.bin")

    with pytest.raises(ModelError, match="no adapter_model.safetensors"):
        Pair.from_reference(tmp_path / "tiny-av", layout.half("ar"), load_target=False)


def test_a_device_map_places_the_weights(qwen):
    """A map that puts everything on the CPU gives the pair that no map gives."""
    pytest.importorskip("accelerate")

    plain = Pair.from_pretrained(qwen.name, load_target=False)
    spread = Pair.from_pretrained(qwen.name, load_target=False, device_map={"": "cpu"})

    assert torch.allclose(plain.reconstruct(TEXTS), spread.reconstruct(TEXTS), atol=1e-5)


def test_a_device_map_without_its_package_says_what_to_install(qwen, monkeypatch):
    """The message names the extra."""
    monkeypatch.setattr("nlakit.models.loading.find_spec", lambda name: None)

    with pytest.raises(ImportError, match="nlakit\\[spread\\]"):
        Pair.from_pretrained(qwen.name, load_target=False, device_map="auto")
