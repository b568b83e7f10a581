"""The stage ground: from the teacher's text to what the vectors bear out of it, on tiny models and a toy world."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file
from tests.unit.evaluate import toy
from torch import Tensor

from nlakit.claims.grounding import Score
from nlakit.config import Recipe
from nlakit.data import annotate, extract
from nlakit.data.annotate import load_explanations
from nlakit.data.store import Store
from nlakit.errors import ConfigError, RunError
from nlakit.models.pair import Pair
from nlakit.pipeline import run_stages, stages_of
from nlakit.progress import Progress
from nlakit.runs import RunFolder, read_metrics
from nlakit.testing import tiny_recipe
from nlakit.train import first_round, ground, kept, warm_start
from nlakit.train.supervised import Half, Job
from nlakit.truth import Claim

SILENT = Progress(silent=True)


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recipe:
    toy.install(monkeypatch)
    return toy.toy_recipe(tmp_path / "world", documents=60)


def by(recipe: Recipe, sign: str, **settings: object) -> Recipe:
    return recipe.model_copy(update={"ground": recipe.ground.model_copy(update={"by": sign, **settings})})


def prepared(recipe: Recipe, folder: Path) -> RunFolder:
    run = RunFolder(folder)
    run_stages(recipe, run, SILENT, ["extract", "annotate"])
    return run


def test_only_a_recipe_that_grounds_has_the_stage(recipe: Recipe) -> None:
    """The stage stands between annotate and warm-start, and a plain recipe is as it was."""
    assert "ground" not in stages_of(by(recipe, "nothing"))
    stages = stages_of(by(recipe, "probes"))
    assert stages[stages.index("ground") - 1 : stages.index("ground") + 2] == ["annotate", "ground", "warm-start"]


@pytest.mark.parametrize("sign", ["likelihood", "swap", "probes"])
def test_every_sign_leaves_texts_that_claim_less(recipe: Recipe, tmp_path: Path, sign: str) -> None:
    """No row is lost, no claim is added, the counts add up, and the warm start learns from what is left."""
    recipe = by(recipe, sign)
    run = prepared(recipe, tmp_path / "run")
    run_stages(recipe, run, SILENT, ["ground"])
    reader, claims_kept = toy.ToyTruth(), 0
    for split in ("av", "ar"):
        ids, texts = load_explanations(run.path / "ground", split)
        whole_ids, whole = load_explanations(run.path / "annotate", split)
        assert ids.tolist() == whole_ids.tolist()
        for before, after in zip(whole, texts, strict=True):
            claims, left = ({claim.same for claim in reader.claims(text)} for text in (before, after))
            assert left <= claims
            assert left or after == recipe.ground.silence
            claims_kept += len(left)
    scores = json.loads((run.path / "ground" / "scores.json").read_text())
    assert sum(scores["splits"][split]["kept"] for split in ("av", "ar")) == claims_kept
    assert {"topic", "animal"} <= set(scores["slots"])
    run_stages(recipe, run, SILENT, ["warm-start"])
    assert Pair.from_pretrained(run.path / "warm-start" / "pair").card.data["ground"]["by"] == sign


def test_every_claim_has_a_line_with_its_score(recipe: Recipe, tmp_path: Path) -> None:
    """Whoever looks for a threshold finds the scores; held-out texts are not scored, since nobody is taught them."""
    recipe = by(recipe, "likelihood", threshold=0.0)
    run = prepared(recipe, tmp_path / "run")
    run_stages(recipe, run, SILENT, ["ground"])
    lines = [
        line for path in (run.path / "ground").glob("claims-*.parquet") for line in pq.read_table(path).to_pylist()
    ]
    assert {line["split"] for line in lines} == {"av", "ar"}
    reader = toy.ToyTruth()
    for split in ("av", "ar"):
        for row_id, text in zip(*load_explanations(run.path / "annotate", split), strict=True):
            said = [(claim.slot, claim.value) for claim in reader.claims(text)]
            assert said == [(line["slot"], line["value"]) for line in lines if line["row_id"] == row_id]
    assert {line["kept"] for line in lines} == {True, False}
    assert all(line["score"] > 0 for line in lines if line["kept"])
    counts = json.loads((run.path / "ground" / "scores.json").read_text())["splits"]
    assert sum(found["kept"] for found in counts.values()) == sum(line["kept"] for line in lines)


def test_swap_leverage_says_nothing_of_contradictions(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nobody can tell, no share is recorded; a 0 would look like an honest teacher."""
    monkeypatch.setattr(toy, "explain", lambda truth: "About topic weather, animal unicorn." if truth else "")
    recipe = by(recipe, "swap")
    run = prepared(recipe, tmp_path / "run")
    run_stages(recipe, run, SILENT, ["ground"])
    assert json.loads((run.path / "ground" / "done.json").read_text())["outputs"]["contradicted"] is None
    alarms = [alarm["alarm"] for alarm in read_metrics(run.path / "alarms.jsonl")]
    assert "teacher_contradicted" not in alarms


