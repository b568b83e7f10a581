"""Writing a pair as the released checkpoints are: the layout, the numbers, and what it refuses."""

from __future__ import annotations

import dataclasses
import json
import math

import pytest
import torch
import yaml
from safetensors.torch import load_file
from tests.unit.models.reference import layout as layouts
from transformers import AutoModelForCausalLM, AutoTokenizer

from nlakit.cli import main
from nlakit.config import AdapterConfig
from nlakit.errors import CardError, InputError, StorageFullError
from nlakit.models.pair import Pair
from nlakit.models.reconstructor import Reconstructor
from nlakit.models.reference.export import export_pair
from nlakit.models.sampler import sample
from nlakit.models.sites import Site
from nlakit.models.target import Target
from nlakit.models.verbalizer import Verbalizer
from nlakit.testing import tiny_pair, tiny_target_folder

TEXTS = ["a cat", "the old box by the window"]


@pytest.fixture(scope="module", params=["llama", "qwen2", "gpt2"])
def own(request, tmp_path_factory):
    """A pair made here, whose head has moved as training moves it."""
    folder = tmp_path_factory.mktemp("target")
    pair = tiny_pair(Target.load(tiny_target_folder(folder, family=request.param, bos=request.param == "llama")))
    with torch.no_grad():
        pair.reconstructor.value_head.weight += 0.1 * torch.randn((32, 32), generator=torch.Generator().manual_seed(0))
    return pair


@pytest.fixture(scope="module")
def exported(own, tmp_path_factory):
    return export_pair(own, tmp_path_factory.mktemp("export") / "pair")


def vectors(n):
    return torch.randn((n, 32), generator=torch.Generator().manual_seed(0))


def test_a_pair_of_ours_comes_back_as_it_was(own, exported):
    """What is written and read again describes and rebuilds as before."""
    again = Pair.from_pretrained(exported, load_target=False)

    assert torch.allclose(own.reconstruct(TEXTS), again.reconstruct(TEXTS), atol=1e-6)
    ids = [[i.ids for i in sample(p.verbalizer, vectors(3), temperature=0)] for p in (own, again)]
    assert ids[0] == ids[1]
    for field in ("prompts", "site", "injection", "injection_scale", "max_new_tokens"):
        assert getattr(own.card, field) == getattr(again.card, field)


def test_the_files_are_those_of_the_format(own, exported):
    """Any reader finds K, the scales, the marker, the prompts' ends, K+1 blocks, and the head under its name."""
    av, ar = (yaml.safe_load((exported / half / "nla_meta.yaml").read_text(encoding="utf-8")) for half in ("av", "ar"))
    settings = json.loads((exported / "ar" / "config.json").read_text())
    tokenizer = AutoTokenizer.from_pretrained(exported / "ar")
    blocks = settings.get("num_hidden_layers", settings.get("n_layer"))

    assert ("nla_model", 2, "av", 32) == tuple(av[key] for key in ("kind", "schema_version", "role", "d_model"))
    assert (4.0, None) == (av["extraction"]["injection_scale"], ar["extraction"]["injection_scale"])
    assert math.isclose(math.sqrt(32), ar["extraction"]["mse_scale"])
    assert ar["extraction_layer_index"] == ar["ar"]["num_hidden_layers"] == blocks - 1
    assert 1 == av["prompt_templates"]["av"].format(injection_char="@@").count("@@")
    prompt = ar["prompt_templates"]["ar"].format(explanation="some words")
    suffix = ar["tokens"]["critic_suffix_ids"]
    assert suffix
    assert suffix == tokenizer(prompt)["input_ids"][-len(suffix) :]
    assert settings["architectures"][0].endswith(("ForCausalLM", "LMHeadModel"))
    names = load_file(exported / "ar" / "model.safetensors")
    assert not [name for name in names if "lm_head" in name or name.endswith(("model.norm.weight", "ln_f.weight"))]
    assert (32, 32) == load_file(exported / "ar" / "value_head.safetensors")["weight"].shape


def test_another_reader_finds_the_same_numbers(own, exported):
    """A plain transformers model from the written folder, hooked at its last block, rebuilds what the pair rebuilds."""
    causal = AutoModelForCausalLM.from_pretrained(exported / "ar").eval()
    tokenizer = AutoTokenizer.from_pretrained(exported / "ar")
    template = yaml.safe_load((exported / "ar" / "nla_meta.yaml").read_text(encoding="utf-8"))["prompt_templates"]["ar"]
    head_DD = load_file(exported / "ar" / "value_head.safetensors")["weight"]
    blocks = causal.transformer.h if hasattr(causal, "transformer") else causal.model.layers
    seen = []
    blocks[-1].register_forward_hook(lambda _m, _i, out: seen.append(out[0] if isinstance(out, tuple) else out))
    with torch.no_grad():
        causal(torch.tensor([tokenizer(template.format(explanation=TEXTS[1]))["input_ids"]]), use_cache=False)
        expected_D = head_DD @ seen[0][0, -1]

    assert torch.allclose(expected_D, own.reconstruct(TEXTS)[1], atol=1e-5)


