"""Frames learnt from many clauses: what two clauses have in common that are equal but for one span of up to four words.

The words around the span are the frame ("kept in the _"), the words in it are its filler. Frames are chosen
greedily, as in set cover: the frame that most different clauses fit is taken first, and the clauses that it explains count for no
other. So "_ red" does not take "coloured red" away from "coloured _" because "answer red" and "next word red" end alike.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet

Words = tuple[str, ...]
"""Lower-cased words of a clause."""
Frame = tuple[Words, Words]
"""The words before the filler and those after it; at least one word in all."""

MAX_FILLER = 4
"""Words in a filler, at most (our choice: the longest values of Terrarium)."""
MAX_WORDS = 12
"""Words in a clause that has a frame, at most; longer ones hardly ever recur (our choice)."""
NEAR_TIE = 0.8
"""A frame gives way to a longer one that explains at least this share of its clauses (our choice)."""
QUOTES = '"“«'
"""Marks that open a quotation."""
BLANK = "_"
"""What stands in the place of the filler where a frame is written."""


def spans(words: Words) -> Iterator[tuple[int, int]]:
    """Yield the first and last place (behind it) of every possible filler of a clause.

    A number or a quotation is a filler of its own, and no frame keeps one.
    """
    if len(words) > MAX_WORDS:
        return
    values = [place for place, word in enumerate(words) if is_value(word)]
    if values:
        if len(values) == 1 and len(words) > 1:
            yield values[0], values[0] + 1
        return
    for first in range(len(words)):
        for last in range(first + 1, min(first + MAX_FILLER, len(words)) + 1):
            if last - first < len(words):
                yield first, last


def is_value(word: str) -> bool:
    """Whether a word is a quotation or has a digit."""
    return word[0] in QUOTES or any(letter.isdigit() for letter in word)


def written(frame: Frame) -> str:
    """Write a frame with a blank: ``"kept in the _"``."""
    before, after = frame
    return " ".join((*before, BLANK, *after))


def parsed(text: str) -> Frame:
    """Return the frame that :func:`written` wrote so."""
    parts = text.split()
    place = parts.index(BLANK)
    return tuple(parts[:place]), tuple(parts[place + 1 :])


def choose_frames(counts: Mapping[Words, int], names: AbstractSet[str], min_values: int, min_count: int) -> list[Frame]:
    """Choose frames from clauses and how often each was seen, the ones that explain most different clauses first.

    Of ``names`` alone no frame is made. A frame explains at least ``min_values`` clauses that no earlier one
    does, seen ``min_count`` times together. A clause belongs to the first frame that fits it.
    """
    clauses = list(counts)
    members = _candidates(clauses, names, min_values)
    frames_of: list[list[Frame]] = [[] for _ in clauses]
    for frame, found in members.items():
        for clause in found:
            frames_of[clause].append(frame)
    open_ = [True] * len(clauses)
    heap = [(-len(found), _ties(frame), frame) for frame, found in members.items()]
    heapq.heapify(heap)
    chosen = []
    while heap:
        size, ties, frame = heapq.heappop(heap)
        left = [clause for clause in members[frame] if open_[clause]]
        if len(left) < min_values or sum(counts[clauses[clause]] for clause in left) < min_count:
            continue
        if len(left) < -size:
            heapq.heappush(heap, (-len(left), ties, frame))
            continue
        best = _longest(left, frames_of)
        if best != frame:
            heapq.heappush(heap, (size, ties, frame))
            left = [clause for clause in members[best] if open_[clause]]
        chosen.append(best)
        for clause in left:
            open_[clause] = False
    return chosen


def _ties(frame: Frame) -> tuple[int, int, str]:
    """Order frames that explain as many clauses: the longer first, then the one with more words before the filler."""
    before, after = frame
    return -len(before) - len(after), -len(before), written(frame)


def _longest(clauses: Sequence[int], frames_of: Sequence[Sequence[Frame]]) -> Frame:
    """Return the longest frame that explains nearly as many of these clauses as the one that explains all."""
    shared = Counter(other for clause in clauses for other in frames_of[clause])
    near = [other for other, size in shared.items() if size >= NEAR_TIE * len(clauses)]
    return min(near, key=_ties)


def _candidates(clauses: Sequence[Words], names: AbstractSet[str], min_values: int) -> dict[Frame, list[int]]:
    """Return every frame that at least ``min_values`` clauses fit, with the places of these clauses.

    Only beginnings and ends that so many clauses share are combined, which keeps free prose within bounds.
    """
    begins = _shared_beginnings(clauses, min_values)
    ends = {end[::-1] for end in _shared_beginnings([clause[::-1] for clause in clauses], min_values)}
    members: dict[Frame, list[int]] = {}
    for place, clause in enumerate(clauses):
        for first, last in spans(clause):
            before, after = clause[:first], clause[last:]
            if before in begins and after in ends and not all(word in names for word in before + after):
                members.setdefault((before, after), []).append(place)
    return {frame: found for frame, found in members.items() if len(found) >= min_values}


def _shared_beginnings(clauses: Sequence[Words], min_values: int) -> set[Words]:
    """Return the first words that at least ``min_values`` clauses share, of every length; also no word at all."""
    shared: set[Words] = {()}
    left = [clause for clause in clauses if len(clause) <= MAX_WORDS]
    for length in range(1, MAX_WORDS):
        counts = Counter(clause[:length] for clause in left if len(clause) > length)
        new = {words for words, size in counts.items() if size >= min_values}
        left = [clause for clause in left if clause[:length] in new]
        shared |= new
    return shared
