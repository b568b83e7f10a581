"""Claims for tests: a key word and its value, wherever they stand."""

from __future__ import annotations

import re

from nlakit.truth import Claim

KEYED = ("place", "mood", "animal")
_CLAIM = re.compile(rf"\b({'|'.join(KEYED)}) (\w+)", re.IGNORECASE)


def keyed_claims(text: str) -> list[Claim]:
    """Every claim of a text, such as ``Mood sad``."""
    return [Claim(m[1].lower(), m[2], "detail", m[0], m.start(), *m.span(2)) for m in _CLAIM.finditer(text)]
