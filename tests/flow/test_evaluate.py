"""Evaluation and report from end to end, on tiny models and a toy world with known truth."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from tests.unit.data.providers.server import Answer, Asked, anthropic, serving
from tests.unit.evaluate import toy
from torch import Tensor

from nlakit.card import Card
from nlakit.claims.support import shipped
from nlakit.cli import main
from nlakit.cli.measure import _settings
from nlakit.config import AskConfig, EvaluateConfig, NewCorpusConfig, Recipe
from nlakit.data.corpus import load_corpus
from nlakit.errors import InputError, NotFoundError, RunError
from nlakit.evaluate import bench, calibrate, report, runner
from nlakit.evaluate.contents import ReportData
from nlakit.evaluate.evaluation import Evaluation
from nlakit.evaluate.fidelity import constant_errors
from nlakit.evaluate.measures import REGISTRY
from nlakit.evaluate.rows import rebuild_rows
from nlakit.evaluate.suite import PARTS
from nlakit.explanations import Outcome
from nlakit.models.pair import WARM_START, Pair
from nlakit.models.sampler import Sample
from nlakit.models.target import Target
from nlakit.models.verbalizer import Verbalizer
from nlakit.pipeline import run_stages
from nlakit.progress import Progress
from nlakit.runs import RunFolder
from nlakit.testing import tiny_pair
from nlakit.vectors import fve

REQUIRED = (
    "fve", "fve_greedy", "fve_warm_start", "fve_gain", "fve_frozen_reconstructor",
    "fve_teacher_text", "fve_mean", "fve_shuffled", "fve_zero_vector",
    "fve_empty_text", "fve_other_text", "parse_rate", "length_tokens", "distinct_texts", "claims_true",
    "claims_true_theme", "claims_true_entity", "claims_true_detail", "claims_related", "claims_per_explanation",
    "claims_held", "facts_mentioned", "cross_entropy_true", "cross_entropy_shuffled",
)  # fmt: skip
CORE = ("outputs", "controls", "warm_start", "teacher", "truth")
"""Parts whose measures can be foretold for an untrained pair."""
SILENT = Progress(silent=True)


def save_pair(recipe: Recipe, folder: Path, *, warm_start: bool = True) -> Path:
    """An untrained pair whose card says where its rows come from."""
    pair = tiny_pair(Target.load(recipe.target.model), max_new_tokens=8)
    data = {
        "corpus": recipe.corpus.model_dump(mode="json"),
        "corpus_fingerprint": load_corpus(recipe.corpus).fingerprint(),
        "extract": recipe.extract.model_dump(mode="json"),
        "annotate": recipe.annotate.model_dump(mode="json"),
        "seed": recipe.seed,
    }
    pair.card = pair.card.model_copy(update={"data": data})
    before = pair.save(folder.with_name("before")) if warm_start else None
    return pair.save(folder, warm_start=before)


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recipe:
    toy.install(monkeypatch)
    return toy.toy_recipe(tmp_path / "world", evaluate={"parts": CORE})


def speak_truth(monkeypatch: pytest.MonkeyPatch, recipe: Recipe) -> None:
    """Replace the sampler by one that knows every vector's truth, and says nothing of use about others."""
    words: list[tuple[Tensor, str]] = []
    rebuild = runner.rebuild_rows

    def remember(*args: object, **kwargs: object) -> object:
        heldout, training = rebuild(*args, **kwargs)  # type: ignore[arg-type]
        words.extend(zip(heldout.vectors_ND, map(toy.explain, heldout.truths()), strict=True))
        return heldout, training

    def sample(_verbalizer: object, vectors_ND: Tensor, **_: object) -> list[Sample]:
        known = [
            next((text for known_D, text in words if torch.equal(known_D, row_D)), "nothing") for row_D in vectors_ND
        ]
        return [Sample([1, 2, 3], text, Outcome.OK) for text in known]

    monkeypatch.setattr(runner, "rebuild_rows", remember)
    monkeypatch.setattr(bench, "sample", sample)


