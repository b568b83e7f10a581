"""Masking what identifies people in a text: addresses, numbers, keys. Words of other kinds, such as names, are not found.

Each match is replaced by a label in brackets, so that what is left can be read: ``write to [e-mail]``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

_DIGITS = re.compile(r"\d")
_GONE = "\0"
Mark = tuple[int, int, str]
"""Where something that identifies begins and ends in a text, in characters, and what kind it is."""


def redact(text: str) -> str:
    """Return a text with e-mail and IP addresses, card, account and telephone numbers, and secret keys masked."""
    for start, end, label in reversed(marks(text)):
        text = f"{text[:start]}[{label}]{text[end:]}"
    return text


def redact_pieces(pieces: Sequence[str]) -> list[str]:
    """Mask a text that comes in pieces, such as tokens: each piece that shares a character with a match becomes ``█``."""
    found = marks("".join(pieces))
    masked, at = [], 0
    for piece in pieces:
        end = at + len(piece)
        masked.append("█" if any(start < end and stop > at for start, stop, _ in found) else piece)
        at = end
    return masked


def marks(text: str) -> list[Mark]:
    """Return what identifies people in a text, in order."""
    found: list[Mark] = []
    for label, pattern, real in _KINDS:
        found += [(match.start(), match.end(), label) for match in pattern.finditer(text) if real(match[0])]
        for start, end, _ in found:  # what was found is no part of anything else
            text = text[:start] + _GONE * (end - start) + text[end:]
    return sorted(found)


def luhn(number: str) -> bool:
    """Return whether the digits of a number have the check sum of payment cards."""
    digits = [int(digit) for digit in _DIGITS.findall(number)]
    doubled = [digit * 2 - 9 * (digit > 4) for digit in digits[-2::-2]]
    return 13 <= len(digits) <= 19 and (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def _telephone(number: str) -> bool:
    return 7 <= len(_DIGITS.findall(number)) <= 15


def _any(_: str) -> bool:
    return True


_BYTE = r"(?:25[0-5]|2[0-4]\d|1?\d?\d)"
_KINDS: tuple[tuple[str, re.Pattern[str], Callable[[str], bool]], ...] = (
    ("e-mail", re.compile(r"[\w.+-]{1,64}@(?:[\w-]{1,63}\.){1,8}[A-Za-z]{2,24}"), _any),
    ("key", re.compile(r"\b(?:sk|pk|hf|ghp|gho|xox[abp]|AKIA)[-_]?[A-Za-z0-9_-]{16,}"), _any),
    ("account", re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b"), _any),
    ("card", re.compile(r"(?<!\d)\d(?:[ -]?\d){12,18}(?!\d)"), luhn),
    ("IP address", re.compile(rf"(?<![\d.])(?:{_BYTE}\.){{3}}{_BYTE}(?![\d.])"), _any),
    # An international number, or groups of digits with marks between them: a plain number in a text is none.
    (
        "telephone",
        re.compile(r"(?<![\w.])(?:\+\d[\d ()/.-]{5,20}\d|\(?0?\d{2,5}\)?(?:[ /.-]\d{2,5}){2,4})(?!\w)"),
        _telephone,
    ),
)
"""In the order in which they are looked for: a card would pass for a telephone."""
