"""A run with a teacher behind an endpoint, through the command a user types: approval, refusal, kill -9, what is kept."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.unit.data.providers.server import GOOD, Answer, Endpoint, anthropic, failure, serving

from nlakit import plugins
from nlakit.cli import main
from nlakit.config import Recipe
from nlakit.data import annotate, extract
from nlakit.data.instruction import INSTRUCTION
from nlakit.data.providers import make_anthropic_teacher
from nlakit.errors import SpendingError
from nlakit.evaluate.evaluation import Evaluation
from nlakit.pipeline import run_stages
from nlakit.progress import Progress
from nlakit.runs import RunFolder
from nlakit.testing import tiny_recipe

KEY = "sk-test-0123456789abcdef"
YES = Progress(silent=True, yes=True)


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    load = plugins.load
    monkeypatch.setattr(
        plugins, "load", lambda group, name: make_anthropic_teacher if name == "anthropic" else load(group, name)
    )
    monkeypatch.setenv("NLAKIT_TEST_KEY", KEY)
    with serving() as found:
        yield found


@pytest.fixture
def made(tmp_path: Path, endpoint: Endpoint) -> tuple[Recipe, RunFolder]:
    """Extract a small store for a recipe whose teacher is the endpoint."""
    recipe = recipe_for(tmp_path, endpoint)
    folder = RunFolder(tmp_path / "run")
    run_stages(recipe, folder, YES, ["extract"])
    return recipe, folder


def recipe_for(tmp_path: Path, endpoint: Endpoint, **calls: Any) -> Recipe:
    annotate = {
        "teacher": "anthropic",
        "options": {"model": "m-1", "base_url": endpoint.url},
        "calls": {"key_env": "NLAKIT_TEST_KEY", "attempts": 1, "concurrency": 2, **calls},
    }
    return tiny_recipe(tmp_path / "inputs", documents=40, extract={"shard_rows": 24}, annotate=annotate)


def ended(arguments: list[str]) -> int:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    return int(stop.value.code or 0)


def rows(folder: RunFolder) -> int:
    store = extract.open_store(folder)
    return sum(store.counts[f"rows_{split}"] for split in annotate.ANNOTATED_SPLITS)


def texts_in(folder: Path) -> Iterator[tuple[Path, bytes]]:
    for path in folder.rglob("*"):
        if path.is_file():
            yield path, path.read_bytes()


def test_nothing_is_asked_without_approval(
    made: tuple[Recipe, RunFolder], endpoint: Endpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where nobody can be asked, the command says the plan and ends with 2; --yes starts."""
    folder = made[1]
    assert 2 == ended(["annotate", "--out", str(folder.path)])
    said = capsys.readouterr().err
    assert f"anthropic, m-1 at {endpoint.url}: {rows(folder)} requests" in said
    assert "give --yes" in said
    assert [] == endpoint.asked
    assert not (folder.path / "annotate").exists()

    assert 0 == ended(["annotate", "--out", str(folder.path), "--yes"])
    assert rows(folder) == len(endpoint.asked)
    assert f"{rows(folder)} answers" in capsys.readouterr().err


