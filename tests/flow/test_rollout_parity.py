"""Two paths to one number: what is sampled is what is trained on, and what is rewarded is what is learnt."""

from __future__ import annotations

import pytest
import torch

from nlakit.explanations import Outcome
from nlakit.models.pair import Pair
from nlakit.models.sampler import Sample
from nlakit.testing import FAMILIES, tiny_pair, tiny_target
from nlakit.train.learner import rollout_gap
from nlakit.train.optimise import make_optimizer, optimizer_step
from nlakit.train.rollout import Rollout, rollout, score


@pytest.fixture(params=FAMILIES)
def pair(request: pytest.FixtureRequest) -> Pair:
    return tiny_pair(tiny_target(family=request.param))


def _vectors(count: int) -> torch.Tensor:
    return torch.randn((count, 32), generator=torch.Generator().manual_seed(5))


def test_sampled_log_probs_equal_trained_ones(pair: Pair) -> None:
    """Every token's log-probability is one number: from the cached decoding loop, and teacher-forced in micro-batches."""
    rolled = rollout(pair.verbalizer, _vectors(5), group_size=3, max_new_tokens=9, seed=1)
    batches = rolled.micro_batches(4)
    for batch in batches:
        log_probs_BT, mask_BT = pair.verbalizer.log_probs(
            rolled.vectors_ND[batch], [rolled.samples[row].ids for row in batch]
        )
        assert mask_BT.sum(dim=1).tolist() == [len(rolled.samples[row].ids) for row in batch]
        assert rollout_gap(rolled, batch, log_probs_BT.detach()) < 2e-4
    assert sorted(row for batch in batches for row in batch) == list(range(15))


def test_the_gap_shows_a_policy_that_moved(pair: Pair) -> None:
    """The comparison can fail: after a training step the sampled log-probabilities are no longer the current ones."""
    rolled = rollout(pair.verbalizer, _vectors(3), group_size=2, max_new_tokens=6, seed=1)
    rows = list(range(6))
    ids = [found.ids for found in rolled.samples]
    log_probs_NT, _ = pair.verbalizer.log_probs(rolled.vectors_ND, ids)
    (-log_probs_NT.sum()).backward()
    optimizer_step(make_optimizer(pair.verbalizer.model), learning_rate=1e-2, max_grad_norm=1.0, what="x")
    with torch.no_grad():
        moved_NT, _ = pair.verbalizer.log_probs(rolled.vectors_ND, ids)
    assert rollout_gap(rolled, rows, moved_NT) > 0.05


def test_rewarded_errors_equal_those_that_a_reader_is_shown(pair: Pair) -> None:
    """The training pass, padded and in micro-batches, scores a text as the pair's own score() does, one at a time."""
    texts = ["the cat", "a key in the old box by the window", "two pears and one plum", "Anna"]
    vectors_ND = _vectors(4)
    rolled = Rollout(vectors_ND, [Sample([7] * (row + 1), text, Outcome.OK) for row, text in enumerate(texts)], 2)
    rewarded_N = score(pair.reconstructor, rolled, texts, micro_batch=3, what="x")
    shown = [pair.score([text], vectors_ND[row : row + 1])[0].error for row, text in enumerate(texts)]
    assert rewarded_N.tolist() == pytest.approx(shown, abs=2e-5)
