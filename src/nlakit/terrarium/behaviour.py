"""Can the target do what the families ask of it? A measure with intervals, on documents it never read.

Every answer of a document is settled by what stands before it, so a model that tracks the world predicts it. The text is
given up to each answer and the most likely next tokens are compared with it; a document counts as done when all its answers are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from nlakit.card import Measure
from nlakit.models.prediction import weighted_measure
from nlakit.terrarium import lexicon as lx
from nlakit.terrarium.families import FAMILIES
from nlakit.terrarium.target import HELD_OUT_SEED, encode_documents
from nlakit.terrarium.world import WorldDocument, write_document

_BATCH = 64


@dataclass(frozen=True)
class _Result:
    """One document: nats lost by the model and by the world, tokens, answers and verdicts on the tool, right of all."""

    id: str
    family: str
    model_nats: float
    world_nats: float
    tokens: int
    right: int
    answers: int
    verdicts_right: int
    verdicts: int


def measure_behaviour(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, *, documents: int = 200, seed: int = 0
) -> dict[str, Measure]:
    """Measures on `documents` held-out documents of each family, and on as many of the world's own mix per family.

    Returns `loss`, `world_entropy` (nats per token), `loss_over_entropy` (their ratio, over the world's mix), and for each
    family `FAMILY_answers` (share of answers right) and `FAMILY_documents` (share of documents with all answers right),
    each with a bootstrap 95 % interval over documents; a share of nothing is left out. `sum_verdicts` is the share right of the
    words that say whether the tool was right, which is noticing and not adding.
    """
    first = seed * 1_000_000
    mixed = [write_document(HELD_OUT_SEED, first + i) for i in range(documents * len(FAMILIES))]
    found = _loss_measures(_results(model, tokenizer, mixed), seed)
    for family in FAMILIES:
        own = [write_document(HELD_OUT_SEED, first + i, family) for i in range(documents)]
        results = _results(model, tokenizer, own)
        ids = [result.id for result in results]
        asked = [r for r in results if r.answers]
        if asked:
            found[f"{family}_answers"] = weighted_measure(
                [r.right / r.answers for r in asked],
                [r.id for r in asked],
                seed,
                weights=[float(r.answers) for r in asked],
                share=True,
            )
        whole = [float(r.right == r.answers) for r in results]
        found[f"{family}_documents"] = weighted_measure(whole, ids, seed, share=True)
        judged = [r for r in results if r.verdicts]
        if judged:
            shares, weights = [r.verdicts_right / r.verdicts for r in judged], [float(r.verdicts) for r in judged]
            found[f"{family}_verdicts"] = weighted_measure(
                shares, [r.id for r in judged], seed, weights=weights, share=True
            )
    return found


def _loss_measures(results: Sequence[_Result], seed: int) -> dict[str, Measure]:
    ids = [result.id for result in results]
    tokens = [float(result.tokens) for result in results]
    loss = weighted_measure([r.model_nats / r.tokens for r in results], ids, seed, weights=tokens)
    world = weighted_measure([r.world_nats / r.tokens for r in results], ids, seed, weights=tokens)
    ratio = weighted_measure(
        [r.model_nats / r.world_nats for r in results], ids, seed, weights=[r.world_nats for r in results]
    )
    return {"loss": loss, "world_entropy": world, "loss_over_entropy": ratio}


@torch.inference_mode()
def _results(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, documents: Sequence[WorldDocument]
) -> list[_Result]:
    results = []
    ordered = sorted(documents, key=lambda document: len(document.text))
    for i in range(0, len(ordered), _BATCH):
        batch = ordered[i : i + _BATCH]
        tokens_BT, labels_BT, _ = encode_documents(tokenizer, batch)
        logits_BTV = model(input_ids=tokens_BT).logits[:, :-1]
        losses_BT = torch.nn.functional.cross_entropy(logits_BTV.transpose(1, 2), labels_BT[:, 1:], reduction="none")
        predicted_BT = logits_BTV.argmax(-1)
        for row, document in enumerate(batch):
            hits = _hits(tokenizer, document, predicted_BT[row].tolist())
            answers, verdicts = hits["answer"] + hits["greeting"], hits["verdict"]
            results.append(
                _Result(
                    document.id,
                    document.family,
                    float(losses_BT[row].sum()),
                    document.surprisal,
                    int((labels_BT[row] != -100).sum()),
                    sum(answers),
                    len(answers),
                    sum(verdicts),
                    len(verdicts),
                )
            )
    return results


def _hits(tokenizer: PreTrainedTokenizerFast, document: WorldDocument, predicted_T: list[int]) -> dict[str, list[bool]]:
    """Which settled pieces the predictions hit, by kind. `predicted_T[t]` is the guess for token t + 1."""
    encoded = tokenizer(document.text, return_offsets_mapping=True)
    hits: dict[str, list[bool]] = {"answer": [], "greeting": [], "verdict": []}
    for piece in document.pieces:
        if piece.kind not in hits:
            continue
        inside = [
            t
            for t, (start, end) in enumerate(encoded["offset_mapping"])
            if start >= piece.start and end <= piece.end and end > start
        ]
        guess = [predicted_T[t - 1] for t in inside]
        if piece.kind == "greeting":
            hits[piece.kind].append(tokenizer.decode(guess) in _greetings(document))
        else:
            hits[piece.kind].append(guess == [encoded["input_ids"][t] for t in inside])
    return hits


def _greetings(document: WorldDocument) -> tuple[str, ...]:
    """The greetings that open a reply in the right language: either will do."""
    language = next(event.value for event in document.events if event.slot == "language")
    return lx.REPLIES[str(language)]["greeting"]
