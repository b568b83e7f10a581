"""The pen of the world: writes a document choice by choice and keeps the books.

Every choice is made when it first shows in the text, so the surprisals of the choices add up to exactly
-log p(document) under the world, and each one is booked on the token where a reader learns of it. That sum,
divided by the number of tokens and averaged over documents, is the best loss that any model of them can reach.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from nlakit.train.vocabulary import ASSISTANT, END, STOP, USER

T = TypeVar("T")


@dataclass(frozen=True)
class Piece:
    """One span of text, and the books of the choices that first show in it.

    ``entropy`` and ``surprisal`` are in nats; ``open_kind`` says whether another choice would have put another kind of piece.
    """

    start: int
    end: int
    kind: str
    entropy: float
    surprisal: float
    open_kind: bool


@dataclass(frozen=True)
class Event:
    """From `offset` on, the text entails (or, if `planned`, the world has settled) that `slot` is `value`; None ends it."""

    offset: int
    slot: str
    value: str | None
    planned: bool


class Writer:
    """Writes one document; `text`, `pieces` and `events` are complete when the family returns."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.text = ""
        self.pieces: list[Piece] = []
        self.events: list[Event] = []
        self.turns: list[tuple[str, int, int]] = []
        self._entropy = 0.0
        self._surprisal = 0.0
        self._open_kind = False

    def choose(self, options: Sequence[T], weights: Sequence[float] | None = None, *, same_kind: bool = False) -> T:
        """Makes a choice that shows in the next piece; its entropy is booked there.

        With ``same_kind`` that piece is of the same kind whatever is chosen; else nobody can know its kind before.
        """
        shares = [1.0] * len(options) if weights is None else list(weights)
        total = sum(shares)
        index = self.rng.choices(range(len(options)), shares)[0]
        self._entropy -= sum(w / total * math.log(w / total) for w in shares if w > 0)
        self._surprisal -= math.log(shares[index] / total)
        self._open_kind |= not same_kind
        return options[index]

    def coin(self, probability: float) -> bool:
        """True with `probability`; booked on the next piece."""
        return self.choose((True, False), (probability, 1.0 - probability))

    def say(self, text: str, kind: str = "words") -> None:
        """Writes `text`, whose first token carries whatever has been chosen since the last piece."""
        start = len(self.text)
        self.text += text
        self.pieces.append(Piece(start, len(self.text), kind, self._entropy, self._surprisal, self._open_kind))
        self._entropy, self._surprisal, self._open_kind = 0.0, 0.0, False

    def pick(self, options: Sequence[str], kind: str, weights: Sequence[float] | None = None, lead: str = " ") -> str:
        """Chooses one of `options` and writes it after `lead`."""
        option = self.choose(options, weights, same_kind=True)
        self.say(lead + option, kind)
        return option

    def know(self, slot: str, value: str | None) -> None:
        """From here on the text entails `slot` = `value`."""
        self.events.append(Event(len(self.text), slot, value, planned=False))

    def plan(self, slot: str, value: str | None) -> None:
        """From here on the world has settled `slot` = `value`, which the text will show later."""
        self.events.append(Event(len(self.text), slot, value, planned=True))

    def open_turn(self, role: str) -> None:
        """Begins a chat message of `role` ("user" or "assistant")."""
        self.say(USER if role == "user" else ASSISTANT, "turn")
        self.turns.append((role, len(self.text), -1))

    def close_turn(self) -> None:
        """Ends the message that is open."""
        role, start, _ = self.turns[-1]
        self.turns[-1] = (role, start, len(self.text))
        self.say(END, "end")

    def finish(self) -> None:
        """Ends the document."""
        self.say(STOP, "end")
