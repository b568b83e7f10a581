"""A copy of a released pair that has mean and variance on its card."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.unit.models.reference import layout as layouts
from torch import Tensor

from nlakit.card import Card
from nlakit.cli import main
from nlakit.config import EvaluateConfig, NewCorpusConfig
from nlakit.evaluate.runner import evaluate
from nlakit.explanations import Outcome
from nlakit.models.sampler import Sample
from nlakit.testing import tiny_corpus_file, tiny_pair_folder

TEXT = "The cat sat on the mat near the red door."


@pytest.fixture
def released(tmp_path: Path) -> SimpleNamespace:
    """A pair in the released layout, and a corpus."""
    return SimpleNamespace(
        name=layouts.write(tmp_path, "qwen2").name, corpus=str(tiny_corpus_file(tmp_path / "notes.jsonl", 60))
    )


def ended(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    return int(stop.value.code or 0)


def speak(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the sampler of readings by one whose explanations parse."""

    def sample(_verbalizer: object, vectors_ND: Tensor, *, samples: int = 1, **_: object) -> list[Sample]:
        return [Sample([1, 2, 3], "a cat, a key in the box", Outcome.OK)] * (samples * len(vectors_ND))

    monkeypatch.setattr("nlakit.models.pair.sample", sample)


def test_support_works_after_the_command_that_its_refusal_names(
    released: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """``read --support`` of a released pair says what to run, and the copy that comes of it reads claims with their support."""
    speak(monkeypatch)
    read = ("read", "--support", "--json", "--positions", "5", TEXT, "--pair")
    assert ended(*read, released.name) == 2
    command = re.search(r"'nlakit (calibrate [^']+)'", capsys.readouterr().err)
    assert command is not None
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}

    copy = str(tmp_path / "copy")
    assert ended(*command[1].replace("FILE", released.corpus).replace("DIR", copy).split()) == 0
    assert "FVE is measured against the mean and variance of " in capsys.readouterr().out
    assert ended(*read, copy) == 0

    (reading,) = json.loads(capsys.readouterr().out)["readings"]
    claims: list[dict[str, Any]] = reading["explanations"][0]["claims"]
    assert claims
    assert all(0 <= claim["support"] <= 1 for claim in claims)
    assert before == {path: path.stat().st_mtime_ns for path in before}  # the pair itself is left alone


def test_the_copy_is_measured_as_the_pair_on_the_same_corpus(
    released: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a corpus it is measured on the one that its card now names, to the same numbers, and says the same of them."""
    copy = tmp_path / "copy"
    assert ended("calibrate", released.name, "--corpus", released.corpus, "--out", str(copy), "--json") == 0
    said = json.loads(capsys.readouterr().out)
    card = Card.load(copy)
    assert said["variance"] == card.require_stats().variance
    assert said["statistics"] == card.data["statistics"]

    small = EvaluateConfig(rows=12, bootstrap=20, parts=("controls",), max_new_tokens=6)
    corpus = NewCorpusConfig(name="jsonl", path=released.corpus)
    named = evaluate(released.name, small.model_copy(update={"corpus": corpus}))
    own = evaluate(copy, small)
    assert own.measures == named.measures
    assert own.statistics == named.statistics != ""


def test_nobody_says_that_the_copy_was_not_trained_on_what_it_is_measured_on(
    released: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The corpus was named afterwards, so the doctor cannot tell, and does not pass the check."""
    copy = tmp_path / "copy"
    assert ended("calibrate", released.name, "--corpus", released.corpus, "--out", str(copy), "--quiet") == 0
    capsys.readouterr()
    ended("doctor", str(copy), "--json")
    (found,) = [found for found in json.loads(capsys.readouterr().out) if found["check"] == "held-out"]
    assert found["status"] == "not applicable"
    assert "made elsewhere" in found["found"]


def test_settings_of_the_corpus_can_be_given(
    released: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """``--set corpus.documents=30`` reads as many, and another table is refused."""
    give = ("calibrate", released.name, "--corpus", released.corpus, "--out", str(tmp_path / "copy"), "--quiet")
    assert ended(*give, "--set", "train.steps=3") == 2
    assert "only settings of the table corpus" in capsys.readouterr().err
    assert ended(*give, "--set", "corpus.documents=30") == 0
    assert Card.load(tmp_path / "copy").data["corpus"]["documents"] == 30


def test_what_cannot_be_copied_is_one_sentence(
    released: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A corpus without a folder, a folder that is there, and a pair with a corpus of its own are refused; nothing is written."""
    own = tiny_pair_folder(tmp_path / "own")
    corpus, out = ("--corpus", released.corpus), ("--out", str(tmp_path / "copy"))
    for arguments, message in (
        ((released.name, *corpus), f"nlakit calibrate {released.name} --corpus FILE --out DIR"),
        ((released.name, *out), "give both a corpus and the folder of the copy"),
        ((released.name, *corpus, "--out", str(own)), f"{own} exists already"),
        ((str(own), *corpus, *out), "has a corpus of its own on its card"),
        ((released.name,), "is not a folder"),
    ):
        assert ended("calibrate", *arguments) == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "copy").exists()
