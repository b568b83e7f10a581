"""What one step of reinforcement learning says about itself."""

from __future__ import annotations

import pytest
import torch

from nlakit.explanations import Outcome
from nlakit.models.sampler import Sample
from nlakit.train.learner import rollout_metrics
from nlakit.train.rollout import Rollout


def test_rollout_metrics_by_hand() -> None:
    """Errors 0.2, 0.6 and a failure at 2 with variance 1: FVE 1 - 2.8 / 3, error of usable ones 0.4."""
    samples = [Sample([1, 2], "a", Outcome.OK), Sample([1], "b", Outcome.OK), Sample([1] * 6, "", Outcome.CUT_OFF)]
    rolled = Rollout(torch.ones(3, 4), samples, group_size=3)
    got = rollout_metrics(
        rolled, torch.tensor([0.2, 0.6, 2.0]), torch.tensor([-0.2, -0.6, -2.0]), torch.zeros(1, 3), variance=1.0
    )
    assert got["fve_batch"] == pytest.approx(1 - 2.8 / 3)
    assert got["error"] == pytest.approx(0.4)
    assert got["reward"] == pytest.approx(-2.8 / 3)
    assert got["length"] == 3.0
    assert got["parse_rate"] == pytest.approx(2 / 3)
    assert got["cap_rate"] == pytest.approx(1 / 3)
    assert got["flat_groups"] == 1.0


def test_error_of_no_usable_sample_is_not_measured() -> None:
    """With nothing to average the error is none; FVE still counts every failure."""
    rolled = Rollout(torch.ones(1, 4), [Sample([1], "", Outcome.EMPTY)], group_size=1)
    got = rollout_metrics(rolled, torch.tensor([2.0]), torch.tensor([-2.0]), torch.zeros(1, 1), variance=0.5)
    assert got["error"] is None
    assert got["fve_batch"] == -3.0
