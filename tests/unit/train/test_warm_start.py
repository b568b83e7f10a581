from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
import torch

from nlakit.claims.readers import claim_values
from nlakit.config import MemoryConfig, Recipe
from nlakit.errors import DivergedError, InputError, RunError
from nlakit.models.pair import Pair
from nlakit.pipeline import run_stages
from nlakit.progress import Progress
from nlakit.runs import RunFolder, read_metrics
from nlakit.testing import tiny_recipe
from nlakit.train import rounds, warm_start
from nlakit.vectors import VectorStats

SILENT = Progress(silent=True)
WARM = {"verbalizer_epochs": 2, "reconstructor_epochs": 2, "reconstructor_learning_rate": 2e-3}


def _prepared(folder: Path, **warm: Any) -> tuple[Recipe, RunFolder]:
    recipe = tiny_recipe(folder, documents=40, warm_start={**WARM, **warm})
    run = RunFolder(folder / "run")
    run_stages(recipe, run, SILENT, ["extract", "annotate"])
    return recipe, run


def _changed(recipe: Recipe, **warm: Any) -> Recipe:
    return recipe.model_copy(update={"warm_start": recipe.warm_start.model_copy(update=warm)})


def _fake_store(splits: list[str], vectors_ND: torch.Tensor) -> Any:
    def rows(split: str, columns: list[str]) -> pa.Table:
        return pa.table({"row_id": [row for row, own in enumerate(splits) if own == split]})

    return SimpleNamespace(rows=rows, vectors=lambda ids: vectors_ND[ids])


def test_statistics_leave_the_held_out_rows_alone() -> None:
    """Mean, variance and injection scale do not move when held-out rows do."""
    vectors_ND = torch.randn((40, 8), generator=torch.Generator().manual_seed(0))
    splits = ["av", "ar", "rl", "heldout"] * 10
    moved_ND = vectors_ND.clone()
    moved_ND[3::4] = 1000.0
    stats, scale = rounds.training_statistics(_fake_store(splits, vectors_ND), None, 0)
    moved_stats, moved_scale = rounds.training_statistics(_fake_store(splits, moved_ND), None, 0)
    assert torch.equal(stats.mean_D, moved_stats.mean_D)
    assert (stats.variance, scale) == (moved_stats.variance, moved_scale)
    training_ND = vectors_ND[[row for row in range(40) if row % 4 != 3]]
    assert stats.variance == pytest.approx(VectorStats.fit(training_ND).variance)


