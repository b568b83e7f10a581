"""One text cut into passages."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nlakit.data.passages import passages

PROSE = st.text(alphabet="ab .!?\n\t", max_size=200)


def test_paragraphs_stay_together_while_they_fit() -> None:
    """Two that fit share a passage, blank line included; the third begins the next."""
    assert ["one\n\ntwo", "three"] == list(passages("one\n\ntwo\n \t\nthree\n", 11))


def test_a_long_paragraph_is_cut_where_the_text_pauses() -> None:
    """Between lines before sentences, between sentences before words, and inside a word only where it must be."""
    assert ["First line\nof it", "second line"] == list(passages("First line\nof it\nsecond line", 17))
    assert ["A cat. A dog!", "A bird? Yes."] == list(passages("A cat. A dog! A bird? Yes.", 14))
    assert ["one two", "three"] == list(passages("one two three", 9))
    assert ["abcde", "f gh"] == list(passages("abcdef gh", 5))


@given(PROSE, st.integers(min_value=1, max_value=40))
def test_nothing_is_lost_and_nothing_is_too_long(text: str, limit: int) -> None:
    """Whatever the text and the limit: every visible character is in a passage, in order, and no passage is over the limit."""
    found = list(passages(text, limit))

    assert "".join(text.split()) == "".join("".join(found).split())
    assert all(0 < len(passage) <= limit for passage in found)
