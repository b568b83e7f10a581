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
    pieces, at = [], 0
    for start, end, label in marks(text):
        pieces += [text[at:start], f"[{label}]"]
        at = end
    return "".join([*pieces, text[at:]])


def redact_pieces(pieces: Sequence[str]) -> list[str]:
    """Mask a text that comes in pieces, such as tokens: each piece that shares a character with a match becomes ``█``."""
    found = marks("".join(pieces))
    masked, at, next_mark = [], 0, 0
    for piece in pieces:
        end = at + len(piece)
        while next_mark < len(found) and found[next_mark][1] <= at:
            next_mark += 1
        hit = next_mark < len(found) and found[next_mark][0] < end
        masked.append("█" if hit and piece else piece)
        at = end
    return masked


def marks(text: str) -> list[Mark]:
    """Return what identifies people in a text, in order; no two share a character."""
    found: list[Mark] = []

    def taken(match: re.Match[str], label: str, inside: Callable[[str], list[tuple[int, int]]]) -> str:
        """Remember what a match holds, and return it without, so that it is no part of anything else."""
        said = match[0]
        for start, end in inside(said):
            found.append((match.start() + start, match.start() + end, label))
            said = said[:start] + _GONE * (end - start) + said[end:]
        return said

    for label, pattern, inside in _KINDS:
        text = pattern.sub(lambda match, label=label, inside=inside: taken(match, label, inside), text)  # type: ignore[misc]
    return sorted(found)


def luhn(number: str) -> bool:
    """Return whether the digits of a number have the check sum of payment cards."""
    digits = [int(digit) for digit in _DIGITS.findall(number)]
    doubled = [digit * 2 - 9 * (digit > 4) for digit in digits[-2::-2]]
    return 13 <= len(digits) <= 19 and (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def _telephones(said: str) -> list[tuple[int, int]]:
    return [(0, len(said))] if 7 <= len(_DIGITS.findall(said)) <= 15 else []


def _cards(said: str) -> list[tuple[int, int]]:
    """Return the card numbers among groups of digits: each runs from the beginning of a group to the end of one."""
    groups = [match.span() for match in re.finditer(r"\d+", said)]
    found: list[tuple[int, int]] = []
    for first, (start, _) in enumerate(groups):
        if found and start < found[-1][1]:
            continue
        for _, end in groups[first : first + 19]:
            if luhn(said[start:end]):
                found.append((start, end))
                break
    return found


def _all(said: str) -> list[tuple[int, int]]:
    return [(0, len(said))]


_BYTE = r"(?:25[0-5]|2[0-4]\d|1?\d?\d)"
_KINDS: tuple[tuple[str, re.Pattern[str], Callable[[str], list[tuple[int, int]]]], ...] = (
    ("e-mail", re.compile(r"[\w.+-]{1,64}@(?:[\w-]{1,63}\.){1,8}[A-Za-z]{2,24}"), _all),
    ("key", re.compile(r"\b(?:sk|pk|hf|ghp|gho|xox[abp]|AKIA)[-_]?[A-Za-z0-9_-]{16,}"), _all),
    ("account", re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b"), _all),
    ("card", re.compile(r"(?<!\d)\d(?:[ -]?\d){12,}(?!\d)"), _cards),
    ("IP address", re.compile(rf"(?<![\d.])(?:{_BYTE}\.){{3}}{_BYTE}(?![\d.])"), _all),
    # An international number, or groups of digits with marks between them: a plain number in a text is none.
    (
        "telephone",
        re.compile(r"(?<![\w.])(?:\+\d[\d ()/.-]{5,20}\d|\(?0?\d{2,5}\)?(?:[ /.-]\d{2,5}){2,4})(?!\w)"),
        _telephones,
    ),
)
"""In the order in which they are looked for: a card would pass for a telephone."""
