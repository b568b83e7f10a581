"""Killed at a random moment and started again, training ends where it would have ended anyway."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nlakit.config import Recipe
from nlakit.pipeline import run_stages
from nlakit.progress import Progress
from nlakit.runs import RunFolder, read_metrics
from nlakit.testing import tiny_recipe

TIME_FIELDS = {"seconds", "tokens_per_second"}

CHILD = """
import json, sys
from nlakit.recipe import recipe_from
from nlakit.pipeline import run_stages
from nlakit.progress import Progress
from nlakit.runs import RunFolder
recipe = recipe_from(json.loads(sys.argv[1]), "test")
run_stages(recipe, RunFolder(sys.argv[2]), Progress(silent=True), ["warm-start", "train", "evaluate"])
"""


def _start(recipe: Recipe, folder: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", CHILD, recipe.model_dump_json(), str(folder)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, env={**os.environ, "OMP_NUM_THREADS": "1"})


def _finish(recipe: Recipe, folder: Path) -> None:
    child = _start(recipe, folder)
    _, errors = child.communicate(timeout=400)
    assert child.returncode == 0, errors.decode()


def _kill_in(stage: str, recipe: Recipe, folder: Path, begun: Callable[[], bool]) -> None:
    """Run until the stage has begun, then a random moment longer, and kill -9."""
    child = _start(recipe, folder)
    deadline = time.monotonic() + 400
    while not begun():
        assert child.poll() is None, child.communicate()[1].decode()
        assert time.monotonic() < deadline
        time.sleep(0.005)
    time.sleep(random.uniform(0.0, 0.2))
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert child.returncode == -signal.SIGKILL, "the stage ended before it could be killed"
    assert not (folder / stage / "done.json").exists()


def _kill_at_line(stage: str, lines: int, recipe: Recipe, folder: Path) -> int:
    """Kill the stage soon after it has written that many lines; return the last step."""
    metrics = folder / "metrics.jsonl"
    _kill_in(stage, recipe, folder, lambda: len(read_metrics(metrics, stage)) >= lines)
    return int(read_metrics(metrics, stage)[-1]["step"])


def _measured(folder: Path) -> dict[str, Any]:
    found = json.loads((folder / "evaluate" / "evaluation.json").read_text(encoding="utf-8"))
    return {key: value for key, value in found.items() if key not in {"seconds", "created_at"}}


def _lines(path: Path) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [{key: value for key, value in line.items() if key not in TIME_FIELDS} for line in found]


def _weights(folder: Path) -> dict[str, str]:
    paths = sorted(
        [*(folder / "pair").rglob("*.safetensors"), *(folder / "warm-start" / "pair").rglob("*.safetensors")]
    )
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


@pytest.mark.slow
@pytest.mark.timeout(600)  # four fresh interpreters; a busy machine needs its time
def test_killed_training_ends_bit_for_bit_like_an_unbroken_one(tmp_path: Path) -> None:
    """Killed in the warm start, in reinforcement learning and in the evaluation: the same weights, lines and measures."""
    warm_start = {"verbalizer_epochs": 6, "reconstructor_epochs": 2, "verbalizer_learning_rate": 5e-3}
    train = {"steps": 24, "max_new_tokens": 40, "checkpoint_every": 4, "evaluate_every": 6, "sample_every": 3}
    recipe = tiny_recipe(tmp_path, warm_start=warm_start, train=train)
    unbroken, broken = tmp_path / "unbroken", tmp_path / "broken"
    run_stages(recipe, RunFolder(unbroken), Progress(silent=True), ["extract", "annotate"])
    shutil.copytree(unbroken, broken)
    _finish(recipe, unbroken)

    warm_steps = _kill_at_line("warm-start", random.randint(4, 30), recipe, broken)
    steps = _kill_at_line("train", random.randint(2, 12), recipe, broken)
    _kill_in("evaluate", recipe, broken, (broken / "evaluate" / "settings.json").exists)
    _finish(recipe, broken)

    assert 0 < warm_steps < 60
    assert 0 < steps < 24
    assert len(_weights(unbroken)) == 11
    assert _weights(unbroken) == _weights(broken)
    for name in ("metrics.jsonl", "samples.jsonl", "alarms.jsonl"):
        assert _lines(unbroken / name) == _lines(broken / name)
    assert _measured(unbroken) == _measured(broken)
    trained = [line for line in _lines(unbroken / "metrics.jsonl") if line["stage"] == "train"]
    assert [line["step"] for line in trained] == list(range(25))
    assert any(line.get("reconstructor_grad_norm", 0) > 0 for line in trained), "no sample could be parsed"
