"""Norms and shared directions of one layer."""

from __future__ import annotations

import pytest
import torch

from nlakit.evaluate.layers.norms import measured, norm_measures
from nlakit.vectors import VectorStats

DIRECTIONS = torch.tensor([[1.0, 0.0], [0.0, 1.0]] * 10)
DOCUMENTS = [f"d{row // 2}" for row in range(20)]


def test_norms_by_hand() -> None:
    """Nineteen rows of norm 2 and one of norm 20: the median is 2, one row in twenty is an outlier."""
    vectors = 2.0 * DIRECTIONS
    vectors[7] *= 10

    found = norm_measures(vectors, VectorStats.fit(vectors), DOCUMENTS, 200, 0)

    assert 2.0 == found["norm"].value == found["norm"].low
    assert 0.05 == pytest.approx(found["norm_outliers"].value)
    assert found["norm_outliers"].low == 0.0 < found["norm_outliers"].value < found["norm_outliers"].high


def test_a_small_norm_is_an_outlier_too() -> None:
    """A row far below the median counts as one far above."""
    vectors = 2.0 * DIRECTIONS
    vectors[3] /= 10

    assert 0.05 == pytest.approx(
        norm_measures(vectors, VectorStats.fit(vectors), DOCUMENTS, 20, 0)["norm_outliers"].value
    )


def test_the_spread_is_that_of_nine_rows_in_ten() -> None:
    """Norms 1 to 20: the 95th percentile over the 5th is 19.05 / 1.95, inside its interval."""
    found = norm_measures(
        torch.arange(1, 21).unsqueeze(1) * DIRECTIONS, VectorStats.fit(DIRECTIONS), DOCUMENTS, 500, 0
    )["norm_spread"]

    assert 19.05 / 1.95 == pytest.approx(found.value)
    assert found.low < found.value < found.high


def test_the_shared_direction_and_the_variance_are_one() -> None:
    """mean_share is |mean|² of the directions, so it and Var sum to 1: here the mean is (¾, ¼)."""
    vectors = torch.tensor([[5.0, 0.0]] * 15 + [[0.0, 3.0]] * 5)
    stats = VectorStats.fit(vectors)

    found = norm_measures(vectors, stats, DOCUMENTS, 20, 0)["mean_share"]

    assert 10 / 16 == pytest.approx(found.value)
    assert 1.0 == pytest.approx(found.value + stats.variance)


def test_one_document_has_no_interval() -> None:
    """Rows of one document say nothing of others: the numbers stand without ends."""
    found = norm_measures(DIRECTIONS, VectorStats.fit(DIRECTIONS), ["d"] * 20, 20, 0)

    assert all(measure.value is not None and measure.low is None for measure in found.values())
    assert measured(1.0, float("nan"), 2.0, 3, "fit").high is None
