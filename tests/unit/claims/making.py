"""Claims for tests, found by their words in a text."""

from __future__ import annotations

from nlakit.truth import Claim, Level


def claim_in(text: str, slot: str, value: str, level: Level = "detail", words: str | None = None) -> Claim:
    """A claim whose value stands once in ``text``; ``words`` are those of the whole claim, if they are more."""
    at = text.index(value)
    words = words or value
    return Claim(slot, value, level, words, text.index(words), at, at + len(value))
