"""The sweep from end to end on tiny targets: what is planted is found, the truth is asked elsewhere, failures are sentences."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from tests.unit.evaluate import toy
from tests.unit.evaluate.layers.planted import plant, planted_recipe

from nlakit.config import AnnotateConfig, Recipe
from nlakit.data.sampling import split_of
from nlakit.data.teachers import Context, Plan
from nlakit.errors import InputError, MissingExtraError, ModelError
from nlakit.evaluate.layers import sweep as module
from nlakit.evaluate.layers.rows import draw_parts
from nlakit.evaluate.layers.sweep import Sweep, check_layers, sweep_layers
from nlakit.testing import FAMILIES, tiny_recipe, tiny_target


@pytest.mark.parametrize("layer", [0, 1, 2, 3])
def test_the_one_layer_that_tells_anything_is_recommended(layer: int, tmp_path: Path) -> None:
    """Wherever it lies, the last block included, it is found, told apart, and beats the depth that the paper prefers."""
    found = sweep_layers(planted_recipe(tmp_path), documents=90, target=plant(layer))

    assert (layer, True) == (found.recommendation.layer, found.recommendation.separated)
    shares = {line.layer: line.measures["context"].value for line in found.lines}
    assert shares[layer] > 0.3 > 0.1 > max(share for other, share in shares.items() if other != layer)
    assert ("last block" in found.recommendation.reason) == (layer == 3)
    text = {line.layer: line.measures["fve_text"].value for line in found.lines}
    assert max(text, key=lambda name: text[name]) == layer


def test_noise_alone_recommends_by_depth(tmp_path: Path) -> None:
    """Where no layer tells anything the reason says so."""
    found = sweep_layers(planted_recipe(tmp_path), documents=60, target=plant(-1), layers=[0, 1, 2])

    assert "No layer is shown to know more" in found.recommendation.reason


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_can_be_swept(family: str, tmp_path: Path) -> None:
    """Each architecture that can be read gives every measure at every layer, within its interval."""
    found = sweep_layers(tiny_recipe(tmp_path), documents=20, target=tiny_target(family=family))

    assert [0, 1, 2] == [line.layer for line in found.lines]
    for line in found.lines:
        assert {"fve_text", "fve_token", "context", "token", "norm", "mean_share"} <= line.measures.keys()
        for name in ("fve_text", "norm", "mean_share"):
            measure = line.measures[name]
            assert measure.low <= measure.value <= measure.high, name
    assert found.truth is None


def test_the_same_seed_gives_the_same_sweep(tmp_path: Path) -> None:
    """Everything that is drawn hangs on the seed; another seed draws other documents."""
    recipe, target = planted_recipe(tmp_path), tiny_target(d=48)

    def numbers(recipe: Recipe) -> dict[str, object]:
        found = sweep_layers(recipe, documents=30, target=target).to_json()
        return {key: found[key] for key in ("layers", "recommendation", "rows")}

    assert numbers(recipe) == numbers(recipe)
    assert numbers(recipe) != numbers(recipe.model_copy(update={"seed": 1}))


def toy_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sweep:
    toy.install(monkeypatch)
    return sweep_layers(toy.toy_recipe(tmp_path, documents=150), documents=60, target=tiny_target())


def test_known_facts_judge_the_recommendation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the corpus knows its truth, every level of it is probed at every layer and the verdict is given."""
    found = toy_sweep(tmp_path, monkeypatch)

    assert found.truth is not None
    assert {"facts", "facts_behind", "entity", "detail"} <= found.lines[0].measures.keys()
    shares = [line.measures["facts"].value for line in found.lines]
    assert shares.index(max(shares)) == found.truth.layer
    assert found.lines[found.recommendation.layer].measures["facts_behind"] == found.truth.behind
    record = found.to_json()
    assert json.loads(json.dumps(record)) == record


