"""Claims for tests."""

from __future__ import annotations

import re

from nlakit.truth import Claim, Level

KEYED = ("place", "mood", "animal")
_CLAIM = re.compile(rf"\b({'|'.join(KEYED)}) (\w+)", re.IGNORECASE)


def keyed_claims(text: str) -> list[Claim]:
    """Every claim of a text, such as ``Mood sad``."""
    return [Claim(m[1].lower(), m[2], "detail", m[0], m.start(), *m.span(2)) for m in _CLAIM.finditer(text)]


def claim_in(text: str, slot: str, value: str, level: Level = "detail", words: str | None = None) -> Claim:
    """A claim whose value stands once in ``text``; ``words`` are those of the whole claim, if they are more."""
    at = text.index(value)
    words = words or value
    return Claim(slot, value, level, words, text.index(words), at, at + len(value))
