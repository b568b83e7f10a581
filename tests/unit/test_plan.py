"""The plan of a run: what it says of the published ones, and how it grows."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from nlakit.cli import main
from nlakit.errors import ConfigError
from nlakit.models.sizes import sizes_of
from nlakit.plan import PUBLISHED, Plan, Sizes, make_plan, parse_gpus
from nlakit.recipe import recipe_from
from nlakit.testing import tiny_model
from nlakit.validation import override_settings

QWEN = {
    "model_type": "qwen2",
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "vocab_size": 152064,
}
GEMMA = {
    "model_type": "gemma3_text",
    "hidden_size": 5376,
    "intermediate_size": 21504,
    "num_hidden_layers": 62,
    "num_attention_heads": 32,
    "num_key_value_heads": 16,
    "head_dim": 128,
    "vocab_size": 262208,
}


def sizes(tmp_path, config, layer) -> Sizes:
    (tmp_path / "config.json").write_text(json.dumps(config))
    return sizes_of(str(tmp_path), layer)


def plan(found: Sizes, gpus: str, *changes: str, lora: bool = False) -> Plan:
    recipe = override_settings(recipe_from(PUBLISHED, "test"), ["corpus.documents=100000", *changes], "test")
    return make_plan(found, recipe, *parse_gpus(gpus), lora=lora, tokens_per_document=1000)


def test_the_published_warm_start_comes_out(tmp_path):
    """Qwen2.5-7B on two H100: 5.0 s a step of the verbalizer and about 3 s of the reconstructor, within a quarter."""
    found = plan(sizes(tmp_path, QWEN, 20), "H100:2").seconds_per_step

    assert found["warm-start verbalizer"] == pytest.approx(5.0, rel=0.25)
    assert found["warm-start reconstructor"] == pytest.approx(3.0, rel=0.25)


def test_the_published_reinforcement_learning_comes_out(tmp_path):
    """A pair of 27 B on sixteen H100 takes about a day and a half to the step at which it was at FVE 0.70, within a quarter."""
    assert plan(sizes(tmp_path, GEMMA, 41), "H100:16").hours["train"] / 24 == pytest.approx(1.5, rel=0.25)


@pytest.mark.parametrize("family", ["llama", "gemma3", "mixtral"])
def test_parameters_are_counted_without_weights(family, tmp_path):
    """A configuration alone gives the number of parameters that the built model has."""
    model = tiny_model(family=family)
    model.config.save_pretrained(tmp_path)

    assert sizes_of(str(tmp_path), 1).parameters == sum(weight.numel() for weight in model.parameters())


def test_a_mixture_is_charged_for_the_experts_it_uses(tmp_path):
    """With two of four experts a token, half of the experts' parameters count as work and all as memory."""
    tiny_model(family="mixtral").config.save_pretrained(tmp_path)
    found = sizes_of(str(tmp_path), None)

    assert 0.4 * found.parameters < found.active < 0.8 * found.parameters


def test_more_of_everything_takes_more(tmp_path):
    """Documents cost disk and hours, GPUs save hours and memory, adapters save memory."""
    found = sizes(tmp_path, QWEN, 20)
    one, two, adapters = plan(found, "H100:1"), plan(found, "H100:2"), plan(found, "H100:2", lora=True)
    many = plan(found, "H100:2", "corpus.documents=200000")

    assert many.disk_gib["store"] == pytest.approx(2 * two.disk_gib["store"])
    assert many.hours["warm-start"] == pytest.approx(2 * two.hours["warm-start"])
    assert one.total_hours > two.total_hours
    assert one.memory_gib["train"] > two.memory_gib["train"] > adapters.memory_gib["train"]
    assert replace(two, hours={}).total_hours == 0


def test_an_unknown_gpu_is_refused_with_the_nearest():
    """The message names what is known."""
    with pytest.raises(ConfigError, match="H100"):
        parse_gpus("H10:8")
    with pytest.raises(ConfigError, match="no number of GPUs"):
        parse_gpus("H100:many")


def test_the_command_prints_a_plan(tmp_path, capsys):
    """`nlakit plan --json` has hours, memory, disk, teacher tokens and their price."""
    (tmp_path / "config.json").write_text(json.dumps(QWEN))
    with pytest.raises(SystemExit) as stop:
        main(["plan", "--model", str(tmp_path), "--gpu", "H100:8", "--price", "1,10", "--json"])
    found = json.loads(capsys.readouterr().out)

    assert not stop.value.code
    assert found["mode"] == "lora"
    assert found["teacher_price"] == pytest.approx(
        (found["teacher_tokens_in"] + 10 * found["teacher_tokens_out"]) / 1e6
    )
    assert found["memory_gib"].keys() == {"extract", "warm-start", "train"}


def test_grounding_is_planned_where_the_recipe_asks_for_it(tmp_path):
    """A first round of one epoch and the reading of all texts: hours of its own, growing with its epochs, and none without."""
    found = sizes(tmp_path, QWEN, 20)
    plain, grounded = plan(found, "H100:2"), plan(found, "H100:2", "ground.by=likelihood")
    longer = plan(found, "H100:2", "ground.by=likelihood", "ground.epochs=2")

    assert "ground" not in plain.hours
    assert 0 < grounded.hours["ground"] < longer.hours["ground"]
    assert grounded.hours["warm-start"] == plain.hours["warm-start"]
