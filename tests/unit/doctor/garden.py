"""Where mistakes are planted for the doctor to find, each in a healthy patient.

A plant breaks one thing, in a model, a card, a store, a run, or the library itself, and names the check that must see it. To
plant one: write a function of a :class:`Garden` that returns what is to be examined, under ``@BED.plant(number)``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import pytest
from tests.unit.doctor.patients import copy_of, healthy_pair

from nlakit.doctor import Finding, examine
from nlakit.doctor.table import CHECKS
from nlakit.models.pair import Pair

Patient = Pair | Path
NAMES = {check.number: check.name for check in CHECKS}


@dataclass
class Garden:
    """A pair of one's own, a copy of a run, and a way to change the library for a while."""

    patch: pytest.MonkeyPatch
    folder: Path
    healthy_run: Path | None = None

    @cached_property
    def pair(self) -> Pair:
        return healthy_pair()

    @cached_property
    def run(self) -> Path:
        assert self.healthy_run is not None
        return copy_of(self.healthy_run, self.folder)


Sow = Callable[[Garden], Patient]


@dataclass(frozen=True)
class Plant:
    """One mistake: the check that must find it, how bad it is, and how it is made."""

    number: int
    status: str
    sow: Sow

    @property
    def name(self) -> str:
        return f"{self.number}-{self.sow.__name__}"


@dataclass
class Bed:
    """The mistakes of one kind."""

    plants: list[Plant] = field(default_factory=list)

    def plant(self, number: int, status: str = "failure") -> Callable[[Sow], Sow]:
        """List a function as a mistake that the check of this number must find."""

        def listed(sow: Sow) -> Sow:
            self.plants.append(Plant(number, status, sow))
            return sow

        return listed


def ill(findings: list[Finding]) -> dict[int, str]:
    """Return the numbers of the checks that found something, with how bad it is."""
    return {found.number: found.status for found in findings if found.status in ("warning", "failure")}


def require_found(planted: Plant, garden: Garden) -> None:
    """Examine what a mistake was planted in: one finding, of the check that is there for it, in words and with a cure."""
    findings = examine(planted.sow(garden))

    assert {planted.number: planted.status} == ill(findings)
    found = findings[planted.number]
    assert found.check == NAMES[planted.number]
    assert found.cure
    assert len(found.found) > 20
