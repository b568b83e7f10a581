"""The doctor finds each mistake that is planted in a pair, its model, or the library."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.doctor.garden import Garden, Plant, require_found
from tests.unit.doctor.pair_plants import BED


@pytest.mark.parametrize("planted", BED.plants, ids=lambda planted: planted.name)
def test_exactly_its_check_finds_a_mistake(planted: Plant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One mistake gives one finding, of the check that is there for it, with a number in words and a cure."""
    require_found(planted, Garden(monkeypatch, tmp_path))
