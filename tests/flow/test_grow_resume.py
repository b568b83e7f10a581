"""Killed at a random moment and started again, the growth of a target ends where it would have ended anyway."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nlakit.errors import RunError
from nlakit.models.loading import load_tokenizer
from nlakit.progress import Progress
from nlakit.runs import folder_lock, read_metrics
from nlakit.terrarium import target_folder
from nlakit.terrarium.target import GrowConfig, grow

CONFIG = GrowConfig(steps=100, lessons=50, documents_per_step=2, width=32, blocks=2, checkpoint_every=10)
CHILD = """
import sys
from pathlib import Path
from nlakit.progress import Progress
from nlakit.terrarium.target import GrowConfig, grow
grow(GrowConfig.model_validate_json(sys.argv[1]), Path(sys.argv[2]), Progress(silent=True))
"""


def _start(folder: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", CHILD, CONFIG.model_dump_json(), str(folder)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, env={**os.environ, "OMP_NUM_THREADS": "1"})


def _finish(folder: Path) -> None:
    child = _start(folder)
    _, errors = child.communicate(timeout=400)
    assert child.returncode == 0, errors.decode()


def _begun(folder: Path) -> Path:
    """Make a folder of growth that has its tokenizer: learning one takes longer than all the rest."""
    load_tokenizer(target_folder()).save_pretrained(folder / "tokenizer")
    return folder


@pytest.mark.slow
@pytest.mark.timeout(600)  # three fresh interpreters; a busy machine needs its time
def test_a_killed_growth_ends_bit_for_bit_like_an_unbroken_one(tmp_path: Path) -> None:
    """The same weights and the same lines of metrics, each once."""
    unbroken, broken = _begun(tmp_path / "unbroken"), _begun(tmp_path / "broken")
    _finish(unbroken)

    child = _start(broken)
    while len(read_metrics(broken / "metrics.jsonl")) < 2:
        assert child.poll() is None, child.communicate()[1].decode()
        time.sleep(0.005)
    time.sleep(random.uniform(0.0, 0.2))
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert not (broken / "target").exists(), "the growth ended before it could be killed"
    _finish(broken)

    weights = Path("target") / "model.safetensors"
    assert (unbroken / weights).read_bytes() == (broken / weights).read_bytes()
    assert read_metrics(unbroken / "metrics.jsonl") == read_metrics(broken / "metrics.jsonl")


def test_a_growth_keeps_its_settings(tmp_path: Path) -> None:
    """Other settings are refused and named; nothing of what was grown is touched."""
    short = CONFIG.model_copy(update={"steps": 2})
    grow(short, _begun(tmp_path), Progress(silent=True))
    before = (tmp_path / "target" / "model.safetensors").read_bytes()

    with pytest.raises(RunError, match="steps: was 2, now 100"):
        grow(CONFIG, tmp_path, Progress(silent=True))
    assert (tmp_path / "target" / "model.safetensors").read_bytes() == before


def test_two_processes_cannot_grow_in_one_folder(tmp_path: Path) -> None:
    """The second is told who has the folder."""
    with folder_lock(tmp_path), pytest.raises(RunError, match=f"in use by process {os.getpid()}"):
        grow(CONFIG, tmp_path, Progress(silent=True))
