"""Claims of rows with their signals, on a tiny target whose verbalizer is replaced by one that tells its vectors apart."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
import torch
from tests.unit.claims.making import keyed_claims
from torch import Tensor

from nlakit.claims.signals import Read
from nlakit.data.corpus import Document
from nlakit.data.tokens import tokenise
from nlakit.evaluate import support
from nlakit.evaluate.rows import Rows
from nlakit.evaluate.support import any_text_claims, first_rows, known_claims, near_readings, reads_of
from nlakit.explanations import Explanation
from nlakit.models.readings import SUPPORT_SAMPLES
from nlakit.models.sites import Site, default_site
from nlakit.models.target import Target
from nlakit.testing import tiny_target
from nlakit.truth import Claim, Truth, Verdict

DOCUMENTS = (Document("a", "The cat sat on the mat."), Document("b", "Anna put the key in the old box."))


class Reader:
    """Finds keyed claims; those that name the mood of the truth are true."""

    def claims(self, text: str) -> list[Claim]:
        return keyed_claims(text)

    def judge(self, claim: Claim, truth: Truth) -> Verdict:
        return Verdict.TRUE if claim.value == truth["mood"] else Verdict.RELATED


def make_rows(target: Target, places: list[tuple[str, int]]) -> Rows:
    """Rows at some positions of the documents; every vector is zero but for the number of its row."""
    table = pa.table(
        {
            "document_id": [document for document, _ in places],
            "position": [position for _, position in places],
            "truth": ['{"mood": "sad"}'] * len(places),
        }
    )
    return Rows(torch.arange(1.0, len(places) + 1)[:, None].expand(-1, target.d_model), table, DOCUMENTS)


def make_bench(target: Target) -> Any:
    """A bench that writes the sum of a vector for an explanation of it, and notes what it was asked."""
    asked: list[tuple[str, int, int]] = []

    def explain(what: str, vectors_ND: Tensor, *, samples: int = 1) -> list[Any]:
        asked.append((what, len(vectors_ND), samples))
        texts = [f"{float(vector_D.sum()):.3f}" for vector_D in vectors_ND for _ in range(samples)]
        return [SimpleNamespace(explanation=Explanation(text)) for text in texts]

    card = SimpleNamespace(site=str(default_site(target)), require_stats=lambda: SimpleNamespace(variance=0.5))
    return SimpleNamespace(
        target=target,
        pair=SimpleNamespace(card=card, verbalizer=None, reconstructor=None),
        settings=SimpleNamespace(extract=SimpleNamespace(max_tokens=64, batch_tokens=64)),
        explain=explain,
        seed=lambda *_: 0,
        asked=asked,
    )


def test_neighbours_are_read_in_their_own_document() -> None:
    """Each row gets the readings beside it, each vector is read once, and special tokens are passed over."""
    target = tiny_target(bos=True)
    bench = make_bench(target)
    found = near_readings(bench, make_rows(target, [("b", 4), ("a", 1), ("b", 5)]), "test")
    written: dict[str, list[str]] = {}
    for document, tokens in zip(DOCUMENTS, tokenise(target, DOCUMENTS, 64), strict=True):
        vectors_TD = Site.parse(bench.pair.card.site).read(target, torch.tensor([tokens.ids]))[0]
        written[document.id] = [f"{float(vector_D.sum()):.3f}" for vector_D in vectors_TD.float()]
    a, b = written["a"], written["b"]
    assert [[near.text for near in row] for row in found] == [
        [b[2], b[3], b[5], b[6]],
        [a[2], a[3]],  # the token before is the beginning of the text
        [b[3], b[4], b[6], b[7]],
    ]
    assert bench.asked == [("test: neighbours", 8, 1)]


def test_claims_come_with_their_row_and_their_truth(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight samples and the neighbours of its own row go with each explanation; the truth judges and is no signal."""
    target = tiny_target()
    bench = make_bench(target)
    seen: list[Read] = []

    def signals(_pair: object, reader: Reader, _n: Tensor, reads_N: list[Read], _seed: int) -> Any:
        seen.extend(reads_N)
        return [[(claim, {"agreement": 1.0}) for claim in reader.claims(read.explanation.text)] for read in reads_N]

    monkeypatch.setattr(support, "claim_signals", signals)
    rows = make_rows(target, [("a", 3), ("b", 3)])
    explanations = [Explanation("Mood sad."), Explanation("Mood glad, place park.")]
    reads = reads_of(bench, rows, explanations, "test")
    found = known_claims(bench, rows, Reader(), reads, "test")  # type: ignore[arg-type]
    assert [(item.row, item.document, item.claim.value, item.true) for item in found] == [
        (0, "a", "sad", True), (1, "b", "glad", False), (1, "b", "park", False)
    ]  # fmt: skip
    for row, read in enumerate(seen):
        assert [sample.text for sample in read.samples] == [f"{(row + 1.0) * target.d_model:.3f}"] * SUPPORT_SAMPLES
        assert len(read.neighbours) == 4


def test_claims_of_any_text_are_true_if_all_is_that_their_words_say(monkeypatch: pytest.MonkeyPatch) -> None:
    """A statement of a true and a false fact is false, and of one that says nothing known nothing is told; frames are learnt."""

    def signals(_pair: object, reader: Any, _n: Tensor, reads_N: list[Read], _seed: int) -> Any:
        return [[(claim, {}) for claim in reader.claims(read.explanation.text)] for read in reads_N]

    monkeypatch.setattr(support, "claim_signals", signals)
    target = tiny_target()
    texts = [
        "Mood sad",
        "mood sad and animal dog",
        "it rained all day",
        *(f"kept, mood {m}" for m in ("sad", "glad", "odd", "new")),
    ]
    rows = make_rows(target, [("a", 3)] * len(texts))
    reads = [Read(Explanation(f"{text}."), [], []) for text in texts]
    monkeypatch.setattr(support, "MIN_COUNT", 1)
    found = any_text_claims(make_bench(target), rows, Reader(), reads, "test")  # type: ignore[arg-type]

    statements = [(item.claim.text_span.lower(), item.true) for item in found["statements"] if item.row < 3]
    assert ("mood sad", True) in statements
    assert ("mood sad and animal dog", False) in statements
    assert "it rained all day" not in dict(statements)
    assert [item.true for item in found["frames"] if item.row >= 3] == [True, False, False, False]


def test_the_first_rows_keep_vectors_and_what_is_known_of_them() -> None:
    """As many as there are, when fewer."""
    rows = make_rows(tiny_target(), [("a", 3), ("b", 3), ("b", 4)])
    assert first_rows(rows, 2).document_ids == ["a", "b"]
    assert len(first_rows(rows, 2)) == 2
    assert len(first_rows(rows, 9)) == 3
