"""Texts as sentences of clauses."""

from __future__ import annotations

import pytest

from nlakit.claims.sentences import Sentence, joined, sentences


def test_sentences_and_clauses_by_hand() -> None:
    """Marks stay with their sentences; commas and semicolons part clauses; numbers stay whole."""
    found = sentences('It costs 1,000; or 3.5, really! He said "Stop." Then nothing')

    assert found == [
        Sentence(("It costs 1,000", "or 3.5", "really"), "!"),
        Sentence(('He said "Stop."',), ""),
        Sentence(("Then nothing",), ""),
    ]


def test_a_quotation_stays_whole() -> None:
    """Marks inside a quotation part nothing, so that no edit moves half of it; in brackets a mark ends the sentence."""
    found = sentences('Ends on "no, wait; stop", et al., still. (He left.) Then nothing...')

    assert [sentence.clauses for sentence in found] == [
        ('Ends on "no, wait; stop"', "et al.", "still"),
        ("(He left.)",),
        ("Then nothing",),
    ]


def test_line_breaks_end_sentences_and_are_kept() -> None:
    """Snippets that stand on lines of their own stay so, with or without a mark."""
    text = "A story, told.\n\nAbout Mia\nThe end."

    assert [sentence.gap for sentence in sentences(text)] == ["\n\n", "\n", " "]
    assert joined(sentences(text)) == text


@pytest.mark.parametrize("text", ["", " . ", "A. B, c! D?", "One 1,000, two.", 'He said "Stop." Then nothing'])
def test_joining_turns_splitting_round(text: str) -> None:
    """A text that is well set comes back as it was; one without words comes back empty."""
    assert joined(sentences(text)) == (text if any(char.isalnum() for char in text) else "")


def test_what_lost_its_words_is_left_out() -> None:
    """Marks that stand alone go, and each sentence begins large."""
    assert joined(sentences("This is, , a  story. , . with Mia,.")) == "This is, a story. With Mia."