@pytest.mark.parametrize("family", layouts.FAMILIES)
def test_a_released_pair_is_written_back_as_it_came(family, tmp_path):
    """Side files keep their fields, provenance included, and the weights their values."""
    layout = layouts.write(tmp_path, family)
    pair = Pair.from_pretrained(layout.name, load_target=False)

    again = Pair.from_pretrained(export_pair(pair, tmp_path / "back"), load_target=False)

    for half in ("av", "ar"):
        before, after = (
            yaml.safe_load((folder / "nla_meta.yaml").read_text(encoding="utf-8"))
            for folder in (layout.half(half), tmp_path / "back" / half)
        )
        same = ["kind", "role", "d_model", "base_checkpoint", "extraction_layer_index", "extraction"]
        for key in (*same, "trained_on", "created_by"):
            assert before[key] == after[key]
        assert {**before["tokens"], "critic_suffix_ids": None} == {**after["tokens"], "critic_suffix_ids": None}
    assert layouts.AV == yaml.safe_load((tmp_path / "back/av/nla_meta.yaml").read_text())["prompt_templates"]["av"]
    assert torch.equal(pair.reconstruct(TEXTS), again.reconstruct(TEXTS))


def test_half_the_numbers_take_half_the_room(own, exported, tmp_path):
    """``dtype="bfloat16"`` halves the weights and leaves the head as it is."""
    small = export_pair(own, tmp_path / "small", dtype="bfloat16")

    for file in ("av/model.safetensors", "ar/model.safetensors"):
        assert (small / file).stat().st_size < 0.6 * (exported / file).stat().st_size
    assert torch.float32 == load_file(small / "ar" / "value_head.safetensors")["weight"].dtype


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_a_pair_of_adapters_is_written_as_whole_models(family, tmp_path):
    """The format's reconstructor is a whole model: both adapters become part of the weights, and say what they said before."""
    pytest.importorskip("peft")
    target = Target.load(tiny_target_folder(tmp_path / "target", family=family))
    card, lora = tiny_pair(target).card, AdapterConfig(mode="lora", rank=4)
    verbalizer = Verbalizer.from_target(target, card.prompts, injection_scale=4.0, max_new_tokens=12, adapters=lora)
    pair = Pair(target, verbalizer, Reconstructor.from_target(target, Site.parse(card.site), card.prompts, lora), card)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in (*pair.verbalizer.model.parameters(), *pair.reconstructor.parameters()):
            weight += 0.05 * torch.randn(weight.shape, generator=generator)
    expected, before = pair.reconstruct(TEXTS), pair.describe(vectors(3), temperature=0)

    again = Pair.from_pretrained(export_pair(pair, tmp_path / "out"), load_target=False)

    assert not list((tmp_path / "out").rglob("adapter_*"))
    assert torch.allclose(expected, again.reconstruct(TEXTS), atol=1e-5)
    assert before == again.describe(vectors(3), temperature=0)
    assert torch.equal(expected, pair.reconstruct(TEXTS))


def test_what_the_format_cannot_say_is_refused(own, tmp_path):
    """Other tags and a missing chat template are named together, and nothing is written."""
    prompts = own.card.prompts.model_copy(update={"open_tag": "<a>", "close_tag": "</a>"})
    other = Pair(None, own.verbalizer, own.reconstructor, own.card.model_copy(update={"prompts": prompts}))

    with pytest.raises(CardError, match="between <a> and </a>, not <explanation>"):
        export_pair(other, tmp_path / "out")
    assert [] == list(tmp_path.iterdir())


def test_nothing_is_overwritten_or_left_half_written(own, exported, tmp_path, monkeypatch):
    """A folder that is there is kept; a failure on the way, or a full disk, leaves nothing."""
    with pytest.raises(InputError, match="exists already"):
        export_pair(own, exported)

    monkeypatch.setattr("shutil.disk_usage", lambda _: dataclasses.make_dataclass("Usage", ["free"])(10))
    with pytest.raises(StorageFullError, match="has 0 MB free"):
        export_pair(own, tmp_path / "out")
    monkeypatch.undo()
    monkeypatch.setattr("nlakit.models.reference.export.save_tensors", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        export_pair(own, tmp_path / "out")
    assert [] == list(tmp_path.iterdir())


def test_the_command_exports_a_pair(own, tmp_path, capsys):
    """``nlakit export PAIR --out DIR`` writes what ``--pair DIR`` reads; a second time it is one sentence and exit 2."""
    source = str(own.save(tmp_path / "pair"))
    arguments = ["export", source, "--out", str(tmp_path / "out")]

    codes = []
    for _ in range(2):
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        codes.append(stop.value.code)

    assert [0, 2] == codes
    assert "exists already" in capsys.readouterr().err
    assert Pair.from_pretrained(tmp_path / "out", load_target=False).card.prompts == own.card.prompts


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["no-such-pair"], "there is no pair named 'no-such-pair'"),
        (["{pair}", "--dtype", "float16"], "weights cannot be stored as 'float16'"),
        (["{pair}/verbalizer"], "is no pair: it has no card.yaml"),
    ],
)
def test_an_export_that_cannot_be_is_one_sentence(own, tmp_path, changes, message, capsys):
    """An unknown pair, a type that overflows and half a pair end with 2, and nothing is written."""
    source = str(own.save(tmp_path / "pair"))

    with pytest.raises(SystemExit) as stop:
        main(["export", *(word.format(pair=source) for word in changes), "--out", str(tmp_path / "out")])

    assert 2 == stop.value.code
    err = capsys.readouterr().err
    assert message in err
    assert 1 == len(err.splitlines())
    assert ["pair"] == [path.name for path in tmp_path.iterdir()]
