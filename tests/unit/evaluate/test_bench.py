"""The bench: who reads the claims of explanations, and why claims cannot be judged."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.unit.evaluate import toy

from nlakit.claims.anytext import FrameReader
from nlakit.config import EvaluateConfig, NewCorpusConfig
from nlakit.evaluate.bench import Bench, Found
from nlakit.evaluate.estimates import Estimator
from nlakit.explanations import Explanation

TEXTS = [Explanation(f"Kept in the {word}.") for word in ("box", "jar", "bag", "tin", "cup")]


def make_bench(corpus: str, data: dict[str, Any], config: EvaluateConfig | None = None) -> Bench:
    """A bench of five explanations of a pair whose card has this data; nobody knows what is true."""
    bench = Bench(
        Path("pair"),
        SimpleNamespace(card=SimpleNamespace(data={"corpus": {"name": corpus}} | data)),  # type: ignore[arg-type]
        SimpleNamespace(corpus=SimpleNamespace(name=corpus)),  # type: ignore[arg-type]
        SimpleNamespace(),  # type: ignore[arg-type]
        SimpleNamespace(),  # type: ignore[arg-type]
        config or EvaluateConfig(),
        Found(Estimator(100, 0), [f"d{row}" for row in range(5)], variance=0.5),
    )
    bench.__dict__["explanations"] = TEXTS
    return bench


def test_claims_are_read_by_the_corpus_or_by_the_card_or_by_what_is_learnt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames are learnt from the explanations only where nobody else reads claims."""
    toy.install(monkeypatch)
    kept = FrameReader({"about _": "entity"})

    assert isinstance(make_bench("toy", {}).claim_reader, toy.ToyTruth)
    assert make_bench("jsonl", {"claims": kept.to_json()}).claim_reader == kept
    assert make_bench("jsonl", {}).claim_reader == FrameReader({"kept in the _": "detail"})


def test_the_reason_names_the_corpus_that_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pair of a corpus that knows its truth, measured on other text, has no truth because of that text."""
    toy.install(monkeypatch)
    other = EvaluateConfig(corpus=NewCorpusConfig(name="jsonl", path="other.jsonl"))

    assert "'jsonl' does not know what is true" in make_bench("jsonl", {}).why_no_truth
    assert "'jsonl' come without truth" in make_bench("toy", {}, other).why_no_truth
    assert "'toy' come without truth" in make_bench("toy", {}).why_no_truth
