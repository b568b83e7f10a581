from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from nlakit.config import Recipe
from nlakit.errors import DivergedError, InputError, RunError
from nlakit.models.pair import Pair
from nlakit.pipeline import run_stages
from nlakit.progress import Progress
from nlakit.runs import RunFolder, read_metrics
from nlakit.testing import tiny_recipe
from nlakit.train import grpo, learner
from nlakit.train.rollout import Rollout

SILENT = Progress(silent=True)


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> tuple[Recipe, Path]:
    """A finished warm start that has learnt to close its explanations; tests train on copies of it."""
    folder = tmp_path_factory.mktemp("grpo")
    recipe = tiny_recipe(
        folder,
        documents=50,
        warm_start={"verbalizer_epochs": 6, "verbalizer_learning_rate": 5e-3, "checkpoint_every": 50},
        train={"max_new_tokens": 40},
    )
    run_stages(recipe, RunFolder(folder / "run"), SILENT, ["extract", "annotate", "warm-start"])
    return recipe, folder / "run"


@pytest.fixture
def prepared(warm: tuple[Recipe, Path], tmp_path: Path) -> tuple[Recipe, RunFolder]:
    shutil.copytree(warm[1], tmp_path / "run")
    return warm[0], RunFolder(tmp_path / "run")


def _changed(recipe: Recipe, **train: Any) -> Recipe:
    return recipe.model_copy(update={"train": recipe.train.model_copy(update=train)})


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_training_leaves_a_pair_with_its_warm_start_and_a_record(prepared: tuple[Recipe, RunFolder]) -> None:
    """The pair loads, now and as it was before; metrics, samples and checkpoints are where the docs say."""
    recipe, run = prepared
    folder = grpo.run(recipe, run, SILENT)

    assert folder == run.path / "pair"
    trained, before = Pair.from_pretrained(folder, load_target=False), Pair.from_pretrained(folder, part="warm-start")
    record = trained.card.training
    assert record["train"]["figures"]["best_step"] in (0, 2, 3)
    assert set(record) == {"warm_start", "train"}
    weight, old = (p.verbalizer.model.get_input_embeddings().weight for p in (trained, before))
    assert torch.equal(weight, old) == (record["train"]["figures"]["best_step"] == 0)
    lines = read_metrics(run.path / "metrics.jsonl", "train")
    assert [line["step"] for line in lines] == [0, 1, 2, 3]
    measured = {"fve_validation", "fve_shuffled", "fve_zero", "own_cross_entropy_true", "own_cross_entropy_shuffled"}
    assert [measured <= set(line) for line in lines] == [True, False, True, True]
    stepwise = {"fve_batch", "reward", "error", "kl", "entropy", "length", "parse_rate", "cap_rate", "distinct"}
    assert all(
        stepwise | {"verbalizer_grad_norm", "reconstructor_grad_norm", "seconds"} <= set(line) for line in lines[1:]
    )
    assert {"context", "text", "error", "reward", "outcome"} <= set(_lines(run.path / "samples.jsonl")[0])
    steps = {path.name for path in (run.path / "train" / "checkpoints").iterdir()}
    assert steps == {"step-00000003", f"step-{record['train']['figures']['best_step']:08d}"}


def test_divergence_starts_at_zero_and_moves(prepared: tuple[Recipe, RunFolder]) -> None:
    """The logged divergence is exactly that of equal policies at the first step, and grows once weights change."""
    recipe, run = prepared
    grpo.run(_changed(recipe, verbalizer_learning_rate=3e-3, warmup_steps=0, steps=4), run, SILENT)
    values = [line["kl"] for line in read_metrics(run.path / "metrics.jsonl", "train")[1:]]
    assert values[0] == pytest.approx(0.0, abs=1e-6)
    assert max(values[1:]) > 1e-4


def test_a_large_coefficient_holds_the_policy_near_the_warm_start(warm: tuple[Recipe, Path], tmp_path: Path) -> None:
    """The divergence term acts: with a large weight the policy ends nearer to where it began than without."""
    recipe, source = warm
    ends = []
    for coefficient in (0.0, 300.0):
        run = tmp_path / str(coefficient)
        shutil.copytree(source, run)
        train = {"kl_coefficient": coefficient, "verbalizer_learning_rate": 3e-3, "warmup_steps": 0, "steps": 5}
        grpo.run(_changed(recipe, **train), RunFolder(run), SILENT)
        ends.append(read_metrics(run / "metrics.jsonl", "train")[-1]["kl"])
    assert ends[1] < ends[0] / 2


def test_finished_training_is_not_done_again(prepared: tuple[Recipe, RunFolder]) -> None:
    """The same settings return at once; other settings are an error that names them."""
    recipe, run = prepared
    grpo.run(recipe, run, SILENT)
    done = (run.path / "train" / "done.json").read_bytes()
    assert grpo.run(recipe, run, SILENT) == run.path / "pair"
    assert (run.path / "train" / "done.json").read_bytes() == done
    with pytest.raises(RunError, match=r"train\.steps: was 3, now 5"):
        grpo.run(_changed(recipe, steps=5), run, SILENT)


