"""From the signals of a claim to its support."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from pydantic import ValidationError

from nlakit.calibration import Calibration
from nlakit.claims.anytext import FrameReader
from nlakit.claims.signals import SIGNALS, UNTAUGHT
from nlakit.claims.support import FRAMES, KINDS, KNOWN, STATEMENTS, fit, kind_of, shipped, support_of, write
from nlakit.errors import InputError
from nlakit.models.pair import Pair
from nlakit.testing import tiny_pair


def drawn(count: int, seed: int) -> tuple[list[dict[str, float | None]], list[bool]]:
    """Claims of which a share of their own agreement is true; recurrence says nothing and is often missing."""
    rng = random.Random(seed)
    signals, true = [], []
    for _ in range(count):
        agreement = rng.random()
        signals.append({"agreement": agreement, "recurrence": rng.choice([None, 0.0, 1.0])})
        true.append(rng.random() < agreement)
    return signals, true


def test_support_is_the_share_that_is_true() -> None:
    """Fitted on one draw, of other claims with a support near s about a share of s is true."""
    calibration = fit(*drawn(4000, 0), ("agreement", "recurrence"))
    signals, true = drawn(4000, 1)
    support = [calibration.apply(found) for found in signals]
    for low in (0.1, 0.3, 0.5, 0.7):
        inside = [place for place, value in enumerate(support) if low <= value < low + 0.2]
        assert sum(true[place] for place in inside) / len(inside) == pytest.approx(
            sum(support[place] for place in inside) / len(inside), abs=0.08
        )


def test_a_missing_signal_counts_as_an_ordinary_one() -> None:
    """What cannot be had moves support neither up nor down."""
    calibration = Calibration(
        signals=("agreement", "leverage"), centre=(0.5, 2.0), scale=(0.1, 1.0), weights=(1.0, 2.0), intercept=0.0
    )
    assert calibration.apply({"agreement": None, "leverage": 2.0}) == calibration.apply({}) == 0.5
    assert calibration.apply({"agreement": 0.6, "leverage": None}) == pytest.approx(0.7310586)


def test_extreme_signals_stay_inside_the_unit_interval() -> None:
    """No exponent overflows."""
    calibration = Calibration(signals=("a",), centre=(0.0,), scale=(1e-6,), weights=(1.0,), intercept=0.0)
    assert 0.0 <= calibration.apply({"a": -1e6}) < 1e-6 < 1 - 1e-6 < calibration.apply({"a": 1e6}) <= 1.0


def test_claims_of_one_kind_cannot_be_fitted() -> None:
    """Where everything is true there is nothing to tell apart."""
    with pytest.raises(InputError, match="3 claims, of which 3 are true"):
        fit([{"agreement": 1.0}] * 3, [True] * 3)


def test_a_signal_that_no_claim_has_gets_no_weight() -> None:
    """Rows without neighbours can be fitted on; recurrence then moves nothing."""
    signals, true = drawn(400, 0)
    signals = [{**found, "recurrence": None} for found in signals]
    calibration = fit(signals, true, ("agreement", "recurrence"))
    assert calibration.weights[1] == 0.0
    assert calibration.apply({"agreement": 0.9, "recurrence": 1.0}) == calibration.apply({"agreement": 0.9})
    assert calibration.apply({"agreement": 0.9}) > 0.7 > 0.3 > calibration.apply({"agreement": 0.1})


def test_a_damaged_calibration_is_refused() -> None:
    """Numbers that do not belong to the signals are not applied."""
    with pytest.raises(ValidationError, match="for each signal"):
        Calibration(signals=("a", "b"), centre=(0.0,), scale=(1.0,), weights=(1.0,), intercept=0.0)


@pytest.mark.parametrize("kind", KINDS)
def test_the_shipped_calibrations_use_every_signal_and_come_back_as_written(kind: str) -> None:
    """Each was fitted on a training split, with and without the verbalizer that was taught; read is what is written."""
    taught, untaught = shipped(kind, taught=True), shipped(kind, taught=False)
    assert (taught.signals, untaught.signals) == (SIGNALS, UNTAUGHT)
    assert taught.fitted_on["split"] == "rl"
    written = json.loads(write({kind: {"taught": taught, "untaught": untaught}}))
    assert written == {kind: {"taught": taught.model_dump(mode="json"), "untaught": untaught.model_dump(mode="json")}}


def test_signs_of_what_is_true_raise_support_and_signs_of_guesses_lower_it() -> None:
    """By what ships for claims that a plugin reads."""
    taught, untaught = shipped(taught=True), shipped(taught=False)
    believed = {
        "agreement": 1.0,
        "contradiction": 0.0,
        "recurrence": 1.0,
        "leverage": 0.5,
        "probability": 0.0,
        "taught": 5.0,
        "error": 0.1,
    }
    guessed = {
        "agreement": 0.0,
        "contradiction": 1.0,
        "recurrence": 0.0,
        "leverage": 0.0,
        "probability": -4.0,
        "taught": -4.0,
        "error": 0.1,
    }
    for calibration in (taught, untaught):
        assert calibration.apply(believed) > 0.9 > 0.2 > calibration.apply(guessed)


def test_a_claim_is_of_a_kind_by_who_reads_it() -> None:
    """A statement is one only where frames read it, and what a card was fitted on are claims that a plugin reads."""
    frame, statement = FrameReader({"kept in the _": "detail"}).claims("Kept in the box. It rained all day.")
    reader: Any = object()
    assert [kind_of(FrameReader({}), claim) for claim in (frame, statement)] == [FRAMES, STATEMENTS]
    assert [kind_of(reader, claim) for claim in (frame, statement)] == [KNOWN, KNOWN]

    pair, own = tiny_pair(), fit(*drawn(400, 0), ("agreement",))
    pair.card = pair.card.model_copy(update={"support": own})
    found = [support_of(pair, kind) for kind in KINDS]
    assert found == [own, shipped(FRAMES, taught=False), shipped(STATEMENTS, taught=False)]
    assert len({calibration.intercept for calibration in found}) == 3


def test_a_calibration_by_a_signal_that_is_gone_is_not_used() -> None:
    """A pair that was published without its earlier weights is read by what was fitted without them."""
    pair = tiny_pair()
    own = fit(*drawn(400, 0), ("agreement", "recurrence"))
    with_taught = own.model_copy(update={"signals": ("agreement", "taught")})
    for support, expected in ((own, own), (with_taught, shipped(taught=False)), (None, shipped(taught=False))):
        pair.card = pair.card.model_copy(update={"support": support})
        assert support_of(pair) == expected
    kept = Pair(pair.target, pair.verbalizer, pair.reconstructor, pair.card, lambda: pair.verbalizer)
    kept.card = pair.card.model_copy(update={"support": with_taught})
    assert support_of(kept) == with_taught
