"""Claims of any text: each clause is one statement.

Nothing of a language is known here but its marks, so two clauses say the same when they have the same words, whatever their
order and apart from small ones. That is strict: a claim said in other words counts as another claim.
"""

from __future__ import annotations

import re

from nlakit.claims.clauses import sentences
from nlakit.truth import Claim

SLOT = "statement"
_WORD = re.compile(r"\w+")
_SMALL = 3
"""Words of fewer letters say little (a, of, is), unless they are numbers."""


class StatementReader:
    """Takes each clause as a claim."""

    def claims(self, text: str) -> list[Claim]:
        """Return the clauses of a text, each once."""
        found: dict[tuple[str, str], Claim] = {}
        at = 0
        for sentence in sentences(text):
            for clause in sentence.clauses:
                start = text.index(clause, at)
                at = start + len(clause)
                value = said(clause)
                if value:
                    claim = Claim(SLOT, value, "detail", clause, start, start, at)
                    found.setdefault(claim.same, claim)
        return list(found.values())


def said(clause: str) -> str:
    """Return the words of a clause that say something, lower-cased and sorted."""
    words = {word.lower() for word in _WORD.findall(clause)}
    return " ".join(sorted(word for word in words if len(word) >= _SMALL or word.isdigit()))