def test_the_truth_is_asked_on_other_documents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No document is in two parts, and none of those that the recipe holds out is in any."""
    toy.install(monkeypatch)
    recipe = toy.toy_recipe(tmp_path, documents=400)

    parts = draw_parts(recipe, 100, with_truth=True)

    ids = [document.id for part in parts.values() for document in part]
    assert {"fit": 60, "asked": 40, "truth fit": 60, "truth asked": 40} == {
        name: len(part) for name, part in parts.items()
    }
    assert len(set(ids)) == len(ids)
    assert not [found for found in ids if split_of(recipe.seed, found, recipe.extract.split) == "heldout"]


def test_the_truth_takes_no_part_in_the_recommendation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its truth the corpus gets the same recommendation, from the same numbers."""
    knowing = toy_sweep(tmp_path, monkeypatch)
    parts = {
        name: found
        for name, found in draw_parts(toy.toy_recipe(tmp_path, documents=150), 60, with_truth=True).items()
        if not name.startswith("truth")
    }
    monkeypatch.setattr(module, "truth_reader", lambda name: None)
    monkeypatch.setattr(module, "draw_parts", lambda *args, **options: parts)

    ignorant = sweep_layers(toy.toy_recipe(tmp_path, documents=150), documents=60, target=tiny_target())

    assert knowing.recommendation == ignorant.recommendation
    for with_facts, without in zip(knowing.lines, ignorant.lines, strict=True):
        assert dict(without.measures) == {name: with_facts.measures[name] for name in without.measures}


def test_chosen_layers_give_what_a_full_sweep_gives(tmp_path: Path) -> None:
    """Leaving layers out changes no number of the others, but for how far each is behind the best."""
    recipe, target = planted_recipe(tmp_path), tiny_target(4, 48)
    full, part = (sweep_layers(recipe, documents=30, target=target, layers=layers) for layers in (None, [2, 0, 2]))

    assert [0, 2] == [line.layer for line in part.lines]
    for line in part.lines:
        whole = full.lines[line.layer].measures
        assert {name: whole[name] for name in whole if name != "context_behind"} == {
            name: line.measures[name] for name in line.measures if name != "context_behind"
        }


@pytest.mark.parametrize("layers", [[3], [-1], [0, 999_999], []])
def test_layers_that_are_not_there_are_refused(layers: list[int]) -> None:
    """The message has the range, and one missing layer, not all."""
    with pytest.raises(ModelError, match=r"has the layers 0 to 2") as caught:
        check_layers(layers, tiny_target(n_layers=3))

    assert len(str(caught.value)) < 200


def test_too_few_documents_are_refused(tmp_path: Path) -> None:
    """The message says how many there are of each part, and what to give."""
    with pytest.raises(InputError, match=r"too few documents: .* for 'asked'.*--documents"):
        sweep_layers(planted_recipe(tmp_path, documents=3), target=tiny_target(), documents=20)


def test_documents_without_a_readable_token_are_refused(tmp_path: Path) -> None:
    """A corpus of single tokens gives no row."""
    recipe = planted_recipe(tmp_path)
    lines = [json.dumps({"id": str(number), "text": letter}) for number, letter in enumerate("abcdefghijklmnop")]
    Path(str(recipe.corpus.path)).write_text("\n".join(lines))

    with pytest.raises(InputError, match="gives no row.*longer texts"):
        sweep_layers(recipe, target=tiny_target(), documents=16)


def test_missing_scikit_learn_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package the message has the pip command, before anything is read."""
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.setattr(module, "draw_parts", None)

    with pytest.raises(MissingExtraError, match=r"comparing layers needs .*pip install 'nlakit\[eval\]'"):
        sweep_layers(planted_recipe(tmp_path), target=tiny_target())


class PaidTeacher:
    name = "paid"

    def check(self) -> None: ...

    def receipt(self) -> str:
        return ""

    def plan(self, contexts: object, answers: object) -> Plan:
        return Plan(7, "seven calls")

    def fingerprint(self) -> str:
        return "paid"

    def explain(self, contexts: list[Context]) -> list[object]:
        raise AssertionError("asked for money")


class VectorTeacher(PaidTeacher):
    name, wants_vectors = "vectors", True

    def plan(self, contexts: object, answers: object) -> Plan:
        return Plan(0, "")


@pytest.mark.parametrize(("teacher", "why"), [(PaidTeacher, "paid for"), (VectorTeacher, "one layer")])
def test_a_teacher_that_cannot_be_asked_is_replaced_and_said(
    teacher: type[PaidTeacher], why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is paid for a sweep, and the text that stands in is named."""
    real = module.load_teacher

    def load(config: AnnotateConfig) -> object:
        return teacher() if config.teacher == "extractive" and config.options else real(config)

    monkeypatch.setattr(module, "load_teacher", load)

    found = sweep_layers(planted_recipe(tmp_path), documents=20, target=tiny_target(d=48))

    assert "extractive" == found.teacher
    assert why in found.remarks[0]
