"""From values to measures."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nlakit.errors import InternalError
from nlakit.evaluate.estimates import Estimator, weighted_auroc

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


def test_auroc_counts_pairs_of_a_true_and_a_false_one() -> None:
    """Of four pairs one is the wrong way round and one is a tie: 2.5 in 4; turned round it is the rest of 1."""
    scores, labels = [0.9, 0.4, 0.4, 0.7], [True, True, False, False]
    measure = ESTIMATOR.auroc("support_auroc", scores, labels, ["a", "b", "c", "d"])
    assert (measure.value, measure.n) == (2.5 / 4, 4)
    assert ESTIMATOR.auroc("support_auroc", [-s for s in scores], labels, ["a", "b", "c", "d"]).value == 1.5 / 4


def test_auroc_of_a_perfect_order_has_no_doubt() -> None:
    """Every resample that has both kinds orders them right; those with one kind alone are passed over."""
    measure = ESTIMATOR.auroc("support_auroc", [0.1, 0.2, 0.8, 0.9], [False, False, True, True], ["a", "b", "c", "d"])
    assert (measure.value, measure.low, measure.high) == (1.0, 1.0, 1.0)


def test_auroc_draws_whole_documents() -> None:
    """The same order says less when it is of two documents than when it is of twenty."""
    scores, labels = [0.9, 0.1, 0.4, 0.6] * 5, [True, False, True, False] * 5
    few = ESTIMATOR.auroc("support_auroc", scores, labels, ["a", "a", "b", "b"] * 5)
    many = ESTIMATOR.auroc("support_auroc", scores, labels, [str(row // 2) for row in range(20)])
    assert few.value == many.value
    assert few.high - few.low > many.high - many.low  # type: ignore[operator]


def test_auroc_of_one_document_has_no_interval() -> None:
    """Claims of one document say nothing about others."""
    measure = ESTIMATOR.auroc("support_auroc", [0.1, 0.9], [False, True], ["a", "a"])
    assert (measure.value, measure.low, measure.high) == (1.0, None, None)


def test_a_weight_is_how_often_a_row_stands_there() -> None:
    """Weighing a row twice is writing it twice."""
    scores, labels = np.asarray([0.9, 0.4, 0.6]), np.asarray([True, True, False])
    twice = weighted_auroc(scores[[0, 1, 1, 2]], labels[[0, 1, 1, 2]], np.ones(4))
    assert weighted_auroc(scores, labels, np.asarray([1.0, 2.0, 1.0])) == pytest.approx(twice) == pytest.approx(1 / 3)
    assert np.isnan(weighted_auroc(scores, labels, np.asarray([1.0, 1.0, 0.0])))


def test_a_calibration_error_by_hand() -> None:
    """Two bins of two rows: both are too sure, by 0.3 and by 0.25; the top score belongs to the last bin."""
    scores, labels = [0.3, 0.3, 0.5, 1.0], [False, False, True, False]
    measure = ESTIMATOR.calibration_error("support_error", scores, labels, ["a", "b", "c", "d"], bins=2)
    assert measure.value == pytest.approx((0.3 * 2 + 0.25 * 2) / 4)
    assert measure.n == 4
    one = ESTIMATOR.calibration_error("support_error", [0.2], [True], ["a"], bins=10)
    assert (one.value, one.low, one.high) == (pytest.approx(0.8), None, None)


def test_a_calibration_error_is_as_sure_as_its_bins() -> None:
    """Half of a bin is true and the score says half: the error is 0, and could with other documents well have been more."""
    few = ESTIMATOR.calibration_error("support_error", [0.5] * 8, [True, False] * 4, list("abcdefgh"), bins=10)
    assert few.value == few.low == 0.0
    assert few.high is not None
    assert few.high > 0.2
    names = [str(row) for row in range(800)]
    many = ESTIMATOR.calibration_error("support_error", [0.5] * 800, [True, False] * 400, names, bins=10)
    assert many.high is not None
    assert many.high < 0.06


def test_strata_compare_only_rows_of_their_own() -> None:
    """One of two pairs of the first stratum is right and the second has a tie; pairs between strata do not count."""
    scores, labels = [0.9, 0.8, 0.7, 0.1, 0.1], [True, False, True, True, False]
    documents, strata = ["a", "b", "c", "d", "e"], ["x", "x", "x", "y", "y"]
    assert ESTIMATOR.auroc("support_auroc_slot", scores, labels, documents, strata).value == pytest.approx(1.5 / 3)
    assert ESTIMATOR.auroc("support_auroc_slot", scores, labels, documents).value == pytest.approx(3.5 / 6)
    nothing = ESTIMATOR.auroc("support_auroc_slot", [0.9, 0.1], [True, False], ["a", "b"], ["x", "y"])
    assert (nothing.value, nothing.low, nothing.n) == (None, None, 2)


def test_a_difference_is_paired_by_document() -> None:
    """Two means over other numbers of values; what all documents share cancels, and none of either is no difference."""
    rng = np.random.default_rng(0)
    documents = [f"d{number}" for number in range(60)]
    level = rng.normal(size=60)
    values, names = level.repeat(3) + 0.5, [name for name in documents for _ in range(3)]
    found = ESTIMATOR.difference("claims_true_over_other_pair", values, names, level, documents)
    assert found.value == pytest.approx(0.5)
    assert found.low == pytest.approx(0.5)
    assert found.high == pytest.approx(0.5)
    assert found.n == 180
    loose = ESTIMATOR.difference("claims_true_over_other_pair", values, names, rng.permutation(level), documents)
    assert loose.low is not None
    assert loose.high is not None
    assert loose.low < 0.5 < loose.high
    assert loose.high - loose.low > 0.1
    assert ESTIMATOR.difference("claims_true_over_other_pair", values, names, [], []).value is None
