"""What is examined is told from its name or folder, and a part that does not open stops no other."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.unit.doctor.garden import ill
from tests.unit.models.reference import layout

from nlakit.card import CARD_FILE
from nlakit.config import Recipe
from nlakit.doctor import examine, opening
from nlakit.doctor.opening import open_subject
from nlakit.errors import InputError, ModelError, NotFoundError, PairError
from nlakit.models.reconstructor import HEAD_FILE
from nlakit.models.target import Target
from nlakit.pipeline import run_stages
from nlakit.progress import Progress
from nlakit.runs import RunFolder
from nlakit.testing import tiny_pair_folder, tiny_recipe, tiny_target_folder

PARTS = ("target", "card", "verbalizer", "reconstructor", "folder", "run", "store")


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_pair_folder(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    prompts = {"marker": "<|system|>"}
    return tiny_recipe(tmp_path_factory.mktemp("world"), documents=8, target={"site": "resid.0"}, prompts=prompts)


@pytest.fixture(scope="module")
def run(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that has come as far as its store."""
    folder = tmp_path_factory.mktemp("runs") / "young"
    run_stages(recipe, RunFolder(folder), Progress(silent=True), ["extract"])
    return folder


def opened(what: str | Path) -> tuple[set[str], dict[str, str]]:
    subject = open_subject(what)
    return {part for part in PARTS if subject.has(part)}, subject.closed


def test_a_pair_is_opened_with_its_model(pair: Path) -> None:
    """A folder with a card is a pair, given as text or as a path."""
    assert ({"target", "card", "verbalizer", "reconstructor", "folder"}, {}) == opened(pair) == opened(str(pair))


def test_a_model_becomes_what_a_pair_would_start_from(pair: Path) -> None:
    """The halves of a bare model share its weights and have its defaults: two-thirds depth, the norm of real vectors."""
    subject = open_subject(pair.parent / "target")

    assert subject.target is not None
    assert subject.verbalizer is not None
    assert subject.card is not None
    assert subject.verbalizer.model is subject.target.model
    assert subject.card.site == "resid.1"
    assert not subject.card.training
    norms_N = subject.rows.vectors_ND.norm(dim=1)
    assert norms_N.min() < subject.card.injection_scale < norms_N.max()


def test_a_store_is_opened_alone(run: Path) -> None:
    """A store says which model it is of only by a fingerprint, so nothing else is opened; its own checks are done."""
    assert ({"store"}, {}) == opened(run / "extract")
    findings = examine(run / "extract")

    assert {} == ill(findings)
    assert {0, 12, 19} == {found.number for found in findings if found.status == "pass"}


def test_a_run_without_a_pair_has_the_model_of_its_recipe(run: Path) -> None:
    """Before the warm start a run is examined as its recipe would begin it: with its site and prompts, and on its store."""
    subject = open_subject(run)

    assert ({"target", "card", "verbalizer", "reconstructor", "run", "store"}, {}) == opened(run)
    assert subject.card is not None
    assert (subject.card.site, subject.card.prompts.marker) == ("resid.0", "<|system|>")
    assert {} == ill(examine(run))


def test_a_released_pair_is_opened_by_its_layout(tmp_path: Path) -> None:
    """Two folders with side files are a pair; what needs a card of our own says so."""
    layout.write(tmp_path, "llama")

    assert ({"target", "card", "verbalizer", "reconstructor"}, {}) == opened(tmp_path / "tiny")


