"""Readings whose claims carry support."""

from __future__ import annotations

import math

import pytest
import torch
from tests.unit.claims.making import keyed_claims

from nlakit.claims.anytext import FrameReader
from nlakit.claims.likelihood import span_log_probs
from nlakit.claims.reading import with_support
from nlakit.claims.signals import Read, claim_signals, log_odds
from nlakit.claims.support import FRAMES, STATEMENTS, shipped
from nlakit.explanations import Explanation, Outcome
from nlakit.models.pair import Pair
from nlakit.models.readings import Reading, ScoredExplanation, neighbours_of, render_table
from nlakit.testing import tiny_pair
from nlakit.truth import Claim
from nlakit.vectors import VectorStats

STATS = VectorStats(torch.randn(32, generator=torch.Generator().manual_seed(9)) / 10, 0.5)


class Reader:
    def claims(self, text: str) -> list[Claim]:
        return keyed_claims(text)


@pytest.fixture
def pair() -> Pair:
    pair = tiny_pair()
    pair.card = pair.card.model_copy(update={"stats": STATS})
    return pair


def test_signals_by_hand(pair: Pair) -> None:
    """Agreement, contradiction and recurrence are shares of what was sampled around; a failed sample counts among the others."""
    fine = [Explanation(text) for text in ("Animal cat.", "Animal dog, mood sad.", "Nothing.")]
    failed = Explanation("Animal cat.", Outcome.CUT_OFF)
    read = Read(
        Explanation("Animal cat, mood sad."), [*fine, failed], [Explanation("Mood sad."), Explanation("Mood glad.")]
    )
    vectors_ND = torch.randn((1, 32), generator=torch.Generator().manual_seed(0))
    found = claim_signals(pair, Reader(), vectors_ND, [read])[0]
    signals = {claim.value: signals for claim, signals in found}
    assert [signals["cat"][name] for name in ("agreement", "contradiction", "recurrence")] == [0.25, 0.25, 0.0]
    assert [signals["sad"][name] for name in ("agreement", "contradiction", "recurrence")] == [0.25, 0.0, 0.5]
    assert signals["cat"]["error"] == signals["sad"]["error"] > 0
    assert all(-10.0 <= found["probability"] < 0 for found in signals.values())


def test_two_names_do_not_contradict_each_other(pair: Pair) -> None:
    """Slots of no particular thing hold whatever is named; only values of one frame speak of the same."""
    reader = FrameReader({"kept in the _": "detail"})
    read = Read(Explanation("It is of Anna, kept in the box."), [Explanation("It is of Paul, kept in the bag.")], [])
    vectors_ND = torch.randn((1, 32), generator=torch.Generator().manual_seed(0))
    found = claim_signals(pair, reader, vectors_ND, [read])[0]
    assert {claim.slot: signals["contradiction"] for claim, signals in found} == {"name": 0.0, "kept in the _": 1.0}


def test_lift_is_what_the_vector_adds(pair: Pair) -> None:
    """It is the probability of a value given its vector above that given the mean vector, and none for the mean vector itself."""
    vectors_ND = torch.stack([torch.randn(32, generator=torch.Generator().manual_seed(0)), STATS.mean_D])
    reads = [Read(Explanation("Animal cat."), [], [])] * 2
    found = claim_signals(pair, Reader(), vectors_ND, reads)
    (_, own), (_, mean) = found[0][0], found[1][0]
    assert mean["lift"] == pytest.approx(0.0, abs=1e-5)
    assert own["lift"] == pytest.approx(own["probability"] - mean["probability"], abs=1e-5)
    assert abs(own["lift"]) > 1e-3


def test_what_was_taught_is_asked_beside_what_is_said(pair: Pair) -> None:
    """Log-odds under the verbalizer from before reinforcement learning, by hand; not known where the pair does not keep it."""
    vectors_ND = torch.randn((1, 32), generator=torch.Generator().manual_seed(0))
    read = Read(Explanation("Animal cat."), [], [])
    assert claim_signals(pair, Reader(), vectors_ND, [read])[0][0][1]["taught"] is None

    earlier = tiny_pair().verbalizer
    with torch.no_grad():
        for weight in earlier.model.parameters():
            weight.mul_(1.5)
    taught = Pair(pair.target, pair.verbalizer, pair.reconstructor, pair.card, lambda: earlier)
    claim, signals = claim_signals(taught, Reader(), vectors_ND, [read])[0][0]
    log_prob = span_log_probs(earlier, vectors_ND, ["Animal cat."], [[(claim.value_start, claim.value_end)]])[0][0]
    share = math.exp(log_prob)
    assert signals["taught"] == pytest.approx(math.log(share / (1 - share)), rel=1e-4)
    assert signals["probability"] != pytest.approx(log_prob, abs=1e-3)


@pytest.mark.parametrize(("share", "expected"), [(0.5, 0.0), (0.9, math.log(9)), (1.0, 7.0), (1e-9, -7.0)])
def test_log_odds_by_hand(share: float, expected: float) -> None:
    """Even odds are none, and certainty is cut off."""
    assert log_odds(math.log(share)) == pytest.approx(expected)


def test_leverage_does_not_hang_on_what_else_is_read(pair: Pair) -> None:
    """Values are exchanged for those that the card keeps, and for those at hand where it keeps none of a slot."""
    read, other = (Read(Explanation(text), [], []) for text in ("Animal cat, mood sad.", "Animal dog, mood glad."))
    vectors_ND = torch.randn((2, 32), generator=torch.Generator().manual_seed(0))

    def leverages(reads: list[Read]) -> list[float | None]:
        return [signals["leverage"] for _, signals in claim_signals(pair, Reader(), vectors_ND[: len(reads)], reads)[0]]

    alone, beside = leverages([read]), leverages([read, other])
    assert alone[0] != pytest.approx(beside[0], abs=1e-6)
    kept = {"claims": {"values": {"animal": {"dog": 3, "hen": 1}}}}
    pair.card = pair.card.model_copy(update={"data": kept})
    (animal, mood), (animal_beside, mood_beside) = leverages([read]), leverages([read, other])
    assert animal == pytest.approx(animal_beside, abs=1e-6)
    assert mood != pytest.approx(mood_beside, abs=1e-6)


