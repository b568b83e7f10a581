"""Whether a reconstruction picks its own vector out, on vectors made by hand."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from nlakit.config import EvaluateConfig
from nlakit.evaluate.bench import Bench, Found
from nlakit.evaluate.estimates import Estimator
from nlakit.evaluate.suite import identify
from nlakit.explanations import Explanation, Outcome

VECTORS = torch.eye(4)


def taken(rebuilt: torch.Tensor, documents: list[str], ok: list[bool] | None = None) -> dict[str, Any]:
    heldout: Any = SimpleNamespace(vectors_ND=VECTORS, document_ids=documents)
    nothing: Any = None
    found = Found(Estimator(50, 0), documents, variance=0.5)
    bench = Bench(Path("pair"), nothing, nothing, heldout, None, EvaluateConfig(), found)
    bench.__dict__["rebuilt_ND"] = rebuilt
    outcomes = [Outcome.OK if fine else Outcome.EMPTY for fine in ok or [True] * 4]
    bench.__dict__["explanations"] = [Explanation("x", outcome) for outcome in outcomes]
    identify.measure(bench)
    return {name: measure.value for name, measure in found.measures.items()} | found.left_out


def test_perfect_reconstructions_are_always_found() -> None:
    """Every rank is one and every choice is won."""
    assert set(taken(VECTORS + 0.1, ["a", "a", "b", "b"]).values()) == {1.0}


def test_one_reconstruction_for_all_rows_is_chance() -> None:
    """The same vector for every row wins half of the choices, and ties put every own vector in the middle."""
    found = taken(torch.ones(4, 4), ["a", "a", "b", "b"])
    assert found["choice_same_document"] == found["choice_other_document"] == 0.5
    assert found["retrieval_top1"] == 0.0
    assert found["retrieval_reciprocal_rank"] == pytest.approx(1 / 2.5)


def test_vectors_exchanged_inside_a_document_are_lost_there_alone() -> None:
    """Documents are told apart and their rows are taken for each other."""
    found = taken(VECTORS[[1, 0, 3, 2]] + 0.1, ["a", "a", "b", "b"])
    assert found["choice_same_document"] == 0.0
    assert found["choice_other_document"] == 0.5
    assert found["retrieval_top1"] == 0.0


def test_failed_outputs_are_missed_and_choose_by_lot() -> None:
    """Whatever stands in place of a failed reconstruction is not credited."""
    found = taken(VECTORS + 0.1, ["a", "a", "b", "b"], [False, True, True, True])
    assert found["retrieval_top1"] == found["retrieval_reciprocal_rank"] == 0.75
    assert found["choice_other_document"] == pytest.approx((0.5 + 3) / 4)


def test_documents_of_one_row_have_no_rival() -> None:
    """Where no document has two rows the choice among them is left out."""
    assert "no document has two rows" in taken(VECTORS, ["a", "b", "c", "d"])["choice_same_document"]
