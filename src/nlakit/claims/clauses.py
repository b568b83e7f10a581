"""Clauses and words of any text: the pieces that claims are read from, with their places and without their meaning."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from nlakit.claims.frames import QUOTES, is_value

_QUOTATION = r"\"[^\"\n]*\"|“[^”\n]*”|«[^»\n]*»"
_CLOSED = r"[.!?][)’'](?=\s|$)"
_BOUNDARY = re.compile(rf"(?P<closed>{_QUOTATION}|{_CLOSED})|[.!?](?=\s|$)|[;,](?=[.!?;,\s]|$)|\n")
_WORD = re.compile(rf"{_QUOTATION}|[^\W_](?:[\w'’.,:/-]*\w)?")


@dataclass(frozen=True, slots=True)
class Word:
    """A word, a number, or a whole quotation with its marks."""

    text: str
    start: int
    """Where it begins in the text, in characters."""

    @property
    def end(self) -> int:
        """Where it ends in the text, in characters."""
        return self.start + len(self.text)

    @property
    def quoted(self) -> bool:
        """Whether it is a quotation."""
        return self.text[0] in QUOTES

    @property
    def number(self) -> bool:
        """Whether it has a digit."""
        return not self.quoted and is_value(self.text)

    @property
    def capitalised(self) -> bool:
        """Whether it begins with a capital letter."""
        return self.text[0].isupper()

    @property
    def inside(self) -> tuple[int, int]:
        """Where the words between quotation marks begin and end in the text; the word itself where it is no quotation."""
        return (self.start + 1, self.end - 1) if self.quoted else (self.start, self.end)


@dataclass(frozen=True, slots=True)
class Clause:
    """Words between two marks."""

    text: str
    start: int
    """Where it begins in the text, in characters."""
    opens: bool
    """Whether a sentence begins here, where a capital letter says nothing."""

    @property
    def end(self) -> int:
        """Where it ends in the text, in characters."""
        return self.start + len(self.text)

    def words(self) -> list[Word]:
        """Return the words in order; a quotation is one word."""
        return words(self.text, self.start)


@dataclass(frozen=True, slots=True)
class Stretch:
    """What stands between two marks, with all that is in it."""

    start: int
    """Where it begins in the text, in characters."""
    end: int
    """Where it ends in the text, in characters, before its mark; a mark in quotation marks or brackets is inside."""
    mark: str
    """What ends it: one of ``.!?;,``, a line break, or nothing at the end of the text."""
    next: int
    """Where the text goes on behind the mark."""

    @property
    def ends_sentence(self) -> bool:
        """Whether a sentence ends here."""
        return self.mark not in (",", ";")


def stretches(text: str) -> Iterator[Stretch]:
    """Cut a text at sentence ends, semicolons, commas and line breaks; marks inside numbers and quotations do not count.

    A quotation or a bracket that closes on such a mark ends its stretch. A stop behind a short form ("Mr. Hill") is taken for
    a sentence end.
    """
    begin = 0
    for match in _BOUNDARY.finditer(text):
        start, mark = match.start(), match.group()
        if match["closed"]:
            start, mark = match.end(), mark[-2]
            if mark not in ".!?;,":
                continue
        yield Stretch(begin, start, mark, match.end())
        begin = match.end()
    yield Stretch(begin, len(text), "", len(text))


def clauses(text: str) -> Iterator[Clause]:
    """Yield the stretches of a text that have a word, without the spaces and marks around them."""
    opens = True
    for stretch in stretches(text):
        found = [match.span() for match in _WORD.finditer(text, stretch.start, stretch.end)]
        if found:
            first, last = found[0][0], found[-1][1]
            yield Clause(text[first:last], first, opens)
        opens = stretch.ends_sentence


def words(text: str, start: int = 0) -> list[Word]:
    """Return the words of a text that begins at ``start``; a quotation is one word."""
    return [Word(match.group(), start + match.start()) for match in _WORD.finditer(text)]
