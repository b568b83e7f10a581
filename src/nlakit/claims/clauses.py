"""Any explanation as sentences of clauses: what edits of a text move, drop and cut.

Sentences end at ``.``, ``!`` and ``?`` before white space and at line ends, clauses at commas and semicolons before white
space, so that "1,000" and "3.5" stay whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_SENTENCE_ENDS = re.compile(r"((?<=[.!?])\s+|(?<=[.!?][\"”’')])\s+|\s*\n\s*)")
_CLAUSE_ENDS = re.compile(r"\s*[,;](?:\s+|$)")


@dataclass(frozen=True, slots=True)
class Sentence:
    """The clauses of one sentence, as they are written but for single spaces."""

    clauses: tuple[str, ...]
    mark: str = "."
    """What ends it: ``.``, ``!``, ``?``, or nothing where the text just stops."""
    gap: str = " "
    """What stands behind it: a space, or line breaks as they are written, since they may part the snippets of an explanation."""


def sentences(text: str) -> list[Sentence]:
    """Return the sentences of a text; what has no letter and no digit is left out."""
    parts = _SENTENCE_ENDS.split(text.strip())
    found = []
    for written, gap in zip(parts[::2], [*parts[1::2], " "], strict=True):
        pieces = _CLAUSE_ENDS.split(written.rstrip(".!? "))
        clauses = tuple(" ".join(clause.split()) for clause in pieces if re.search(r"\w", clause))
        if clauses:
            mark = written[-1] if written[-1] in ".!?" else ""
            found.append(Sentence(clauses, mark, gap if "\n" in gap else " "))
    return found


def joined(found: Iterable[Sentence]) -> str:
    """Return sentences as one text, each begun large, with commas between clauses; one without clauses is left out."""
    text = ""
    for sentence in found:
        if sentence.clauses:
            said = ", ".join(sentence.clauses)
            text += said[0].upper() + said[1:] + sentence.mark + sentence.gap
    return text.rstrip()
