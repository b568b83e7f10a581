"""The doctor finds each mistake that is planted in a run, and nothing in a healthy one."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.doctor.garden import Garden, Plant, ill, require_found
from tests.unit.doctor.patients import make_run
from tests.unit.doctor.run_plants import BED

from nlakit.doctor import examine


@pytest.fixture(scope="module")
def healthy_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("healthy"))


def test_a_healthy_run_passes_every_check(healthy_run: Path) -> None:
    """A finished run gives every check something to look at, and nothing to find."""
    findings = examine(healthy_run)

    assert {"pass"} == {found.status for found in findings}, ill(findings)


@pytest.mark.parametrize("planted", BED.plants, ids=lambda planted: planted.name)
def test_exactly_its_check_finds_a_mistake(
    planted: Plant, healthy_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One mistake gives one finding, of the check that is there for it, with a number in words and a cure."""
    require_found(planted, Garden(monkeypatch, tmp_path, healthy_run))
