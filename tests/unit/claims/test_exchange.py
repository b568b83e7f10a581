"""Other values for claims, and claims left out."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from tests.unit.claims.making import claim_in

from nlakit.claims.exchange import Pool, exchanged, guessed_anew, tidy, without

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


def test_the_frequency_of_a_value_is_its_share_of_its_slot() -> None:
    """What was never seen has none."""
    pool = Pool.of([WHO, WHO, replace(WHO, value="Ada"), BOX])
    assert pool.frequency(WHO) == pytest.approx(2 / 3)
    assert pool.frequency(BOX) == 1.0
    assert pool.frequency(replace(WHO, value="Ben")) == pool.frequency(replace(WHO, slot="mood")) == 0.0


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


def test_guesses_are_exchanged_in_place_and_the_others_move_along() -> None:
    """Every claim is found again where it stands in the new text; a slot without another value keeps its own."""
    pool = Pool({"who": {"Mia": 1, "Bartholomew": 1}, "container": {"box": 2}, "friend": {"Tom": 1, "Al": 1}})
    edited, claims = guessed_anew(TEXT, [WHO, BOX, FRIEND], {2, 0, 1}, pool, seed=0)
    assert edited == "This is a story. About Bartholomew, kept in the box, with Al nearby."
    assert [claim.text_span for claim in claims] == ["About Bartholomew", "kept in the box", "with Al nearby"]
    assert [edited[claim.start : claim.end] for claim in claims] == [claim.text_span for claim in claims]
    assert [edited[claim.value_start : claim.value_end] for claim in claims] == ["Bartholomew", "box", "Al"]
    assert [claim.value for claim in claims] == ["Mia", "box", "Tom"]
    assert guessed_anew(TEXT, [WHO, BOX], set(), pool, seed=0) == (TEXT, [WHO, BOX])


def test_a_claim_inside_an_exchanged_one_is_not_exchanged_again() -> None:
    """Words that have gone are not looked for."""
    inner = claim_in(TEXT, "who", "Mia")
    whole = claim_in(TEXT, "statement", "About Mia, kept in the box")
    pool = Pool({"who": {"Mia": 1, "Ada": 1}, "statement": {"About Mia, kept in the box": 1, "Nothing": 1}})
    edited, claims = guessed_anew(TEXT, [whole, inner, FRIEND], {0, 1}, pool, seed=0)
    assert edited == "This is a story. Nothing, with Tom nearby."
    assert (claims[0].text_span, claims[2].text_span) == ("Nothing", "with Tom nearby")


def test_a_card_keeps_the_most_frequent_values_of_the_most_frequent_slots() -> None:
    """Rare slots and rare values are left out; what a pool does not know is completed from another."""
    pool = Pool({"who": {"Mia": 5, "Ada": 1, "Ben": 3}, "mood": {"sad": 2}, "friend": {"Tom": 4}})

    assert pool.frequent(slots=2, values=2).values == {"who": {"Mia": 5, "Ben": 3}, "friend": {"Tom": 4}}
    assert Pool({"mood": {"glad": 1}}).completed(pool).values == pool.values | {"mood": {"glad": 1}}
