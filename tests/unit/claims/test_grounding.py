"""Taking out of a teacher's text what the vectors do not hold."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
import torch
from tests.unit.claims.making import KEYED, keyed_claims

from nlakit.claims import grounding
from nlakit.claims.anytext import FrameReader
from nlakit.claims.exchange import Pool
from nlakit.claims.grounding import LikelihoodSign, ProbeSign, Score, SwapSign, ground, own_share
from nlakit.claims.likelihood import SpanScore, span_log_probs
from nlakit.claims.probes import fit_probes
from nlakit.testing import tiny_pair
from nlakit.truth import Claim

VECTORS = torch.zeros((3, 4))


class Reader:
    def claims(self, text: str) -> list[Claim]:
        return keyed_claims(text)


@dataclass
class Fixed:
    """Scores by value; where a claim leans on another, it fails as soon as something else stands there."""

    by_value: dict[str, float]
    leans_on: dict[str, str] = field(default_factory=dict)
    guesses: Pool | None = field(default_factory=lambda: Pool({"place": {"park": 1, "mill": 2}, "mood": {"sad": 1}}))
    asked: list[list[str]] = field(default_factory=list)

    def scores(
        self, vectors_ND: torch.Tensor, texts: Sequence[str], claims_N: Sequence[Sequence[Claim]], rows: Sequence[int]
    ) -> list[list[Score]]:
        self.asked.append(list(texts))
        return [
            [
                Score(
                    0.0 if (other := self.leans_on.get(c.value)) and other not in text
                    else self.by_value.get(text[c.value_start : c.value_end], 0.0)
                )
                for c in claims
            ]
            for text, claims in zip(texts, claims_N, strict=True)
        ]  # fmt: skip


def test_claims_that_fail_leave_and_the_rest_stays_readable() -> None:
    """Words, commas and sentence of a failed claim are gone; a text without failures is untouched."""
    texts = ["Place park, mood sad. Animal cat.", "Animal cat.", "Mood sad."]
    found = ground(texts, VECTORS, Reader(), Fixed({"park": 0.9, "sad": 0.1, "cat": 0.8}), threshold=0.5)
    assert [item.text for item in found] == ["Place park. Animal cat.", "Animal cat.", ""]
    assert [(len(item.judged), item.kept) for item in found] == [(3, 2), (1, 1), (1, 0)]


def test_a_claim_that_leant_on_a_guess_fails_with_it() -> None:
    """What stays is scored behind another guess, in a text of the same form; texts that are settled are not scored again."""
    sign = Fixed({"park": 0.1, "sad": 0.9, "cat": 0.9}, leans_on={"sad": "park"})
    texts = ["Place park, mood sad, animal cat.", "Animal cat.", "Place park, animal cat."]
    found = ground(texts, VECTORS, Reader(), sign, threshold=0.5)
    assert [item.text for item in found] == ["Animal cat.", "Animal cat.", "Animal cat."]
    assert sign.asked == [
        texts,
        ["Place mill, mood sad, animal cat.", "Place mill, animal cat."],
        # No other mood is known, so that the guess stays.
        ["Place mill, mood sad, animal cat."],
    ]
    assert [item.failed for item in found] == [{0, 1}, set(), {0}]
    assert [score.value for _, score in found[0].judged] == [0.1, 0.9, 0.9]


def test_what_failed_once_does_not_come_back() -> None:
    """Another guess may be as probable as it likes: the teacher's own claim is what was judged."""
    sign = Fixed({"park": 0.1, "mill": 0.9, "cat": 0.9})
    assert ground(["Place park, animal cat."], VECTORS[:1], Reader(), sign, threshold=0.5)[0].text == "Animal cat."


def test_a_sign_that_does_not_look_at_the_text_is_asked_once() -> None:
    """Scores that cannot change are not computed again."""
    sign = Fixed({"park": 0.1, "sad": 0.9}, leans_on={"sad": "park"}, guesses=None)
    assert ground(["Place park, mood sad."], VECTORS[:1], Reader(), sign, threshold=0.5)[0].text == "Mood sad."
    assert len(sign.asked) == 1