def test_a_hub_name_is_a_model_when_there_is_no_such_pair(pair: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """owner/name is tried as a released pair first; without side files it is a model."""

    def none(_name: str, **_: object) -> None:
        raise PairError("there is no repository")

    load = Target.load
    monkeypatch.setattr(opening, "locate", none)
    monkeypatch.setattr(Target, "load", lambda _name, **_: load(pair.parent / "target"))

    assert "target" in opened("somebody/some-model")[0]


def test_a_name_that_is_nothing_is_an_error() -> None:
    """A misspelt name is told with the nearest one that is installed, and is no finding."""
    with pytest.raises(NotFoundError, match="Did you mean 'terrarium'"):
        examine("terarium")


def test_a_folder_that_is_nothing_is_an_error(tmp_path: Path) -> None:
    """The message says what a folder would have to hold."""
    with pytest.raises(InputError, match=r"no model, pair, run or store: it has no config\.json"):
        examine(tmp_path)


def test_a_damaged_model_is_a_finding(tmp_path: Path) -> None:
    """A model that cannot be loaded is one failure with the reason; nothing else can be looked at."""
    tiny_target_folder(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"no weights")

    findings = examine(tmp_path)

    assert {0: "failure"} == ill(findings)
    assert "cannot load a model" in findings[0].found
    assert "model did not open" in findings[1].found


def copied(pair: Path, folder: Path) -> Path:
    return Path(shutil.copytree(pair, folder / "pair"))


def test_a_damaged_card_is_a_finding(pair: Path, tmp_path: Path) -> None:
    """Without its card a pair is nothing, and the file is named."""
    folder = copied(pair, tmp_path)
    (folder / CARD_FILE).write_text("schema_version: 1\n")

    findings = examine(folder)

    assert {0: "failure"} == ill(findings)
    assert str(folder / CARD_FILE) in findings[0].found


def test_a_pair_without_its_model_is_examined_as_far_as_it_goes(pair: Path, tmp_path: Path) -> None:
    """A model that was moved away costs the checks that need it, and no other."""
    folder = copied(pair, tmp_path)
    card = folder / CARD_FILE
    card.write_text(card.read_text().replace(str(pair.parent / "target"), str(tmp_path / "gone")))

    findings = examine(folder)

    assert {0: "failure"} == ill(findings)
    assert "the model does not open" in findings[0].found
    assert {2, 3, 4, 5, 6, 7, 8, 9} <= {found.number for found in findings if found.status == "pass"}


def test_a_head_that_is_not_finite_on_the_disk_is_found_in_its_file(pair: Path, tmp_path: Path) -> None:
    """The reconstructor does not open, its head's check says why, and the verbalizer is examined all the same."""
    folder = copied(pair, tmp_path)
    path = folder / "reconstructor" / HEAD_FILE
    save_file({"weight": torch.full_like(load_file(path)["weight"], float("nan"))}, path)

    findings = examine(folder)

    assert {0: "failure", 8: "failure"} == ill(findings)
    assert "not finite" in findings[8].found
    assert {4, 5, 6, 7, 10, 11, 16, 23} <= {found.number for found in findings if found.status == "pass"}


def test_a_wrong_marker_on_the_card_is_found_though_the_verbalizer_does_not_open(pair: Path, tmp_path: Path) -> None:
    """The tokens found and declared are told by the marker's check, and the reconstructor is examined all the same."""
    folder = copied(pair, tmp_path)
    card = folder / CARD_FILE
    card.write_text(card.read_text().replace("marker: <|vector|>", "marker: zwei Worte"))

    findings = examine(folder)

    assert {0: "failure", 2: "failure"} == ill(findings)
    assert "must be one token" in findings[2].found
    assert {8, 9, 22} <= {found.number for found in findings if found.status == "pass"}


def test_a_model_whose_prompts_have_no_marker_is_a_finding(tmp_path: Path) -> None:
    """A model that no pair can be started from says why, and what does not need a pair is examined."""
    prompts = tiny_target_folder(tmp_path) / "nlakit_prompts.json"
    prompts.write_text(prompts.read_text().replace("<|vector|>", "zwei Worte"))

    findings = examine(tmp_path)

    assert {0: "failure", 2: "failure"} == ill(findings)
    assert "must be one token" in findings[2].found
    assert {1, 3, 14, 15, 22} <= {found.number for found in findings if found.status == "pass"}


def test_a_hub_that_cannot_be_reached_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name on the Hub that can be had neither as a pair nor as a model is one failure with the reason."""

    def unreachable(*_: object, **__: object) -> None:
        raise ModelError("the Hugging Face Hub cannot be reached")

    monkeypatch.setattr(opening, "locate", unreachable)
    monkeypatch.setattr(Target, "load", unreachable)

    findings = examine("somebody/some-model")

    assert {0: "failure"} == ill(findings)
    assert "cannot be reached" in findings[0].found
