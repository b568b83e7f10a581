"""Any explanation as sentences of clauses: what edits of a text move, drop and cut.

Where a sentence and a clause end is in :mod:`nlakit.claims.clauses`; numbers and quotations stay whole.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from nlakit.claims.clauses import stretches
from nlakit.config import derive_seed

_WORD = re.compile(r"\w+")


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
    text = text.strip()
    found: list[Sentence] = []
    parts: list[str] = []
    for stretch in stretches(text):
        part = " ".join(text[stretch.start : stretch.end].split())
        if stretch.ends_sentence:
            part = part.rstrip(".!? ")
        if re.search(r"\w", part):
            parts.append(part)
        if stretch.ends_sentence and parts:
            mark = text[stretch.end : stretch.next].strip()
            gap = text[stretch.end + len(mark) :]
            gap = gap[: len(gap) - len(gap.lstrip())]
            found.append(Sentence(tuple(parts), mark, gap if "\n" in gap else " "))
            parts = []
    return found


def joined(found: Iterable[Sentence]) -> str:
    """Return sentences as one text, each begun large, with commas between clauses; one without clauses is left out."""
    text = ""
    for sentence in found:
        if sentence.clauses:
            said = ", ".join(sentence.clauses)
            text += said[0].upper() + said[1:] + sentence.mark + sentence.gap
    return text.rstrip()


def capitals(texts: Iterable[str]) -> frozenset[str]:
    """Return the words that stand with a capital inside a sentence: names, which keep it when a clause moves."""
    found: set[str] = set()
    for text in texts:
        for sentence in sentences(text):
            words = [word for clause in sentence.clauses for word in _WORD.findall(clause)]
            found.update(word for word in words[1:] if word[0].isupper())
    return frozenset(found)


def shuffled(text: str, seed: int, names: frozenset[str], *, keep_last: bool = False) -> str:
    """Return the sentences in random order, and the clauses of each; ``names`` are the words that keep their capital.

    With ``keep_last`` the last sentence stays as it is, where it is.
    """
    rng = random.Random(derive_seed(seed, "shuffle", text))
    found = sentences(text)
    kept = found[-1:] if keep_last else []
    moved = [_with_moved_clauses(sentence, rng, names) for sentence in found[: len(found) - len(kept)]]
    rng.shuffle(moved)
    return joined([*moved, *kept])


def _with_moved_clauses(sentence: Sentence, rng: random.Random, names: frozenset[str]) -> Sentence:
    """Return a sentence with its clauses in random order."""
    first, *rest = sentence.clauses
    clauses = [_small(first, names), *rest]
    rng.shuffle(clauses)
    return replace(sentence, clauses=tuple(clauses))


def _small(clause: str, names: frozenset[str]) -> str:
    """Return a sentence's first clause as it would stand inside: without its capital, but for a name."""
    word = _WORD.match(clause)
    return clause if word is None or word.group() in names else clause[0].lower() + clause[1:]
