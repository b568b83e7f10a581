"""Edits of explanations, by hand."""

from __future__ import annotations

import re
from collections import Counter

from tests.unit.claims.making import claim_in

from nlakit.claims.anytext import FrameReader
from nlakit.claims.exchange import Pool
from nlakit.claims.sentences import capitals, shuffled
from nlakit.evaluate.edits import cut_to, entity_swapped, half_dropped, prose_only, quotes_only

TEXT = "This is a story. Ada also there, coloured red, about Mia. Ends on the, next an object."
QUOTED = 'The text says "come in, please". It ends with “the key” and a comma.'
NAMES = capitals([TEXT, "With Ada nearby."])


def clauses(text: str) -> list[str]:
    return [clause.lower() for clause in re.split(r"[.,] ?", text) if clause]


def test_names_are_known_by_their_capital_inside_a_sentence() -> None:
    """Words that are only written large at the start of a sentence are no names."""
    assert NAMES == {"Ada", "Mia"}


def test_shuffling_moves_sentences_and_clauses_and_keeps_words() -> None:
    """No clause leaves its sentence; a name keeps its capital wherever it goes, other words lose it."""
    drawn = {shuffled(TEXT, seed, NAMES) for seed in range(30)}

    assert len(drawn) > 10
    assert all(Counter(clauses(text)) == Counter(clauses(TEXT)) for text in drawn)
    assert any(", Ada also there" in text for text in drawn)
    assert any(", ends on the" in text for text in drawn)
    assert not any(", Ends" in text or "ada" in text for text in drawn)
    assert {text.count(". ") for text in drawn} == {2}
    assert any(not text.endswith(("an object.", "on the.")) for text in drawn)


def test_the_last_sentence_can_be_kept() -> None:
    """Then all before it moves, and it does not."""
    drawn = {shuffled(TEXT, seed, NAMES, keep_last=True) for seed in range(30)}

    assert len(drawn) > 5
    assert all(text.endswith(". Ends on the, next an object.") for text in drawn)


def test_half_of_the_clauses_is_left_out() -> None:
    """Of six clauses three stay, in their order; a single clause cannot be halved."""
    drawn = {half_dropped(TEXT, seed) for seed in range(30)}
    order = clauses(TEXT)

    assert len(drawn) > 5
    for text in drawn:
        assert text is not None
        kept = clauses(text)
        assert len(kept) == 3
        assert kept == sorted(kept, key=order.index)
    assert half_dropped("This is a story.", 0) is None


def test_cutting_counts_words() -> None:
    """The first words stay as they are."""
    assert cut_to(TEXT, 6) == "This is a story. Ada also"


def test_quotations_and_prose_part_a_text() -> None:
    """Spans in quotation marks on one side, everything else on the other."""
    assert quotes_only(QUOTED) == '"come in, please". “the key”.'
    assert prose_only(QUOTED) == "The text says. It ends with and a comma."


def test_a_text_of_one_kind_cannot_be_parted() -> None:
    """Without quotations, or with nothing else, there is nothing to compare."""
    for text in (TEXT, "It's Ada's dogs' bowl.", '"come in"'):
        assert quotes_only(text) is None
        assert prose_only(text) is None


def test_one_entity_is_exchanged() -> None:
    """One value of the level changes, for one that its slot has elsewhere; without any the edit does not apply."""
    claims = [
        claim_in(TEXT, "genre", "story", "theme", "This is a story"),
        claim_in(TEXT, "friend", "Ada", "entity", "Ada also there"),
        claim_in(TEXT, "who", "Mia", "entity", "about Mia"),
    ]
    pool = Pool({"genre": {"letter": 1}, "friend": {"Zoe": 1}, "who": {"Tom": 1}})
    drawn = {entity_swapped(TEXT, claims, pool, seed) for seed in range(20)}

    assert drawn == {TEXT.replace("Ada", "Zoe"), TEXT.replace("Mia", "Tom")}
    assert entity_swapped(TEXT, claims[:1], pool, 0) is None
    assert entity_swapped(TEXT, claims, Pool({"who": {"Mia": 3}}), 0) is None


def test_a_name_that_no_frame_explains_is_an_entity() -> None:
    """So an entity can be exchanged in free prose, of which nobody knows what it says of whom."""
    text = "They asked Mia about it."
    (claim,) = FrameReader({}).claims(text)

    assert entity_swapped(text, [claim], Pool({"name": {"Mia": 2, "Tom": 2}}), 0) == "They asked Tom about it."


def test_draws_depend_on_seed_and_text_alone() -> None:
    """The same seed gives the same edit."""
    assert shuffled(TEXT, 4, NAMES) == shuffled(TEXT, 4, NAMES)
    assert half_dropped(TEXT, 4) == half_dropped(TEXT, 4)