def test_statistics_of_many_rows_come_from_every_place_of_the_documents(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where only a share of the rows is looked at, it is not the same place of each document."""
    monkeypatch.setattr(rounds, "STATS_ROWS", 100)
    places = torch.arange(500) % 5  # five rows a document, one after the other
    vectors_ND = torch.nn.functional.one_hot(places, 8).float()
    stats, _ = rounds.training_statistics(_fake_store(["av"] * 500, vectors_ND), None, 0)
    assert bool((stats.mean_D[:5] > 0.1).all())


def test_injection_scale_is_the_third_quartile_of_the_norms() -> None:
    """Norms 1 to 5 have their 75th percentile at 4; a scale in the recipe is taken as it is."""
    vectors_ND = torch.diag(torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0]))
    store = _fake_store(["av"] * 5, vectors_ND)
    assert rounds.training_statistics(store, None, 0)[1] == pytest.approx(4.0)
    assert rounds.training_statistics(store, 80.0, 0)[1] == 80.0


def test_warm_start_learns_and_leaves_a_whole_pair(tmp_path: Path) -> None:
    """Both losses fall, the pair loads and verifies, the card says how it came to be, and checkpoints are gone."""
    recipe, run = _prepared(tmp_path, verbalizer_learning_rate=5e-3)
    folder = warm_start.run(recipe, run, SILENT)

    lines = read_metrics(run.path / "metrics.jsonl", "warm-start")
    written = [line["verbalizer_loss"] for line in lines if "verbalizer_loss" in line]
    rebuilt = [line["reconstructor_loss"] for line in lines if "reconstructor_loss" in line]
    assert written[-1] < written[0] - 1.0
    assert sum(rebuilt[-3:]) < sum(rebuilt[:3])
    assert [line["step"] for line in lines] == list(range(1, len(written) + len(rebuilt) + 1))
    pair = Pair.from_pretrained(folder)
    figures = pair.card.training["warm_start"]["figures"]
    assert {"cross_entropy_true", "cross_entropy_shuffled", "cross_entropy_zero", "fve_teacher_text"} <= set(figures)
    assert pair.card.data["corpus"]["name"] == "jsonl"
    assert set(pair.card.data["claims"]) == {"frames", "values"}
    assert claim_values(pair.card).values
    assert not (folder.parent / "checkpoints").exists()


def test_a_finished_warm_start_is_not_done_again(tmp_path: Path) -> None:
    """The same settings return the same folder untouched; other settings are an error that names them."""
    recipe, run = _prepared(tmp_path)
    folder = warm_start.run(recipe, run, SILENT)
    written = (folder.parent / "done.json").read_bytes()
    assert warm_start.run(recipe, run, SILENT) == folder
    assert (folder.parent / "done.json").read_bytes() == written
    with pytest.raises(RunError, match=r"warm_start\.batch_size: was 8, now 4"):
        warm_start.run(_changed(recipe, batch_size=4), run, SILENT)


def test_warm_start_needs_the_stages_before_it(tmp_path: Path) -> None:
    """Without a store or annotations the missing stage is named."""
    recipe = tiny_recipe(tmp_path, documents=40, warm_start=WARM)
    run = RunFolder(tmp_path / "run")
    with pytest.raises(RunError, match="'extract'"):
        warm_start.run(recipe, run, SILENT)
    run_stages(recipe, run, SILENT, ["extract"])
    with pytest.raises(RunError, match="'annotate'"):
        warm_start.run(recipe, run, SILENT)


def test_texts_that_are_too_long_are_left_out_and_counted(tmp_path: Path) -> None:
    """Long rows are missing from training, their number is on the card; when all are too long the setting is named."""
    recipe, run = _prepared(tmp_path)
    with pytest.raises(InputError, match=r"warm_start\.max_explanation_tokens \(5\); the shortest has \d+ tokens"):
        warm_start.run(_changed(recipe, max_explanation_tokens=5), RunFolder(tmp_path / "run"), SILENT)
    some = warm_start.run(_changed(recipe, max_explanation_tokens=58), run, SILENT)
    counts = Pair.from_pretrained(some).card.training["warm_start"]["figures"]
    assert counts["rows_too_long_av"] > 0
    assert counts["rows_av"] > 0


def test_a_diverged_warm_start_says_so_and_keeps_its_checkpoint(tmp_path: Path) -> None:
    """A learning rate far too high ends in DivergedError with advice; nothing pretends to be a pair."""
    recipe, run = _prepared(tmp_path, verbalizer_learning_rate=1e30, warmup_fraction=0.0, checkpoint_every=1)
    with pytest.raises(DivergedError, match="Lower the learning rate"):
        warm_start.run(recipe, run, SILENT)
    assert not (run.path / "warm-start" / "pair").exists()
    assert not (run.path / "warm-start" / "done.json").exists()


def test_validation_documents_are_not_trained_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No document of the validation rows gives a training row, in either split."""
    seen: list[rounds.TaughtRows] = []
    build = rounds.taught_rows
    monkeypatch.setattr(warm_start, "taught_rows", lambda *args: seen.append(build(*args)) or seen[-1])
    recipe, run = _prepared(tmp_path)
    warm_start.run(recipe, run, SILENT)
    assert len(seen) == 2
    for rows in seen:
        assert rows.validation
        trained = {rows.documents[row] for row in rows.training}
        assert not trained & {rows.documents[row] for row in rows.validation}


def test_a_checkpoint_in_the_second_loop_keeps_the_first_loops_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped while the reconstructor trains and started again, the metrics are those of an unbroken run."""
    recipe, unbroken = _prepared(tmp_path / "a")
    warm_start.run(recipe, unbroken, SILENT)
    recipe, run = _prepared(tmp_path / "b")
    real = rounds._reconstruction
    calls: list[int] = []

    def stop_at_second(*args: Any) -> dict[str, float]:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*args)

    monkeypatch.setattr(rounds, "_reconstruction", stop_at_second)
    with pytest.raises(KeyboardInterrupt):
        warm_start.run(recipe, run, SILENT)
    monkeypatch.setattr(rounds, "_reconstruction", real)
    warm_start.run(recipe, run, SILENT)

    def lines(folder: RunFolder) -> list[str]:
        timed = {"seconds", "tokens_per_second"}
        found = read_metrics(folder.path / "metrics.jsonl", "warm-start")
        return [json.dumps({key: value for key, value in line.items() if key not in timed}) for line in found]

    assert lines(run) == lines(unbroken)


def test_batches_cut_into_what_fits_are_learnt_from_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where memory holds two rows, a batch is cut into twos, it is said, and losses and gradients are those of whole batches."""
    found = []
    for name, fitting in (("whole", None), ("cut", 2)):
        (tmp_path / name).mkdir()
        recipe, run = _prepared(tmp_path / name, verbalizer_epochs=1, reconstructor_epochs=1)
        if fitting is not None:
            monkeypatch.setattr("nlakit.train.supervised.rows_that_fit", lambda *_args, **_options: 2)
        warm_start.run(recipe, run, Progress())
        found.append(read_metrics(run.path / "metrics.jsonl", "warm-start"))
    assert "2 rows in a backward pass" in capsys.readouterr().err
    for whole, cut in zip(*found, strict=True):
        for name in ("verbalizer_loss", "verbalizer_grad_norm", "reconstructor_loss", "reconstructor_grad_norm"):
            if name in whole:
                assert cut[name] == pytest.approx(whole[name], rel=1e-3), name


def test_recomputing_activations_trains_the_same_pair(tmp_path: Path) -> None:
    """With memory.recompute=always, losses and gradients are those of kept activations."""
    found = []
    for recompute in ("never", "always"):
        (tmp_path / recompute).mkdir()
        recipe, run = _prepared(tmp_path / recompute, verbalizer_epochs=1, reconstructor_epochs=1)
        recipe = recipe.model_copy(update={"memory": MemoryConfig(recompute=recompute)})
        warm_start.run(recipe, run, SILENT)
        found.append(read_metrics(run.path / "metrics.jsonl", "warm-start"))
    for kept, again in zip(*found, strict=True):
        for name in ("verbalizer_loss", "verbalizer_grad_norm", "reconstructor_loss", "reconstructor_grad_norm"):
            if name in kept:
                assert again[name] == pytest.approx(kept[name], rel=1e-3), name