def test_an_honest_teacher_raises_no_alarm(recipe: Recipe, tmp_path: Path) -> None:
    """Where the vectors contradict next to nothing, nothing is said of it."""
    recipe = by(recipe, "probes")
    run_stages(recipe, prepared(recipe, tmp_path / "run"), SILENT, ["ground"])
    assert read_metrics(tmp_path / "run" / "alarms.jsonl") == []


def test_a_first_round_that_has_learnt_too_little_is_told(recipe: Recipe, tmp_path: Path) -> None:
    """Where nothing is left of most texts, it is not the teacher alone who may be wrong."""
    recipe = by(recipe, "likelihood", threshold=1.0)
    run = prepared(recipe, tmp_path / "run")
    run_stages(recipe, run, SILENT, ["ground"])
    told = {alarm["alarm"]: alarm["message"] for alarm in read_metrics(run.path / "alarms.jsonl", "ground")}
    assert "more passes (ground.epochs)" in told["little_kept"]


@dataclass
class Whose:
    """A sign that bears claims out where the vector is the row's own, or whatever it is."""

    store: Store
    blind: bool
    guesses: None = None

    def scores(
        self, vectors_ND: Tensor, texts: Sequence[str], claims_N: Sequence[Sequence[Claim]], rows: Sequence[int]
    ) -> list[list[Score]]:
        assert len(texts) == len(rows)
        own_N = (vectors_ND == self.store.vectors(list(rows))).all(dim=1).tolist()
        return [[Score(float(self.blind or own))] * len(claims) for own, claims in zip(own_N, claims_N, strict=True)]