def test_own_share_by_hand() -> None:
    """As probable as elsewhere is one half; nine times as probable as the mean of the others is nine tenths."""
    assert own_share(math.log(0.2), [math.log(0.1), math.log(0.3)]) == pytest.approx(0.5)
    assert own_share(math.log(0.9), [math.log(0.1)]) == pytest.approx(0.9)
    assert own_share(-2000.0, [-3000.0]) == pytest.approx(1.0)


def test_a_value_is_scored_by_its_probability_and_a_statement_against_other_vectors() -> None:
    """A frame's value has how far its tokens go beyond its frequency; a clause without a frame that it is of its own vector."""
    verbalizer = tiny_pair().verbalizer
    generator = torch.Generator().manual_seed(0)
    vectors_ND, others_KD = torch.randn((1, 32), generator=generator), torch.randn((3, 32), generator=generator)
    text = "Kept in the box. The cat sat."
    reader = FrameReader({"kept in the _": "detail"})
    claims = reader.claims(text)
    pool = Pool({"kept in the _": {"box": 1, "bag": 3}})
    scores = LikelihoodSign(verbalizer, pool, others_KD).scores(vectors_ND, [text], [claims], [0])[0]
    spans = [[(claim.value_start, claim.value_end) for claim in claims]]
    value, clause = span_log_probs(verbalizer, vectors_ND, [text], spans)[0]
    elsewhere = [span_log_probs(verbalizer, other_D[None], [text], spans)[0][1] for other_D in others_KD]
    assert [claim.slot for claim in claims] == ["kept in the _", "statement"]
    assert scores[0].value == pytest.approx((math.exp(value) - 0.25) / 0.75, rel=1e-4)
    assert scores[1].value == pytest.approx(2 * own_share(clause, elsewhere) - 1, rel=1e-4)


def test_a_statement_that_its_vector_makes_no_likelier_scores_as_a_guessed_value_does() -> None:
    """Where the other vectors are its own, a whole statement scores 0: the bound that sorts out values sorts it out too."""
    vectors_ND = torch.randn((1, 32), generator=torch.Generator().manual_seed(0))
    sign = LikelihoodSign(tiny_pair().verbalizer, Pool({}), vectors_ND.expand(3, -1))
    scores = sign.scores(vectors_ND, ["The cat sat."], [FrameReader({}).claims("The cat sat.")], [0])[0]
    assert [score.value for score in scores] == [pytest.approx(0.0, abs=1e-5)]


