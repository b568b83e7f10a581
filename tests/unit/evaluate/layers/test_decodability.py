"""What layers know: shares by hand, differences between layers on the same questions, wide vectors."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nlakit.claims.probes import FactCheck
from nlakit.evaluate.layers.decodability import WIDTH, Known, Prober, guessed, losses, narrow, right
from nlakit.evaluate.layers.questions import Questions
from nlakit.vectors import unit


def known(gained: list[list[float]], there: list[float], groups: str, documents: str) -> Known:
    return Known(np.asarray(gained), np.asarray(there), np.asarray(list(groups)), list(documents), 300, 0)


def test_groups_count_alike() -> None:
    """Group a: 3 of 4 gained over three questions; group b: 1 of 2 over one. The mean is that of 3/4 and 1/2."""
    found = known([[1.0, 2.0, 0.0, 1.0]], [1.0, 2.0, 1.0, 2.0], "aaab", "wxyz")

    assert 0.75 == found.share(0, ["a"]).value
    assert (0.625, 4) == (found.share(0, ["a", "b"]).value, found.share(0, ["a", "b"]).n)


def test_all_that_there_is_has_no_doubt() -> None:
    """Whoever gains everything in every document does so in every resample."""
    found = known([[1.0, 2.0, 3.0]], [1.0, 2.0, 3.0], "aaa", "xyz").share(0, ["a"])

    assert (1.0, 1.0, 1.0) == (found.value, found.low, found.high)


def test_a_difference_between_layers_is_surer_than_its_parts() -> None:
    """Documents differ widely and one layer is always a little ahead: the interval of the difference shows it."""
    draw = np.random.default_rng(0).uniform(0.0, 1.0, 60)
    found = known([list(draw), list(draw - 0.05)], [1.0] * 60, "a" * 60, "abcdefghijklmnopqrst" * 3)

    behind, shares = found.behind(1, 0, ["a"]), [found.share(index, ["a"]) for index in (0, 1)]

    assert 0.05 == pytest.approx(behind.value)
    assert 0.0 < behind.low
    assert shares[1].high > shares[0].low
    assert 0.0 == found.behind(0, 0, ["a"]).high


def test_a_group_without_anything_to_gain_is_no_group() -> None:
    """Where guessing is always right nothing can be found; with nothing left there is no number."""
    found = known([[0.0, 1.0]], [0.0, 2.0], "ab", "xy")

    assert ("b",) == found.groups
    assert 0.5 == found.share(0, ["a", "b"]).value
    assert found.share(0, ["a"]).value is None


def test_one_document_has_no_interval() -> None:
    """Rows of one document say nothing of others."""
    assert known([[1.0, 0.0]], [1.0, 1.0], "aa", "xx").share(0, ["a"]).low is None


def test_questions_keep_their_order() -> None:
    """The checks of a prober are in the order of its groups and documents, however slots are written down."""
    generator = torch.Generator().manual_seed(0)
    values = (torch.rand(200, generator=generator) < 0.5).tolist()
    vectors = torch.randn(200, 6, generator=generator)
    vectors[:, 0] = torch.tensor([4.0 if value else -4.0 for value in values])
    facts = [{"shown": str(value), **({"always": "x"} if row % 2 else {})} for row, value in enumerate(values)]
    groups = [{slot: slot.upper() for slot in found} for found in facts]
    documents = [f"d{row}" for row in range(200)]
    prober = Prober(Questions(facts[:150], facts[150:], groups[150:]), documents[:150], documents[150:], 0)

    checks = prober.ask(vectors[:150], vectors[150:])

    assert [check.slot.upper() for check in checks] == prober.groups_Q.tolist()
    assert 75 == len(checks) == len(prober.documents_Q)
    shown = prober.groups_Q == "SHOWN"
    assert right(checks)[shown].mean() > 0.95
    assert losses(checks)[shown].mean() < 0.2
    assert guessed(checks)[~shown].all()


def test_a_probability_of_nothing_is_a_bounded_loss() -> None:
    """A value that no probe knew costs no more than the least probability."""
    assert 9.21 == pytest.approx(losses([FactCheck("slot", "new", 0.0, None, None)])[0], abs=0.01)


@pytest.mark.parametrize("rows", [60, 400])
def test_wide_vectors_keep_their_angles(rows: int) -> None:
    """In the principal axes of the fitted rows their directions have the cosines that they had before."""
    generator = torch.Generator().manual_seed(0)
    inside = torch.randn(rows, 40, generator=generator) @ torch.randn(40, WIDTH + 50, generator=generator)

    fit, asked = narrow(inside, inside[:10])

    assert fit.shape[1] <= WIDTH
    torch.testing.assert_close(unit(inside) @ unit(inside).T, fit @ fit.T, atol=2e-4, rtol=1e-3)
    torch.testing.assert_close(fit[:10], asked, atol=2e-4, rtol=1e-3)


def test_narrow_vectors_are_left_alone() -> None:
    """A small model is probed in its own axes."""
    vectors = torch.randn(10, 8)

    assert narrow(vectors, vectors)[0] is vectors
