"""The tiny end-to-end flow: from documents to a report, through the command a user types."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from nlakit.cli import main
from nlakit.config import GroundConfig, Recipe, Scalar, plain
from nlakit.errors import ConfigError, RunError, UserError
from nlakit.pipeline import GROW, run_recipe, run_stages, stages_of
from nlakit.progress import Progress
from nlakit.runs import RunFolder, read_metrics
from nlakit.testing import tiny_recipe
from nlakit.validation import override_settings

SILENT = Progress(silent=True)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    return tiny_recipe(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def run(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    run_recipe(recipe, folder, SILENT)
    return folder


def ended(arguments: list[str]) -> int:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    return int(stop.value.code or 0)


def toml(value: Any) -> str:
    """Write a settings table as an inline TOML value, keys that are none left out."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {toml(item)}" for key, item in value.items() if item is not None) + "}"
    return json.dumps(value)


def test_a_run_leaves_its_whole_record(run: Path) -> None:
    """Config, metrics of both trainings, a pair and a self-contained report are there at the end."""
    assert (run / "config.json").is_file()
    assert (run / "pair" / "card.yaml").is_file()
    assert read_metrics(run / "metrics.jsonl", "warm-start")
    assert read_metrics(run / "metrics.jsonl", "train")
    html = (run / "report" / "report.html").read_text()
    assert "<svg" in html
    assert 'src="http' not in html


def test_a_misspelt_teacher_is_told_before_the_extraction(recipe: Recipe, tmp_path: Path) -> None:
    """A run whose second stage could not begin does not do its first."""
    wrong = override_settings(recipe, ["annotate.teacher=extractve"], "test")

    with pytest.raises(UserError, match="extractive"):
        run_recipe(wrong, tmp_path / "run", SILENT)

    assert not (tmp_path / "run" / "extract").exists()


def test_a_finished_run_is_not_done_again(run: Path, recipe: Recipe) -> None:
    """Running the same recipe again leaves everything but the report's own file untouched."""

    def state() -> dict[Path, int]:
        return {
            path: path.stat().st_mtime_ns
            for path in run.rglob("*")
            if path.is_file() and "report" not in path.parts and path.name != ".lock"
        }

    before = state()
    run_recipe(recipe, run, SILENT)

    assert before == state()


def test_changed_settings_stop_at_the_stage_they_belong_to(run: Path, recipe: Recipe) -> None:
    """Another number of steps is refused where it matters, and named; the run still knows its own recipe."""
    changed = recipe.model_copy(update={"train": recipe.train.model_copy(update={"steps": 9})})
    folder = RunFolder.existing(run)

    with pytest.raises(RunError, match=r"train\.steps: was 3, now 9"):
        run_stages(changed, folder, SILENT)
    assert folder.recipe() == recipe


def test_how_often_something_is_written_may_change(run: Path, recipe: Recipe) -> None:
    """Checkpoints and samples change nothing of what was learnt, so the stages stay done."""
    changed = {
        "train": {"sample_every": 1, "checkpoint_every": 7},
        "warm_start": {"checkpoint_every": 9, "log_every": 3},
    }
    tables = {name: getattr(recipe, name).model_copy(update=update) for name, update in changed.items()}
    before = (run / "train" / "done.json").read_bytes()
    run_stages(recipe.model_copy(update=tables), RunFolder.existing(run), SILENT, ["warm-start", "train"])
    assert before == (run / "train" / "done.json").read_bytes()
    run_stages(recipe, RunFolder.existing(run), SILENT, ["warm-start", "train"])


@pytest.mark.parametrize("setting", ["target.site=resid.99", "target.model=./typo", "annotate.teacher=nobody"])
def test_a_setting_that_cannot_be_leaves_the_run_its_recipe(run: Path, recipe: Recipe, setting: str) -> None:
    """After a mistyped setting the stages that follow still find the recipe that the run was made with."""
    folder = RunFolder.existing(run)
    with pytest.raises(UserError):
        run_stages(override_settings(recipe, [setting], "the test"), folder, SILENT)
    assert folder.recipe() == recipe


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("seed", 1, "seed: was 0, now 1"),
        ("target.site", "resid.0", "site: was"),
        ("annotate.options.words", 3, r"annotate\.options\.words: was 2, now 3"),
    ],
)
def test_a_card_cannot_claim_rows_that_were_made_otherwise(
    run: Path, recipe: Recipe, tmp_path: Path, key: str, value: Scalar, message: str
) -> None:
    """The warm start refuses a seed, site or teacher that its store and explanations do not have."""
    copied = tmp_path / "run"
    for stage in ("extract", "annotate"):
        shutil.copytree(run / stage, copied / stage)
    shutil.copy(run / "config.json", copied)
    changed = override_settings(recipe, [f"{key}={value}"], "the test")

    with pytest.raises(RunError, match=message):
        run_stages(changed, RunFolder.existing(copied), SILENT, ["warm-start"])


