"""The door through which a corpus with known truth lets explanations be checked.

A plugin of the group ``nlakit.truth`` gives a :class:`TruthReader`; it reads an explanation into
typed claims and compares each with what is true at that position, without a judge model. Three
verdicts, as in the paper's study of confabulation (Fraser-Taliente et al. 2026): true, false but related,
false and unrelated.

The truth of a position is a JSON mapping::

    {"facts": {slot: value}, "planned": {slot: value}, "last": token text,
     "next": {"kind": str, "text": str | None}, "entropy": float | None}

``facts`` holds what the text so far entails and ``planned`` what is settled but not yet written. ``next`` is the kind of
what follows and its first word, None where that is still open. ``entropy`` is that of the choices which the next token
shows, in nats: its mean over documents is the world's own uncertainty about that token.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal, Protocol, runtime_checkable

Level = Literal["theme", "entity", "detail"]
"""How fine a fact is: what the text is about, who or what is in it, or a particular of one of them."""

LEVELS: tuple[Level, ...] = ("theme", "entity", "detail")

HELD_ABOVE = 0.5
"""A vector holds a fact when what a linear probe gives the fact's true value exceeds chance by more than this.

See :func:`beyond_chance`.
"""

Truth = Mapping[str, Any]
"""What is true at one position; the layout is given at the top of this module."""


def beyond_chance(probability: float, frequency: float) -> float:
    """Return ``(p - f) / (1 - f)``: how far a probability goes from a value's own frequency towards certainty.

    1 is certainty, 0 what anybody would guess who knows how often the value occurs, and below 0 lies what is less probable
    than that. So one bound serves slots of two values and of hundreds. A value that is alone in its slot (f = 1) keeps its
    probability: there, what a vector can hold is that the slot is spoken of at all.
    """
    return probability if frequency >= 1.0 else (probability - frequency) / (1.0 - frequency)


class Verdict(StrEnum):
    """What the truth says about one claim."""

    TRUE = "true"
    RELATED = "related"
    """False, but about something of the right kind that the text or its family does hold."""
    UNRELATED = "unrelated"


@dataclass(frozen=True, slots=True)
class Claim:
    """One checkable statement found in an explanation."""

    slot: str
    """Which fact it speaks about, for example ``"family"`` or ``"holder"``."""
    value: str
    """What it says about it."""
    level: Level
    text_span: str
    """The words of the explanation that make the claim."""
    start: int
    """Where these words begin in the explanation, in characters."""
    value_start: int
    """Where the value begins in the explanation, in characters."""
    value_end: int
    """Where the value ends; equal to ``value_start`` where the reader does not say which words are the value."""

    @property
    def end(self) -> int:
        """Where the words of the claim end in the explanation, in characters."""
        return self.start + len(self.text_span)

    @property
    def same(self) -> tuple[str, str]:
        """What two claims that say the same have in common."""
        return self.slot, self.value


@dataclass(frozen=True, slots=True)
class Question:
    """Something that an explanation can answer at one position, though the text so far does not say it."""

    task: str
    """Name of the reading task that it belongs to: ``hints``, ``motive`` or ``writer``."""
    slot: str
    """The fact that is asked for."""
    chance: float
    """Probability of answering right at random."""


@runtime_checkable
class Examiner(Protocol):
    """What a truth plugin may be besides: one that knows what the paper's reading tasks are in its corpus."""

    def questions(self, truth: Truth) -> list[Question]:
        """Return the questions that can be asked at one position; the answers are among its facts."""


@runtime_checkable
class Speaker(Protocol):
    """What a truth plugin may be besides: one that can say facts in its corpus's language."""

    def say(self, facts: Mapping[str, str]) -> str:
        """Return a text that claims these facts, one value a slot, and nothing else."""


@runtime_checkable
class TruthReader(Protocol):
    """Reads claims from text and judges them; every method is pure."""

    def claims(self, text: str) -> list[Claim]:
        """Return the claims that an explanation makes, in order of appearance, each once."""

    def judge(self, claim: Claim, truth: Truth) -> Verdict:
        """Compare one claim with the truth of one position."""

    def facts(self, truth: Truth) -> dict[str, str]:
        """Return the facts that hold at one position, one value a slot."""

    def level(self, slot: str) -> Level:
        """Return how fine the facts of a slot are."""
