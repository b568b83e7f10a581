"""Rows that differ in temperature, length and seed, drawn in one batch."""

from __future__ import annotations

import pytest
import torch

from nlakit.errors import InputError
from nlakit.explanations import Outcome
from nlakit.models import sampler
from nlakit.models.sampler import Wish, sample, sample_rows
from nlakit.testing import tiny_pair

WISHES = [Wish(0.0, 12, 1), Wish(1.0, 20, 2), Wish(0.7, 5, 3), Wish(1.0, 20, 4), Wish(2.0, 1, 5)]


@pytest.fixture(scope="module")
def verbalizer():
    return tiny_pair().verbalizer


def vectors(n, seed=0):
    return torch.randn((n, 32), generator=torch.Generator().manual_seed(seed))


def test_a_row_draws_the_same_alone_and_among_others(verbalizer):
    """What a row draws depends on its own vector and wish, not on who shares the batch."""
    together = sample_rows(verbalizer, vectors(5), WISHES)
    for row, wish in enumerate(WISHES):
        (alone,) = sample_rows(verbalizer, vectors(5)[row : row + 1], [wish])
        assert alone.ids == together[row].ids
        assert len(alone.ids) <= wish.max_new_tokens


def test_another_seed_draws_otherwise(verbalizer):
    """Two rows alike but for their seed differ, and two rows alike are equal."""
    vectors_ND = vectors(1).expand(3, -1)
    first, again, other = sample_rows(verbalizer, vectors_ND, [Wish(1.0, 20, 7), Wish(1.0, 20, 7), Wish(1.0, 20, 8)])

    assert first.ids == again.ids != other.ids


def test_rows_at_temperature_0_are_those_of_sample(verbalizer):
    """Two ways to the likeliest tokens: beside rows that are drawn, and alone."""
    greedy = sample(verbalizer, vectors(3), temperature=0, max_new_tokens=12)
    mixed = sample_rows(verbalizer, vectors(4), [*[Wish(0.0, 12, row) for row in range(3)], Wish(1.5, 12, 3)])

    assert [item.ids for item in greedy] == [item.ids for item in mixed[:3]]


def test_rows_that_do_not_fit_together_are_drawn_in_parts(verbalizer, monkeypatch):
    """With room for two rows the five come out as before, and whoever watches sees them all and can leave at any time."""
    together = sample_rows(verbalizer, vectors(5), WISHES)
    monkeypatch.setattr(sampler, "_rows_that_fit", lambda *_: 2)
    last: list[list[int]] = []

    def watch(ids: list[list[int]], ended: list[bool]) -> list[int]:
        nonlocal last
        assert len(ids) == len(ended) == 5
        assert all(len(new) >= len(old) for new, old in zip(ids, last, strict=False))
        last = ids
        return [0, 4] if ids[3] else []

    found = sample_rows(verbalizer, vectors(5), WISHES, watch=watch)
    assert [item.ids for item in found[:4]] == [item.ids for item in together[:4]]
    assert last[:2] == [item.ids for item in found[:2]]
    assert len(found[4].ids) == 1


def test_whoever_watches_sees_every_step_and_can_leave(verbalizer):
    """The ids of a row grow by one token a step to what it ends with; a row that is given up ends there."""
    seen: list[list[list[int]]] = []

    def watch(ids: list[list[int]], ended: list[bool]) -> list[int]:
        assert len(ids) == len(ended) == 3
        seen.append(ids)
        return [1] if len(seen) == 4 else []

    wishes = [Wish(1.0, 20, row) for row in range(3)]
    found = sample_rows(verbalizer, vectors(3), wishes, watch=watch)
    free = sample_rows(verbalizer, vectors(3), wishes)

    assert found[1].ids == free[1].ids[:4]
    assert found[1].outcome is Outcome.CUT_OFF
    assert [found[row].ids for row in (0, 2)] == [free[row].ids for row in (0, 2)]
    for row in (0, 2):
        assert all(step[row] == found[row].ids[: number + 1] for number, step in enumerate(seen))


def test_wishes_out_of_range_are_refused(verbalizer):
    """One wish for each vector, each with a temperature and a length that mean something."""
    with pytest.raises(InputError, match="2 vectors and 1 wishes"):
        sample_rows(verbalizer, vectors(2), WISHES[:1])
    for wish in (Wish(-1.0, 4, 0), Wish(float("nan"), 4, 0), Wish(1.0, 0, 0)):
        with pytest.raises(InputError, match="temperature a number"):
            sample_rows(verbalizer, vectors(1), [wish])
    assert sample_rows(verbalizer, vectors(0), []) == []
