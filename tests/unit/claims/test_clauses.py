"""Clauses and words with their places."""

from __future__ import annotations

import pytest

from nlakit.claims.clauses import clauses, words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One, two; three. Four!", ["One", "two", "three", "Four"]),
        ('It ends with "a, b. c", as said.', ['It ends with "a, b. c"', "as said"]),
        ('It ends with "a b." It begins late.', ['It ends with "a b."', "It begins late"]),
        ("About 3.5 of 1,000 rows", ["About 3.5 of 1,000 rows"]),
        ("- first line\n- second line", ["first line", "second line"]),
        (", . ;", []),
        ("", []),
    ],
)
def test_clauses_end_at_marks_outside_quotations(text: str, expected: list[str]) -> None:
    """Sentence ends, semicolons, commas and line breaks part clauses; those in quotations and numbers do not."""
    assert [clause.text for clause in clauses(text)] == expected


def test_clauses_know_their_place_and_whether_they_open_a_sentence() -> None:
    """Each clause stands where it says, and only the first of a sentence opens it."""
    text = 'One, two "x." Three; four.'
    found = list(clauses(text))
    assert all(text[clause.start : clause.end] == clause.text for clause in found)
    assert [clause.opens for clause in found] == [True, False, True, False]


def test_words_are_numbers_quotations_and_capitalised() -> None:
    """A quotation is one word with its marks, and marks around other words are left out."""
    text = 'Anna\'s (old) "big cat" is 3.5, x2'
    found = words(text, start=10)
    assert [word.text for word in found] == ["Anna's", "old", '"big cat"', "is", "3.5", "x2"]
    assert [word.quoted for word in found] == [False, False, True, False, False, False]
    assert [word.number for word in found] == [False, False, False, False, True, True]
    assert [word.capitalised for word in found] == [True, False, False, False, False, False]
    assert (found[2].start, found[2].end) == (10 + text.index('"'), 10 + text.index(" is"))
    first, last = found[2].inside
    assert text[first - 10 : last - 10] == "big cat"


def test_a_bracket_that_closes_on_a_mark_ends_its_sentence() -> None:
    """What follows "(He left.)" begins a sentence, as after a quotation."""
    found = list(clauses("(He left.) Then, nothing."))

    assert [(clause.text, clause.opens) for clause in found] == [("He left", True), ("Then", True), ("nothing", False)]
