"""Rebuilt vectors put back into a tiny target."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from nlakit.config import EvaluateConfig
from nlakit.data.corpus import Document
from nlakit.data.tokens import tokenise
from nlakit.evaluate.bench import Bench, Found
from nlakit.evaluate.estimates import Estimator
from nlakit.evaluate.suite import splice
from nlakit.explanations import Explanation
from nlakit.models.sites import Site
from nlakit.testing import tiny_target
from nlakit.vectors import VectorStats

TEXTS = ["The cat sat by the door and the dog slept.", "Anna put the key in the box."]
POSITIONS = [4, 6]


@pytest.fixture
def bench() -> Bench:
    target = tiny_target()
    documents = [Document(f"d{row}", text) for row, text in enumerate(TEXTS)]
    site = Site("resid", 1)
    vectors = [
        site.read(target, torch.tensor([tokens.ids]))[0, position]
        for tokens, position in zip(tokenise(target, documents, 64), POSITIONS, strict=True)
    ]
    vectors_ND = torch.stack(vectors).float()
    columns = {"position": POSITIONS}
    ids = [document.id for document in documents]
    heldout: Any = SimpleNamespace(
        vectors_ND=vectors_ND, document_ids=ids, documents=documents, column=columns.__getitem__
    )
    card = SimpleNamespace(site="resid.1", require_stats=lambda: VectorStats(torch.ones(32) / 10, 0.5))
    pair: Any = SimpleNamespace(target=target, card=card)
    settings: Any = SimpleNamespace(extract=SimpleNamespace(max_tokens=64))
    found = Found(Estimator(20, 0), ids, variance=0.5)
    made = Bench(Path("pair"), pair, settings, heldout, None, EvaluateConfig(), found)
    made.__dict__["explanations"] = [Explanation("x")] * 2
    return made


def test_the_own_vectors_change_nothing(bench: Bench) -> None:
    """Direction from the own vector, norm from the own vector: no divergence, the same next token."""
    bench.__dict__["rebuilt_ND"] = 3.0 * bench.heldout.vectors_ND
    splice.measure(bench)
    found = {name: measure.value for name, measure in bench.found.measures.items()}
    assert found["splice_kl"] == pytest.approx(0.0, abs=1e-5)
    assert found["splice_kl_later"] == pytest.approx(0.0, abs=1e-5)
    assert found["splice_same_token"] == 1.0
    assert found["splice_kl_mean"] > 1e-4
    assert found["splice_kl_other"] > 1e-4


def test_divergence_equals_that_of_the_text_alone(bench: Bench) -> None:
    """Padded in a batch or alone, a row has the same divergence, at its own token and behind it."""
    other_ND = torch.randn((2, 32), generator=torch.Generator().manual_seed(0))
    together = splice.divergences(bench, other_ND)
    heldout = bench.heldout
    for row in (0, 1):
        alone: Any = SimpleNamespace(
            vectors_ND=heldout.vectors_ND[[row]], document_ids=[heldout.document_ids[row]],
            documents=[heldout.documents[row]], column={"position": [POSITIONS[row]]}.__getitem__,
        )  # fmt: skip
        bench.heldout = alone
        bench.__dict__.pop("places", None)
        single = splice.divergences(bench, other_ND[[row]])
        bench.heldout = heldout
        assert [float(found[0]) for found in single] == pytest.approx(
            [float(found[row]) for found in together], abs=1e-5
        )
