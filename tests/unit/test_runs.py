"""Tests of nlakit.runs."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nlakit import runs
from nlakit.config import Recipe
from nlakit.errors import ConfigError, RunError, StorageFullError
from nlakit.recipe import load_recipe
from nlakit.runs import MetricsWriter, RunFolder, last_metrics, read_metrics
from nlakit.validation import override_settings

SETTINGS = {"seed": 0, "extract": {"rows": 5, "split": {"av": 0.25}}}

HOLD = """
import sys, time
from nlakit.runs import RunFolder
with RunFolder(sys.argv[1]).lock():
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def recipe() -> Recipe:
    return load_recipe("terrarium-quick")


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every fsync fails as on a full disk."""

    def no_space(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)


def test_a_folder_in_use_names_the_process_that_has_it(tmp_path: Path) -> None:
    """A second process is refused with the first one's number, and let in once that is killed."""
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path / "run")], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert "held" == holder.stdout.readline().strip()

        with pytest.raises(RunError, match=f"in use by process {holder.pid}"), RunFolder(tmp_path / "run").lock():
            pass
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.communicate()

    with RunFolder(tmp_path / "run").lock():
        pass


def test_a_lock_may_be_nested_and_is_given_back(tmp_path: Path) -> None:
    """A stage may lock the folder that its caller has locked; afterwards it is free."""
    folder = RunFolder(tmp_path / "run")
    with folder.lock():
        with folder.lock():
            pass
        with pytest.raises(RunError, match=str(os.getpid())), RunFolder(tmp_path / "run").lock():
            pass

    with RunFolder(tmp_path / "run").lock():
        pass


def test_a_folder_with_other_things_is_not_taken_for_a_run(tmp_path: Path) -> None:
    """Nothing is written into a folder that holds something else, or over a file."""
    (tmp_path / "thesis.txt").touch()

    with pytest.raises(RunError, match="is not empty and is no run folder"):
        RunFolder(tmp_path)
    with pytest.raises(RunError, match="is a file"):
        RunFolder(tmp_path / "thesis.txt")


def test_opening_a_run_that_is_none_creates_nothing(tmp_path: Path) -> None:
    """A mistyped run folder is an error, not a new folder."""
    with pytest.raises(RunError, match="is no run folder"):
        RunFolder.existing(tmp_path / "runs" / "typo")

    assert [] == list(tmp_path.iterdir())


def test_the_config_records_recipe_versions_commit_hardware_and_seed(tmp_path: Path, recipe: Recipe) -> None:
    """Everything that a stranger needs to repeat the run is in config.json."""
    folder = RunFolder(tmp_path / "run")
    folder.write_config(recipe)
    record = json.loads((folder.path / "config.json").read_text())

    assert {"recipe", "seed", "versions", "commit", "hardware", "written_at"} == set(record)
    assert {"python", "torch", "transformers", "nlakit"} <= set(record["versions"])
    assert recipe == folder.recipe() == RunFolder.existing(folder.path).recipe()


def test_the_config_is_rewritten_only_when_the_recipe_changes(tmp_path: Path, recipe: Recipe) -> None:
    """Resuming leaves the record of the first start alone."""
    folder = RunFolder(tmp_path / "run")
    folder.write_config(recipe)
    first = (folder.path / "config.json").stat().st_mtime_ns
    folder.write_config(recipe)
    assert first == (folder.path / "config.json").stat().st_mtime_ns

    changed = override_settings(recipe, ["train.steps=3"], "test")
    folder.write_config(changed)
    assert changed == folder.recipe()


def test_a_recipe_that_is_refused_at_once_leaves_no_record(tmp_path: Path, recipe: Recipe) -> None:
    """Refused before any stage began, a new folder has no config, as before; one that goes on has."""
    folder = RunFolder(tmp_path / "run")
    with pytest.raises(ConfigError), folder.recording(recipe):
        raise ConfigError("no")
    assert not (folder.path / "config.json").exists()

    with folder.recording(recipe):
        pass
    assert recipe == folder.recipe()