def test_a_text_that_outgrows_the_window_keeps_its_other_signals(pair: Pair) -> None:
    """Its probability is not known, where the reading of all others would else end in an error."""
    reads = [Read(Explanation(text), [], []) for text in ("Animal cat" + ", mood sad" * 200 + ".", "Animal cat.")]
    vectors_ND = torch.randn((2, 32), generator=torch.Generator().manual_seed(0))
    long, short = (signals for ((_, signals), *_) in claim_signals(pair, Reader(), vectors_ND, reads))
    assert [long[name] for name in ("probability", "lift", "taught", "leverage")] == [None] * 4
    assert long["error"] is not None
    assert short["probability"] is not None


def test_without_neighbours_recurrence_is_not_known(pair: Pair) -> None:
    """A vector from nowhere has no neighbours; a failed explanation has no claim."""
    vectors_ND = torch.randn((2, 32), generator=torch.Generator().manual_seed(0))
    reads = [Read(Explanation("Animal cat."), [], []), Read(Explanation("Animal cat.", Outcome.EMPTY), [], [])]
    found = claim_signals(pair, Reader(), vectors_ND, reads)
    assert found[0][0][1]["recurrence"] is None
    assert found[0][0][1]["agreement"] is None
    assert found[1] == []


def test_neighbours_stay_inside_the_text() -> None:
    """Two on each side, fewer at the ends, never the token itself."""
    ids = [10, 11, 12, 13, 14]
    assert neighbours_of(0, ids, set()) == [1, 2]
    assert neighbours_of(2, ids, set()) == [0, 1, 3, 4]
    assert neighbours_of(0, ids[:1], set()) == []


def test_special_tokens_are_nobodys_neighbours() -> None:
    """What stands between messages says nothing that could recur, and the calibration was fitted without it."""
    assert neighbours_of(1, [1, 11, 12, 1, 14], {1}) == [2]
    assert neighbours_of(0, [1, 11, 12], {1}) == [1, 2]


def test_readings_get_their_claims_and_come_back_from_json(pair: Pair) -> None:
    """Each claim stands where it says, has a support, and survives the way through JSON; failures have none."""
    text = "Animal cat, mood sad."
    explanations = [ScoredExplanation(text, Outcome.OK), ScoredExplanation("", Outcome.EMPTY)]
    readings = [Reading(1, 5, "x", 1.0, explanations)]
    vectors_TD = torch.randn((3, 32), generator=torch.Generator().manual_seed(0))
    found = with_support(pair, readings, [5, 6, 7], set(), vectors_TD, seed=0)
    claims = found[0].explanations[0].claims
    assert claims
    assert [text[claim.start : claim.end] for claim in claims] == ["Animal cat", "mood sad"]
    assert all(0.0 <= claim.support <= 1.0 for claim in claims)
    assert found[0].explanations[1].claims is None
    assert Reading.from_json(found[0].to_json()) == found[0]
    assert f"{claims[0].support:.2f}" in str(found[0])
    assert render_table(found).caption is not None
    assert render_table(readings).caption is None


def test_each_claim_is_supported_by_the_numbers_of_its_kind(pair: Pair) -> None:
    """A frame's value and a whole statement of one explanation go by their own calibrations, not by that of a corpus's reader."""
    pair.card = pair.card.model_copy(update={"data": {"claims": {"frames": {"kept in the _": "detail"}}}})
    vectors_TD = torch.randn((6, 32), generator=torch.Generator().manual_seed(0))
    written = ScoredExplanation("Kept in the box. It rained all day.", Outcome.OK)
    (found,) = with_support(
        pair, [Reading(3, 9, " box", 1.0, [written])], list(range(10, 16)), set(), vectors_TD, seed=0
    )
    claims = {claim.slot: claim for claim in found.explanations[0].claims or ()}
    for slot, kind in (("kept in the _", FRAMES), ("statement", STATEMENTS)):
        assert claims[slot].support == shipped(kind, taught=False).apply(claims[slot].signals)
        assert claims[slot].support != shipped(taught=False).apply(claims[slot].signals)


def test_a_special_token_is_not_read_for_its_neighbours(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight further samples of the vector that was read, and one of the ordinary token beside it."""
    asked = []
    describe = pair.describe

    def listen(vectors_ND: torch.Tensor, **options: int) -> list[Explanation]:
        asked.append((vectors_ND[:, 0].tolist(), options.get("samples", 1)))
        return describe(vectors_ND, **options)

    monkeypatch.setattr(pair, "describe", listen)
    vectors_TD = torch.arange(1.0, 4.0)[:, None].expand(3, 32)
    readings = [Reading(1, 6, "x", 1.0, [ScoredExplanation("Mood sad.", Outcome.OK)])]
    with_support(pair, readings, [0, 6, 7], {0}, vectors_TD, seed=0)
    assert asked == [([2.0], 8), ([3.0], 1)]


def test_records_from_before_there_was_support_are_read(pair: Pair) -> None:
    """A reading without the field is one that was not asked for support."""
    record = Reading(1, 5, "x", 1.0, [ScoredExplanation("a", Outcome.OK)]).to_json()
    del record["explanations"][0]["claims"]
    assert Reading.from_json(record).explanations[0].claims is None
