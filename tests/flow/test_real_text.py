"""The recipe real-text in its smallest form: from a plain text to a report that says how well its target reads."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nlakit.cli import main
from nlakit.errors import RunError
from nlakit.models.pair import Pair
from nlakit.pipeline import run_stages, stages_of
from nlakit.progress import Progress
from nlakit.runs import RunFolder, read_metrics
from nlakit.testing import tiny_text_file

TINY = (
    "corpus.options.characters=120", "grow.width=32", "grow.blocks=2", "grow.vocabulary=512", "grow.epochs=8",
    "grow.warmup_steps=3", "grow.checkpoint_every=4", "grow.learning_rate=1e-2", "extract.rows_per_document=3",
    "annotate.options.words=2", "warm_start.batch_size=16", "train.steps=2", "train.prompts_per_step=4",
    "train.group_size=2", "train.max_new_tokens=24", "train.evaluate_rows=8", "evaluate.rows=24", "evaluate.bootstrap=50",
)  # fmt: skip


def arguments(command: str, text: Path, *more: str) -> list[str]:
    """A command with the recipe real-text, on a text."""
    settings = (f"corpus.path={text}", *TINY)
    return [command, "real-text", *(word for setting in settings for word in ("--set", setting)), "--quiet", *more]


def ended(words: list[str]) -> int:
    with pytest.raises(SystemExit) as stop:
        main(words)
    return int(stop.value.code or 0)


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_text_file(tmp_path_factory.mktemp("text") / "text.txt")


@pytest.fixture(scope="module")
def run(text: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "mine"
    assert 0 == ended(arguments("run", text, "--out", str(folder)))
    return folder


def test_every_stage_is_done(run: Path) -> None:
    """Growing comes first; each stage leaves its mark, and the pair at the end reads text with the grown target."""
    assert set(stages_of(RunFolder(run).recipe())) <= {
        path.name for path in run.iterdir() if (path / "done.json").is_file()
    }
    readings = Pair.from_pretrained(run / "pair").read("The cat sat on the mat.", positions=[3])

    assert len(readings) == 1


def test_the_report_says_how_well_the_target_reads(run: Path) -> None:
    """Its loss stands beside that of token frequencies, with interval and split, in the page, the text and the file."""
    report = json.loads((run / "report" / "report.json").read_text())
    found = report["grown_target"]
    loss, unigram = (found["measures"][name] for name in ("target_loss", "target_loss_unigram"))

    assert loss["split"] == unigram["split"] == "heldout"
    assert loss["low"] < loss["value"] < loss["high"]
    assert "held-out tokens" in unigram["definition"] or "unigram" in unigram["definition"]
    for name in ("report.html", "report.md"):
        page = (run / "report" / name).read_text()
        assert "grown from nothing on this text" in page
        assert f"it loses {loss['value']:.2f} nats a token" in page
        assert f"token frequencies alone lose {unigram['value']:.2f}" in page


def test_the_report_says_that_claims_were_not_checked(run: Path) -> None:
    """No truth is known of such a text: the words say so, nothing is graded, and readings stand beside their context."""
    report = json.loads((run / "report" / "report.json").read_text())
    page = (run / "report" / "report.html").read_text()

    assert any("true was not checked" in sentence for sentence in report["sentences"])
    assert "claims_true" not in report["measures"]
    assert {} == report["trust"]
    assert {"fve", "fve_shuffled", "fve_zero_vector", "fve_empty_text", "fve_teacher_text"} <= set(report["measures"])
    assert 'id="readings"' in page
    assert "<mark>" in page


def test_a_finished_run_is_not_done_again(run: Path, text: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same command once more finds every stage done, the growth among them."""
    before = {path: path.read_bytes() for path in run.glob("*/done.json") if path.parent.name != "report"}
    assert 0 == ended([word for word in arguments("run", text, "--out", str(run)) if word != "--quiet"])

    assert before == {path: path.read_bytes() for path in before}
    assert len(before) == capsys.readouterr().err.count("was done")


def test_a_stage_alone_takes_the_grown_target(run: Path, tmp_path: Path) -> None:
    """After the growth each stage can be done by itself; before it, the stage that is missing is named."""
    begun = tmp_path / "run"
    shutil.copytree(run / "grow", begun / "grow")
    shutil.copy(run / "config.json", begun)
    folder = RunFolder.existing(begun)
    run_stages(folder.recipe(), folder, Progress(silent=True), ["extract"])
    assert (begun / "extract" / "manifest.json").read_bytes() == (run / "extract" / "manifest.json").read_bytes()

    shutil.rmtree(begun / "grow")
    with pytest.raises(RunError, match="no finished stage 'grow'"):
        run_stages(folder.recipe(), folder, Progress(silent=True), ["annotate"])


def test_a_run_that_was_moved_still_finds_its_target(run: Path, tmp_path: Path) -> None:
    """The pair of a run that lies elsewhere now reads with the target beside it."""
    moved = tmp_path / "elsewhere"
    shutil.copytree(run, moved)
    shutil.move(run / "grow", run / "away")
    try:
        pair = Pair.from_pretrained(moved / "pair")
    finally:
        shutil.move(run / "away", run / "grow")

    assert pair.target is not None
    assert pair.target.folder == moved / "grow" / "target"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "holds no text"),
        ("Two lines.\n\nNo more.", "is too small: its 20 characters make 1 documents"),
        (b"na\xefve " * 500, "is not UTF-8"),
    ],
)
def test_a_text_that_cannot_do_is_told_at_once(
    content: str | bytes, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One message, exit 2, and no file in the run folder."""
    path = tmp_path / "text.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert 2 == ended(arguments("run", path, "--out", str(tmp_path / "run")))

    assert words in re.sub(r"\s+", " ", capsys.readouterr().err)
    assert [] == [entry.name for entry in (tmp_path / "run").rglob("*") if entry.name != ".lock"]


def test_without_a_text_the_recipe_asks_for_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No corpus.path: exit 2, and the message names the setting."""
    assert 2 == ended(["run", "real-text", "--out", str(tmp_path / "run"), "--quiet"])

    assert "needs corpus.path" in re.sub(r"\s+", " ", capsys.readouterr().err)
    assert [] == [entry.name for entry in (tmp_path / "run").rglob("*") if entry.name != ".lock"]


@pytest.mark.slow
@pytest.mark.timeout(600)  # fresh interpreters; a busy machine needs its time
def test_a_killed_growth_ends_bit_for_bit_like_an_unbroken_one(run: Path, text: Path, tmp_path: Path) -> None:
    """Killed with no warning, the same command goes on: the same target, and the same lines of metrics, each once."""
    broken = tmp_path / "broken"
    command = [sys.executable, "-m", "nlakit", *arguments("grow", text, "--out", str(broken))]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    child = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, env=environment)
    while not list((broken / "grow").glob("checkpoints/step-*/state.json")):
        assert child.poll() is None, child.communicate()[1].decode()
        time.sleep(0.005)
    time.sleep(random.uniform(0.0, 0.1))
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert not (broken / "grow" / "target").exists(), "the growth ended before it could be killed"
    unbroken = [*command[:-1], str(tmp_path / "unbroken")]
    for words in (command, unbroken):
        subprocess.run(words, check=True, capture_output=True, env=environment)

    for name in ("model.safetensors", "prediction.json", "tokenizer.json"):
        first, second = (folder / "grow" / "target" / name for folder in (broken, tmp_path / "unbroken"))
        assert first.read_bytes() == second.read_bytes()
    lines = [read_metrics(folder / "metrics.jsonl", "grow") for folder in (broken, tmp_path / "unbroken")]
    assert lines[0] == lines[1]