def test_what_owes_nothing_to_the_vector_is_told(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Texts are scored with another document's vector too; where as much would be kept there is an alarm, and else none."""
    told = {}
    for name, blind in (("seeing", False), ("blind", True)):
        run = prepared(recipe, tmp_path / name)
        sign = Whose(extract.open_store(run), blind)
        monkeypatch.setattr(ground, "sign_of", lambda *_, sign=sign: sign)
        run_stages(by(recipe, "likelihood"), run, SILENT, ["ground"])
        scores = json.loads((run.path / "ground" / "scores.json").read_text())
        alarms = [alarm["alarm"] for alarm in read_metrics(run.path / "alarms.jsonl", "ground")]
        told[name] = scores["kept_of_another"], alarms
    assert told == {"seeing": (0.0, []), "blind": (1.0, ["kept_whatever_the_vector"])}


def test_falsehoods_of_the_teacher_are_taken_out_and_told(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a teacher says against the truth is not kept, whatever the vector holds, and an alarm says that it makes things up."""
    monkeypatch.setattr(toy, "explain", lambda truth: "About topic weather, animal unicorn." if truth else "")
    recipe = by(recipe, "probes")
    run = prepared(recipe, tmp_path / "run")
    run_stages(recipe, run, SILENT, ["ground"])
    assert set(load_explanations(run.path / "ground", "av")[1]) == {"Unclear."}
    share = json.loads((run.path / "ground" / "done.json").read_text())["outputs"]["contradicted"]
    assert share > kept.CONTRADICTED
    _, alarm = read_metrics(run.path / "alarms.jsonl", "ground")
    assert f"contradict {share:.1%} of the teacher's claims" in alarm["message"]
    assert "topic" in alarm["message"]
    run_stages(recipe, run, SILENT, ["report"])
    shown = json.loads((run.path / "report" / "report.json").read_text())["alarms"]
    assert alarm["message"] in [item["message"] for item in shown]


def test_a_stage_that_was_cut_short_ends_the_same(recipe: Recipe, tmp_path: Path) -> None:
    """With the last shard missing it is made again, byte for byte, and counted once."""
    recipe = by(recipe, "likelihood")
    run = prepared(recipe, tmp_path / "run")
    folder = ground.run(recipe, run, SILENT)
    scores, last = (folder / "scores.json").read_bytes(), sorted(folder.glob("shard-*.parquet"))[-1]
    table = pq.read_table(last)
    for path in (folder / "done.json", folder / "scores.json", last):
        path.unlink()
    ground.run(recipe, run, SILENT)
    assert pq.read_table(last).equals(table)
    assert (folder / "scores.json").read_bytes() == scores


def test_probes_need_a_truth(tmp_path: Path) -> None:
    """A corpus without a truth plugin is told to use a sign that needs none."""
    recipe = by(tiny_recipe(tmp_path, documents=40), "probes")
    run = prepared(recipe, tmp_path / "run")
    with pytest.raises(ConfigError, match="use likelihood or swap"):
        ground.run(recipe, run, SILENT)


@pytest.mark.parametrize(("sign", "half"), [("likelihood", "verbalizer"), ("swap", "reconstructor")])
def test_the_warm_start_goes_on_from_the_first_round_where_it_is_told_to(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sign: str, half: str
) -> None:
    """Before its first step the half has the weights of the first round, and without ``reuse`` those of the target."""
    recipe = by(recipe, sign, reuse=True)
    run = prepared(recipe, tmp_path / "run")
    run_stages(recipe, run, SILENT, ["ground"])
    first = load_file(next((run.path / "first-round").glob(f"step-*/{half}.safetensors")))
    begun: dict[str, dict[str, torch.Tensor]] = {}

    def not_trained(part: Half, job: Job, *, first_step: int = 0) -> tuple[int, dict[str, float]]:
        begun[part.name] = {name: tensor.clone() for name, tensor in part.module.state_dict().items()}
        return 0, {}

    monkeypatch.setattr(warm_start, "train_half", not_trained)
    warm_start.run(recipe, run, SILENT)
    assert all(torch.equal(begun[half][name], tensor) for name, tensor in first.items())
    untouched = by(recipe, sign, reuse=False)
    run_stages(untouched, prepared(untouched, tmp_path / "other"), SILENT, ["ground"])
    warm_start.run(untouched, RunFolder(tmp_path / "other"), SILENT)
    assert not all(torch.equal(begun[half][name], tensor) for name, tensor in first.items())


def test_adapters_go_on_from_the_first_round_too(recipe: Recipe, tmp_path: Path) -> None:
    """On one frozen base the first round's adapter is kept and taken up, and the pair is whole."""
    adapters = recipe.adapters.model_copy(update={"mode": "lora"})
    recipe = by(recipe.model_copy(update={"adapters": adapters}), "likelihood")
    run = prepared(recipe, tmp_path / "run")
    run_stages(recipe, run, SILENT, ["ground", "warm-start"])
    (saved,) = (run.path / "first-round").glob("step-*/verbalizer.safetensors")
    assert all("lora" in name for name in load_file(saved))
    Pair.from_pretrained(run.path / "warm-start" / "pair")


def test_a_first_round_that_is_gone_is_missed(recipe: Recipe, tmp_path: Path) -> None:
    """What the recipe promises to go on from is not silently replaced by a fresh start."""
    recipe = by(recipe, "likelihood", reuse=True)
    run = prepared(recipe, tmp_path / "run")
    run_stages(recipe, run, SILENT, ["ground"])
    shutil.rmtree(run.path / "first-round")
    with pytest.raises(RunError, match="first-round is gone"):
        warm_start.run(recipe, run, SILENT)


def test_another_threshold_asks_for_no_other_first_round(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its weights are taken as they are, and the texts come out as in a run of their own."""
    strict = by(recipe, "likelihood", threshold=0.6)
    run, other = (prepared(recipe, tmp_path / name) for name in ("run", "other"))
    run_stages(by(recipe, "likelihood", threshold=0.0), run, SILENT, ["ground"])
    before = {split: load_explanations(run.path / "ground", split)[1] for split in ("av", "ar")}
    run_stages(strict, other, SILENT, ["ground"])
    shutil.rmtree(run.path / "ground")
    monkeypatch.setattr(first_round, "train_half", lambda *_: pytest.fail("the first round is done"))
    run_stages(strict, run, SILENT, ["ground"])
    for split in ("av", "ar"):
        left = load_explanations(run.path / "ground", split)[1]
        assert left == load_explanations(other.path / "ground", split)[1]
        assert left != before[split]


def test_another_first_round_is_asked_for_where_its_settings_are_others(recipe: Recipe, tmp_path: Path) -> None:
    """Weights that were taught otherwise are neither scored by nor gone on from."""
    run = prepared(recipe, tmp_path / "run")
    run_stages(by(recipe, "likelihood"), run, SILENT, ["ground"])
    rate = recipe.warm_start.model_copy(update={"verbalizer_learning_rate": 1e-5})
    faster = by(recipe.model_copy(update={"warm_start": rate}), "likelihood")
    with pytest.raises(RunError, match=r"(?s)first-round was made with other.*verbalizer_learning_rate"):
        run_stages(faster, run, SILENT, ["warm-start"])
    shutil.rmtree(run.path / "ground")
    with pytest.raises(RunError, match=r"(?s)first-round was made with other.*verbalizer_learning_rate"):
        run_stages(faster, run, SILENT, ["ground"])
    run_stages(by(recipe, "likelihood"), run, SILENT, ["ground", "warm-start"])


def test_the_other_half_asks_for_no_other_first_round(recipe: Recipe, tmp_path: Path) -> None:
    """How the reconstructor is taught later says nothing about a verbalizer that was taught before."""
    run = prepared(recipe, tmp_path / "run")
    run_stages(by(recipe, "likelihood"), run, SILENT, ["ground"])
    rate = recipe.warm_start.model_copy(update={"reconstructor_learning_rate": 1e-5, "verbalizer_epochs": 0.5})
    before = (run.path / "first-round" / "done.json").read_bytes()
    run_stages(by(recipe.model_copy(update={"warm_start": rate}), "likelihood"), run, SILENT, ["ground", "warm-start"])
    assert (run.path / "first-round" / "done.json").read_bytes() == before
    assert (run.path / "warm-start" / "done.json").exists()


def test_a_shard_of_which_nothing_is_taught_is_grounded(recipe: Recipe, tmp_path: Path) -> None:
    """A last shard may hold held-out rows alone, or failures."""
    recipe = by(recipe, "probes")
    run = prepared(recipe, tmp_path / "run")
    for name in ("shard-90000.parquet", "shard-90001.parquet"):
        table = pq.read_table(next((run.path / "annotate").glob("shard-0*.parquet")))
        kept_rows = (
            table.filter(pc.field("split") == "heldout") if name.startswith("shard-90000") else table.slice(0, 0)
        )
        annotate.write_table(run.path / "annotate" / name, kept_rows)
    run_stages(recipe, run, SILENT, ["ground"])
    assert pq.read_table(run.path / "ground" / "shard-90000.parquet").num_rows == 0
    assert pq.read_table(run.path / "ground" / "claims-90001.parquet").num_rows == 0


def test_texts_that_were_grounded_otherwise_are_not_taught(recipe: Recipe, tmp_path: Path) -> None:
    """The pair's card would else name a threshold that its texts did not meet."""
    run = prepared(recipe, tmp_path / "run")
    run_stages(by(recipe, "probes"), run, SILENT, ["ground"])
    with pytest.raises(RunError, match=r"ground\.threshold: was null, now 0\.9"):
        warm_start.run(by(recipe, "probes", threshold=0.9), run, SILENT)
