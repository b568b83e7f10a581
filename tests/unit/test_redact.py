"""What identifies people is masked, and other words and numbers are not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlakit.redact import luhn, marks, redact, redact_pieces


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Write to mia.k+box@mail.example.org, please.", "Write to [e-mail], please."),
        ("Call +49 (0)30 1234-5678 now", "Call [telephone] now"),
        ("Call 030 123 45 67.", "Call [telephone]."),
        ("Card 4111 1111 1111 1111.", "Card [card]."),
        ("Card 4111-1111-1111-1112.", "Card 4111-1111-1111-1112."),
        ("Card 4111 1111 1111 1111 123, order 5 4111 1111 1111 1111.", "Card [card] 123, order 5 [card]."),
        ("IBAN DE89 3704 0044 0532 0130 00 it is", "IBAN [account] it is"),
        ("from 192.168.0.17 at", "from [IP address] at"),
        ("key sk-abcdefghijklmnop1234 end", "key [key] end"),
    ],
)
def test_addresses_and_numbers_are_masked(text: str, expected: str) -> None:
    """Each kind has its label; a card number with a wrong check digit is none."""
    assert redact(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "In 1987 she paid 12,500 for 3 boxes.",
        "Version 2.13.0 of 4.5.6",
        "Ends on plus, next a number.",
        "a@b",
        "12 + 34 = 46",
    ],
)
def test_ordinary_text_stays(text: str) -> None:
    """Years, sums, versions and words are untouched."""
    assert redact(text) == text


@given(st.integers(min_value=10**11, max_value=10**17))
def test_every_number_has_one_check_digit(number: int) -> None:
    """Of the ten digits that can be put behind a number, one makes a card of it."""
    assert sum(luhn(f"{number}{digit}") for digit in range(10)) == (1 if len(str(number)) >= 12 else 0)


@given(st.text(max_size=300))
def test_nothing_breaks_it_and_once_is_enough(text: str) -> None:
    """Any text can be masked, and what is masked has nothing left to mask."""
    once = redact(text)
    assert redact(once) == once


def test_pieces_of_a_match_are_masked_each() -> None:
    """An address that tokens cut in pieces is masked in all of them, and the words around it stay."""
    pieces = ["Write", " to", " mia", "@mail", ".example", ".org", " now", "."]
    assert redact_pieces(pieces) == ["Write", " to", "█", "█", "█", "█", " now", "."]


@given(st.text(alphabet="ab@. 1-", max_size=60), st.integers(min_value=1, max_value=5))
def test_pieces_and_whole_texts_agree(text: str, size: int) -> None:
    """However a text is cut, exactly the pieces with a masked character are masked."""
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    hit = {place for start, end, _ in marks(text) for place in range(start, end)}
    expected = [
        "█" if hit & set(range(at, at + len(piece))) else piece
        for at, piece in zip(range(0, len(text), size), pieces, strict=True)
    ]
    assert redact_pieces(pieces) == expected


def test_a_long_text_takes_no_longer_a_character_than_a_short_one() -> None:
    """Many addresses are masked in one pass, each."""
    text = "write to a@b.example or 192.168.0.17, " * 20_000
    assert redact(text).count("[e-mail]") == redact(text).count("[IP address]") == 20_000