def test_explanations_longer_than_the_window_are_refused_before_anything_begins(
    prepared: tuple[Recipe, RunFolder],
) -> None:
    """A cap that the verbalizer's window has no room for is named, and the right one can follow in the same folder."""
    recipe, run = prepared
    with pytest.raises(InputError, match=r"max_new_tokens is 10000, and the window .* has room for \d+"):
        grpo.run(_changed(recipe, max_new_tokens=10_000), run, SILENT)
    assert grpo.run(recipe, run, SILENT).is_dir()


def test_training_needs_a_warm_start(prepared: tuple[Recipe, RunFolder]) -> None:
    """Without a finished warm start the missing stage is named."""
    recipe, run = prepared
    (run.path / "warm-start" / "done.json").unlink()
    with pytest.raises(RunError, match="'warm-start'"):
        grpo.run(recipe, run, SILENT)


@pytest.mark.parametrize("half", ["verbalizer", "reconstructor"])
def test_divergence_to_nan_stops_with_advice_and_keeps_a_checkpoint(
    prepared: tuple[Recipe, RunFolder], half: str
) -> None:
    """A learning rate far too high in either half is a DivergedError; the checkpoint of the step before stays."""
    recipe, run = prepared
    recipe = _changed(recipe, **{f"{half}_learning_rate": 1e30}, warmup_steps=0, checkpoint_every=1, evaluate_every=50)
    with pytest.raises(DivergedError, match="The last checkpoint is kept"):
        grpo.run(recipe, run, SILENT)
    assert list((run.path / "train" / "checkpoints").glob("step-*"))
    assert not (run.path / "pair").exists()


def test_no_validation_document_is_trained_on(
    prepared: tuple[Recipe, RunFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Vectors that pick the best checkpoint come from documents of which no row trains."""
    seen: list[grpo.PromptRows] = []
    load = grpo.PromptRows.load
    monkeypatch.setattr(grpo.PromptRows, "load", lambda *args: seen.append(load(*args)) or seen[-1])
    recipe, run = prepared
    grpo.run(recipe, run, SILENT)
    documents = seen[0].table["document_id"].to_pylist()
    assert len(seen[0].validation) > 0
    assert not {documents[row] for row in seen[0].training} & set(seen[0].validation.documents)


def test_alarms_are_written_and_said(
    prepared: tuple[Recipe, RunFolder], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A verbalizer that ignores its vector raises the alarm in alarms.jsonl and on the console, before any step."""
    recipe, run = prepared
    real = grpo.round_trip
    monkeypatch.setattr(
        grpo, "round_trip", lambda *args, **options: {**real(*args, **options), "own_cross_entropy_shuffled": 0.0}
    )
    grpo.run(recipe, run, Progress())
    first = _lines(run.path / "alarms.jsonl")[0]
    assert (first["step"], first["alarm"]) == (0, "vector_ignored")
    assert "hardly uses the vector" in first["message"]
    assert "ALARM at step 0" in capsys.readouterr().err


def test_the_loop_learns_what_is_rewarded(prepared: tuple[Recipe, RunFolder], monkeypatch: pytest.MonkeyPatch) -> None:
    """With a scorer that likes short texts, the whole loop makes explanations much shorter: no sign is wrong anywhere."""

    def score(reconstructor: object, rolled: Rollout, heard: object, **options: object) -> torch.Tensor:
        return torch.tensor([len(found.ids) / 20 for found in rolled.samples])

    monkeypatch.setattr(learner, "score", score)
    recipe, run = prepared
    train = {"steps": 15, "prompts_per_step": 6, "group_size": 6, "kl_coefficient": 0.0, "micro_batch": 64}
    train |= {"verbalizer_learning_rate": 3e-3, "warmup_steps": 0, "evaluate_every": 50}
    grpo.run(_changed(recipe, **train), run, SILENT)

    lengths = [line["length"] for line in read_metrics(run.path / "metrics.jsonl", "train")[1:]]
    assert sum(lengths[-3:]) < 0.8 * sum(lengths[:3])


def test_samples_cut_into_what_fits_are_learnt_from_alike(
    warm: tuple[Recipe, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where memory holds three samples of a rollout, three go into a backward pass, it is said, and the first step is the same."""
    recipe, source = warm
    lines = []
    for fitting in (None, 3):
        if fitting is not None:
            monkeypatch.setattr(learner, "rows_that_fit", lambda *_args, **_options: 3)
        run = tmp_path / str(fitting)
        shutil.copytree(source, run)
        grpo.run(_changed(recipe, steps=1), RunFolder(run), Progress())
        lines.append(read_metrics(run / "metrics.jsonl", "train")[1])
    assert "3 samples in a backward pass" in capsys.readouterr().err
    for name in ("verbalizer_grad_norm", "reconstructor_grad_norm", "kl", "entropy", "error"):
        assert lines[1][name] == pytest.approx(lines[0][name], rel=1e-4, abs=1e-6), name
