"""How well a target predicts text: its loss, beside what the frequencies of tokens alone would lose.

Measured once, when a target has been grown, on documents that it was not grown from; kept beside its weights.

Axes: B documents of a batch, T tokens, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor

from nlakit.card import Measure
from nlakit.config import derive_seed
from nlakit.errors import RunError
from nlakit.storage import write_json
from nlakit.vectors import bootstrap_interval

PREDICTION_FILE = "prediction.json"
"""In the folder of a grown target: what was measured."""
HELDOUT, SEEN = "heldout", "grown from"
"""Splits of the measures: documents that the target never read, and documents that it was grown from."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Continuation(_Record):
    """How a target goes on from the beginning of a held-out document, beside how the document does."""

    given: str
    """What the target was given."""
    written: str
    """What it writes, sampled at temperature 1."""
    real: str
    """What the document says there."""


class Prediction(_Record):
    """How well a grown target predicts the text it was grown from."""

    parameters: int
    """Weights of the target."""
    documents: int
    """Documents that it was grown from."""
    tokens: int
    """Their tokens, each once."""
    measures: dict[str, Measure]
    """By name, as :mod:`nlakit.evaluate.measures` defines them."""
    continuations: tuple[Continuation, ...]

    def save(self, folder: Path) -> None:
        """Write ``prediction.json`` into the folder of a target."""
        write_json(folder / PREDICTION_FILE, self)

    @classmethod
    def load(cls, folder: Path) -> Prediction:
        """Read it; RunError when it is missing or damaged."""
        path = folder / PREDICTION_FILE
        try:
            return cls.model_validate_json(path.read_text(encoding="utf-8"))
        except ValidationError as error:
            problem = f"it has {error.error_count()} entries that are missing or wrong"
        except (OSError, UnicodeDecodeError) as error:
            problem = str(error)
        raise RunError(f"{path} cannot be read: {problem}. Delete {folder.parent}, and grow the target again.")


@dataclass(frozen=True)
class Pieces:
    """One document as the target reads it."""

    id: str
    text: str
    pieces: list[list[int]]
    """Its tokens, in pieces that fit the window; each begins with the token that begins a text."""


def token_losses(model: Any, tokens_BT: Tensor, labels_BT: Tensor, *, bfloat16: bool = False) -> Tensor:
    """Return the cross-entropy of every labelled token, in nats, in one flat tensor; logits at labelled positions only.

    Labels are -100 where nothing is asked, and at the first position of every row. With ``bfloat16`` the products inside the
    blocks are taken in bfloat16; weights, residual stream and logits stay float32.
    """
    with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        hidden_BTD = model.model(input_ids=tokens_BT).last_hidden_state[:, :-1]
    labels_BT = labels_BT[:, 1:]
    wanted = labels_BT != -100
    return torch.nn.functional.cross_entropy(model.lm_head(hidden_BTD[wanted]), labels_BT[wanted], reduction="none")


def pad(pieces: Sequence[Sequence[int]], pad_id: int) -> tuple[Tensor, Tensor]:
    """Right-pad tokens to ``tokens_BT`` and ``labels_BT``; labels are -100 on padding and on the token that begins a text."""
    shape = (len(pieces), max(map(len, pieces)))
    tokens_BT, labels_BT = torch.full(shape, pad_id), torch.full(shape, -100)
    for row, ids in enumerate(pieces):
        tokens_BT[row, : len(ids)] = torch.tensor(ids)
        labels_BT[row, 1 : len(ids)] = torch.tensor(ids[1:])
    return tokens_BT, labels_BT


