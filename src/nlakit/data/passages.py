"""One long text cut into passages: as long as a limit allows, and cut where the text itself pauses."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

_PAUSES = (r"\n[^\S\n]*\n", r"\n", r"(?<=[.!?])\s", r"\s")
"""Where a text may be cut, best first: between paragraphs, lines, sentences, words."""


def passages(text: str, limit: int) -> Iterator[str]:
    """Yield the passages of a text, each of at most ``limit`` characters; blank ones are left out.

    Paragraphs stay together while they fit. One that is longer than the limit is cut between lines, else between
    sentences, else between words, and a single word that is longer than the limit wherever it must be.
    """
    for passage in _cut(text, limit, _PAUSES):
        if passage.strip():
            yield passage.strip()


def _cut(text: str, limit: int, pauses: Sequence[str]) -> list[str]:
    """Cut at the first kind of pause, and what is still too long at the next; the parts add up to the text.

    White space at the end of a part does not count: it is taken away in the end.
    """
    if len(text.rstrip()) <= limit:
        return [text]
    if not pauses:
        return [text[start : start + limit] for start in range(0, len(text), limit)]
    places = [0, *(match.end() for match in re.finditer(pauses[0], text)), len(text)]
    packed: list[str] = []
    for start, end in pairwise(places):
        for part in _cut(text[start:end], limit, pauses[1:]):
            if packed and len(packed[-1]) + len(part.rstrip()) <= limit:
                packed[-1] += part
            else:
                packed.append(part)
    return packed
