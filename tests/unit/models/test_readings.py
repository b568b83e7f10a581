"""Readings: written, read back and shown."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from rich.console import Console

from nlakit.errors import InputError
from nlakit.explanations import Explanation, Outcome
from nlakit.models.readings import (
    Reading,
    Score,
    ScoredExplanation,
    SupportedClaim,
    band_of,
    from_lines,
    render_table,
    to_lines,
)

GOOD = ScoredExplanation("a cat [bold]near a door", Outcome.OK, Score(error=0.5, cosine=0.75, explained=0.25))
FAILED = ScoredExplanation("a cat that", Outcome.CUT_OFF)
READINGS = [
    Reading(3, 17, " cat", 2.5, [GOOD, FAILED], ["early token"]),
    Reading(14, 18, "\n", 2.0, [GOOD]),
]


def test_lines_read_back_as_they_were_written():
    """JSON lines hold everything, and each line is plain JSON."""
    text = to_lines(READINGS)

    assert READINGS == from_lines(text)
    first = json.loads(text.splitlines()[0])
    assert "cut_off" == first["explanations"][1]["outcome"]
    assert first["explanations"][1]["score"] is None
    assert 0.25 == first["explanations"][0]["score"]["explained"]


@pytest.mark.parametrize(
    "line", ["{", "{}", '{"position": 1, "explanations": [{"text": "a", "outcome": "odd", "score": null}]}']
)
def test_a_line_that_is_no_reading_is_named(line):
    """The number of the line is in the error."""
    with pytest.raises(InputError, match="line 2: "):
        from_lines(to_lines(READINGS[:1]) + line)


def test_plain_text_shows_token_flags_score_and_failure():
    """Each explanation is one line; a failed one is marked and has no score."""
    expected = [
        "   3 ' cat'  [early token]",
        "       0.25  a cat [bold]near a door",
        "          -  (cut_off) a cat that",
    ]

    assert expected == str(READINGS[0]).splitlines()


def test_the_table_shows_everything():
    """Position, token, share, words, flags and failures are in the table; brackets in words are not markup."""
    console = Console(width=100, record=True, file=None, force_terminal=False, quiet=False, highlight=False)
    with console.capture() as capture:
        console.print(render_table(READINGS))
    shown = capture.get()

    for part in ("3", " cat", "0.25", "a cat [bold]near a door", "(cut_off) a cat that", "(early token)", "\\n"):
        assert part in shown


@pytest.mark.parametrize(
    ("support", "flags", "band"),
    [
        (0.95, [], ("green", "0.90 and more: believe")),
        (0.95, ["early token"], ("yellow", "0.50 and more: check")),
        (0.6, [], ("yellow", "0.50 and more: check")),
        (0.1, ["special token"], ("red", "less: a guess")),
        (-1.0, [], ("red", "less: a guess")),
    ],
)
def test_what_has_a_flag_is_never_to_be_believed(support, flags, band):
    """Support is fitted and measured on tokens without a flag, so elsewhere the best advice is to check."""
    assert band == band_of(support, flags)


def test_the_table_colours_claims_by_support_and_flags():
    """The same claim is green at one token and yellow at one with a flag; the legend says why."""
    claims = [SupportedClaim("animal", "cat", 2, 5, 0.95, {})]
    readings = [replace(reading, explanations=[replace(GOOD, claims=claims)]) for reading in READINGS]
    console = Console(width=100, force_terminal=True, color_system="standard", highlight=False)
    with console.capture() as capture:
        console.print(render_table(readings))
    shown = capture.get()

    assert shown.count("\x1b[33mcat\x1b[0m") == shown.count("\x1b[32mcat\x1b[0m") == 1
    assert "with a flag: check at most" in shown


def test_an_empty_list_is_an_empty_table():
    """Nothing to show is not an error."""
    assert 0 == render_table([]).row_count
    assert "" == to_lines([])


def test_a_scored_explanation_knows_whether_it_failed():
    """Outcome and text make an explanation again."""
    assert (True, False) == (GOOD.ok, FAILED.ok)
    assert Explanation("a cat that", Outcome.CUT_OFF) == FAILED.explanation
