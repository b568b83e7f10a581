"""Tests of nlakit.explanations."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlakit.explanations import CLOSE_TAG, OPEN_TAG, Explanation, Outcome, parse_explanation, wrap_explanation


@pytest.mark.parametrize(
    ("generated", "stopped", "expected"),
    [
        ("<explanation>a key</explanation>", True, Explanation("a key", Outcome.OK)),
        ("a key</explanation>", True, Explanation("a key", Outcome.OK)),
        ("well: <explanation>\n a key \n</explanation> and more", True, Explanation("a key", Outcome.OK)),
        ("<explanation>a</explanation><explanation>b</explanation>", True, Explanation("a", Outcome.OK)),
        ("<explanation> \n</explanation>", True, Explanation("", Outcome.EMPTY)),
        ("", True, Explanation("", Outcome.NO_CLOSING_TAG)),
        ("<explanation>a key", True, Explanation("a key", Outcome.NO_CLOSING_TAG)),
        ("<explanation>a key", False, Explanation("a key", Outcome.CUT_OFF)),
        ("</explanation><explanation>a key", False, Explanation("a key", Outcome.CUT_OFF)),
    ],
)
def test_generated_text_becomes_text_or_a_named_failure(generated: str, stopped: bool, expected: Explanation) -> None:
    """Each way an output can end has its own outcome."""
    assert expected == parse_explanation(generated, stopped=stopped)


@given(st.text(st.characters(exclude_characters="<>"), min_size=1).filter(str.strip))
def test_wrapping_and_parsing_are_inverse(text: str) -> None:
    """What a verbalizer is trained to write is read back without change, outer white space aside."""
    assert Explanation(text.strip()) == parse_explanation(wrap_explanation(text))


@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if outcome is not Outcome.OK])
def test_only_an_ok_outcome_may_be_scored(outcome: Outcome) -> None:
    """A failed explanation is not scored, whatever text came with it."""
    assert not Explanation("some text", outcome).ok
    assert Explanation("some text").ok


def test_other_tags_can_be_used() -> None:
    """The tags are settings of a pair, not constants of the parser."""
    assert Explanation("x") == parse_explanation("[x]", "[", "]")
    assert (OPEN_TAG, CLOSE_TAG) == ("<explanation>", "</explanation>")
