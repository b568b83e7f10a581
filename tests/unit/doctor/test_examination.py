"""What an examination is: all checks, in order, each once, and one mistake that stops no other check."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unit.doctor.garden import ill
from tests.unit.doctor.patients import healthy_pair

from nlakit.doctor import counted, diagnose, examine
from nlakit.doctor.examination import in_order
from nlakit.doctor.findings import Check, Look, Result, passed
from nlakit.doctor.subject import Subject
from nlakit.doctor.table import CHECKS
from nlakit.errors import InputError
from nlakit.testing import tiny_target, tiny_target_folder

MODEL_CHECKS = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15, 16, 19, 22, 23, 24}


def test_a_healthy_pair_passes() -> None:
    """A trained pair in memory has nothing to be said against it; what needs a run or a folder says so."""
    findings = examine(healthy_pair())

    assert {} == ill(findings)
    assert {12, 17, 26} == {found.number for found in findings if found.status == "not applicable"}
    assert all(found.found and not found.cure for found in findings)


def test_a_bare_model_is_examined_as_a_pair_would_begin(tmp_path: Path) -> None:
    """A model passes the checks of reading, injecting, sampling and rebuilding without any training."""
    findings = examine(tiny_target_folder(tmp_path))

    assert {} == ill(findings)
    assert {found.number for found in findings if found.status == "pass"} == MODEL_CHECKS


def test_a_loaded_model_is_left_as_it_is() -> None:
    """Examining a model changes none of its weights and leaves no hook behind."""
    target = tiny_target()
    weights = {name: weight.clone() for name, weight in target.model.named_parameters()}

    def hooks() -> list[int]:
        return [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in target.model.modules()]

    before = hooks()
    examine(target)

    assert all(weight.equal(weights[name]) for name, weight in target.model.named_parameters())
    assert before == hooks()


def checks(monkeypatch: pytest.MonkeyPatch, **looks: Callable[[Subject], Result]) -> None:
    """Replace all checks by a chain in which each comes after the one before it, listed backwards."""
    names = list(looks)
    chain = [
        Check(place, name, f"{name} holds", "Mend it.", (Look((), looks[name]),), after=tuple(names[:place][-1:]))
        for place, name in enumerate(names)
    ]
    monkeypatch.setattr("nlakit.doctor.examination.CHECKS", tuple(reversed(chain)))


def refuse(_subject: Subject) -> Result:
    raise InputError("7 came, 8 was expected; use 8.")


def test_what_a_failed_check_would_show_elsewhere_is_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """Checks that come after a failed one are skipped, also at second hand, and name the check that failed."""
    checks(monkeypatch, first=refuse, second=lambda _: passed("well"), third=lambda _: passed("well"))

    first, second, third = diagnose(Subject("x"))

    assert (first.status, first.found, first.cure) == ("failure", "7 came, 8 was expected; use 8.", "Mend it.")
    assert second.status == third.status == "not applicable"
    assert "'first'" in second.found
    assert "'first'" in third.found


def test_an_error_of_nlakit_is_a_finding_and_a_bug_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """What nlakit refuses is told in its words; an exception that nobody expected comes through with its traceback."""

    def bug(_subject: Subject) -> Result:
        raise ZeroDivisionError

    checks(monkeypatch, first=bug)

    with pytest.raises(ZeroDivisionError):
        diagnose(Subject("x"))


def test_every_check_comes_after_those_that_it_names() -> None:
    """The order is one in which nothing is looked at before what it depends on, and each check is in it once."""
    ordered = [check.name for check in in_order(CHECKS)]

    assert sorted(ordered) == sorted(check.name for check in CHECKS)
    assert all(ordered.index(name) < ordered.index(check.name) for check in CHECKS for name in check.after)


def test_findings_are_counted_by_status() -> None:
    """The counts add up to the number of checks."""
    counts = counted(diagnose(Subject("nothing")))

    assert {"failure": 0, "warning": 0, "pass": 1, "not applicable": 26} == counts