def test_a_stage_goes_from_absent_over_partial_to_done(tmp_path: Path) -> None:
    """The state of a stage follows what is on the disk, and its outputs can be asked for."""
    folder = RunFolder(tmp_path / "run")
    stage = folder.stage("store")

    assert "absent" == folder.check_stage("store", SETTINGS, folder.path / "store")
    with pytest.raises(RunError, match="has no finished stage 'store'"):
        _ = stage.outputs
    stage.begin(SETTINGS)
    assert "partial" == folder.check_stage("store", SETTINGS, folder.path / "store")
    stage.finish(SETTINGS, {"rows": 3})
    assert "done" == folder.check_stage("store", SETTINGS, folder.path / "store")
    assert {"rows": 3} == stage.outputs


def test_a_finished_stage_whose_output_is_gone_is_not_taken_as_done(tmp_path: Path) -> None:
    """What was moved away is asked for by its path, with the folder to delete."""
    folder = RunFolder(tmp_path / "run")
    folder.stage("store").finish(SETTINGS)

    with pytest.raises(RunError, match=r"what it wrote is gone: .*pair\. Put it back, or delete .*store"):
        folder.check_stage("store", SETTINGS, folder.path / "pair")


@pytest.mark.parametrize("finished", [True, False])
def test_other_settings_are_named(tmp_path: Path, finished: bool) -> None:
    """A stage made, or begun, with other settings is refused with each setting that differs."""
    folder = RunFolder(tmp_path / "run")
    folder.stage("store").begin(SETTINGS)
    if finished:
        folder.stage("store").finish(SETTINGS)

    with pytest.raises(RunError) as caught:
        folder.check_stage("store", {"seed": 1, "extract": {"rows": 5, "split": {"av": 0.5}, "new": "x"}}, folder.path)

    message = str(caught.value)
    assert "seed: was 0, now 1" in message
    assert "extract.split.av: was 0.25, now 0.5" in message
    assert 'extract.new: was not set, now "x"' in message
    assert "rows" not in message
    assert "Choose another --out, or delete" in message


def test_settings_compare_equal_after_json(tmp_path: Path, recipe: Recipe) -> None:
    """Models, tuples and their JSON form are the same settings."""
    folder = RunFolder(tmp_path / "run")
    settings: dict[str, Any] = {"extract": recipe.extract, "splits": ("av", "ar")}
    folder.stage("store").finish(settings)

    assert "done" == folder.check_stage("store", settings, folder.path / "store")


def test_a_damaged_record_is_a_user_error(tmp_path: Path) -> None:
    """A record that is not JSON is named, with what to do."""
    folder = RunFolder(tmp_path / "run")
    folder.stage("store").create()
    (folder.path / "store" / "done.json").write_text("{")

    with pytest.raises(RunError, match=r"done\.json cannot be read"):
        folder.check_stage("store", SETTINGS, folder.path / "store")


