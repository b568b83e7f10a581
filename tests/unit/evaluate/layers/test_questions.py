"""What is asked of any text, and of known truth."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from tests.unit.evaluate.toy import ToyTruth

from nlakit.data.teachers import Context
from nlakit.evaluate.layers.questions import COMMON, FAR, MIN_VALUE_ROWS, VALUES, fact_questions, text_questions
from nlakit.evaluate.layers.rows import LayerRows, Place
from nlakit.truth import Truth

THE, CAT, DOG, SPECIAL, RARE = 1, 2, 3, 4, 5


class Words:
    """A tokenizer as far as it is asked."""

    all_special_ids = (SPECIAL,)

    def decode(self, ids: list[int]) -> str:
        return {THE: " the", CAT: " cat", DOG: " dog", SPECIAL: "<x>", RARE: " zebra"}.get(ids[0], ".")


def rows(places: Sequence[Place], texts: Sequence[str], truths: Sequence[Truth | None] | None = None) -> LayerRows:
    truths = [None] * len(places) if truths is None else truths
    contexts = tuple(
        Context(row, f"d{row}", 3, Words().decode([place.token]), text, truth)
        for row, (place, text, truth) in enumerate(zip(places, texts, truths, strict=True))
    )
    return LayerRows((0,), torch.zeros(1, len(places), 2), contexts, tuple(places))


def far(*tokens: int) -> tuple[int, ...]:
    """Tokens from the first place on that counts as far; all the nearer ones are of no letter."""
    return (9,) * (FAR - 1) + tokens


def many() -> LayerRows:
    """Of 100 rows ten are near a cat, ten near a dog, and all near "the"."""
    places = [Place(THE, far(THE), far(THE), 9) for _ in range(60)]
    places += [Place(CAT, far(9, CAT, DOG), far(9, DOG), CAT) for _ in range(10)]
    places += [
        Place(DOG, (DOG, *far(CAT, DOG)) if number < 4 else (DOG,), far(SPECIAL, THE), SPECIAL) for number in range(10)
    ]
    places += [Place(RARE, (), (), RARE)] * (MIN_VALUE_ROWS - 1) + [Place(9, (), (), 9)] * 16
    return rows(places, ["a cat sat"] * 50 + ["the dog ran"] * 50)


def test_earlier_and_later_are_the_nearest_telling_words_from_some_way_off() -> None:
    """Words of the same phrase, words near all rows, signs without letters, control tokens and rare ones are passed over."""
    found = text_questions(many(), many(), Words(), 0)

    assert COMMON * 100 >= 20
    cat_row, dog_row = found.asked_N[60], found.asked_N[70]
    assert {"earlier": str(CAT), "later": str(DOG), "next": str(CAT), "token": str(CAT)}.items() <= cat_row.items()
    assert str(CAT) == dog_row["earlier"]
    assert not {"later", "next"} & dog_row.keys()
    assert "earlier" not in found.asked_N[75]
    assert {"topic", "token", "next"} == found.asked_N[0].keys()


def test_rare_tokens_are_not_asked_for() -> None:
    """A value with fewer rows than a probe could learn from is no question."""
    assert "token" not in text_questions(many(), many(), Words(), 0).asked_N[80]


def test_at_most_so_many_values_are_told_apart() -> None:
    """The most frequent tokens are asked for, the others not."""
    places = [Place(token, (), (), 9) for token in range(100, 100 + VALUES + 5) for _ in range(6)]
    places += [Place(100 + VALUES + 4, (), (), 9)]

    found = text_questions(rows(places, ["x y"] * len(places)), rows(places, ["x y"] * len(places)), Words(), 0)

    kept = {facts["token"] for facts in found.fit_N if "token" in facts}
    assert VALUES == len(kept)
    assert str(100 + VALUES + 4) in kept


def test_topics_are_clusters_of_words() -> None:
    """Texts of the same words share a topic, in the fitted and in the asked rows."""
    found = text_questions(many(), many(), Words(), 0)
    topics = [facts["topic"] for facts in found.fit_N]

    assert 1 == len(set(topics[:50])) == len(set(topics[50:]))
    assert topics[0] != topics[50]
    assert topics == [facts["topic"] for facts in found.asked_N]


def test_facts_are_grouped_by_level_and_plans_apart() -> None:
    """A plan is a plan whatever its level, and what a reader adds of the last token and the next is not asked for."""

    class Talkative(ToyTruth):
        def facts(self, truth: Truth) -> dict[str, str]:
            return {**super().facts(truth), "last word": "x"}

    truth: Truth = {"facts": {"topic": "animals", "animal": "cat"}, "planned": {"colour": "red"}}
    known = rows([Place(THE, (), (), 9)] * 2, ["a", "b"], [truth, None])

    found = fact_questions(known, known, Talkative())

    assert [{"topic": "animals", "animal": "cat", "colour": "red"}, {}] == list(found.asked_N)
    assert {"topic": "theme", "animal": "entity", "colour": "planned"} == found.groups_N[0]
