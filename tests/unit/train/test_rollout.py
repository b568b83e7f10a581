import math

import pytest
import torch

from nlakit.errors import DivergedError
from nlakit.explanations import Outcome
from nlakit.models.sampler import Sample
from nlakit.testing import tiny_pair
from nlakit.train.rollout import Rollout, rollout, score
from nlakit.vectors import FAILED_ERROR


def _sample(text: str, outcome: Outcome = Outcome.OK, length: int = 4) -> Sample:
    return Sample(list(range(10, 10 + length)), text, outcome, torch.zeros(length))


def texts_of(rolled: Rollout) -> list[str]:
    return [sample.text for sample in rolled.samples]


def _vectors(count: int) -> torch.Tensor:
    return torch.randn((count, 32), generator=torch.Generator().manual_seed(1))


def _gradients(module: torch.nn.Module) -> list[torch.Tensor]:
    return [parameter.grad.clone() for parameter in module.parameters() if parameter.grad is not None]


@pytest.fixture
def mixed() -> Rollout:
    """Two vectors, three samples each; half of them failed in the three ways there are."""
    samples = [
        _sample("the cat"),
        _sample("cut in the mid", Outcome.CUT_OFF, 9),
        _sample("a dog by the door"),
        _sample("", Outcome.EMPTY, 2),
        _sample("the key in the box", length=6),
        _sample("never closed", Outcome.NO_CLOSING_TAG),
    ]
    return Rollout(_vectors(2).repeat_interleave(3, dim=0), samples, group_size=3)


def test_rollout_counts_by_hand(mixed: Rollout) -> None:
    """Flags, lengths, rates and distinct texts of six known samples."""
    assert mixed.failed_N.tolist() == [False, True, False, True, False, True]
    assert mixed.lengths_N.tolist() == [4, 9, 4, 2, 6, 4]
    assert mixed.tokens == 29
    assert mixed.rate(Outcome.OK) == 0.5
    assert mixed.rate(Outcome.CUT_OFF) == pytest.approx(1 / 6)
    assert mixed.distinct == 1.0


def test_distinct_compares_vectors_and_not_samples_of_one_vector() -> None:
    """Two vectors with the same first text are half distinct, whatever the other samples say."""
    texts = ["same", "a", "same", "b"]
    assert Rollout(_vectors(4), [_sample(text) for text in texts], group_size=2).distinct == 0.5


def test_micro_batches_hold_every_sample_once_by_length(mixed: Rollout) -> None:
    """Passes over the verbalizer cover all samples, failed ones too, shortest first."""
    assert mixed.micro_batches(4) == [[3, 0, 2, 5], [4, 1]]


def test_failed_samples_never_train_the_reconstructor(mixed: Rollout) -> None:
    """Error and gradient are those of the usable samples alone, whatever text the failed ones left behind."""
    pair = tiny_pair()
    errors_N = score(pair.reconstructor, mixed, texts_of(mixed), micro_batch=64, what="x")
    with_failed = _gradients(pair.reconstructor)
    pair.reconstructor.zero_grad(set_to_none=True)
    alone = Rollout(mixed.vectors_ND[[0, 2, 4]], [mixed.samples[row] for row in (0, 2, 4)], group_size=3)
    alone_N = score(pair.reconstructor, alone, texts_of(alone), micro_batch=64, what="x")
    assert torch.allclose(errors_N[[0, 2, 4]], alone_N, atol=1e-6)
    assert errors_N[[1, 3, 5]].tolist() == [FAILED_ERROR] * 3
    for ours, expected in zip(with_failed, _gradients(pair.reconstructor), strict=True):
        assert torch.allclose(ours, expected, atol=1e-6)


def test_a_rollout_without_a_usable_sample_leaves_the_reconstructor_alone() -> None:
    """All failed: every error is that of an unrelated direction, and there is no gradient."""
    pair = tiny_pair()
    rolled = Rollout(_vectors(2), [_sample("x", Outcome.CUT_OFF), _sample("", Outcome.EMPTY)], group_size=2)
    assert score(pair.reconstructor, rolled, texts_of(rolled), micro_batch=8, what="x").tolist() == [FAILED_ERROR] * 2
    assert _gradients(pair.reconstructor) == []


def test_a_text_that_has_grown_too_long_counts_as_failed() -> None:
    """Sampled tokens can be more when read back; then the sample has the error of an unrelated direction, and the rest goes on."""
    reconstructor = tiny_pair().reconstructor
    samples = [_sample("key " * reconstructor.max_positions), _sample("the cat")]
    rolled = Rollout(_vectors(1).repeat_interleave(2, dim=0), samples, group_size=2)
    errors = score(reconstructor, rolled, texts_of(rolled), micro_batch=2, what="test")
    alone = Rollout(_vectors(1), [samples[1]], group_size=1)
    other = tiny_pair().reconstructor
    assert errors.tolist() == pytest.approx(
        [FAILED_ERROR, *score(other, alone, ["the cat"], micro_batch=2, what="test").tolist()]
    )
    for ours, theirs in zip(_gradients(reconstructor), _gradients(other), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_micro_batches_of_scoring_do_not_change_the_gradient(mixed: Rollout) -> None:
    """One sample at a time gives the errors and the gradient of all at once."""
    pair = tiny_pair()
    whole_N = score(pair.reconstructor, mixed, texts_of(mixed), micro_batch=64, what="x")
    whole = _gradients(pair.reconstructor)
    pair.reconstructor.zero_grad(set_to_none=True)
    single_N = score(pair.reconstructor, mixed, texts_of(mixed), micro_batch=1, what="x")
    assert torch.allclose(whole_N, single_N, atol=1e-5)
    for one, other in zip(whole, _gradients(pair.reconstructor), strict=True):
        assert torch.allclose(one, other, atol=1e-5)


def test_a_broken_head_stops_training_with_advice(mixed: Rollout) -> None:
    """A reconstruction that is not finite is a diverged training, named by its step, and no reward."""
    pair = tiny_pair()
    with torch.no_grad():
        pair.reconstructor.value_head.weight[0, 0] = math.nan
    with pytest.raises(DivergedError, match=r"step 7: the reconstructor's output"):
        score(pair.reconstructor, mixed, texts_of(mixed), micro_batch=8, what="train: step 7")


def test_rollout_keeps_the_samples_of_a_vector_together() -> None:
    """Three vectors, two samples each: vectors are repeated in place, log-probabilities come along."""
    vectors_PD = _vectors(3)
    rolled = rollout(tiny_pair().verbalizer, vectors_PD, group_size=2, max_new_tokens=5, seed=0)
    assert torch.equal(rolled.vectors_ND, vectors_PD[[0, 0, 1, 1, 2, 2]])
    assert [len(found.ids) for found in rolled.samples] == [
        len(found.log_probs) for found in rolled.samples if found.log_probs is not None
    ]
