"""Killed at random moments and started again, extraction and annotation give the bytes of an unbroken run."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from nlakit.config import Recipe
from nlakit.data import extract
from nlakit.runs import RunFolder
from nlakit.testing import tiny_recipe

DOCUMENTS = 60
SHARDS = 30

CHILD = """
import json, sys
from nlakit.recipe import recipe_from
from nlakit.pipeline import run_stages
from nlakit.progress import Progress
from nlakit.runs import RunFolder
recipe = recipe_from(json.loads(sys.argv[1]), "test")
run_stages(recipe, RunFolder(sys.argv[2]), Progress(silent=True), ["extract", "annotate"])
"""


@contextmanager
def started(recipe: Recipe, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run both stages in a child process, which never outlives the test."""
    command = [sys.executable, "-c", CHILD, recipe.model_dump_json(), str(folder)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, env=environment) as child:
        try:
            yield child
        finally:
            child.kill()


def finish(recipe: Recipe, folder: Path) -> None:
    with started(recipe, folder) as child:
        _, errors = child.communicate(timeout=200)
        assert child.returncode == 0, errors.decode()


def kill_in(stage: str, recipe: Recipe, folder: Path) -> int:
    """Run until a random number of shards is written, then a random moment longer, and kill -9; return the shards."""
    wanted = random.randint(1, SHARDS // 3)
    deadline = time.monotonic() + 200
    with started(recipe, folder) as child:
        while len(list((folder / stage).glob("shard-*.parquet"))) < wanted:
            assert child.poll() is None, child.communicate()[1].decode()
            assert time.monotonic() < deadline
            time.sleep(0.001)
        time.sleep(random.uniform(0.0, 0.02))
        child.kill()
        child.communicate()
        assert child.returncode == -signal.SIGKILL, "the stage ended before it could be killed"
    assert not (folder / stage / "done.json").exists()
    return len(list((folder / stage).glob("shard-*.parquet")))


def contents(folder: Path) -> dict[str, object]:
    """Return the bytes of every file of both stages; of the markers all but the times."""
    found: dict[str, object] = {}
    for path in sorted([*(folder / "extract").iterdir(), *(folder / "annotate").iterdir()]):
        name = path.relative_to(folder).as_posix()
        if path.name == "done.json":
            marker = json.loads(path.read_text(encoding="utf-8"))
            found[name] = {key: value for key, value in marker.items() if key not in ("finished_at", "measured")}
        else:
            found[name] = path.read_bytes()
    return found


@pytest.mark.slow
def test_killed_stages_end_byte_for_byte_like_unbroken_ones(tmp_path: Path) -> None:
    """Killed once in each stage at a random moment: the same files with the same bytes, and none besides."""
    recipe = tiny_recipe(tmp_path / "inputs", documents=DOCUMENTS, extract={"shard_rows": 6})
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    finish(recipe, whole)
    assert 0 < kill_in("extract", recipe, broken) < SHARDS
    assert 0 < kill_in("annotate", recipe, broken) < SHARDS
    finish(recipe, broken)

    expected, found = contents(whole), contents(broken)
    assert expected.keys() == found.keys()
    assert [] == [name for name in expected if expected[name] != found[name]]
    store = extract.open_store(RunFolder(broken))
    assert SHARDS == len(store.manifest.shards)
    assert [] == store.verify()


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds worker processes as Linux shows them")
@pytest.mark.parametrize("victim", ["a worker", "the caller"])
def test_killed_workers_end_byte_for_byte_like_one_process(tmp_path: Path, victim: str) -> None:
    """With two workers, one of them or their caller killed: no process stays, and going on gives the bytes of one process."""
    recipe = tiny_recipe(tmp_path / "inputs", documents=DOCUMENTS, extract={"shard_rows": 6})
    shared = recipe.model_copy(update={"extract": recipe.extract.model_copy(update={"workers": 2})})
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    finish(recipe, whole)
    with started(shared, broken) as child:
        deadline = time.monotonic() + 200
        while not list((broken / "extract").glob("shard-*.parquet")):
            assert child.poll() is None, child.communicate()[1].decode()
            assert time.monotonic() < deadline
            time.sleep(0.001)
        workers = workers_of(child.pid)
        os.kill(workers[0] if victim == "a worker" else child.pid, signal.SIGKILL)
        _, errors = child.communicate(timeout=100)
    if victim == "a worker":
        assert "RunError: a worker process ended without an answer (exit code -9" in errors.decode()
    while any(map(running, workers)):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert not (broken / "extract" / "done.json").exists()
    finish(shared, broken)

    expected, found = contents(whole), contents(broken)
    assert expected.keys() == found.keys()
    assert [] == [name for name in expected if name != "extract/done.json" and expected[name] != found[name]]


def workers_of(process: int) -> list[int]:
    """Return the worker processes of a process."""
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return [int(child) for child in children if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]


def running(process: int) -> bool:
    """Whether a process is still there, and not only waiting for somebody to ask how it ended."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
