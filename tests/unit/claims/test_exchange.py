"""Other values for claims, and claims left out."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from tests.unit.claims.making import claim_in

from nlakit.claims.exchange import Pool, exchanged, tidy, without

TEXT = "This is a story. About Mia, kept in the box, with Tom nearby."
WHO = claim_in(TEXT, "who", "Mia", "entity", "About Mia")
BOX = claim_in(TEXT, "container", "box", "entity", "kept in the box")
FRIEND = claim_in(TEXT, "friend", "Tom", "entity", "with Tom nearby")


def test_a_pool_counts_the_values_of_each_slot() -> None:
    """Values are counted by slot, and those of one slot say nothing of another."""
    pool = Pool.of([WHO, WHO, replace(WHO, value="Ada"), BOX])

    assert pool.values == {"container": {"box": 1}, "who": {"Ada": 1, "Mia": 2}}
    assert pool.others(BOX, 3, seed=0) == []
    assert pool.others(FRIEND, 3, seed=0) == []
    assert pool.others(WHO, 3, seed=0) == ["Ada"]


def test_other_values_are_drawn_as_often_as_they_are_found() -> None:
    """Never the claim's own value, none twice, frequent ones first more often."""
    pool = Pool({"who": {"Mia": 50, "Ada": 9, "Ben": 1, "Cora": 1}})
    drawn = [pool.others(WHO, 2, seed) for seed in range(200)]
    first = Counter(values[0] for values in drawn)

    assert all(len(set(values)) == 2 and "Mia" not in values for values in drawn)
    assert first["Ada"] > 130
    assert set(first) == {"Ada", "Ben", "Cora"}
    assert sorted(pool.others(WHO, 9, seed=0)) == ["Ada", "Ben", "Cora"]
    assert pool.others(WHO, 2, seed=3) == pool.others(WHO, 2, seed=3)


def test_a_claim_without_a_place_for_its_value_has_no_others() -> None:
    """Where the reader does not say which words are the value, nothing can be put in their place."""
    nowhere = replace(WHO, value_end=WHO.value_start)

    assert Pool({"who": {"Mia": 1, "Ada": 1}}).others(nowhere, 1, seed=0) == []


def test_exchanging_touches_the_value_alone() -> None:
    """The words around the value stay."""
    assert exchanged(TEXT, BOX, "jar") == "This is a story. About Mia, kept in the jar, with Tom nearby."


def test_leaving_claims_out_leaves_a_text_that_is_well_set() -> None:
    """Marks that would stand alone go too, and sentences begin large."""
    assert without(TEXT, [WHO]) == "This is a story. Kept in the box, with Tom nearby."
    assert without(TEXT, [FRIEND, WHO, BOX]) == "This is a story."
    assert without(TEXT, []) == TEXT


def test_claims_that_overlap_are_left_out_once() -> None:
    """Words that two claims share are removed once, and no others with them."""
    long = claim_in(TEXT, "scene", "Mia", "entity", "About Mia, kept in the box")

    assert without(TEXT, [long, BOX]) == without(TEXT, [BOX, long]) == "This is a story. With Tom nearby."


def test_tidying_leaves_a_tidy_text_alone() -> None:
    """Tidying twice is tidying once."""
    assert tidy(TEXT) == TEXT
    assert tidy("one, , two;.  three , four!") == tidy(tidy("one, , two;.  three , four!")) == "One, two. Three, four!"