def test_a_pair_that_never_closes_an_explanation_scores_error_two(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Failed outputs are counted with error 2 in every FVE that needs them, and no claim is read out of them."""
    folder = save_pair(recipe, tmp_path / "pair")
    variance = Card.load(folder).stats.variance

    def cut_off(verbalizer: Verbalizer, vectors_ND: Tensor, **_: object) -> list[Sample]:
        return [Sample([1] * verbalizer.max_new_tokens, "words", Outcome.CUT_OFF) for _ in vectors_ND]

    monkeypatch.setattr(bench, "sample", cut_off)
    evaluation = runner.evaluate(folder, recipe.evaluate, SILENT)
    measures = evaluation.measures
    assert set(REQUIRED) <= set(measures)
    assert evaluation.left_out == {}
    assert measures["parse_rate"].value == 0.0
    for name in ("fve", "fve_greedy", "fve_warm_start", "fve_shuffled", "fve_zero_vector"):
        assert measures[name].value == pytest.approx(1 - 2 / variance), name
    assert measures["length_tokens"].value == Card.load(folder).max_new_tokens
    assert (measures["claims_true"].value, measures["claims_true"].n) == (None, 0)
    assert measures["facts_mentioned"].value in (0.0, None)
    assert evaluation.outcomes == {"cut_off": 12}


def test_measures_carry_interval_count_and_split(recipe: Recipe, tmp_path: Path) -> None:
    """Every measure that has a value lies inside its interval and names the held-out split."""
    measures = runner.evaluate_pair(save_pair(recipe, tmp_path / "pair"), rows=12, seed=1)
    for name, measure in measures.items():
        assert measure.split == "heldout", name
        if measure.value is not None:
            assert measure.n > 0, name
            assert measure.low - 1e-9 <= measure.value <= measure.high + 1e-9, name


def test_the_same_seed_gives_the_same_numbers(recipe: Recipe, tmp_path: Path) -> None:
    """An evaluation is a function of pair, settings and seed."""
    folder = save_pair(recipe, tmp_path / "pair")
    first, second = (runner.evaluate(folder, recipe.evaluate, SILENT) for _ in range(2))
    assert first.measures == second.measures
    assert first.shown == second.shown


def test_true_words_are_found_true(recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A verbalizer that says all that is true gets every claim right and mentions every fact that is held."""
    speak_truth(monkeypatch, recipe)
    evaluation = runner.evaluate(save_pair(recipe, tmp_path / "pair"), recipe.evaluate, SILENT)
    measures = evaluation.measures
    assert measures["claims_true"].value == measures["claims_true_theme"].value == 1.0
    assert measures["facts_mentioned"].value == 1.0
    assert measures["fve"].value == pytest.approx(measures["fve_teacher_text"].value)
    assert measures["claims_held"].value == pytest.approx(measures["facts_held"].value)
    assert {row.slot for row in evaluation.slots} == {"topic", "animal", "colour"}
    claims = [claim for document in evaluation.shown for reading in document.readings for claim in reading.claims or ()]
    assert {claim.verdict.value for claim in claims} == {"true"}


def test_controls_take_the_vector_or_the_text_away(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The zero control samples from zeros, the shuffled ones use another document's words and vector."""
    speak_truth(monkeypatch, recipe)
    folder = save_pair(recipe, tmp_path / "pair")
    measures = runner.evaluate(folder, recipe.evaluate, SILENT).measures
    pair = Pair.from_pretrained(folder)
    heldout, _ = rebuild_rows(pair.target, pair.card, rows=12, probe_rows=0, seed=0)
    for name, text in (("fve_zero_vector", "nothing"), ("fve_empty_text", "")):
        errors_N = constant_errors(pair.reconstructor.reconstruct([text])[0], heldout.vectors_ND)
        assert measures[name].value == pytest.approx(fve(errors_N, pair.card.stats.variance), abs=1e-5)
    assert measures["fve_shuffled"].value == pytest.approx(measures["fve_other_text"].value)
    assert measures["fve_shuffled"].value != pytest.approx(measures["fve"].value, abs=1e-6)
    assert measures["cross_entropy_shuffled"].value != pytest.approx(measures["cross_entropy_true"].value, abs=1e-6)


def test_what_is_missing_is_left_out_with_its_reason(recipe: Recipe, tmp_path: Path) -> None:
    """Without truth, warm start and teacher the measures that need them are absent, each with a reason."""
    plain = toy.tiny_recipe(tmp_path / "plain", evaluate={"parts": CORE})
    folder = save_pair(plain, tmp_path / "pair", warm_start=False)
    card = Card.load(folder)
    card.model_copy(update={"data": {k: v for k, v in card.data.items() if k != "annotate"}}).save(folder)
    evaluation = runner.evaluate(folder, plain.evaluate, SILENT)
    reasons = evaluation.left_out
    assert "reinforcement learning" in reasons["fve_warm_start"]
    assert "teacher" in reasons["fve_teacher_text"]
    assert "'jsonl' does not know what is true" in reasons["claims_true"]
    assert not set(reasons) & set(evaluation.measures)
    assert {"fve", "fve_shuffled", "parse_rate"} <= set(evaluation.measures)


def test_stage_and_report_of_a_run(recipe: Recipe, tmp_path: Path) -> None:
    """The stage writes the evaluation and the card's results, is skipped when done, and the report draws it."""
    folder = RunFolder(tmp_path / "run")
    folder.write_config(recipe)
    save_pair(recipe, folder.path / "pair")
    train = folder.stage("train")
    train.begin({})
    train.finish({}, {"pair": "x"})
    path = runner.run(recipe, folder, SILENT)
    evaluation = Evaluation.load(path.parent)
    card = Card.load(folder.path / "pair")
    assert card.results == evaluation.measures
    assert card.errors == evaluation.errors
    assert list(card.errors) == sorted(card.errors)
    written = path.stat().st_mtime_ns
    assert runner.run(recipe, folder, SILENT) == path
    assert path.stat().st_mtime_ns == written
    page = report.run(recipe, folder, SILENT)
    assert page.name == "report.html"
    assert json.loads((page.parent / "report.json").read_text())["measures"]["fve"]["n"] == 12
    assert "`fve_greedy`" in (page.parent / "report.md").read_text()


def test_a_run_without_a_pair_is_refused(recipe: Recipe, tmp_path: Path) -> None:
    """Evaluating a run that has no pair yet says which stages to run."""
    folder = RunFolder(tmp_path / "run")
    folder.write_config(recipe)
    with pytest.raises(RunError, match="run the stages warm-start and train first"):
        runner.run(recipe, folder, SILENT)


def test_results_on_the_card_do_not_break_the_pair(recipe: Recipe, tmp_path: Path) -> None:
    """A pair still loads after its results were noted on the card, those without a value included."""
    folder = save_pair(recipe, tmp_path / "pair")
    evaluation = runner.evaluate(folder, recipe.evaluate, SILENT)
    Card.load(folder).model_copy(update={"results": evaluation.measures}).save(folder)
    assert Pair.from_pretrained(folder).card.results["fve"].n == 12
    assert (folder / WARM_START).is_dir()


def test_every_part_is_taken_of_any_pair(recipe: Recipe, tmp_path: Path) -> None:
    """Each defined measure of the parts that were asked for has a value or a reason, and tables reach the report."""
    folder = save_pair(recipe, tmp_path / "pair")
    config = recipe.evaluate.model_copy(update={"parts": ("all",)})
    evaluation = runner.evaluate(folder, config, SILENT)
    assert evaluation.parts == tuple(PARTS)
    known = {name for name, definition in REGISTRY.items() if "grown target" not in definition.needs}
    assert known == set(evaluation.measures) | set(evaluation.left_out)
    assert not set(evaluation.measures) & set(evaluation.left_out)
    page = report.write_report(ReportData("all", evaluation), tmp_path / "report").read_text()
    for table in evaluation.tables.values():
        assert table.title in page


def test_a_pair_alone_gets_a_report(recipe: Recipe, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """``nlakit evaluate PAIR --report DIR`` draws what it measured, and a folder that cannot be is refused before."""
    folder, place = save_pair(recipe, tmp_path / "pair"), tmp_path / "report"
    with pytest.raises(SystemExit) as end:
        main(["evaluate", str(folder), "--rows", "12", "--parts", "truth", "--report", str(place), "--json"])
    assert end.value.code == 0
    measures = json.loads(capsys.readouterr().out)
    drawn = json.loads((place / "report.json").read_text(encoding="utf-8"))
    assert drawn["measures"]["claims_true"]["n"] == measures["claims_true"]["n"]
    assert {"report.html", "report.md", "report.json"} == {path.name for path in place.iterdir()}

    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit) as end:
        main(["evaluate", "no pair", "--report", str(tmp_path / "file" / "report")])
    assert end.value.code == 2
    assert "choose another place" in capsys.readouterr().err


def test_support_is_calibrated_on_a_pair_and_kept_on_its_card(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """``nlakit calibrate PAIR`` fits on training rows and writes to the card; without claims or a folder it stays as it is."""
    folder = save_pair(recipe, tmp_path / "pair")
    before = (folder / "card.yaml").read_bytes()
    for arguments, message in (([str(folder), "--rows", "5"], "0 claims"), (["terrarium"], "is not a folder")):
        with pytest.raises(SystemExit) as end:
            main(["calibrate", *arguments])
        assert end.value.code == 2
        assert message in capsys.readouterr().err
        assert (folder / "card.yaml").read_bytes() == before

    claims = [SimpleNamespace(signals={"agreement": row / 50}, true=row > 25) for row in range(50)]
    monkeypatch.setattr(calibrate, "known_claims", lambda *_: claims)
    with pytest.raises(SystemExit) as end:
        main(["calibrate", str(folder), "--rows", "5"])
    assert end.value.code == 0
    assert "50 claims of 5 rows, 48.0 % of them true" in capsys.readouterr().out
    support = Pair.from_pretrained(folder).card.support
    assert support is not None
    assert support.apply({"agreement": 0.9}) > 0.9 > 0.1 > support.apply({"agreement": 0.1})


def test_models_judge_and_paraphrase_by_command(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """``nlakit evaluate --set ... --yes --answers DIR`` asks the models that are named, and a second time nobody.

    That the judge was not understood is said behind the measures.
    """
    folder = save_pair(recipe, tmp_path / "pair")
    speak_truth(monkeypatch, recipe)

    def answer(asked: Asked, _: int) -> Answer:
        return anthropic(
            "I would rather not." if "<passage>" in asked.prompt else "<rewording>On animals, on cats.</rewording>"
        )

    with serving() as endpoint:
        endpoint.answer = answer
        models = [
            f"--set=evaluate.{who}.{setting}"
            for who in ("judge", "paraphraser")
            for setting in ("teacher=anthropic", "options.model=m", f"options.base_url={endpoint.url}")
        ]
        command = [
            "evaluate",
            str(folder),
            "--rows=12",
            "--parts=words,evidence",
            *models,
            f"--answers={tmp_path}/kept",
        ]
        printed = []
        for options in (["--yes"], []):
            with pytest.raises(SystemExit) as end:
                main([*command, *options, "--json"])
            assert end.value.code == 0
            out, err = capsys.readouterr()
            printed.append(out)
            assert "Warning: of the judge's replies only 0.0\u00a0% could be read" in err
        asked = len(endpoint.asked)
    assert printed[0] == printed[1]
    measures = json.loads(printed[0])
    assert measures["evidence_read"]["value"] == 0
    texts = measures["evidence_read"]["n"]
    assert 0 < asked <= 5 * texts
    assert asked == len((tmp_path / "kept" / "answers.jsonl").read_text(encoding="utf-8").splitlines())


def test_only_settings_of_the_evaluation_can_be_set(capsys: pytest.CaptureFixture[str]) -> None:
    """A setting of how the pair was made, and one that does not exist, are refused before any work."""
    for override, message in (
        ("train.steps=3", "names 'train'"),
        ("evaluate.judge.model=m", "judge.model: there is no such key"),
    ):
        with pytest.raises(SystemExit) as end:
            main(["evaluate", "terrarium", "--set", override])
        assert end.value.code == 2
        assert message in capsys.readouterr().err


def test_only_what_was_asked_for_is_measured(recipe: Recipe, tmp_path: Path) -> None:
    """The round trip always is; an unknown part is named with the nearest ones before any weights are loaded."""
    folder = save_pair(recipe, tmp_path / "pair")
    config = recipe.evaluate.model_copy(update={"parts": ("identify",)})
    assert "retrieval_top1" in (measures := runner.evaluate(folder, config, SILENT).measures)
    assert "fve" in measures
    assert "fve_zero_vector" not in measures
    with pytest.raises(NotFoundError, match="identify"):
        runner.evaluate(tmp_path / "no pair", recipe.evaluate.model_copy(update={"parts": ("identity",)}), SILENT)


def test_options_are_put_over_the_settings_of_a_run() -> None:
    """With a number of rows alone the recipe's judge, parts and seed stay; what is given counts more."""
    base = EvaluateConfig(
        rows=50, seed=3, parts=("evidence",), judge=AskConfig(teacher="openai", options={"model": "m"})
    )
    found = _settings({"rows": 7}, ["evaluate.judge.options.model=n", "evaluate.corpus.name=toy"], base)
    assert (found.rows, found.seed, found.parts, found.judge.teacher) == (7, 3, ("evidence",), "openai")
    assert found.judge.options == {"model": "n"}
    assert found.corpus == NewCorpusConfig(name="toy")


def test_another_calibration_asks_for_support_to_be_measured_again(recipe: Recipe, tmp_path: Path) -> None:
    """A finished evaluation does not answer with figures of the score from before."""
    support = {"parts": ("support",), "rows": 4}
    recipe = recipe.model_copy(update={"evaluate": recipe.evaluate.model_copy(update=support)})
    run = RunFolder(tmp_path / "run")
    run_stages(recipe, run, SILENT, ["extract", "annotate", "warm-start", "train", "evaluate"])
    card = Card.load(run.path / "pair")
    card.model_copy(update={"support": shipped(taught=False)}).save(run.path / "pair")
    with pytest.raises(RunError, match=r"evaluate was made with other settings:\n  support"):
        run_stages(recipe, run, SILENT, ["evaluate"])


def test_a_comparison_with_nobody_is_refused_before_the_work(
    recipe: Recipe, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who asks for the part against by name has to name a pair."""
    folder = save_pair(recipe, tmp_path / "pair")
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", str(folder), "--parts", "truth,against"])
    assert ended.value.code == 2
    err = capsys.readouterr().err
    assert "--against PAIR" in err
    assert "held-out rows" not in err


def test_programs_are_told_what_was_left_out(
    recipe: Recipe, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With --json the measures are all of the output; why others are missing, and that documents are few, is said beside it."""
    folder = save_pair(recipe, tmp_path / "pair", warm_start=False)
    with pytest.raises(SystemExit):
        main(["evaluate", str(folder), "--parts", "warm_start", "--rows", "4", "--json"])
    out, err = capsys.readouterr()
    assert "fve" in json.loads(out)
    assert "not measured: fve_warm_start" in err
    assert "intervals over fewer than 10 are too narrow" in err


def test_two_pairs_are_held_against_each_other(recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against itself a pair gains nothing; who tells the truth gains by it over who does not; other vectors are refused."""
    folder = save_pair(recipe, tmp_path / "pair")
    settings = recipe.evaluate.model_copy(update={"parts": ("truth",), "rows": 12, "against": str(folder)})
    same = runner.evaluate(folder, settings, SILENT).measures
    assert same["fve_over_other_pair"].value == 0
    assert same["fve_of_other_pair"] == same["fve"].model_copy()

    asked: list[Verbalizer] = []

    def told(verbalizer: Verbalizer, vectors_ND: Tensor, **_: object) -> list[Sample]:
        asked.append(verbalizer)
        text = "About topic animals." if verbalizer is asked[0] else "About topic weather."
        return [Sample([1, 2, 3], text, Outcome.OK)] * len(vectors_ND)

    monkeypatch.setattr(bench, "sample", told)
    found = runner.evaluate(folder, settings, SILENT).measures
    assert (found["claims_true"].value, found["claims_true_of_other_pair"].value) == (1, 0)
    assert found["claims_true_over_other_pair"].value == 1
    card = Card.load(folder)
    card.model_copy(update={"site": "resid.0"}).save(folder)
    with pytest.raises(InputError, match="Compare pairs of the same target and layer"):
        runner.evaluate(folder, settings.model_copy(update={"against": "terrarium"}), SILENT)
