"""From values to measures."""

from __future__ import annotations

import pytest
import torch

from nlakit.errors import InternalError
from nlakit.evaluate.estimates import Estimator

ESTIMATOR = Estimator(resamples=200, seed=0)


def test_a_mean_by_hand() -> None:
    """Two of three rows: the share, its count and the split."""
    measure = ESTIMATOR.mean("parse_rate", [1.0, 1.0, 0.0], ["a", "b", "c"])
    assert measure.value == pytest.approx(2 / 3)
    assert (measure.n, measure.split) == (3, "heldout")
    assert measure.low in (0.0, pytest.approx(1 / 3))
    assert measure.high == 1.0


def test_a_ratio_counts_only_rows_with_weight() -> None:
    """With weights the value is sum(w v) / sum(w), and n leaves out rows that weigh nothing."""
    measure = ESTIMATOR.mean("cross_entropy_true", [2.0, 1.0, 9.0], ["a", "b", "c"], [1.0, 3.0, 0.0])
    assert measure.value == pytest.approx(1.25)
    assert measure.n == 2


def test_nothing_to_average_has_no_value() -> None:
    """No claim made is neither 0 nor 1."""
    measure = ESTIMATOR.mean("claims_true", [], [])
    assert (measure.value, measure.low, measure.high, measure.n) == (None, None, None, 0)


def test_fve_turns_the_interval_of_the_error_round() -> None:
    """Errors 0.1 and 0.3 with variance 0.4: FVE 0.5 between 0.25 and 0.75."""
    measure = ESTIMATOR.fve("fve", torch.tensor([0.1, 0.3]), ["a", "b"], 0.4)
    assert measure.value == pytest.approx(0.5)
    assert (measure.low, measure.high) == (pytest.approx(0.25), pytest.approx(0.75))


def test_rows_of_one_document_move_together() -> None:
    """The interval is that of the documents: a hundred equal rows of two documents are two numbers."""
    values = [0.0] * 100 + [1.0] * 100
    together = ESTIMATOR.mean("parse_rate", values, ["a"] * 100 + ["b"] * 100)
    apart = ESTIMATOR.mean("parse_rate", values, [str(row) for row in range(200)])
    assert (together.low, together.high) == (0.0, 1.0)
    assert apart.low is not None
    assert apart.low > 0.4


def test_an_unregistered_name_is_refused() -> None:
    """No measure leaves the evaluation without a definition."""
    with pytest.raises(InternalError, match="no definition"):
        ESTIMATOR.mean("claims_nice", [1.0], ["a"])


def test_a_ratio_of_sums_is_paired() -> None:
    """Rows that keep half each keep half in every resample, however different they are; a negative row counts as it is."""
    below = [1.0, 2.0, 4.0, -0.5]
    measure = ESTIMATOR.ratio("fve_kept_shuffle", [value / 2 for value in below], below, ["a", "b", "c", "d"])
    assert measure.value == pytest.approx(0.5)
    assert (measure.low, measure.high, measure.n) == (pytest.approx(0.5), pytest.approx(0.5), 4)
    uneven = ESTIMATOR.ratio("fve_kept_shuffle", [0.0, 2.0], [1.0, 3.0], ["a", "b"])
    assert uneven.value == pytest.approx(0.5)
    assert (uneven.low, uneven.high) == (pytest.approx(0.0), pytest.approx(2 / 3))


def test_a_ratio_of_one_document_has_no_interval() -> None:
    """Rows of one document say nothing about others."""
    measure = ESTIMATOR.ratio("fve_kept_shuffle", [1.0, 1.0], [2.0, 2.0], ["a", "a"])
    assert (measure.value, measure.low, measure.high) == (0.5, None, None)


def test_a_ratio_to_nothing_is_refused() -> None:
    """What is not above 0 cannot be divided by."""
    with pytest.raises(InternalError, match="leave it out"):
        ESTIMATOR.ratio("fve_kept_shuffle", [1.0], [0.0], ["a"])