def weighted_measure(
    values: Sequence[float],
    ids: Sequence[str],
    seed: int,
    weights: Sequence[float] | None = None,
    split: str = HELDOUT,
    *,
    share: bool = False,
) -> Measure:
    """Return sum(w v) / sum(w) over documents with its bootstrap interval; all weights are 1 where none are given.

    ``share`` says that the values are shares of a whole (:func:`~nlakit.vectors.bootstrap_interval`).
    """
    low, high = bootstrap_interval(values, ids, seed=seed, weights_N=weights, share=share)
    total = sum(weights) if weights else len(values)
    mean = sum(v * w for v, w in zip(values, weights or [1.0] * len(values), strict=True)) / total
    return Measure(value=mean, low=low, high=high, n=len(values), split=split)


def measure_prediction(
    model: Any, pad_id: int, heldout: Sequence[Pieces], seen: Sequence[Pieces], counts_V: Tensor, seed: int
) -> dict[str, Measure]:
    """Measure a target on held-out documents, and its loss on some that it was grown from.

    ``counts_V`` counts each token in all documents it was grown from: the baseline predicts a token by its frequency
    there, each count raised by one, whatever stands before it.
    """
    found = [_nats(model, pad_id, document, counts_V) for document in heldout]
    ids = [document.id for document in heldout]
    tokens = [float(count) for _, _, _, count in found]
    byte_counts = [float(len(document.text.encode())) for document in heldout]
    nats, unigram, right = ([row[column] for row in found] for column in range(3))

    def per(totals: Sequence[float], units: Sequence[float], scale: float = 1.0) -> Measure:
        return weighted_measure([t / u / scale for t, u in zip(totals, units, strict=True)], ids, seed, units)

    own = [_nats(model, pad_id, document, counts_V) for document in seen]
    own_tokens = [float(count) for _, _, _, count in own]
    return {
        "target_loss": per(nats, tokens),
        "target_loss_unigram": per(unigram, tokens),
        "target_loss_seen": weighted_measure(
            [row[0] / count for row, count in zip(own, own_tokens, strict=True)],
            [document.id for document in seen],
            seed,
            own_tokens,
            SEEN,
        ),
        "target_right": per(right, tokens),
        "target_bits": per(nats, byte_counts, math.log(2)),
        "target_bits_unigram": per(unigram, byte_counts, math.log(2)),
    }


@torch.inference_mode()
def _nats(model: Any, pad_id: int, document: Pieces, counts_V: Tensor) -> tuple[float, float, float, int]:
    """Return the nats that the model and token frequencies lose on a document, its tokens guessed right, and its tokens."""
    tokens_BT, labels_BT = pad(document.pieces, pad_id)
    logits_BTV = model(input_ids=tokens_BT).logits[:, :-1].float()
    wanted = labels_BT[:, 1:] != -100
    labels_N, logits_NV = labels_BT[:, 1:][wanted], logits_BTV[wanted]
    losses_N = torch.nn.functional.cross_entropy(logits_NV, labels_N, reduction="none")
    frequencies_V = (counts_V.double() + 1) / (counts_V.sum() + len(counts_V))
    right = (logits_NV.argmax(dim=1) == labels_N).sum()
    return float(losses_N.sum()), float(-frequencies_V[labels_N].log().sum()), float(right), len(labels_N)


@torch.inference_mode()
def continue_text(model: Any, tokenizer: Any, document: Pieces, seed: int, *, given: int, written: int) -> Continuation:
    """Let the model write on from the first ``given`` tokens of a document, ``written`` tokens at temperature 1."""
    ids = document.pieces[0]
    start = min(given, len(ids) // 2)
    generator = torch.Generator().manual_seed(derive_seed(seed, "continuation", document.id))
    out = list(ids[:start])
    while len(out) < start + written:
        probabilities_V = model(input_ids=torch.tensor([out])).logits[0, -1].float().softmax(dim=0)
        out.append(int(torch.multinomial(probabilities_V, 1, generator=generator)))
        if out[-1] == tokenizer.eos_token_id:
            break

    def text(tokens: Sequence[int]) -> str:
        return str(tokenizer.decode(tokens, skip_special_tokens=True))

    return Continuation(given=text(ids[:start]), written=text(out[start:]), real=text(ids[start : start + written]))
