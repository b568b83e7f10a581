"""Families of models: a tiny random one of each goes through the whole pipeline."""

from __future__ import annotations

from pathlib import Path

import pytest
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM

from nlakit import Pair
from nlakit.errors import ModelError
from nlakit.models.loading import quiet_transformers
from nlakit.models.target import Target
from nlakit.pipeline import run_stages
from nlakit.progress import Progress
from nlakit.runs import RunFolder
from nlakit.testing import FAMILIES, tiny_recipe, tiny_target_folder, tiny_tokenizer

TRAINED = ["extract", "annotate", "warm-start", "train"]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_pair_is_trained_saved_and_reads(family: str, tmp_path: Path) -> None:
    """Extract, warm start, reinforcement learning, saving, loading and reading work for this family."""
    folder = tiny_target_folder(tmp_path / "target", family=family)
    recipe = tiny_recipe(
        tmp_path,
        documents=24,
        target={"model": str(folder)},
        train={"steps": 2, "evaluate_every": 1, "evaluate_rows": 4},
    )

    outputs = run_stages(recipe, RunFolder(tmp_path / "run"), Progress(silent=True), TRAINED)
    pair = Pair.from_pretrained(outputs["train"])
    readings = pair.read("The cat sat on the mat near the red door.", positions=[3, -1])

    assert len(readings) == 2
    assert pair.card.target.fingerprint == Target.load(folder).fingerprint


@pytest.mark.parametrize(
    ("family", "settings", "reason"),
    [
        ("mamba", {"state_size": 8}, "not the hidden states the model reports"),
        ("t5", {"d_kv": 16, "d_ff": 64}, "cannot load a model"),
    ],
)
def test_a_family_that_cannot_work_is_refused_with_the_reason(
    family: str, settings: dict[str, int], reason: str, tmp_path: Path
) -> None:
    """What has no stream of blocks, or cannot write from one, is refused when it is loaded."""
    config = AutoConfig.for_model(family, hidden_size=32, num_hidden_layers=2, vocab_size=400, **settings)
    with quiet_transformers():
        loader = AutoModelForCausalLM if family == "mamba" else AutoModelForSeq2SeqLM
        loader.from_config(config).save_pretrained(tmp_path)
        tiny_tokenizer().save_pretrained(tmp_path)

    with pytest.raises(ModelError, match=reason):
        Target.load(tmp_path)
