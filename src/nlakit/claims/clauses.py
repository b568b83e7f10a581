"""Any explanation as sentences of clauses: what edits of a text move, drop and cut.

Sentences end at ``.``, ``!`` and ``?`` before white space, clauses at commas and semicolons before white space, so that
"1,000" and "3.5" stay whole.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable
from dataclasses import dataclass

_SENTENCE_ENDS = re.compile(r"(?<=[.!?])\s+|(?<=[.!?][\"”’')])\s+")
_CLAUSE_ENDS = re.compile(r"\s*[,;](?:\s+|$)")


@dataclass(frozen=True, slots=True)
class Sentence:
    """The clauses of one sentence, as they are written, and the mark that ends it."""

    clauses: tuple[str, ...]
    mark: str = "."
    """``.``, ``!``, ``?``, or nothing where the text just stops."""


def sentences(text: str) -> list[Sentence]:
    """Return the sentences of a text; what has no letter and no digit is left out."""
    found = []
    for written in _SENTENCE_ENDS.split(text.strip()):
        body = written.rstrip(".!? ")
        clauses = tuple(clause.strip() for clause in _CLAUSE_ENDS.split(body) if re.search(r"\w", clause))
        if clauses:
            found.append(Sentence(clauses, written[-1] if written[-1] in ".!?" else ""))
    return found


def joined(found: Iterable[Sentence]) -> str:
    """Return sentences as one text, each begun large, with commas between clauses; one without clauses is left out."""
    texts = [", ".join(sentence.clauses) + sentence.mark for sentence in found if sentence.clauses]
    return " ".join(text[0].upper() + text[1:] for text in texts)


def shuffled(text: str, rng: random.Random) -> str:
    """Return a text with its sentences, and the clauses of each, in random order."""
    found = [
        Sentence(tuple(rng.sample(sentence.clauses, len(sentence.clauses))), sentence.mark)
        for sentence in sentences(text)
    ]
    rng.shuffle(found)
    return joined(found)
