"""Edits of explanations that ask which of their words the reconstructor reads: pure functions from text to text.

An edit returns None where it does not apply: nothing to leave out, no quotation, no claim with another value. Draws depend on
the seed and the text alone.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import replace

from nlakit.claims.anytext import NAME
from nlakit.claims.exchange import Pool, exchanged, tidy
from nlakit.claims.sentences import Sentence, joined, sentences
from nlakit.config import derive_seed
from nlakit.truth import Claim

_QUOTED = re.compile(r"\"[^\"]+\"|“[^”]+”|«[^»]+»")
"""Single quotes are left alone: most are apostrophes."""


def half_dropped(text: str, seed: int) -> str | None:
    """Return the text without half of its clauses, drawn at random; of an odd number one more stays. None below two."""
    found = sentences(text)
    places = [(row, column) for row, sentence in enumerate(found) for column in range(len(sentence.clauses))]
    if len(places) < 2:
        return None
    gone = set(random.Random(derive_seed(seed, "drop", text)).sample(places, len(places) // 2))
    return joined(
        replace(
            sentence,
            clauses=tuple(clause for column, clause in enumerate(sentence.clauses) if (row, column) not in gone),
        )
        for row, sentence in enumerate(found)
    )


def cut_to(text: str, words: int) -> str:
    """Return the first words of a text, divided at white space."""
    return " ".join(text.split()[:words])


def quotes_only(text: str) -> str | None:
    """Return the spans in quotation marks, marks included, each as a sentence; None where there are none, or nothing else."""
    found = _QUOTED.findall(text)
    return joined(Sentence((span,)) for span in found) if prose_only(text) else None


def prose_only(text: str) -> str | None:
    """Return the text without the spans in quotation marks; None where there are none, or nothing else."""
    return (tidy(_QUOTED.sub("", text)) or None) if _QUOTED.search(text) else None


def entity_swapped(text: str, claims: Sequence[Claim], pool: Pool, seed: int) -> str | None:
    """Return the text with one entity exchanged for another; None where no claim about an entity has another value.

    A name that stands alone is an entity too, though nobody knows what is said of it.
    """
    others = [
        (claim, values[0])
        for claim in claims
        if (claim.level == "entity" or claim.slot == NAME) and (values := pool.others(claim, 1, seed))
    ]
    if not others:
        return None
    claim, value = random.Random(derive_seed(seed, "swap", text)).choice(others)
    return exchanged(text, claim, value)
