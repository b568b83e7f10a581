"""Other ways to read vectors, each on a case whose answer is known."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from nlakit.evaluate import baselines
from nlakit.explanations import Explanation
from nlakit.testing import tiny_target

TRAINING = [Explanation("one"), Explanation("two"), Explanation("three")]


def rows(vectors_ND: torch.Tensor, contexts: list[str]) -> Any:
    return SimpleNamespace(vectors_ND=vectors_ND, column=lambda name: contexts)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Two held-out rows: the first is near the third training vector and has the text of the second."""
    monkeypatch.setattr(baselines, "explained_by_teacher", lambda _bench, _rows: TRAINING)
    heldout = rows(torch.tensor([[0.1, 0.0, 5.0], [9.0, 1.0, 0.0]]), ["b c d", "x y z"])
    training = rows(torch.eye(3), ["x y", "b c", "a a"])
    return SimpleNamespace(heldout=heldout, training=training, before=None, probes=None, reader=None)


def test_the_nearest_row_is_that_of_the_largest_cosine(bench: Any) -> None:
    """Length does not count, direction does."""
    found = baselines.nearest(bench)
    assert found is not None
    assert [item.text for item in found] == ["three", "one"]


def test_similar_text_does_not_look_at_vectors(bench: Any) -> None:
    """The row whose words are shared is taken, one-letter words included."""
    found = baselines.similar_text(bench)
    assert found is not None
    assert [item.text for item in found] == ["two", "one"]


def test_what_is_missing_is_none(bench: Any) -> None:
    """Without earlier weights and without a truth nothing is made up."""
    assert baselines.warm_start(bench) is None
    assert baselines.probes(bench) is None


def test_the_logit_lens_of_the_last_block_is_the_targets_own_output() -> None:
    """Two paths to one number: the final norm and output layer on the last block's state, and the whole model."""
    target = tiny_target()
    tokens_1T = torch.tensor([[5, 6, 7, 8]])
    with torch.no_grad():
        whole = target.model(input_ids=tokens_1T, output_hidden_states=False).logits[0, -1]
    from nlakit.models.sites import Site

    state_1D = Site("resid", target.n_layers - 1).read(target, tokens_1T)[0, -1:]
    bench: Any = SimpleNamespace(target=target)
    assert torch.allclose(baselines.lens_logits(bench, state_1D)[0], whole, atol=1e-4)