def test_a_refused_key_leaves_nothing_half_written(
    made: tuple[Recipe, RunFolder], endpoint: Endpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    """One sentence, exit 2, no folder of the stage, and other options are then taken as if nothing had been."""
    endpoint.script(failure(401, f"bad key {KEY}"))
    folder = made[1].path
    before = {path: data for path, data in texts_in(folder) if path.name != ".lock"}

    assert 2 == ended(["annotate", "--out", str(folder), "--yes", "--quiet"])
    said = capsys.readouterr().err.strip()
    assert said.startswith("error: ")
    assert 1 == len(said.splitlines())
    assert "refuses the key in the environment variable NLAKIT_TEST_KEY" in said
    assert KEY not in said
    assert before == {path: data for path, data in texts_in(folder) if path.name != ".lock"}

    endpoint.script(anthropic())
    assert 0 == ended(["annotate", "--out", str(folder), "--yes", "--set", "annotate.options.model=m-2"])


def test_a_missing_key_is_told_before_the_extraction(
    tmp_path: Path, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that could not ask its teacher does not begin."""
    monkeypatch.delenv("NLAKIT_TEST_KEY")
    with pytest.raises(ValueError, match="NLAKIT_TEST_KEY is not set"):
        run_stages(recipe_for(tmp_path, endpoint), RunFolder(tmp_path / "run"), YES)
    assert not (tmp_path / "run" / "extract").exists()


def test_a_cap_stops_cleanly_and_can_be_raised(
    made: tuple[Recipe, RunFolder], endpoint: Endpoint, tmp_path: Path
) -> None:
    """The stage stops at the cap; with a higher one the same run goes on without paying for anything twice."""
    folder, total = made[1], rows(made[1])
    with pytest.raises(SpendingError, match="is reached"):
        run_stages(recipe_for(tmp_path, endpoint, max_tokens=12_000), folder, YES, ["annotate"])
    first = len(endpoint.asked)
    assert 3 < first < total

    run_stages(recipe_for(tmp_path, endpoint, max_tokens=10**9, concurrency=1), folder, YES, ["annotate"])
    assert total == len(endpoint.asked)


@pytest.mark.slow
def test_a_killed_run_does_not_pay_twice(made: tuple[Recipe, RunFolder], endpoint: Endpoint) -> None:
    """After kill -9 in the middle only requests that were under way are sent again, and the files equal an unbroken run's."""
    recipe, folder = made
    endpoint.answer = lambda asked, n: Answer(body=_about(asked.prompt), wait_s=0.05)
    script = (
        "import sys; from nlakit import plugins; from nlakit.data.providers import make_anthropic_teacher\n"
        "load = plugins.load\n"
        "plugins.load = lambda group, name: make_anthropic_teacher if name == 'anthropic' else load(group, name)\n"
        "from nlakit.cli import main; main(['annotate', '--out', sys.argv[1], '--yes'])\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", script, str(folder.path)], stderr=subprocess.DEVNULL, env=os.environ
    )
    deadline = time.monotonic() + 120
    while len(endpoint.asked) < 30 and time.monotonic() < deadline and child.poll() is None:
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.wait()
    sent = len(endpoint.asked)
    assert 30 <= sent < rows(folder)

    run_stages(recipe, folder, YES, ["annotate"])
    assert len(endpoint.asked) <= rows(folder) + recipe.annotate.calls.concurrency
    resumed = {path.name: path.read_bytes() for path in (folder.path / "annotate").glob("shard-*")}

    whole = RunFolder(folder.path.parent / "whole")
    run_stages(recipe, whole, YES, ["extract", "annotate"])
    assert resumed == {path.name: path.read_bytes() for path in (whole.path / "annotate").glob("shard-*")}


def _about(prompt: str) -> dict[str, Any]:
    """A reply that depends on what was asked."""
    return dict(anthropic(GOOD.replace("a cat", prompt.split("<passage>\n")[1][:12])).body)


def test_the_whole_run_knows_its_teacher_and_no_key(tmp_path: Path, endpoint: Endpoint) -> None:
    """The card has model and instruction, evaluation uses the answers that were paid for, and no file holds the key."""
    recipe = recipe_for(tmp_path, endpoint)
    folder = RunFolder(tmp_path / "run")
    endpoint.answer = lambda asked, n: Answer(body=_about(asked.prompt))
    run_stages(recipe, folder, YES, ["extract", "annotate", "warm-start", "evaluate"])
    data = yaml.safe_load((folder.path / "warm-start" / "pair" / "card.yaml").read_text())["data"]

    assert {"model": "m-1", "endpoint": endpoint.url, "instruction": INSTRUCTION} == {
        key: value for key, value in data["teacher"].items() if key != "fingerprint"
    }
    assert "calls" not in data["annotate"]
    assert rows(folder) == len(endpoint.asked)
    measures = Evaluation.load(folder.path / "evaluate").measures
    assert measures["fve_teacher_text"].n > 0
    assert [] == [path for path, content in texts_in(folder.path) if KEY.encode() in content]


def test_measuring_never_pays(tmp_path: Path, endpoint: Endpoint) -> None:
    """Without the answers that were paid for, what needs the teacher is left out with the reason."""
    recipe = recipe_for(tmp_path, endpoint)
    folder = RunFolder(tmp_path / "run")
    run_stages(recipe, folder, YES, ["extract", "annotate", "warm-start"])
    asked = len(endpoint.asked)
    (folder.path / "answers").rename(folder.path / "elsewhere")
    run_stages(recipe, folder, YES, ["evaluate"])
    left_out = Evaluation.load(folder.path / "evaluate").left_out

    assert "would have to be paid for" in left_out["fve_teacher_text"]
    assert asked == len(endpoint.asked)
