"""The doctor on everything that works: every family of models, and the pair that ships."""

from __future__ import annotations

from pathlib import Path

import pytest

from nlakit.doctor import examine
from nlakit.testing import FAMILIES, tiny_target_folder


@pytest.mark.parametrize("bos", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_of_every_family_is_well(family: str, bos: bool, tmp_path: Path) -> None:
    """No check fails or warns on a bare model of a family that pairs can be trained for."""
    findings = examine(tiny_target_folder(tmp_path, family=family, bos=bos))

    assert [] == [found for found in findings if found.status in ("warning", "failure")]


def test_the_shipped_pair_is_well() -> None:
    """No check fails on the pair that ships, and nearly all have something to look at."""
    findings = examine()

    assert [] == [found for found in findings if found.status == "failure"]
    assert sum(found.status == "pass" for found in findings) >= 23
