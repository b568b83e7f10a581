"""Tests of nlakit.progress."""

from __future__ import annotations

import io
import sys

import pytest

from nlakit import progress
from nlakit.progress import Progress


def test_without_a_terminal_lines_go_to_standard_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A log gets a line now and then, with count and free text, and standard output stays empty."""
    monkeypatch.setattr(progress, "LINE_EVERY_S", 0.0)
    shown = Progress()
    shown.say("train ...")
    with shown.task("train", total=2) as task:
        task.advance(text="FVE 0.61")
        task.advance()

    out, err = capsys.readouterr()
    assert "" == out
    assert "train ...\ntrain: 1/2, FVE 0.61 (0 s)\ntrain: 2/2, FVE 0.61 (0 s)\n" == err


def test_lines_are_not_printed_for_every_step(capsys: pytest.CaptureFixture[str]) -> None:
    """A thousand quick steps give one line, the last."""
    with Progress().task("extract", total=1000) as task:
        for _ in range(1000):
            task.advance()

    assert "extract: 1000/1000 (0 s)\n" == capsys.readouterr().err


def test_silence_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    """With --json or --quiet nothing is shown."""
    shown = Progress(silent=True)
    shown.say("train ...")
    with shown.task("train", total=1) as task:
        task.advance(text="FVE 0.61")

    assert ("", "") == tuple(capsys.readouterr())


def test_a_terminal_gets_a_bar_with_the_text(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a terminal the bar shows the label, the count and the text, also at the end."""
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("TERM", "xterm")
    with Progress().task("train", total=2) as task:
        task.update(2, "FVE 0.61")

    shown = capsys.readouterr().err
    assert all(part in shown for part in ("train", "2/2", "FVE 0.61"))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("typed", "approved"), [("y\n", True), (" YES \n", True), ("n\n", False), ("\n", False), ("", False)]
)
def test_people_are_asked_before_money_is_spent(monkeypatch: pytest.MonkeyPatch, typed: str, approved: bool) -> None:
    """At a terminal the plan is shown, and only a yes approves it; silence does not hide the question."""
    shown = Terminal()
    monkeypatch.setattr(sys, "stdin", Terminal(typed))
    monkeypatch.setattr(sys, "stderr", shown)

    assert approved is Progress(silent=True).confirm("300 requests")
    assert "300 requests\nStart? [y/N] " == shown.getvalue()


def test_a_script_approves_with_yes(capsys: pytest.CaptureFixture[str]) -> None:
    """Where nobody can be asked nothing is approved, except by ``yes``, which shows the plan all the same."""
    assert not Progress().confirm("300 requests")
    assert "" == capsys.readouterr().err
    assert Progress(yes=True).confirm("300 requests")
    assert "300 requests\n" == capsys.readouterr().err
