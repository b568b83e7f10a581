"""How well a target predicts text."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from nlakit.errors import RunError
from nlakit.models.prediction import (
    PREDICTION_FILE,
    Pieces,
    Prediction,
    continue_text,
    measure_prediction,
    pad,
    token_losses,
)
from nlakit.testing import tiny_model, tiny_tokenizer

PAD = 0


class Uniform:
    """A model that finds every token but one as probable as any other, and that one twice as probable."""

    def __init__(self, vocabulary: int, favourite: int) -> None:
        self._logits_V = torch.zeros(vocabulary)
        self._logits_V[favourite] = math.log(2)

    def __call__(self, input_ids: torch.Tensor) -> SimpleNamespace:
        return SimpleNamespace(logits=self._logits_V.expand(*input_ids.shape, -1))


def test_measures_are_what_a_hand_would_find() -> None:
    """Two documents of three and one tokens after the beginning, four bytes each, under known probabilities."""
    heldout = [Pieces("a", "abcd", [[1, 2, 3, 3]]), Pieces("b", "é..", [[1, 2]])]
    counts_V = torch.tensor([0, 0, 5, 0])  # with one added to each: 1/9, 1/9, 6/9, 1/9
    found = measure_prediction(Uniform(4, 3), PAD, heldout, heldout[:1], counts_V, seed=0)

    nats = 2 * math.log(5 / 2) + 2 * math.log(5)  # twice token 3, twice token 2
    unigram = 2 * math.log(9 / 6) + 2 * math.log(9)
    assert found["target_loss"].value == pytest.approx(nats / 4)
    assert found["target_loss_unigram"].value == pytest.approx(unigram / 4)
    assert found["target_bits"].value == pytest.approx(nats / math.log(2) / 8)
    assert found["target_bits_unigram"].value == pytest.approx(unigram / math.log(2) / 8)
    assert found["target_right"].value == pytest.approx(2 / 4)
    assert found["target_loss_seen"].value == pytest.approx((2 * math.log(5 / 2) + math.log(5)) / 3)
    assert {name: (m.n, m.split) for name, m in found.items()} == {
        name: (1, "grown from") if name == "target_loss_seen" else (2, "heldout") for name in found
    }


def test_a_long_document_is_read_piece_by_piece() -> None:
    """Every token but those that begin a piece is counted once, and padding never."""
    cut = [Pieces("a", "x", [[1, 2, 3], [1, 2]]), Pieces("b", "x", [[1, 3]])]
    found = measure_prediction(Uniform(4, 3), PAD, cut, cut, torch.zeros(4), 0)

    assert found["target_loss"].value == pytest.approx((2 * math.log(5) + 2 * math.log(5 / 2)) / 4)


def test_losses_skip_padding_and_the_first_token() -> None:
    """A text alone and beside a longer one loses the same; every token but the first is counted."""
    model = tiny_model(family="qwen3")
    short, long = [1, 7, 8, 9], [1, 5, 6, 7, 8, 9, 10]
    alone = token_losses(model, *pad([short], PAD))
    together = token_losses(model, *pad([short, long], PAD))

    assert len(alone) == 3
    assert len(together) == 9
    torch.testing.assert_close(together[:3], alone)


def test_a_continuation_begins_where_the_given_text_ends() -> None:
    """Given, written and real parts are text, drawn alike each time, and differ between documents."""
    tokenizer = tiny_tokenizer()
    text = "The cat sat on the mat near the red door."
    document = Pieces("a", text, [tokenizer(text).input_ids])
    model = tiny_model(vocab_size=len(tokenizer))
    found = continue_text(model, tokenizer, document, 0, given=4, written=3)

    assert text.startswith(found.given + found.real)
    assert found == continue_text(model, tokenizer, document, 0, given=4, written=3)
    assert found.written != continue_text(model, tokenizer, Pieces("b", text, document.pieces), 0, given=4, written=3)


def test_a_damaged_record_says_what_to_do(tmp_path: Path) -> None:
    """Whatever is not a record is named by its file."""
    (tmp_path / PREDICTION_FILE).write_text("{}")
    with pytest.raises(RunError, match=r"prediction\.json cannot be read.*grow the target again"):
        Prediction.load(tmp_path)
