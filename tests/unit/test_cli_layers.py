"""Tests of ``nlakit layers``: how target and text are named, what is printed, how it fails."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.unit.evaluate.layers.planted import planted_recipe

from nlakit.cli import main
from nlakit.cli.layers import _recipe
from nlakit.cli.options import parse_corpus
from nlakit.config import Recipe
from nlakit.errors import ConfigError
from nlakit.recipe import load_recipe


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    return planted_recipe(tmp_path_factory.mktemp("layers"))


def ended(arguments: list[str]) -> int:
    with pytest.raises(SystemExit) as stop:
        main(["layers", *arguments])
    return int(stop.value.code or 0)


def options(recipe: Recipe) -> list[str]:
    """A tiny target of one's own on a file, with few documents."""
    return [
        recipe.target.model,
        *("--corpus", str(recipe.corpus.path), "--documents", "30"),
        *("--set", "extract.min_position=4", "--set", "evaluate.bootstrap=20"),
    ]


def test_a_table_a_recommendation_and_its_reason_are_printed(
    recipe: Recipe, capsys: pytest.CaptureFixture[str]
) -> None:
    """For people: both tables, the layer as a recipe wants it, the reason, and nothing of a truth that nobody knows."""
    assert 0 == ended(options(recipe))
    out, err = capsys.readouterr()

    for words in ("FVE from text", "around the token", "median norm", "recommended: layer ", "target.site = resid."):
        assert words in out
    assert "truth" not in out
    assert "known facts" not in out
    assert "measure: 3/3" in err


def test_json_file_and_picture_say_the_same(recipe: Recipe, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--json, --out and --picture come from one sweep; every measure carries its interval and its split."""
    out, picture = tmp_path / "layers.json", tmp_path / "layers.svg"
    assert 0 == ended([*options(recipe), "--layers", "0,1-2", "--json", "--out", str(out), "--picture", str(picture)])
    printed: dict[str, Any] = json.loads(capsys.readouterr().out)

    assert printed == json.loads(out.read_text())
    assert [0, 1, 2] == [line["layer"] for line in printed["layers"]]
    assert {"value", "low", "high", "n", "split"} == printed["layers"][0]["measures"]["fve_text"].keys()
    assert printed["recommendation"]["site"] == f"resid.{printed['recommendation']['layer']}"
    assert picture.read_text().startswith("<svg xmlns=")


def test_quiet_says_nothing_but_the_result(recipe: Recipe, capsys: pytest.CaptureFixture[str]) -> None:
    """--quiet leaves standard error empty."""
    assert 0 == ended([*options(recipe), "--layers", "1", "--quiet"])

    assert "" == capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--layers", "1,7"], "there is no layer 7: .* has the layers 0 to 2"),
        (["--layers", "one"], "--layers 'one': 'one' is neither a layer .* nor a range"),
        (["--corpus", "missing.jsonl"], "there is no such file, folder or corpus"),
        (["--documents", "4", "--set", "corpus.documents=3"], "too few documents"),
    ],
    ids=["no such layer", "no number", "no such corpus", "too little text"],
)
def test_what_the_user_can_mend_is_one_sentence(
    change: list[str], message: str, recipe: Recipe, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 2, nothing on standard output, one line that says what to give."""
    assert 2 == ended([*options(recipe), "--quiet", *change])
    out, err = capsys.readouterr()

    assert ("", 1) == (out, len(err.splitlines()))
    assert re.search(message, err), err


def test_an_unknown_model_is_one_sentence(tmp_path: Path, recipe: Recipe, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder that is not there ends with 2 and says so."""
    assert 2 == ended([str(tmp_path / "nothing"), "--corpus", str(recipe.corpus.path)])

    assert "there is no folder" in capsys.readouterr().err


def test_a_target_of_ones_own_wants_a_text() -> None:
    """Terrarium's documents would say little of another model, so nothing is assumed."""
    with pytest.raises(ConfigError, match="which text should 'models/mine' read.*--corpus"):
        _recipe("models/mine", None, None, None, [])


def test_without_options_it_is_terrarium() -> None:
    """Target, corpus, rows and teacher are those of the shipped recipe."""
    assert load_recipe("terrarium-quick") == _recipe(None, None, None, None, [])


def test_a_recipe_says_everything_and_options_change_it() -> None:
    """Target, corpus and seed replace those of the recipe; --set goes last."""
    found = _recipe("models/mine", "jsonl", "terrarium-full", 7, ["extract.rows_per_document=2"])

    assert ("models/mine", "jsonl", 7) == (found.target.model, found.corpus.name, found.seed)
    assert (2, 8) == (found.extract.rows_per_document, found.extract.min_position)
    assert "extractive" == _recipe("models/mine", "jsonl", None, None, []).annotate.teacher


def test_the_kind_of_a_corpus_is_seen_from_its_files(tmp_path: Path) -> None:
    """By the ending of a file, or of the files in a folder of one kind."""
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a.txt").write_text("text")
    assert ("text", str(tmp_path)) == parse_corpus(str(tmp_path))
    assert ("text", str(tmp_path / "deep" / "a.txt")) == parse_corpus(str(tmp_path / "deep" / "a.txt"))
    assert ("terrarium", None) == parse_corpus("terrarium")

    (tmp_path / "b.csv").write_text("text\n")
    with pytest.raises(ConfigError, match="it holds csv and text"):
        parse_corpus(str(tmp_path))
    (tmp_path / "notes.doc").write_text("text")
    with pytest.raises(ConfigError, match="its ending says no kind"):
        parse_corpus(str(tmp_path / "notes.doc"))
    with pytest.raises(ConfigError, match="Did you mean 'terrarium'"):
        parse_corpus("terarium")


def test_a_picture_that_cannot_be_drawn_is_known_before_the_work(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without matplotlib the command ends at once, with the extra to install."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)

    assert 2 == ended([*options(recipe), "--picture", str(tmp_path / "layers.svg")])
    err = capsys.readouterr().err
    assert "the picture needs the package 'matplotlib'" in err
    assert "read:" not in err
