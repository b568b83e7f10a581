"""Tests of nlakit.vectors."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nlakit.errors import InputError
from nlakit.vectors import (
    VectorStats,
    bootstrap_draws,
    bootstrap_interval,
    check_vectors,
    direction_error,
    fve,
    unit,
)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_errors_of_hand_made_directions() -> None:
    """Same direction 0, right angle 2, opposite 4, sixty degrees 1, whatever the norms."""
    a_ND = torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [2.0, 0.0]])
    b_ND = torch.tensor([[9.0, 0.0], [0.0, 0.1], [-3.0, 0.0], [0.5, math.sqrt(3) / 2]])

    torch.testing.assert_close(direction_error(a_ND, b_ND), torch.tensor([0.0, 2.0, 4.0, 1.0]))


def test_nearly_equal_directions_keep_their_error() -> None:
    """A tiny angle does not vanish in rounding, as 2(1 - cos) in float32 would."""
    angle = 1e-4
    error = direction_error(torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, angle]]))

    assert float(error) == pytest.approx(angle**2, rel=1e-3)


def test_errors_are_computed_in_float32_for_narrow_types() -> None:
    """bfloat16 vectors give float32 errors, float64 ones float64."""
    vectors_ND = normal(4, 8)

    assert direction_error(vectors_ND.bfloat16(), vectors_ND.bfloat16()).dtype == torch.float32
    assert direction_error(vectors_ND.double(), vectors_ND.double()).dtype == torch.float64


def test_the_error_has_a_gradient_across_the_direction() -> None:
    """Moving along the vector changes nothing, moving across it does."""
    a_ND = torch.tensor([[3.0, 0.0]], requires_grad=True)
    direction_error(a_ND, torch.tensor([[0.0, 1.0]])).sum().backward()

    assert a_ND.grad is not None
    torch.testing.assert_close(a_ND.grad, torch.tensor([[0.0, -2 / 3]]))


@pytest.mark.parametrize("bad", [0.0, float("nan"), float("inf")])
def test_a_row_without_direction_is_named(bad: float) -> None:
    """A zero, NaN or infinite row is refused with its number."""
    vectors_ND = torch.ones(4, 3)
    vectors_ND[2] = bad

    with pytest.raises(InputError, match="row 2 has norm"):
        unit(vectors_ND)


def test_shapes_that_do_not_match_are_refused() -> None:
    """Nothing is broadcast by accident."""
    with pytest.raises(InputError, match=r"\(2, 3\) with \(1, 3\)"):
        direction_error(torch.ones(2, 3), torch.ones(1, 3))


def test_statistics_of_two_directions_by_hand() -> None:
    """Two right-angled directions: mean (.5, .5), mean squared distance from it .5; norms do not count."""
    stats = VectorStats.fit(torch.tensor([[5.0, 0.0], [0.0, 0.1]]))

    torch.testing.assert_close(stats.mean_D, torch.tensor([0.5, 0.5]))
    assert stats.variance == pytest.approx(0.5)


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 40), st.integers(2, 16), st.integers(0, 99))
def test_variance_is_one_minus_squared_mean(rows: int, width: int, seed: int) -> None:
    """The identity that ties the variance to the un-normalised mean holds for any vectors."""
    stats = VectorStats.fit(normal(rows, width, seed=seed))

    assert stats.variance == pytest.approx(1 - float(stats.mean_D.double().pow(2).sum()), abs=1e-5)


def test_statistics_of_one_direction_are_refused() -> None:
    """Without spread there is nothing to explain, and FVE would divide by zero."""
    with pytest.raises(InputError, match="same direction"):
        VectorStats.fit(torch.ones(5, 3))
    with pytest.raises(InputError, match="at least 2 vectors, got 1"):
        VectorStats.fit(torch.ones(1, 3))


@pytest.mark.parametrize(
    ("errors", "expected"), [([0.0, 0.0], 1.0), ([0.5, 0.5], 0.0), ([0.0, 0.5], 0.5), ([2.0], -3.0)]
)
def test_fve_by_hand(errors: list[float], expected: float) -> None:
    """With variance 0.5: no error 1, the variance itself 0, half of it 0.5, an unrelated direction -3."""
    assert fve(torch.tensor(errors), 0.5) == pytest.approx(expected)


@pytest.mark.parametrize(("errors", "variance"), [([], 1.0), ([1.0], 0.0), ([1.0], -1.0)])
def test_fve_of_nothing_is_refused(errors: list[float], variance: float) -> None:
    """An average of no rows or a variance of nothing is an error, not a NaN."""
    with pytest.raises(InputError):
        fve(torch.tensor(errors), variance)


def test_the_mean_direction_scores_a_little_below_zero() -> None:
    """Answering the mean is compared as a direction, so its FVE is at most 0."""
    vectors_ND = normal(200, 8) + 1.0
    stats = VectorStats.fit(vectors_ND)
    value = fve(direction_error(vectors_ND, stats.mean_D.expand_as(vectors_ND)), stats.variance)

    assert -0.5 < value <= 0.0


def test_good_vectors_come_back_as_float32() -> None:
    """Arrays and narrow tensors are accepted and widened."""
    checked_ND = check_vectors(np.ones((2, 3)), 3)

    assert (torch.float32, (2, 3)) == (checked_ND.dtype, tuple(checked_ND.shape))
    assert check_vectors(torch.ones(2, 3, dtype=torch.bfloat16)).dtype == torch.float32


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        (torch.ones(3), "expected two axes"),
        (torch.ones(2, 4), "4 wide, expected 3"),
        (
            torch.tensor([[1.0, 1.0, 1.0], [1.0, float("nan"), 1.0]]),
            "NaN or infinity in 1 of 2 rows, the first is row 1",
        ),
        (torch.tensor([[float("inf"), 1.0, 1.0]]), "the first is row 0"),
        (torch.ones(2, 3, dtype=torch.complex64), "expected real numbers"),
    ],
)
def test_bad_vectors_are_refused_with_what_is_wrong(vectors: torch.Tensor, message: str) -> None:
    """A wrong shape, width or number is named before any computation."""
    with pytest.raises(InputError, match=message):
        check_vectors(vectors, 3)


def test_the_interval_of_single_rows_agrees_with_theory() -> None:
    """With one row a document the interval is the usual mean ± 1.96 standard errors."""
    values = np.random.default_rng(0).normal(size=2000)
    low, high = bootstrap_interval(values, [str(i) for i in range(2000)], resamples=2000)
    half = 1.96 * values.std() / math.sqrt(2000)

    assert low == pytest.approx(values.mean() - half, abs=0.15 * half)
    assert high == pytest.approx(values.mean() + half, abs=0.15 * half)


def test_rows_of_one_document_do_not_count_as_independent() -> None:
    """Repeating every row within its document leaves the interval as wide as it was."""
    values = np.random.default_rng(1).normal(size=100)
    documents = [str(i) for i in range(100)]

    expected = bootstrap_interval(values, documents)
    repeated = bootstrap_interval(np.repeat(values, 7), list(np.repeat(documents, 7)))

    assert repeated == pytest.approx(expected)


def test_a_share_over_claims_is_a_ratio_of_sums() -> None:
    """Weights count claims: rows without any do not move the interval."""
    low, high = bootstrap_interval([1.0, 1.0, 0.0], ["a", "b", "c"], weights_N=[2.0, 1.0, 0.0])

    assert (1.0, 1.0) == (low, high)


def test_a_share_without_a_counterexample_is_not_certain() -> None:
    """Where every value is 1 or every one 0, the other end is the exact one over documents, whatever their rows and weights."""
    documents = [str(row % 5) for row in range(20)]
    low, high = bootstrap_interval([1.0] * 20, documents, share=True)
    assert (low, high) == (pytest.approx(0.025 ** (1 / 5)), 1.0)
    weights = [1.0] * 10 + [0.0] * 10
    assert (0.0, pytest.approx(1 - low)) == bootstrap_interval(
        [0.0] * 10 + [1.0] * 10, documents, weights_N=weights, share=True
    )
    assert (1.0, 1.0) == bootstrap_interval([1.0] * 20, documents)
    some = [1.0, 0.0] * 10
    assert bootstrap_interval(some, documents, share=True) == bootstrap_interval(some, documents)


def test_an_interval_depends_on_its_seed_only() -> None:
    """The same seed gives the same interval; another seed another one."""
    values, documents = np.arange(30.0), [str(i % 10) for i in range(30)]

    assert bootstrap_interval(values, documents, seed=1) == bootstrap_interval(values, documents, seed=1)
    assert bootstrap_interval(values, documents, seed=1) != bootstrap_interval(values, documents, seed=2)


def test_an_interval_of_nothing_is_not_a_number() -> None:
    """No rows, or no weight, gives NaN on both ends and no warning."""
    assert all(math.isnan(end) for end in bootstrap_interval([], []))
    assert all(math.isnan(end) for end in bootstrap_interval([1.0], ["a"], weights_N=[0.0]))


def test_values_and_documents_must_belong_together() -> None:
    """A missing document name is refused instead of cut off."""
    with pytest.raises(InputError, match="do not belong together"):
        bootstrap_interval([1.0, 2.0], ["a"])


def test_rows_of_one_document_have_no_interval() -> None:
    """One group says nothing about others, however many rows it has; rows without weight are no group."""
    assert all(math.isnan(end) for end in bootstrap_interval([0.0, 1.0, 0.5], ["a", "a", "a"]))
    assert all(math.isnan(end) for end in bootstrap_interval([0.0, 1.0], ["a", "b"], weights_N=[1.0, 0.0]))


def test_draws_are_of_whole_documents_and_the_interval_is_made_of_them() -> None:
    """Each resample draws as many documents as there are, and their means give the same interval."""
    documents, values = ["b", "a", "a", "c"], np.asarray([1.0, 2.0, 4.0, 8.0])

    index, portions = bootstrap_draws(documents, 300, seed=5)
    draws = np.concatenate(list(portions))

    assert [1, 0, 0, 2] == index.tolist()
    assert (300, 3) == draws.shape
    assert (draws.sum(axis=1) == 3).all()
    means = (draws[:, index] @ values) / draws[:, index].sum(axis=1)
    expected = tuple(np.quantile(means, [0.025, 0.975]))
    assert expected == pytest.approx(bootstrap_interval(values, documents, resamples=300, seed=5))