@pytest.mark.parametrize("stage", ["annotate", "warm-start", "train", "evaluate"])
def test_a_stage_without_its_predecessor_says_so(stage: str, recipe: Recipe, tmp_path: Path) -> None:
    """A stage that is asked for too early names what is missing."""
    with pytest.raises(RunError):
        run_stages(recipe, RunFolder(tmp_path / "run"), SILENT, [stage])


def test_a_recipe_that_names_its_target_grows_none(recipe: Recipe, tmp_path: Path) -> None:
    """The stage is not among its own; asked for by name, it says which recipes have it, and nothing is left behind."""
    assert GROW not in stages_of(recipe)
    with pytest.raises(ConfigError, match=r"there is nothing to grow.*real-text"):
        run_stages(recipe, RunFolder(tmp_path / "run"), SILENT, [GROW])
    assert [] == list((tmp_path / "run").iterdir())


def test_a_recipe_that_takes_the_texts_as_they_are_grounds_nothing(recipe: Recipe, tmp_path: Path) -> None:
    """Asked for by name, the stage says so and what to set, before a first round is trained for nothing."""
    taken = recipe.model_copy(update={"ground": GroundConfig(by="nothing")})
    with pytest.raises(ConfigError, match=r"there is nothing to ground.*ground\.by=likelihood"):
        run_stages(taken, RunFolder(tmp_path / "run"), SILENT, ["ground"])
    assert [] == list((tmp_path / "run").iterdir())


def test_the_commands_do_the_same_as_the_library(
    recipe: Recipe, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """``nlakit run FILE.toml`` ends with the weights that the library's own call made, bit for bit."""
    path = tmp_path / "tiny.toml"
    path.write_text("".join(f"{key} = {toml(value)}\n" for key, value in plain(recipe).items()))

    assert 0 == ended(["run", str(path), "--out", str(tmp_path / "run"), "--json"])
    assert stages_of(recipe) == list(json.loads(capsys.readouterr().out)["outputs"])
    for name in ("verbalizer/model.safetensors", "reconstructor/value_head.safetensors"):
        assert (run / "pair" / name).read_bytes() == (tmp_path / "run" / "pair" / name).read_bytes()


def test_evaluate_prints_one_object_of_measures(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each measure has value, interval, count and split."""
    assert 0 == ended(["evaluate", str(run / "pair"), "--rows", "8", "--json"])
    measures = json.loads(capsys.readouterr().out)

    assert {"fve", "fve_greedy", "fve_warm_start", "fve_teacher_text", "fve_shuffled", "parse_rate"} <= set(measures)
    assert all({"value", "low", "high", "n", "split"} == set(measure) for measure in measures.values())
    assert {"heldout"} == {measure["split"] for measure in measures.values()}


def test_a_store_is_verified(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A good store passes; one with a changed byte is named, exit 2."""
    assert 0 == ended(["store", "verify", str(run / "extract")])
    assert "every file is as it was written" in capsys.readouterr().out

    shard = next((run / "extract").glob("*.safetensors"))
    good = shard.read_bytes()
    try:
        shard.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
        assert 2 == ended(["store", "verify", str(run / "extract")])
        assert shard.name in capsys.readouterr().err
        assert 2 == ended(["store", "verify", str(run / "extract"), "--json"])
        assert json.loads(capsys.readouterr().out)["problems"]
    finally:
        shard.write_bytes(good)


def test_evaluate_of_a_run_is_its_stage(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is measured stays in the run, for the report and the card; with other settings the pair alone is measured."""
    copied = tmp_path / "run"
    shutil.copytree(run, copied)
    before = json.loads((copied / "evaluate" / "evaluation.json").read_text())["measures"]
    shutil.rmtree(copied / "evaluate")

    assert 0 == ended(["evaluate", str(copied), "--json"])
    printed = json.loads(capsys.readouterr().out)
    assert printed == before == json.loads((copied / "evaluate" / "evaluation.json").read_text())["measures"]
    assert 0 == ended(["evaluate", str(copied), "--rows", "9", "--json"])
    assert 9 == json.loads(capsys.readouterr().out)["fve"]["n"]
    assert before == json.loads((copied / "evaluate" / "evaluation.json").read_text())["measures"]
