"""The same pipeline on a GPU; skipped where PyTorch can use none."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from nlakit import Pair
from nlakit.pipeline import run_recipe
from nlakit.progress import Progress
from nlakit.runs import read_metrics
from nlakit.testing import tiny_recipe

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch can use no GPU here"),
]
TEXT = "The cat sat on the mat near the red door."


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("mode", ["full", "lora"])
def test_a_pair_is_trained_measured_and_reads(
    mode: str, dtype: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole models and adapters, in both number types: every stage runs, sampling and training agree, and the pair reads."""
    monkeypatch.setenv("NLAKIT_DEVICE", "cuda")
    recipe = tiny_recipe(
        tmp_path, target={"dtype": dtype}, adapters={"mode": mode}, memory={"recompute": "always"}, train={"steps": 2}
    )

    report = run_recipe(recipe, tmp_path / "run", Progress(silent=True))
    pair = Pair.from_pretrained(tmp_path / "run" / "pair")

    assert report.is_file()
    assert pair.verbalizer.device.type == "cuda"
    assert pair.card.target.dtype == dtype
    assert len(pair.read(TEXT, positions=[3, -1])) == 2
    gaps = [line["rollout_gap"] for line in read_metrics(tmp_path / "run" / "metrics.jsonl", "train")[1:]]
    assert max(gaps) < (1e-3 if dtype == "float32" else 0.2)


def test_vectors_and_scores_are_those_of_the_processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a GPU reads and rebuilds differs from the processor by rounding alone."""
    run_recipe(tiny_recipe(tmp_path), tmp_path / "run", Progress(silent=True))
    found = {}
    for device in ("cpu", "cuda"):
        monkeypatch.setenv("NLAKIT_DEVICE", device)
        pair = Pair.from_pretrained(tmp_path / "run" / "pair")
        found[device] = ([reading.norm for reading in pair.read(TEXT)], pair.reconstruct(["a cat", "a red door"]))

    assert found["cuda"][0] == pytest.approx(found["cpu"][0], rel=1e-3)
    torch.testing.assert_close(found["cuda"][1], found["cpu"][1], atol=1e-3, rtol=1e-2)
