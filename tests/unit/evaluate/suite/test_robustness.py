"""The part that attacks explanations, on attacks and readings made by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tests.unit.evaluate.toy import ToyTruth
from torch import Tensor

from nlakit.config import EvaluateConfig
from nlakit.data.corpus import Document
from nlakit.evaluate.attack import Attacked, Attacker
from nlakit.evaluate.bench import Bench, Found
from nlakit.evaluate.claims import judge
from nlakit.evaluate.definitions.robustness import DEFINITIONS, ROWS, Budget
from nlakit.evaluate.estimates import Estimator
from nlakit.evaluate.suite import robustness
from nlakit.explanations import Explanation
from nlakit.testing import tiny_pair

NAMES = {definition.name for definition in DEFINITIONS}
AUROCS = {name for name in NAMES if "auroc" in name}
TRUTH = {"facts": {"animal": "cat", "colour": "red"}, "planned": {}}
CLEAN = ["animal cat, colour red", "animal cat, colour old", "animal cat, colour red", "animal dog"]
"""What the clean readings say: two true claims, one of two, two again, and nothing true."""
HIT, LOT = 10.0, 20.0
"""First component of the vectors of attacked rows, and of rows with a random prefix."""


def make_bench() -> Bench:
    """Four rows of four documents, of a tiny pair, whose clean readings say ``CLEAN``."""
    documents = [Document(f"d{row}", "The cat sat by the red door.") for row in range(len(CLEAN))]
    names = [document.id for document in documents]
    pair = tiny_pair()
    vectors_ND = torch.zeros(len(CLEAN), 32)
    columns: dict[str, Any] = {"position": [4, 5, 6, 4]}
    heldout: Any = SimpleNamespace(
        vectors_ND=vectors_ND, document_ids=names, documents=documents, column=columns.__getitem__
    )
    settings: Any = SimpleNamespace(extract=SimpleNamespace(max_tokens=32), corpus=SimpleNamespace(name="real"))
    bench = Bench(
        Path("pair"), pair, settings, heldout, None, EvaluateConfig(), Found(Estimator(50, 0), names, variance=0.8)
    )
    explanations = [Explanation(text) for text in CLEAN]
    truths = [TRUTH] * len(CLEAN)
    judged = judge(ToyTruth(), explanations, truths, [{} for _ in CLEAN])
    bench.__dict__ |= {"explanations": explanations, "reader": ToyTruth(), "truths": truths, "judged": judged}
    return bench


def told(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let attacked rows be read as lies, rows with a random prefix as half true, and errors and support go along."""
    says = {0.0: "animal cat, colour red", HIT: "animal dog, colour old", LOT: "animal cat, colour old"}
    worth = {0.0: 0.1, HIT: 0.9, LOT: 0.1}

    def explain(_: str, vectors_ND: Tensor, **__: object) -> list[Any]:
        return [SimpleNamespace(explanation=Explanation(says[float(first)])) for first in vectors_ND[:, 0]]

    def errors(_: object, __: object, vectors_ND: Tensor) -> Tensor:
        return torch.tensor([worth[float(first)] for first in vectors_ND[:, 0]])

    def support(_: object, __: object, vectors_ND: Tensor, ___: object) -> list[float]:
        return [-worth[float(first)] for first in vectors_ND[:, 0]]

    monkeypatch.setattr(bench, "explain", explain)
    monkeypatch.setattr(robustness, "explanation_errors", errors)
    monkeypatch.setattr(robustness, "_mean_support", support)


def attack_by_hand(monkeypatch: pytest.MonkeyPatch, met: Sequence[bool]) -> list[str]:
    """Let the attacks come out as said, in the order of the rows; returns the texts that are attacked."""
    outcomes, texts = iter(met), []

    def attack(_: Attacker, ids: object, clean_V: object, text: str, *__: object) -> Attacked:
        texts.append(text)
        return Attacked((1,), torch.full((32,), HIT), 0.05, next(outcomes))

    monkeypatch.setattr(Attacker, "attack", attack)
    monkeypatch.setattr(Attacker, "random_prefix", lambda *_: Attacked((2,), torch.full((32,), LOT), 3.0, False))
    return texts


def test_attacked_rows_are_held_against_clean_ones_and_against_a_random_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows with a true claim are attacked; truth, errors and support are compared over those where behaviour stayed."""
    bench = make_bench()
    told(bench, monkeypatch)
    texts = attack_by_hand(monkeypatch, [True, False, True])
    robustness.measure(bench)
    found = {name: measure.value for name, measure in bench.found.measures.items()}
    assert texts == CLEAN[:3]
    assert set(found) == NAMES
    assert found["attack_met"] == pytest.approx(2 / 3)
    assert (found["attack_claims_true_before"], found["attack_claims_true_random"]) == (1.0, 0.5)
    assert found["attack_claims_true"] == 0.0
    assert (found["attack_claims_lost"], found["attack_claims_lost_random"]) == (1.0, 0.5)
    assert found["attack_kl"] == pytest.approx(0.05)
    assert {name: found[name] for name in AUROCS} == {name: 0.5 if name.endswith("_random") else 1.0 for name in AUROCS}


def test_what_cannot_be_attacked_is_left_out_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """No truth, no true claim, no attack that left behaviour alone: each is said."""
    bench = make_bench()
    bench.__dict__["judged"] = None
    bench.__dict__["reader"] = None
    robustness.measure(bench)
    assert set(bench.found.left_out) == NAMES
    bench = make_bench()
    bench.__dict__["judged"] = [item for item in bench.judged or () if not item.true]
    robustness.measure(bench)
    assert set(bench.found.left_out) == NAMES
    bench = make_bench()
    attack_by_hand(monkeypatch, [False] * 3)
    robustness.measure(bench)
    assert set(bench.found.left_out) == NAMES - {"attack_met"}
    assert bench.found.measures["attack_met"].value == 0.0


def test_the_table_counts_what_the_attack_took(monkeypatch: pytest.MonkeyPatch) -> None:
    """A real search on a tiny pair takes its budget a row, and one pass of the target more for the random prefix."""
    bench = make_bench()
    told(bench, monkeypatch)
    budget = Budget(tokens=2, candidates=3)
    monkeypatch.setattr(robustness, "Budget", lambda: budget)
    monkeypatch.setattr(robustness, "_compare", lambda *_: None)
    robustness.measure(bench)
    rows = {model: passes for model, _, passes, _ in bench.found.tables["attack"].rows}
    assert rows == {"target": 3 * (budget.target_passes + 1), "verbalizer": 3 * budget.verbalizer_passes}


def test_no_more_rows_are_attacked_than_stated(monkeypatch: pytest.MonkeyPatch) -> None:
    """The number of rows in the cost of the measures is the one that is kept to."""
    bench = make_bench()
    monkeypatch.setattr(robustness, "ROWS", 2)
    texts = attack_by_hand(monkeypatch, [False] * 3)
    robustness.measure(bench)
    assert len(texts) == 2
    assert all(f"on {ROWS} rows at most" in definition.cost for definition in DEFINITIONS)


def test_support_of_a_reading_is_the_mean_over_its_claims() -> None:
    """Computed by a real tiny pair: between 0 and 1 where there are claims, and 0 where there are none."""
    bench = make_bench()
    vectors_ND = torch.randn((2, 32), generator=torch.Generator().manual_seed(0))
    found = robustness._mean_support(bench, "x", vectors_ND, [Explanation("animal cat"), Explanation("nothing")])
    assert 0.0 < found[0] < 1.0
    assert found[1] == 0.0
