"""Tests of the commands that use a pair, on a tiny untrained one."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from nlakit.cli import main
from nlakit.models.readings import from_lines
from nlakit.testing import tiny_pair_folder

TEXT = "The cat sat on the mat near the red door."


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_pair_folder(tmp_path_factory.mktemp("tiny")))


@pytest.fixture
def vectors(tmp_path: Path) -> str:
    path = tmp_path / "vectors.safetensors"
    save_file({"v": torch.randn(3, 32, generator=torch.Generator().manual_seed(0))}, path)
    return str(path)


def ended(arguments: list[str]) -> int:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    return int(stop.value.code or 0)


def printed(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> Any:
    """Run a command that must end well and return the JSON it prints."""
    assert 0 == ended([*arguments, "--json"])
    return json.loads(capsys.readouterr().out)


def test_read_prints_a_table(pair: str, capsys: pytest.CaptureFixture[str]) -> None:
    """For people, a reading shows position and token."""
    assert 0 == ended(["read", TEXT, "--pair", pair, "--positions", "0-2"])
    out = capsys.readouterr().out

    assert all(part in out for part in ("pos", "token", "explanation", "The"))


def test_read_takes_a_text_a_pipe_and_a_chat(
    pair: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An argument and standard input give the same readings; a chat goes through the template."""
    chat = tmp_path / "chat.json"
    chat.write_text(json.dumps([{"role": "user", "content": TEXT}]))
    monkeypatch.setattr("sys.stdin", io.StringIO(TEXT))

    given = printed(["read", TEXT, "--pair", pair], capsys)
    piped = printed(["read", "-", "--pair", pair], capsys)
    chatted = printed(["read", "--messages", str(chat), "--pair", pair], capsys)

    assert given == piped
    assert "<|user|>" == chatted["readings"][0]["token"]


def test_positions_and_samples_are_passed_on(pair: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Only the wanted positions are read, each as often as wanted."""
    readings = printed(["read", TEXT, "--pair", pair, "--positions", "2,-1", "--samples", "2"], capsys)["readings"]

    assert 2 == len(readings)
    assert 2 == readings[0]["position"]
    assert "." in readings[1]["token"]
    assert [2, 2] == [len(reading["explanations"]) for reading in readings]


def test_readings_are_written_as_json_lines(pair: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What --out writes can be read back, and is what was printed."""
    path = tmp_path / "readings.jsonl"
    record = printed(["read", TEXT, "--pair", pair, "--positions", "1,2", "--out", str(path)], capsys)

    assert record["readings"] == [reading.to_json() for reading in from_lines(path.read_text())]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["read", ""], "empty"),
        (["read", "cat " * 500], "tokens"),
        (["read", TEXT, "--positions", "900"], "outside the text"),
    ],
    ids=["empty text", "text longer than the window", "position out of range"],
)
def test_text_that_cannot_be_read_is_one_message(
    arguments: list[str], message: str, pair: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Empty text, a text longer than the window and a position outside it end with 2 and a sentence."""
    assert 2 == ended([*arguments, "--pair", pair])
    out, err = capsys.readouterr()

    assert ("", 1) == (out, len(err.splitlines()))
    assert message in err


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_vectors_with_nan_are_refused(
    bad: float, pair: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Numbers that are not finite are refused with the file and the row."""
    path = tmp_path / "bad.safetensors"
    save_file({"v": torch.tensor([[1.0] * 32, [bad] * 32])}, path)

    assert 2 == ended(["describe", str(path), "--pair", pair])
    assert "the first is row 1" in capsys.readouterr().err


def test_vectors_of_another_width_are_refused(pair: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Vectors of another model are refused with both widths."""
    path = tmp_path / "wide.safetensors"
    save_file({"v": torch.ones(2, 33)}, path)

    assert 2 == ended(["score", str(path), "a", "b", "--pair", pair])
    assert "33 wide, expected 32" in capsys.readouterr().err


def test_a_reading_can_be_drawn(pair: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--picture writes one SVG that holds the tokens, beside what is printed."""
    picture = tmp_path / "reading.svg"
    arguments = ["read", TEXT, "--pair", pair, "--positions", "5", "--picture", str(picture), "--json"]
    (reading,) = printed(arguments, capsys)["readings"]

    drawn = picture.read_text(encoding="utf-8")
    assert drawn.startswith("<svg")
    assert reading["token"].strip() in drawn


def test_a_picture_of_another_kind_is_refused_before_the_work(
    pair: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No SVG is written under the name of something else, and no folder made for it."""
    path = tmp_path / "new" / "reading.png"
    assert 2 == ended(["read", TEXT, "--pair", pair, "--picture", str(path)])
    assert "ends in .svg" in capsys.readouterr().err
    assert not path.parent.exists()


def test_describe_writes_one_explanation_a_sample(
    pair: str, vectors: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rows and samples are numbered in order, failures keep their outcome, and the lines are what is printed."""
    path = tmp_path / "explanations.jsonl"
    arguments = ["describe", vectors, "--pair", pair, "--samples", "2", "--out", str(path)]
    found = printed(arguments, capsys)["explanations"]

    assert [0, 0, 1, 1, 2, 2] == [record["row"] for record in found]
    assert {"row", "text", "outcome"} == set(found[0])
    assert found == [json.loads(line) for line in path.read_text().splitlines()]
    assert 0 == ended(arguments)
    assert "outcome" in capsys.readouterr().out


def test_what_is_reconstructed_scores_as_perfect(pair: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Vectors rebuilt from texts have error 0 against these same texts."""
    path, texts = tmp_path / "rebuilt.safetensors", ["a cat on a mat", "a key in a box"]
    vectors = printed(["reconstruct", *texts, "--pair", pair, "--out", str(path)], capsys)["vectors"]
    torch.testing.assert_close(torch.tensor(vectors), load_file(path)["vectors"])

    scores = printed(["score", str(path), *texts, "--pair", pair], capsys)["scores"]
    assert texts == [score["text"] for score in scores]
    assert all(score["error"] == pytest.approx(0, abs=1e-5) for score in scores)
    assert all(score["explained"] == pytest.approx(1, abs=1e-5) for score in scores)


def test_reconstruct_and_score_print_tables(pair: str, vectors: str, capsys: pytest.CaptureFixture[str]) -> None:
    """For people, one line a text."""
    assert 0 == ended(["reconstruct", "a cat", "a key", "--pair", pair])
    assert 3 == len(capsys.readouterr().out.splitlines())
    assert 0 == ended(["score", vectors, "a", "b", "c", "--pair", pair])
    assert 4 == len(capsys.readouterr().out.splitlines())


def test_a_text_for_every_vector(pair: str, vectors: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Two texts for three vectors are refused with both counts."""
    assert 2 == ended(["score", vectors, "a", "b", "--pair", pair])
    assert "2 texts and 3 vectors" in capsys.readouterr().err


def test_the_card_is_shown(pair: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The card's model, site and prompts are there, for people and for programs."""
    record = printed(["card", pair], capsys)
    assert ("tiny", "resid.1") == (record["name"], record["site"])

    assert 0 == ended(["card", pair])
    assert "site: resid.1" in capsys.readouterr().out


def test_a_folder_that_is_no_pair_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder without a card is named, with what is missing."""
    for command in (["read", TEXT, "--pair", str(tmp_path)], ["card", str(tmp_path)], ["evaluate", str(tmp_path)]):
        assert 2 == ended(command)
        assert "card.yaml" in capsys.readouterr().err