def test_a_record_without_what_it_should_hold_is_a_user_error(tmp_path: Path) -> None:
    """Another program's config.json is no recipe, and an empty finish mark no finished stage."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text('{"model_type": "llama"}')
    folder = RunFolder(tmp_path / "run")
    with pytest.raises(RunError, match=r"config\.json does not hold a mapping with recipe\. Put back"):
        folder.recipe()
    folder.stage("store").create()
    (folder.path / "store" / "done.json").write_text("{}")
    with pytest.raises(RunError, match=r"done\.json does not hold a mapping with settings, outputs\. Delete"):
        folder.check_stage("store", SETTINGS, folder.path)


def test_metrics_are_appended_and_read_by_stage(tmp_path: Path) -> None:
    """Lines of several stages share a file and are told apart."""
    folder = RunFolder(tmp_path / "run")
    with folder.metrics("warm-start") as metrics:
        metrics.write(1, {"loss": 2.5, "said": "one\u2028line"})
    with folder.metrics("train") as metrics:
        metrics.write(1, {"fve": 0.5, "kl": float("nan")})

    path = folder.path / "metrics.jsonl"
    assert [{"stage": "warm-start", "step": 1, "loss": 2.5, "said": "one\u2028line"}] == read_metrics(
        path, "warm-start"
    )
    assert [{"stage": "train", "step": 1, "fve": 0.5, "kl": None}] == read_metrics(path, "train")
    assert 2 == len(read_metrics(path))
    assert [] == read_metrics(tmp_path / "none.jsonl")


def test_a_resumed_stage_does_not_double_lines(tmp_path: Path) -> None:
    """Lines past the checkpoint go, those of other stages stay, and a line cut short by a crash goes."""
    folder = RunFolder(tmp_path / "run")
    with folder.metrics("warm-start") as metrics:
        metrics.write(9, {})
    with folder.metrics("train") as metrics:
        for step in (1, 2, 3):
            metrics.write(step, {})
    path = folder.path / "metrics.jsonl"
    with path.open("a") as file:
        file.write('{"stage": "train", "st')

    with folder.metrics("train") as metrics:
        metrics.truncate_after(2)
        metrics.write(3, {"again": True})

    assert [("warm-start", 9), ("train", 1), ("train", 2), ("train", 3)] == [
        (line["stage"], line["step"]) for line in read_metrics(path)
    ]
    assert [True] == [line["again"] for line in read_metrics(path) if "again" in line]


def test_a_line_that_a_crash_cut_inside_a_character_is_dropped(tmp_path: Path) -> None:
    """Half of a letter at the end of the file costs that line and nothing else."""
    path = tmp_path / "samples.jsonl"
    path.write_bytes(b'{"stage": "train", "step": 1}\n{"stage": "train", "text": "f\xc3')

    assert [line["step"] for line in read_metrics(path)] == [1]
    with MetricsWriter(path, "train") as samples:
        samples.write(2, {"text": "für"})
    assert [line["step"] for line in read_metrics(path)] == [1, 2]


def test_the_last_line_is_found_without_reading_what_is_before(tmp_path: Path) -> None:
    """It is the last of all lines, also beside one that is being written, in a longer file, and in none at all."""
    path = tmp_path / "metrics.jsonl"
    assert last_metrics(path) is None
    line = json.dumps({"stage": "train", "step": 1, "text": "é" * 50}, ensure_ascii=False) + "\n"
    path.write_text(line * (140_000 // len(line)) + '{"stage": "train", "step": 7}\n{"stage": "tr', encoding="utf-8")
    assert last_metrics(path) == {"stage": "train", "step": 7} == read_metrics(path)[-1]


def test_metrics_on_a_full_disk_are_a_user_error(tmp_path: Path, full_disk: None) -> None:
    """A full disk while logging is said in the same words as everywhere."""
    with (
        pytest.raises(StorageFullError, match=r"metrics\.jsonl"),
        RunFolder(tmp_path / "run").metrics("train") as metrics,
    ):
        metrics.write(1, {})


def test_the_commit_is_none_outside_a_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without git the record says that the commit is unknown."""

    def no_git(*_: object, **__: object) -> None:
        raise FileNotFoundError("git")

    monkeypatch.setattr(subprocess, "run", no_git)

    assert runs.commit() is None


def test_what_was_measured_is_no_output(tmp_path: Path) -> None:
    """Speed, which differs each time, is recorded apart from the outputs, and only where there is some."""
    stage = RunFolder(tmp_path).stage("store")
    stage.begin(SETTINGS)
    stage.finish(SETTINGS, {"rows": 3}, {"rows_per_second": 1.5})
    measured = json.loads((stage.path / "done.json").read_text())["measured"]
    stage.finish(SETTINGS, {"rows": 3})

    assert {"rows_per_second": 1.5} == measured
    assert {"rows": 3} == stage.outputs
    assert "measured" not in json.loads((stage.path / "done.json").read_text())


def test_a_command_that_is_refused_leaves_no_folder(tmp_path: Path) -> None:
    """What is refused before any stage began leaves nothing behind: no folder where none was, no record where one was."""
    (tmp_path / "empty").mkdir()
    for name, expected in (("new", None), ("empty", [])):
        folder = RunFolder(tmp_path / name)
        with pytest.raises(ConfigError), folder.lock(), folder.recording(load_recipe("terrarium-quick")):
            raise ConfigError("no such layer")
        left = tmp_path / name
        assert (sorted(p.name for p in left.iterdir() if p.name != ".lock") if left.exists() else None) == expected
