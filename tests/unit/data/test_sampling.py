from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlakit.config import SPLITS, SplitConfig
from nlakit.data.sampling import lowered_minimum, other_document_rows, positions_for, split_of


@given(
    seed=st.integers(0, 2**31),
    document=st.text(max_size=20),
    candidates=st.lists(st.integers(0, 200), unique=True).map(sorted),
    count=st.integers(1, 12),
)
def test_positions_are_distinct_and_sorted(seed: int, document: str, candidates: list[int], count: int) -> None:
    """Positions are candidates, differ, ascend, and number as many as asked for or all there are."""
    found = positions_for(seed, document, candidates, count)

    assert sorted(set(found)) == found
    assert len(found) == min(count, len(candidates))
    assert set(found) <= set(candidates)


def test_positions_never_change() -> None:
    """The draw is frozen: a store made today has the positions of one made by any later version."""
    assert [11, 18, 55, 68, 87] == positions_for(7, "doc-7", range(8, 100), 5)


def test_positions_depend_on_seed_and_document() -> None:
    """Another seed or another document gives other positions."""
    drawn = {tuple(positions_for(seed, name, range(1000), 5)) for seed in (0, 1) for name in ("a", "b")}

    assert len(drawn) == 4


def test_every_position_is_drawn_equally_often() -> None:
    """Over many documents no candidate is preferred, the first and last included."""
    counts = Counter(p for i in range(3000) for p in positions_for(0, f"d{i}", range(4, 14), 3))

    assert set(range(4, 14)) == set(counts)
    assert all(900 * 0.85 < count < 900 * 1.15 for count in counts.values())


def test_splits_get_their_shares() -> None:
    """Each split holds its configured share of the documents within sampling error."""
    split = SplitConfig(av=0.1, ar=0.2, rl=0.3, heldout=0.4)
    counts = Counter(split_of(3, f"d{i}", split) for i in range(5000))

    assert {"av": 0.1, "ar": 0.2, "rl": 0.3, "heldout": 0.4} == pytest.approx(
        {name: counts[name] / 5000 for name in SPLITS}, abs=0.025
    )


def test_an_empty_split_stays_empty() -> None:
    """A share of 0 gives no document, also where the last split is the empty one."""
    split = SplitConfig(av=0.5, ar=0.0, rl=0.5, heldout=0.0)

    assert {"av", "rl"} == {split_of(0, f"d{i}", split) for i in range(2000)}


def test_splits_never_change() -> None:
    """The assignment is frozen: a held-out document stays held out for every later version."""
    assert ["av", "ar", "rl", "rl", "rl", "ar"] == [split_of(0, f"doc-{i}", SplitConfig()) for i in range(6)]


@given(st.lists(st.integers(0, 5), min_size=1, max_size=40), st.integers(0, 3))
def test_every_row_meets_a_row_of_another_document(owners: list[int], seed: int) -> None:
    """However the rows are spread over documents, none is paired with its own; one document alone cannot be paired."""
    documents = [f"d{owner}" for owner in owners]
    paired = other_document_rows(documents, seed)
    if len(set(documents)) == 1:
        assert paired is None
    else:
        assert paired is not None
        assert all(documents[row] != documents[other] for row, other in enumerate(paired))


def test_rows_of_other_documents_are_spread_and_keyed() -> None:
    """Nearly all rows serve once, the same draw comes back, and another label gives another draw."""
    documents = [f"d{row // 5}" for row in range(200)]
    paired = other_document_rows(documents, 0, "a")

    assert paired is not None
    assert len(set(paired)) > 180
    assert paired == other_document_rows(documents, 0, "a")
    assert paired != other_document_rows(documents, 0, "b")


def test_no_rows_cannot_be_paired() -> None:
    """An empty list has no other rows."""
    assert other_document_rows([], 0) is None


def test_lowered_minimum() -> None:
    """A short document is read from half of its length on, and never at its first token."""
    assert [1, 1, 1, 1, 2, 25] == [lowered_minimum(tokens) for tokens in (0, 1, 2, 3, 4, 50)]
