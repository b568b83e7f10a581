"""The part that holds support against the truth, on claims made by hand."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
import torch
from tests.unit.claims.making import claim_in

from nlakit.calibration import Calibration
from nlakit.claims.signals import SIGNALS
from nlakit.config import EvaluateConfig
from nlakit.evaluate.bench import Bench, Found
from nlakit.evaluate.definitions.support import DEFINITIONS
from nlakit.evaluate.estimates import Estimator
from nlakit.evaluate.rows import Rows
from nlakit.evaluate.suite import support
from nlakit.evaluate.support import KnownClaim
from nlakit.truth import LEVELS

NAMES = {definition.name for definition in DEFINITIONS}
AGREEMENT = Calibration(signals=("agreement",), centre=(0.5,), scale=(0.1,), weights=(1.0,), intercept=0.0)


def known(count: int, seed: int, *, honest: bool = True) -> list[KnownClaim]:
    """Claims of all levels, true as often as their agreement says, which is 0 or 1 in some; with ``honest`` off all are true."""
    rng = random.Random(seed)
    claims = []
    for row in range(count):
        agreement = {0: 0.0, 1: 1.0}.get(row % 50, rng.random())
        claim = claim_in("sad", "mood", "sad", LEVELS[row % len(LEVELS)])
        others = {"agreement": agreement, "recurrence": row % 5 / 4, "leverage": rng.random()}
        signals = dict.fromkeys(SIGNALS, None) | others
        claims.append(KnownClaim(row, f"d{row // 3}", claim, signals, not honest or rng.random() < agreement))
    return claims


def take(
    monkeypatch: pytest.MonkeyPatch,
    heldout: list[KnownClaim],
    training: list[KnownClaim],
    any_text: dict[str, list[KnownClaim]] | None = None,
) -> Found:
    """Measure on claims of held-out rows, beside others of training rows, by a card that goes by agreement alone."""
    given = {"support": heldout, "support: training": training}
    monkeypatch.setattr(support, "reads_of", lambda *_: [])
    monkeypatch.setattr(support, "known_claims", lambda *arguments: given[arguments[-1]])
    any_text = any_text or {"frames": heldout, "statements": heldout}
    monkeypatch.setattr(support, "any_text_claims", lambda *_: any_text)
    rows: Any = Rows(torch.zeros(1, 4), pa.table({"document_id": ["d0"]}), ())
    pair: Any = SimpleNamespace(card=SimpleNamespace(support=AGREEMENT), taught=None)
    settings: Any = SimpleNamespace()
    bench = Bench(Path("pair"), pair, settings, rows, rows, EvaluateConfig(), Found(Estimator(100, 0), ["d0"], 0.8))
    monkeypatch.setattr(bench, "explain", lambda *_, **__: [])
    bench.__dict__ |= {"truths": [{}], "reader": object(), "explanations": []}
    support.measure(bench)
    return bench.found


def test_honest_support_is_found_to_be_right(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every measure is taken, true claims stand above false ones, and what is highly supported is mostly true."""
    found = take(monkeypatch, known(3000, 0), known(600, 1))
    values = {name: measure.value for name, measure in found.measures.items()}
    assert set(values) == NAMES
    assert not found.left_out
    # Agreement is uniform and is the chance of being true, so the order is right in 5 of 6 pairs.
    assert values["support_auroc"] == pytest.approx(5 / 6, abs=0.02)
    assert values["support_true_high"] > 0.6 > 0.4 > values["support_true_low"]  # type: ignore[operator]
    assert all(measure.low is not None for measure in found.measures.values())


def test_the_tables_say_where_support_is_right_and_what_each_signal_adds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten bins hold all claims; agreement carries the order and leverage, which is noise, none of it."""
    found = take(monkeypatch, known(3000, 0), known(600, 1))
    bins = found.tables["reliability"].rows
    assert sum(row[4] for row in bins) == 3000  # type: ignore[misc]
    assert all(row[0] <= row[2] < row[1] for row in bins)  # type: ignore[operator]
    gaps = sum(row[4] * abs(row[2] - row[3]) for row in bins)  # type: ignore[operator,arg-type,misc]
    assert found.measures["support_error"].value == pytest.approx(gaps / 3000)
    signals = {row[0]: row[1] for row in found.tables["signals"].rows}
    assert len(signals) == 2 + 2 * len(SIGNALS)
    assert signals["agreement alone"] == pytest.approx(5 / 6, abs=0.02)
    assert signals["leverage alone"] == pytest.approx(0.5, abs=0.04)
    assert signals["without agreement"] == pytest.approx(0.5, abs=0.04)


def test_truth_is_told_by_how_many_others_make_a_claim(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bins of samples hold all claims, as do those of neighbours; agreement that goes with truth shows it, other does not."""
    found = take(monkeypatch, known(3000, 0), known(600, 1))
    rows = {row[0]: row[1:] for row in found.tables["recurrence"].rows}
    assert list(rows)[:4] == [f"{many} other samples" for many in ("none", "up to half", "more than half", "all")]
    for others in ("other samples", "neighbouring tokens"):
        assert sum(row[3] for name, row in rows.items() if name.endswith(others)) == 3000  # type: ignore[misc]
        assert sum(row[5] for name, row in rows.items() if name.endswith(others)) == 1000  # type: ignore[misc]
    assert rows["none other samples"][:4] == (0.0, 0.0, pytest.approx(1 - 0.025 ** (1 / 60)), 60)
    assert rows["up to half other samples"][0] == pytest.approx(0.25, abs=0.04)
    assert rows["more than half other samples"][0] == pytest.approx(0.75, abs=0.04)
    assert found.measures["agreement_true_all"].value == 1.0
    apart = found.measures["recurrence_true_all"].value - found.measures["recurrence_true_none"].value  # type: ignore[operator]
    assert apart == pytest.approx(0.0, abs=0.06)


