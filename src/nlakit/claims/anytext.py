"""Claims of explanations in any language, for corpora where no plugin knows what an explanation can say.

A clause is read in the first of these ways that fits:

1. by a frame, learnt from many explanations (:mod:`nlakit.claims.frames`): the frame is the slot, its filler the value;
2. by what stands out in it: quotations, numbers and names, each a claim of the slot of that name;
3. as a whole: a claim of the slot ``statement``.

The level of a claim is a guess: names and frames of names are entities where a frame says what they are, other frames and single
quotations, numbers and names are details, whole statements are themes. Nothing here knows what a word means.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from nlakit.claims.clauses import Clause, Word, clauses, words
from nlakit.claims.frames import Frame, Words, choose_frames, parsed, spans, written
from nlakit.errors import InputError
from nlakit.truth import Claim, Level

QUOTATION, NUMBER, NAME, STATEMENT = "quotation", "number", "name", "statement"
ANYTHING = frozenset((QUOTATION, NUMBER, NAME, STATEMENT))
"""Slots of no particular thing: two values of such a slot do not speak of the same, and do not contradict each other."""


@dataclass(frozen=True)
class FrameReader:
    """A :class:`~nlakit.claims.exchange.ClaimReader` for any text, from the frames of many explanations."""

    frames: dict[str, Level]
    """Frames as ``"kept in the _"``, with the level of their claims; a clause belongs to the first that fits."""
    silence: str = ""
    """An explanation that claims nothing: what grounding puts in place of one of which nothing is left."""

    @classmethod
    def fit(cls, texts: Iterable[str], min_values: int = 2, min_count: int = 10) -> FrameReader:
        """Learn the frames of explanations.

        A frame has at least ``min_values`` different fillers and is seen at least ``min_count`` times. With three values, facts
        of two values ("the tool is right") get no frame; frames of two are in the main right, since they are seen often.
        """
        seen = Counter((clause.opens, clause.text) for text in texts for clause in clauses(text))
        counts: Counter[Words] = Counter()
        inner: Counter[str] = Counter()
        capitals: Counter[str] = Counter()
        for (opens, text), often in seen.items():
            found = words(text)
            counts[_keys(found)] += often
            for word in found[1:] if opens else found:
                inner[_key(word)] += often
                capitals[_key(word)] += often * word.capitalised
        names = {word for word, often in capitals.items() if 2 * often > inner[word]}
        chosen = choose_frames(counts, names, min_values, min_count)
        return cls(_levels(chosen, counts, names))

    def claims(self, text: str) -> list[Claim]:
        """Return the claims of an explanation in order, each once."""
        found: dict[tuple[str, str], Claim] = {}
        if self.silence and text.strip() == self.silence:
            return []
        for _, claims in self.by_clause(text):
            for claim in claims:
                found.setdefault(claim.same, claim)
        return list(found.values())

    def by_clause(self, text: str) -> Iterator[tuple[Clause, list[Claim]]]:
        """Yield each clause with the claims that it makes, also those that were made before."""
        for clause in clauses(text):
            yield clause, list(self._read(clause, text))

    def to_json(self) -> dict[str, Any]:
        """Return what :meth:`from_json` reads."""
        return {"frames": dict(self.frames)}

    @classmethod
    def from_json(cls, data: Any, silence: str = "") -> FrameReader:
        """Read what :meth:`to_json` returned; InputError for anything else."""
        frames = data.get("frames") if isinstance(data, dict) else None
        if not isinstance(frames, dict) or not all(
            slot.split().count("_") == 1 and level in ("entity", "detail") for slot, level in frames.items()
        ):
            raise InputError(
                f"frames were expected as {{'frames': {{'kept in the _': 'detail'}}}}, and {str(data)[:80]!r} came; fit a "
                "new reader."
            )
        return cls(frames, silence)

    @cached_property
    def _ranks(self) -> dict[Frame, tuple[int, str]]:
        """Return the place and the name of each frame."""
        return {parsed(slot): (rank, slot) for rank, slot in enumerate(self.frames)}

    def _read(self, clause: Clause, text: str) -> Iterator[Claim]:
        found = clause.words()
        fit = _first_fit(_keys(found), self._ranks)
        if fit is not None:
            slot, first, last = fit
            place, level = _place(found[first:last]), self.frames[slot]
            value = text[slice(*place)]
            if clause.opens and first == 0 and level != "entity":
                value = value[:1].lower() + value[1:]
            yield Claim(slot, value, level, clause.text, clause.start, *place)
            return
        typed = [_typed(slot, some, text) for slot, some in _stand_out(clause, found)]
        yield from typed or [
            Claim(STATEMENT, clause.text, "theme", clause.text, clause.start, clause.start, clause.end)
        ]


def _first_fit(keys: Words, ranks: dict[Frame, tuple[int, str]]) -> tuple[str, int, int] | None:
    """Return the first frame that fits a clause, and the places of its filler; None where none fits."""
    fits = [
        (*ranks[frame], first, last) for first, last in spans(keys) if (frame := (keys[:first], keys[last:])) in ranks
    ]
    return min(fits)[1:] if fits else None


def _levels(chosen: Sequence[Frame], counts: Iterable[Words], names: set[str]) -> dict[str, Level]:
    """Return the level of each frame by its fillers; a clause counts for the first frame that fits it."""
    ranks = {frame: (rank, written(frame)) for rank, frame in enumerate(chosen)}
    fillers: Counter[str] = Counter()
    named: Counter[str] = Counter()
    for keys in counts:
        if fit := _first_fit(keys, ranks):
            slot, first, last = fit
            fillers[slot] += 1
            named[slot] += names.issuperset(keys[first:last])
    return {slot: "entity" if 2 * named[slot] > fillers[slot] else "detail" for _, slot in ranks.values()}


def _stand_out(clause: Clause, found: Sequence[Word]) -> Iterator[tuple[str, list[Word]]]:
    """Yield quotations, numbers and names with their slot; neighbouring capitalised words are one name.

    The first word of a sentence is no name, since its capital says nothing.
    """
    name: list[Word] = []
    for place, word in enumerate(found):
        if word.capitalised and not word.number and (place or not clause.opens):
            name.append(word)
            continue
        if name:
            yield NAME, name
            name = []
        if word.quoted or word.number:
            yield QUOTATION if word.quoted else NUMBER, [word]
    if name:
        yield NAME, name


def _typed(slot: str, found: Sequence[Word], text: str) -> Claim:
    """Make a claim of words that stand out; a quotation's marks belong to the claim and not to its value."""
    start, end = found[0].start, found[-1].end
    place = _place(found)
    return Claim(slot, text[slice(*place)], "detail", text[start:end], start, *place)


def _place(found: Sequence[Word]) -> tuple[int, int]:
    """Return the characters that some words cover, without the marks of a quotation that stands alone."""
    return found[0].inside if len(found) == 1 else (found[0].start, found[-1].end)


def _key(word: Word) -> str:
    return word.text.lower()


def _keys(found: Sequence[Word]) -> Words:
    """Return the words that a clause is compared by."""
    return tuple(map(_key, found))
