"""What a check says: a finding in words, with the number it rests on and the cure.

A check is one entry of :data:`nlakit.doctor.table.CHECKS` and made of looks: functions that measure one thing each on what
is there. Its finding is the worst of what they found.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from nlakit.doctor.subject import Subject

Status = Literal["not applicable", "pass", "warning", "failure"]

SEVERITY: tuple[Status, ...] = ("not applicable", "pass", "warning", "failure")
"""From the mildest to the worst."""


@dataclass(frozen=True, slots=True)
class Result:
    """What one look found."""

    status: Status
    found: str
    """What was measured, in words."""
    cure: str = ""
    """What to do about it, where that is not what its check says anyway."""


def passed(found: str) -> Result:
    """All is well; ``found`` has the number that says so."""
    return Result("pass", found)


def warning(found: str, cure: str = "") -> Result:
    """Something to know: the numbers can be right, and need a second look."""
    return Result("warning", found, cure)


def failure(found: str, cure: str = "") -> Result:
    """Something is broken: numbers that come out of it are not worth reading."""
    return Result("failure", found, cure)


def not_applicable(found: str) -> Result:
    """There is nothing to look at; ``found`` says why."""
    return Result("not applicable", found)


def held(good: bool, found: str, cure: str = "") -> Result:
    """Pass where what must hold holds, else a failure; both with the same words and numbers."""
    return passed(found) if good else failure(found, cure)


@dataclass(frozen=True, slots=True)
class Look:
    """One measurement of a check, done where all that it needs is there."""

    needs: tuple[str, ...]
    """Names of what :class:`~nlakit.doctor.subject.Subject` must have, such as ``target``."""
    at: Callable[[Subject], Result]


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must hold."""

    number: int
    """Its place in the list, and in docs/doctor.md."""
    name: str
    """Short name for programs."""
    title: str
    """What must hold, in words."""
    cure: str
    """What to do when it does not."""
    looks: tuple[Look, ...]
    after: tuple[str, ...] = ()
    """Checks whose failure would show here as well; after one, this check is not done."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found."""

    number: int
    """The check's place in docs/doctor.md."""
    check: str
    """The check's short name."""
    title: str
    """What must hold."""
    status: Status
    found: str
    """What was measured, with its numbers; for a check that was not done, why."""
    cure: str
    """What to do; empty where there is nothing to be done."""


def finding(check: Check, results: Sequence[Result]) -> Finding:
    """Make one finding of what the looks of a check found: the worst counts, and where all is well every number is said."""
    status = max((result.status for result in results), key=SEVERITY.index)
    shown = [result for result in results if result.status == status]
    cures = dict.fromkeys(result.cure or check.cure for result in shown)
    ill = status in ("warning", "failure")
    found = "; ".join(dict.fromkeys(result.found for result in shown))
    return Finding(check.number, check.name, check.title, status, found, " ".join(cures) if ill else "")
