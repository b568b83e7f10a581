"""The door through which explanations are said in other words, to see whether their meaning carries the vector.

A plugin of the group ``nlakit.paraphrasers``, under the name of the corpus whose explanations it understands, is a function
without arguments that returns a :class:`Paraphraser`. Terrarium has one of its own. The paper's tests for a private code ask a
language model, which an evaluation does for any text where ``evaluate.paraphraser`` names one (:mod:`nlakit.data.rewordings`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol, runtime_checkable

Rewording = Literal["training", "light", "heavy", "translation"]
"""How a text is said anew. ``light``: some words exchanged, the order kept. ``heavy``: nearly every word but names, numbers and
values exchanged, and the order changed. ``translation``: into another language. ``training``: wordings to learn from, of
which none is one that ``light`` or ``heavy`` use."""


@runtime_checkable
class Paraphraser(Protocol):
    """Says explanations in other words without changing what they claim."""

    def fingerprint(self) -> str:
        """Return a hash that differs whenever a rewording could."""

    def reword(self, texts: Sequence[str], how: Rewording, seed: int) -> Sequence[str | None]:
        """Return each text said anew, None where that failed; the draw depends on the seed and the text alone."""
