"""What is common to all corpora that know their truth."""

from __future__ import annotations

import pytest

from nlakit.truth import beyond_chance


@pytest.mark.parametrize(
    ("probability", "frequency", "expected"),
    [(1.0, 0.5, 1.0), (0.5, 0.5, 0.0), (0.75, 0.5, 0.5), (0.5, 0.0, 0.5), (0.25, 0.5, -0.5), (0.3, 1.0, 0.3)],
)
def test_how_far_beyond_chance_by_hand(probability: float, frequency: float, expected: float) -> None:
    """Certainty is 1 and the value's frequency 0; a value alone in its slot keeps its probability."""
    assert beyond_chance(probability, frequency) == pytest.approx(expected)
