"""Exchanging what a claim says for something else of the same kind, and leaving a claim out.

What other values a slot can have is learnt from explanations, not from a truth: the pool of a slot is every value
that the claims of many explanations gave it.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Protocol

from nlakit.claims.sentences import joined, sentences
from nlakit.config import derive_seed
from nlakit.truth import Claim

KEPT_SLOTS, KEPT_VALUES = 500, 16
"""Slots that a card keeps values of, and values of each: more than are ever tried for one claim."""


class ClaimReader(Protocol):
    """Reads claims from an explanation; a :class:`~nlakit.truth.TruthReader` is one."""

    def claims(self, text: str) -> list[Claim]:
        """Return the claims that an explanation makes, in order of appearance, each once."""


@dataclass(frozen=True, slots=True)
class Pool:
    """The values that each slot has in some explanations, with how often."""

    values: dict[str, dict[str, int]]

    @classmethod
    def of(cls, claims: Iterable[Claim]) -> Pool:
        """Count the values of each slot."""
        counts: dict[str, Counter[str]] = {}
        for claim in claims:
            counts.setdefault(claim.slot, Counter())[claim.value] += 1
        return cls({slot: dict(sorted(found.items())) for slot, found in sorted(counts.items())})

    def frequent(self, slots: int = KEPT_SLOTS, values: int = KEPT_VALUES) -> Pool:
        """Return the most frequent values of the most frequent slots; what a card keeps."""
        known = sorted(self.values.items(), key=lambda item: -sum(item[1].values()))[:slots]
        most = {slot: Counter(found).most_common(values) for slot, found in sorted(known)}
        return Pool({slot: dict(found) for slot, found in most.items()})

    def completed(self, other: Pool) -> Pool:
        """Return this pool with the slots of another that it does not know."""
        return Pool({**other.values, **self.values})

    def frequency(self, claim: Claim) -> float:
        """Return how often the claim's slot has its value, as a share; 0 for a slot or value that was not seen."""
        known = self.values.get(claim.slot, {})
        return known.get(claim.value, 0) / sum(known.values()) if known else 0.0

    def others(self, claim: Claim, count: int, seed: int) -> list[str]:
        """Draw up to ``count`` different other values of the claim's slot, each as likely as it is frequent.

        Empty where the slot has no other value, or where the claim does not say which words are its value. The draw
        depends on the seed and the claim alone.
        """
        if claim.value_start == claim.value_end:
            return []
        known = {value: often for value, often in self.values.get(claim.slot, {}).items() if value != claim.value}
        rng = random.Random(derive_seed(seed, "exchange", claim.slot, claim.value))
        drawn: list[str] = []
        while known and len(drawn) < count:
            value = rng.choices(list(known), list(known.values()))[0]
            del known[value]
            drawn.append(value)
        return drawn


def exchanged(text: str, claim: Claim, value: str) -> str:
    """Return the explanation with another value in the claim's place."""
    return text[: claim.value_start] + value + text[claim.value_end :]


def guessed_anew(
    text: str, claims: Sequence[Claim], failed: AbstractSet[int], pool: Pool, seed: int
) -> tuple[str, list[Claim]]:
    """Return the explanation with other values in the place of some claims, and every claim where it then stands.

    ``failed`` are indices of ``claims``. A claim whose slot has no other value stays as it is, and so does one that
    begins inside another that was exchanged.
    """
    edits: list[tuple[int, int, str]] = []
    for index in sorted(failed, key=lambda index: claims[index].value_start):
        claim = claims[index]
        others = pool.others(claim, 1, seed)
        if others and (not edits or claim.value_start >= edits[-1][1]):
            edits.append((claim.value_start, claim.value_end, others[0]))

    def moved(place: int) -> int:
        return place + sum(len(value) - (end - start) for start, end, value in edits if end <= place)

    edited = text
    for start, end, value in reversed(edits):
        edited = edited[:start] + value + edited[end:]
    return edited, [
        replace(
            claim,
            start=moved(claim.start),
            text_span=edited[moved(claim.start) : moved(claim.end)],
            value_start=moved(claim.value_start),
            value_end=moved(claim.value_end),
        )
        for claim in claims
    ]


def without(text: str, claims: Sequence[Claim]) -> str:
    """Return the explanation without the words of some claims, and without the commas and stops that then stand alone."""
    return cut(text, [(claim.start, claim.end) for claim in claims])


def cut(text: str, spans: Iterable[tuple[int, int]]) -> str:
    """Return the explanation without some stretches of characters, and without the marks that then stand alone."""
    gone = {place for start, end in spans for place in range(start, end)}
    return tidy("".join(char for place, char in enumerate(text) if place not in gone))


def tidy(text: str) -> str:
    """Remove the marks and spaces that stand alone where words were taken out, and begin each sentence large."""
    return joined(sentences(text))
