"""Explanations and the one parser that reads them out of generated text.

A failure is a named state and never text: an output without a closing tag, cut off at the length
limit, empty, or refused by a teacher keeps its outcome from where it happens to the metrics.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

OPEN_TAG = "<explanation>"
CLOSE_TAG = "</explanation>"


class Outcome(StrEnum):
    """How the writing of one explanation ended."""

    OK = "ok"
    """Text before the closing tag, from the opening tag on if there is one."""
    NO_CLOSING_TAG = "no_closing_tag"
    """The writer stopped of its own accord without closing the explanation."""
    CUT_OFF = "cut_off"
    """The length limit came before the closing tag."""
    EMPTY = "empty"
    """A closing tag with nothing but white space before it."""
    REFUSED = "refused"
    """A teacher declined to answer."""
    MALFORMED = "malformed"
    """A teacher's reply is not what it was asked for."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """One explanation, or the state of one that failed.

    ``text`` is the text between the tags when ``outcome`` is ``ok``. Of a failed one it is whatever
    was written, kept for people to look at and never scored as an explanation.
    """

    text: str
    outcome: Outcome = Outcome.OK

    @property
    def ok(self) -> bool:
        """Whether this explanation may be scored as text."""
        return self.outcome is Outcome.OK


def parse_explanation(
    text: str, open_tag: str = OPEN_TAG, close_tag: str = CLOSE_TAG, *, stopped: bool = True
) -> Explanation:
    """Read the explanation out of generated text.

    The text between the first opening tag (or the start, when the prompt already holds it) and the
    first closing tag after it counts, with outer white space removed. ``stopped`` says whether the
    writer ended of its own accord (an end-of-sequence token) or was cut off at the length limit;
    it decides the outcome where the closing tag is missing.
    """
    body = text.split(open_tag, 1)[1] if open_tag in text else text
    inside, close, _ = body.partition(close_tag)
    inside = inside.strip()
    if not close:
        return Explanation(inside, Outcome.NO_CLOSING_TAG if stopped else Outcome.CUT_OFF)
    return Explanation(inside, Outcome.OK if inside else Outcome.EMPTY)


def wrap_explanation(text: str, open_tag: str = OPEN_TAG, close_tag: str = CLOSE_TAG) -> str:
    """Write an explanation the way a verbalizer is trained to: the inverse of the parser for a text without tags."""
    return f"{open_tag}{text.strip()}{close_tag}"
