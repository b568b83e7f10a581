"""The list of checks is complete, and so are its words and its page."""

from __future__ import annotations

import re

import pytest
from scripts.docs import ROOT
from tests.unit.doctor import pair_plants, run_plants

from nlakit.doctor.examination import NEEDED
from nlakit.doctor.findings import Check
from nlakit.doctor.table import CHECKS

KNOWN_MISTAKES = {
    1: "layer",
    2: "marker",
    3: "bos",
    4: "scale",
    5: "embedding-scale",
    6: "slicing",
    7: "cache",
    8: "head",
    9: "padding",
    10: "kl",
    11: "log-probs",
    12: "splits",
    13: "statistics",
    14: "lengths",
    15: "special-tokens",
    16: "logits",
    17: "checkpoints",
    18: "contrast",
    19: "flags",
    20: "temperatures",
    21: "drift",
    22: "pad-token",
    23: "embedding",
    24: "trained-head",
    25: "held-out",
}
"""The 25 mistakes that have cost people days, by the check that is there for each."""
PLANTED = {planted.number for bed in (pair_plants.BED, run_plants.BED) for planted in bed.plants}


@pytest.mark.parametrize(("number", "name"), KNOWN_MISTAKES.items())
def test_a_known_mistake_has_a_check_that_was_tried_on_it(number: int, name: str) -> None:
    """For each of the 25 there is a check under its number, and a test that plants the mistake."""
    assert [check.name for check in CHECKS if check.number == number] == [name]
    assert number in PLANTED


def test_no_check_is_without_a_planted_mistake() -> None:
    """The checks beyond those 25 are tried as well, and numbers are given once, in order."""
    assert [check.number for check in CHECKS] == list(range(len(CHECKS)))
    assert {check.number for check in CHECKS} == PLANTED


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_a_check_says_what_must_hold_and_what_to_do(check: Check) -> None:
    """Title, cure and looks are there; what a look needs and what a check comes after exist."""
    assert re.fullmatch(r"[A-Z].*[^.]", check.title)
    assert check.cure.endswith(".")
    assert check.looks
    assert {part for look in check.looks for part in look.needs} <= NEEDED.keys()
    assert set(check.after) <= {other.name for other in CHECKS}


def test_the_page_explains_every_check() -> None:
    """docs/doctor.md has a heading for each check with its number and name, in order, and its title."""
    page = (ROOT / "docs" / "doctor.md").read_text(encoding="utf-8")
    headings = re.findall(r"^### (\d+) `([a-z-]+)`: (.+)$", page, re.MULTILINE)

    assert headings == [(str(check.number), check.name, check.title) for check in CHECKS]