def test_claims_without_neighbours_are_in_no_bin_of_recurrence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is counted and nothing is made up where there is no neighbouring token."""
    alone = [replace(item, signals={**item.signals, "recurrence": None}) for item in known(60, 0)]
    found = take(monkeypatch, alone, alone)
    assert [row[1:] for row in found.tables["recurrence"].rows[4:]] == [(None, None, None, 0, None, 0)] * 4
    assert found.measures["recurrence_true_all"].value is None


def test_claims_of_one_kind_are_left_out_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where every claim is true there is nothing to tell apart."""
    found = take(monkeypatch, known(30, 0, honest=False), known(30, 1))
    assert set(found.left_out) == NAMES
    assert "of 30 claims all are true or none is" in found.left_out["support_auroc"]
    assert found.measures == {}


def test_training_claims_of_one_kind_leave_out_the_table_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing can be fitted anew, and the measures stand."""
    found = take(monkeypatch, known(60, 0), known(30, 1, honest=False))
    assert set(found.measures) == NAMES
    assert set(found.tables) == {"reliability", "recurrence", "kinds"}


def test_support_is_measured_by_how_claims_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each kind by its own numbers: where agreement says nothing AUROC is a half; what cannot be compared is left out alone."""
    deaf = AGREEMENT.model_copy(update={"weights": (0.0,), "intercept": 3.0})
    monkeypatch.setattr(support, "support_of", lambda _pair, kind="known": AGREEMENT if kind == "known" else deaf)
    every = known(30, 0, honest=False)
    found = take(monkeypatch, known(3000, 0), known(600, 1), {"frames": known(900, 2), "statements": every})
    first, second = found.tables["kinds"].rows

    assert (first[0], first[3]) == ("the corpus knows them", found.measures["support_auroc"].value)
    assert second[:2] == ("frames, names, numbers", 900)
    assert found.measures["support_auroc_frames"].value == second[3] == pytest.approx(0.5)
    assert second[5:9] == (900, second[2], 0, None)
    assert second[9] == pytest.approx(5 / 6, abs=0.03)  # by the numbers of the first row, which go by agreement
    assert first[9] == pytest.approx(first[3])
    assert second[10] == pytest.approx(450, abs=45)
    assert set(found.left_out) == {"support_auroc_statements", "support_error_statements"}


def test_a_corpus_without_truth_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody can say which claim is true."""
    bench: Any = SimpleNamespace(
        truths=None, reader=None, why_no_truth="no truth here", found=Found(Estimator(9, 0), [], 0.8)
    )
    support.measure(bench)
    assert bench.found.left_out == dict.fromkeys(NAMES, "no truth here")


def test_knowing_the_slot_alone_is_no_support(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where one slot is always right and the other always wrong, all claims are told apart, and none within a slot."""

    def sided(count: int) -> list[KnownClaim]:
        names = ("mood", "place")
        claims = [claim_in("sad", names[row % 2], "sad") for row in range(count)]
        signals: dict[str, float | None] = dict.fromkeys(SIGNALS, None)
        return [KnownClaim(row, f"d{row}", claims[row], signals, row % 2 == 0) for row in range(count)]

    found = take(monkeypatch, sided(40), sided(40))
    assert found.measures["support_auroc_slot"].value is None
    assert found.tables["signals"].rows[0] == ("slot alone", 1.0, 1.0, None)
    assert found.tables["signals"].rows[1] == ("all signals", 0.5, 0.5, None)


def test_a_slot_that_was_never_judged_counts_as_an_ordinary_one() -> None:
    """Its share is that of all known claims."""
    known_claims = known(30, 0)
    share = sum(item.true for item in known_claims) / 30
    other = KnownClaim(0, "d0", claim_in("sad", "place", "sad"), {}, True)
    assert support.slot_shares(known_claims, [other]).tolist() == pytest.approx([share])
