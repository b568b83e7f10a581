"""The command that looks for known mistakes: what it prints, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from nlakit.cli import main
from nlakit.models.reconstructor import HEAD_FILE
from nlakit.testing import tiny_pair_folder


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    return tiny_pair_folder(tmp_path)


def ended(arguments: list[str]) -> int:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    return int(stop.value.code or 0)


def break_head(pair: Path) -> None:
    path = pair / "reconstructor" / HEAD_FILE
    save_file({"weight": torch.full_like(load_file(path)["weight"], float("nan"))}, path)


def test_a_healthy_pair_ends_with_0(pair: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """People get a table in words, a line for what does not apply, and a last line that counts; standard error is for progress."""
    assert 0 == ended(["doctor", str(pair)])
    out, err = capsys.readouterr()

    assert "what must hold" in out
    assert "FAILURE" not in out
    assert "nothing to look at here: 12 splits" in out
    assert out.splitlines()[-1].startswith(f"{pair}: ")
    assert "pass" in out.splitlines()[-1]
    assert "doctor: 27/27" in err


def test_a_failure_ends_with_2_and_has_a_cure(pair: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Below what was found stands what to do, and a script can tell from the exit code."""
    break_head(pair)

    assert 2 == ended(["doctor", str(pair), "--quiet"])
    out, err = capsys.readouterr()

    assert "FAILURE" in out
    assert "Cure:" in out
    assert "2 failure" in out.splitlines()[-1]
    assert "" == err


def test_programs_get_every_finding(pair: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """JSON is a list with all checks, those that do not apply included."""
    break_head(pair)

    assert 2 == ended(["doctor", str(pair), "--json"])
    findings = json.loads(capsys.readouterr().out)

    assert [found["number"] for found in findings] == list(range(27))
    assert {"number", "check", "title", "status", "found", "cure"} == findings[8].keys()
    assert findings[8]["status"] == "failure"


def test_a_name_that_is_nothing_ends_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    """A misspelt name is one line on standard error."""
    assert 2 == ended(["doctor", "terarium"])

    assert "Did you mean 'terrarium'?" in capsys.readouterr().err
