"""Rewards for claims on which the samples of a vector agree."""

from __future__ import annotations

import pytest
import torch
from tests.unit.claims.making import keyed_claims

from nlakit.claims.anytext import STATEMENT
from nlakit.explanations import Outcome
from nlakit.models.sampler import Sample
from nlakit.train.agreement import agreement_rewards
from nlakit.train.rollout import Rollout
from nlakit.truth import Claim


class Reader:
    def claims(self, text: str) -> list[Claim]:
        return keyed_claims(text)


class Stating:
    """Takes every text for one statement."""

    def claims(self, text: str) -> list[Claim]:
        return [Claim(STATEMENT, text, "theme", text, 0, 0, len(text))]


def rolled(*texts: str, size: int, failed: int | None = None) -> Rollout:
    outcomes = [Outcome.CUT_OFF if place == failed else Outcome.OK for place in range(len(texts))]
    samples = [Sample([1], text, outcome, None) for text, outcome in zip(texts, outcomes, strict=True)]
    return Rollout(torch.zeros((len(texts), 2)), samples, size)


def test_rewards_by_hand() -> None:
    """A claim of all pays one; where two of three others say so and one says otherwise it pays nothing, and alone it costs two."""
    found = agreement_rewards(
        rolled("Animal cat, mood sad.", "Animal cat, mood sad.", "Animal cat, mood glad.", "Animal cat.", size=4),
        Reader(),
    )
    assert found.tolist() == pytest.approx([1 + 1 / 3 - 2 / 3, 1 + 1 / 3 - 2 / 3, 1 - 2 * 2 / 3, 1])


def test_silence_is_no_vote() -> None:
    """What is said now and then, and always the same, pays as often as it is said."""
    found = agreement_rewards(rolled("Animal cat.", "Animal cat.", "Mood sad.", "", size=4), Reader())
    assert found.tolist() == pytest.approx([1 / 3, 1 / 3, 0, 0])


def test_groups_do_not_agree_with_each_other() -> None:
    """The same claim in another vector's group counts for nothing."""
    found = agreement_rewards(rolled("Animal cat.", "Mood sad.", "Animal cat.", "Animal cat.", size=2), Reader())
    assert found.tolist() == [0, 0, 1, 1]


def test_a_failed_sample_claims_nothing() -> None:
    """Text that was cut off neither earns nor supports a claim."""
    found = agreement_rewards(rolled("Animal cat.", "Animal cat.", size=2, failed=1), Reader())
    assert found.tolist() == [0.0, 0.0]


def test_without_a_reader_nothing_is_rewarded() -> None:
    """The plain reward is untouched."""
    assert agreement_rewards(rolled("Animal cat.", "Animal cat.", size=2), None).tolist() == [0.0, 0.0]


def test_whole_statements_do_not_contradict_each_other() -> None:
    """Two samples that make other statements say nothing against each other: each may be true."""
    found = agreement_rewards(rolled("one", "two", "two", size=3), Stating())
    assert found.tolist() == [0, 0.5, 0.5]
