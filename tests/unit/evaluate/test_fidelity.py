"""Errors of round trips, and the exchange of rows between documents."""

from __future__ import annotations

import pytest
import torch

from nlakit.errors import InputError
from nlakit.evaluate.fidelity import (
    QUANTILES,
    constant_errors,
    cross_entropies,
    explanation_errors,
    quantiles,
    text_shares,
)
from nlakit.explanations import Explanation, Outcome
from nlakit.testing import tiny_pair
from nlakit.vectors import direction_error


def test_each_row_is_compared_with_its_own_reconstruction() -> None:
    """Errors equal those of rebuilding the texts one by one; a failed output counts with 2 and is never read."""
    pair = tiny_pair()
    vectors_ND = torch.randn((4, pair.reconstructor.width), generator=torch.Generator().manual_seed(1))
    explanations = [
        Explanation("a cat"),
        Explanation("a cat", Outcome.CUT_OFF),
        Explanation("the box and the key"),
        Explanation("a cat"),
    ]
    errors_N = explanation_errors(pair.reconstructor, explanations, vectors_ND)
    assert errors_N[1] == 2.0
    for row in (0, 2, 3):
        rebuilt_1D = pair.reconstructor.reconstruct([explanations[row].text])
        torch.testing.assert_close(errors_N[row : row + 1], direction_error(rebuilt_1D, vectors_ND[row : row + 1]))


def test_all_outputs_failed() -> None:
    """Nothing to rebuild is no error."""
    failed = [Explanation("", Outcome.EMPTY)] * 2
    assert explanation_errors(tiny_pair().reconstructor, failed, torch.ones(2, 32)).tolist() == [2.0, 2.0]


def test_explanations_and_vectors_must_pair_up() -> None:
    """A lost explanation does not shift the others onto wrong vectors."""
    with pytest.raises(InputError, match="1 explanations and 2 vectors"):
        explanation_errors(tiny_pair().reconstructor, [Explanation("a")], torch.ones(2, 32))


def test_a_constant_answer() -> None:
    """The same direction is perfect where it fits, 2 where it is unrelated, 4 where it is opposite."""
    vectors_ND = torch.tensor([[2.0, 0.0], [0.0, 5.0], [-1.0, 0.0]])
    assert constant_errors(torch.tensor([1.0, 0.0]), vectors_ND).tolist() == [0.0, 2.0, 4.0]


def test_a_distribution_of_errors_is_kept_in_equal_steps() -> None:
    """From the least to the greatest, the middle one in the middle; of nothing there is none."""
    found = quantiles([0.4, 0.1, 0.2, 0.3, 0.0])
    assert len(found) == QUANTILES + 1
    assert (found[0], found[5], found[10], found[-1]) == (0.0, 0.1, 0.2, 0.4)
    assert quantiles([]) == ()


def test_text_shares_sum_to_the_distinct_texts() -> None:
    """Three of four usable outputs share a text: two distinct texts."""
    explanations = [Explanation(text) for text in ("a", "a", "b", "a")] + [Explanation("a", Outcome.EMPTY)]
    shares = text_shares(explanations)
    assert len(shares) == 4
    assert shares.sum() == pytest.approx(2.0)


def test_cross_entropies_are_those_of_the_verbalizer() -> None:
    """Batching by length changes neither the nats nor the order of the rows."""
    pair = tiny_pair()
    verbalizer = pair.verbalizer
    vectors_ND = torch.randn((3, verbalizer.width), generator=torch.Generator().manual_seed(0))
    completions = [
        verbalizer.encode_explanation(text) for text in ("the red door in the evening", "a cat", "a key by the window")
    ]
    nats_N, tokens_N = cross_entropies(verbalizer, vectors_ND, completions, batch_size=2)
    assert tokens_N.tolist() == [len(ids) for ids in completions]
    for row, ids in enumerate(completions):
        log_probs, _ = verbalizer.log_probs(vectors_ND[row : row + 1], [ids])
        assert nats_N[row].item() == pytest.approx(-log_probs.sum().item(), rel=1e-4)