@pytest.mark.parametrize(
    ("probability", "rival", "contradicted"),
    [(0.05, 0.9, True), (0.4, 0.6, False), (0.05, 0.4, False)],
    ids=["another value", "a guess between two", "many values"],
)
def test_a_vector_contradicts_what_it_makes_rarer_than_chance(
    probability: float, rival: float, contradicted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only where something else is more probable than not and the value far below its frequency, which is a half here."""
    found = SpanScore(math.log(probability), math.log(rival))
    monkeypatch.setattr(grounding, "span_scores", lambda *_: [[found]])
    sign = LikelihoodSign(tiny_pair().verbalizer, Pool({"mood": {"sad": 1, "glad": 1}}), torch.zeros((1, 32)))
    assert sign.scores(VECTORS[:1], ["Mood sad."], [keyed_claims("Mood sad.")], [0])[0][0].contradicted is contradicted


def test_probes_keep_what_they_find_and_contradict_what_is_false() -> None:
    """A held fact passes, a false claim about it is contradicted, and a fact that the vector does not hold fails."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 2, (400,), generator=generator)
    vectors_ND = torch.randn((400, 8), generator=generator)
    vectors_ND[:, 0] = 4.0 * (2 * labels - 1)
    coin = torch.randint(0, 2, (400,), generator=generator)
    facts = [{"animal": ("cat", "dog")[a], "mood": ("sad", "glad")[b]} for a, b in zip(labels, coin, strict=True)]
    probes = fit_probes(vectors_ND, facts, [str(row) for row in range(400)])
    sign = ProbeSign({5: probes, 6: probes}, {5: facts[0], 6: facts[0]})
    true, false = facts[0]["animal"], {"cat": "dog", "dog": "cat"}[facts[0]["animal"]]
    found = ground(
        [f"Animal {true}, mood {facts[0]['mood']}.", f"Animal {false}."],
        vectors_ND[[0, 0]], Reader(), sign, threshold=0.9, rows=[5, 6],
    )  # fmt: skip
    assert [item.text for item in found] == [f"Animal {true}.", ""]
    assert found[1].judged[0][1].contradicted
    assert set(KEYED) >= {"animal", "mood"}


def test_a_clause_goes_with_the_name_that_it_is_about() -> None:
    """Ordinary words around a name that is not held say nothing without it; other clauses stay, wherever the name stands."""
    text = "A letter by Charles Dickens to his sister in 1859, probably about money. He thanks Charles Dickens. He asks for more."
    reader = FrameReader({})
    claims = reader.claims(text)
    assert [claim.value for claim in claims][:2] == ["Charles Dickens", "1859"]
    scores = {claim.value: 1.0 for claim in claims} | {"Charles Dickens": 0.0}
    (found,) = ground([text], VECTORS[:1], reader, Fixed(scores, guesses=None), threshold=0.5)
    assert found.text == "Probably about money. He asks for more."
    assert found.kept == len(claims) - 2


@pytest.mark.parametrize(
    ("text", "failed", "left"),
    [
        ("It was in 1859 that Paul wrote. He thanks Paul.", "1859", "He thanks Paul."),
        ("It is a letter. It is a letter about money.", "It is a letter", "It is a letter about money."),
        ("He has 2 dogs. He has 2.5 hours. He has 2,000 sheep.", "2", "He has 2.5 hours. He has 2,000 sheep."),
        ("It is of Charles Dickens. It is of Dickens.", "Dickens", "It is of Charles Dickens."),
        ("Kept in the box. He goes home. Kept in the box.", "box", "He goes home."),
    ],
    ids=["said again", "statement", "number", "name", "frame"],
)
def test_exactly_the_clauses_that_make_a_failed_claim_go(text: str, failed: str, left: str) -> None:
    """Claims are compared and not letters; what is said in a clause that stays is kept."""
    reader = FrameReader({"kept in the _": "detail"})
    scores = {claim.value: 1.0 for claim in reader.claims(text)} | {failed: 0.0}
    (found,) = ground([text], VECTORS[:1], reader, Fixed(scores, guesses=None), threshold=0.5)
    assert found.text == left
    kept = {claim.same for index, (claim, _) in enumerate(found.judged) if index not in found.failed}
    assert kept == {claim.same for claim in reader.claims(left)}


@pytest.mark.parametrize("by", ["likelihood", "swap"])
def test_a_text_that_outgrows_the_window_is_left_as_it_is(by: str) -> None:
    """Nobody can score it and no warm start learns from it; the others are grounded."""
    pair = tiny_pair()
    long, short = "The cat sat, " * 200 + "the end.", "The cat sat."
    others_KD = torch.randn((2, 32), generator=torch.Generator().manual_seed(0))
    signs = {
        "likelihood": LikelihoodSign(pair.verbalizer, Pool({}), others_KD),
        "swap": SwapSign(pair.reconstructor, Pool({}), 0.5),
    }
    vectors_ND = torch.randn((2, 32), generator=torch.Generator().manual_seed(1))
    found = ground([long, short], vectors_ND, FrameReader({}), signs[by], threshold=2.0)
    assert [item.text for item in found] == [long, ""]
    assert all(score.contradicted is None for _, score in found[0].judged)
