"""How much claims do for a reconstruction, by a reconstructor whose answer is known."""

from __future__ import annotations

import pytest
from tests.unit.claims.bag import BagOfWords
from tests.unit.claims.making import claim_in

from nlakit.claims.exchange import Pool
from nlakit.claims.leverage import leverages, text_errors
from nlakit.vectors import direction_error

TEXTS = ["About Mia, mood sad.", "About Mia, mood happy.", "About Ben, mood sad."]
CLAIMS = [
    [claim_in(TEXTS[0], "who", "Mia", "entity", "About Mia"), claim_in(TEXTS[0], "mood", "sad", "entity", "mood sad")],
    [claim_in(TEXTS[1], "who", "Mia", "entity", "About Mia")],
    [],
]
POOL = Pool({"who": {"Mia": 2, "Ben": 1}, "mood": {"sad": 1}})


def test_errors_are_those_of_the_texts_and_equal_texts_are_read_once() -> None:
    """Each row has the error of its own text against its own vector."""
    reader = BagOfWords()
    texts = [TEXTS[0], TEXTS[2], TEXTS[0]]
    vectors_ND = BagOfWords().reconstruct([TEXTS[0], TEXTS[0], TEXTS[1]])
    errors_N = text_errors(reader, texts, vectors_ND)  # type: ignore[arg-type]

    assert len(reader.asked) == 2
    assert errors_N[0] == pytest.approx(0.0, abs=1e-6)
    assert errors_N[1] == pytest.approx(float(direction_error(reader.reconstruct([TEXTS[2]]), vectors_ND[:1])))
    assert errors_N[2] > 0.1


def test_leverage_by_hand() -> None:
    """Swap leverage is the rise with the other value, drop leverage the rise without the words, None without other values."""
    reader = BagOfWords()
    vectors_ND = reader.reconstruct(TEXTS)
    found = leverages(reader, vectors_ND, TEXTS, CLAIMS, POOL)  # type: ignore[arg-type]
    swapped, dropped, other = reader.reconstruct(["About Ben, mood sad.", "Mood sad.", "About Ben, mood happy."])

    assert [len(of_row) for of_row in found] == [2, 1, 0]
    assert found[0][0].swap == pytest.approx(float(direction_error(swapped[None], vectors_ND[:1])), abs=1e-6)
    assert found[0][0].drop == pytest.approx(float(direction_error(dropped[None], vectors_ND[:1])), abs=1e-6)
    assert found[1][0].swap == pytest.approx(float(direction_error(other[None], vectors_ND[1:2])), abs=1e-6)
    assert found[0][1].swap is None
    assert found[0][1].drop > 0.1


def test_a_value_that_is_not_read_has_no_swap_leverage() -> None:
    """Where the reconstructor is deaf to names, exchanging one changes nothing, though leaving the clause out does."""
    reader = BagOfWords(deaf_to=["mia", "ben"])
    found = leverages(reader, reader.reconstruct(TEXTS), TEXTS, CLAIMS, POOL)  # type: ignore[arg-type]

    assert found[0][0].swap == pytest.approx(0.0, abs=1e-6)
    assert found[0][0].drop > 0.1


def test_a_false_value_has_negative_leverage_when_the_other_is_right() -> None:
    """The rise is measured from the text as it is, so a wrong value whose exchange is right lowers the error."""
    reader = BagOfWords()
    vectors_ND = reader.reconstruct([TEXTS[2]])
    (found,) = leverages(reader, vectors_ND, TEXTS[:1], CLAIMS[:1], POOL)  # type: ignore[arg-type]

    assert found[0].swap is not None
    assert found[0].swap < -0.1


def test_without_drops_nothing_is_left_out() -> None:
    """Drop leverage is then 0 and costs no reconstruction."""
    reader = BagOfWords()
    vectors_ND = reader.reconstruct(TEXTS)
    reader.asked.clear()
    found = leverages(reader, vectors_ND, TEXTS, CLAIMS, POOL, drops=False)  # type: ignore[arg-type]

    assert all(leverage.drop == 0.0 for of_row in found for leverage in of_row)
    assert set(reader.asked) == {*TEXTS, "About Ben, mood happy."}
