"""What holds for every test."""

from __future__ import annotations

import pytest

from nlakit.models.loading import DEVICE_VARIABLE


@pytest.fixture(autouse=True)
def _on_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests compare numbers to the last bit, so they run on the processor wherever they run; tests/gpu says otherwise."""
    monkeypatch.setenv(DEVICE_VARIABLE, "cpu")
