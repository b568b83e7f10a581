"""Grows Terrarium's target model: a small Qwen3, from nothing, on two processor cores.

Documents are made as they are needed and never twice, so there is nothing to overfit. They are not the world's own mix:
growth begins with lessons, and stories come more often. The loop resumes after a kill with the same weights, bit for bit,
as an unbroken run: everything random is keyed by the step.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from pydantic import Field
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from nlakit.config import GrowthConfig, derive_seed, plain
from nlakit.errors import RunError
from nlakit.models.prediction import pad
from nlakit.progress import Progress
from nlakit.runs import MetricsWriter, folder_lock, require_same
from nlakit.storage import atomic_folder, write_json
from nlakit.terrarium.stories import LESSONS
from nlakit.terrarium.tokens import train_tokenizer
from nlakit.terrarium.world import WorldDocument, write_document
from nlakit.train.growth import STAGE, Batch, grow_model, has_bfloat16, make_model, save_target

SETTINGS_FILE = "grow.json"
"""In the folder of a growth and of the grown target: the settings it was grown with."""
GROW_SEED, HELD_OUT_SEED = 1, 2
"""Seeds of the worlds that the target is grown in and tested on; recipes use seed 0, which it never reads."""
_POOL = 16
"""Batches whose documents are sorted by length together: fewer padding tokens, still well mixed."""


class GrowConfig(GrowthConfig):
    """How the target is grown. What made the one that ships lies beside its weights, in `grow.json`."""

    seed: int = 0
    """Seed of weights and order."""
    steps: int = Field(default=7000, ge=1)
    """Optimiser steps, of about 75 tokens a document."""
    answer_weight: float = Field(default=6.0, gt=0)
    """Weight in the loss of a token that answers, beside 1 of every other: answers are what is hard, and one token in twenty."""
    more_stories: float = Field(default=0.25, ge=0, le=1)
    """Share of documents that are stories whatever the world draws: tracking who did what is learnt last."""
    lessons: int = Field(default=300, ge=0)
    """Steps of each of the two kinds of lessons at the beginning: they teach to look up what was said of whom."""


def grow(config: GrowConfig, folder: Path, progress: Progress) -> Path:
    """Trains tokenizer and model; returns `folder/target`, a Hugging Face checkpoint in bfloat16.

    The metrics go to `folder/metrics.jsonl`. Raises `RunError` when another process grows in the folder or what is there was
    grown with other settings, and `DivergedError` when a loss is not finite.
    """
    held = {entry.name for entry in folder.iterdir() if not entry.name.startswith(".")} if folder.is_dir() else set()
    if held - {"tokenizer"} and SETTINGS_FILE not in held:
        raise RunError(f"{folder} is not empty and no growth was begun in it; choose another --out or empty it")
    folder.mkdir(parents=True, exist_ok=True)
    bfloat16 = has_bfloat16()
    with folder_lock(folder):
        settings = {**plain(config), "bfloat16": bfloat16}
        if (folder / SETTINGS_FILE).exists():
            recorded = json.loads((folder / SETTINGS_FILE).read_text(encoding="utf-8"))
            require_same(recorded, settings, folder, "Choose another --out, or give the settings it was begun with.")
        write_json(folder / SETTINGS_FILE, settings)
        tokenizer = _tokenizer(folder)
        model = make_model(config, tokenizer, derive_seed(config.seed, "weights"))
        with MetricsWriter(folder / "metrics.jsonl", STAGE) as metrics:
            grow_model(
                model,
                config,
                config.steps,
                lambda start: (_batch(config, tokenizer, documents) for documents in _batches(config, start)),
                folder / "checkpoints",
                metrics,
                progress,
                bfloat16=bfloat16,
            )
        with atomic_folder(folder / "target") as part:
            save_target(model, tokenizer, part)
            write_json(part / SETTINGS_FILE, settings)
        return folder / "target"


def _batch(config: GrowConfig, tokenizer: PreTrainedTokenizerFast, documents: Sequence[WorldDocument]) -> Batch:
    tokens_BT, labels_BT, answers_BT = encode_documents(tokenizer, documents)
    world = sum(document.surprisal for document in documents) / int((labels_BT != -100).sum())
    return Batch(tokens_BT, labels_BT, torch.where(answers_BT, config.answer_weight, 1.0), {"world": world})


def encode_documents(
    tokenizer: PreTrainedTokenizerFast, documents: Sequence[WorldDocument]
) -> tuple[Tensor, Tensor, Tensor]:
    """Right-padded `tokens_BT`, `labels_BT` and `answers_BT`.

    Labels are -100 on padding and on the token that begins a document; answers are the tokens that the world has settled
    before they come, such as the last word of "Where was the key? In that box".
    """
    encoded = tokenizer([document.text for document in documents], return_offsets_mapping=True)
    tokens_BT, labels_BT = pad(encoded.input_ids, tokenizer.pad_token_id)
    answers_BT = torch.zeros_like(tokens_BT, dtype=torch.bool)
    for row, (document, ids) in enumerate(zip(documents, encoded.input_ids, strict=True)):
        ends = {piece.end for piece in document.pieces if piece.kind in ("answer", "verdict")}
        answers_BT[row, : len(ids)] = torch.tensor([end in ends for _, end in encoded.offset_mapping[row]])
    return tokens_BT, labels_BT, answers_BT


def _batches(config: GrowConfig, start: int) -> Iterator[list[WorldDocument]]:
    """Yield the documents of each step from ``start`` on."""
    for pool in range(start // _POOL, -(-config.steps // _POOL)):
        size = config.documents_per_step
        first = pool * _POOL * size
        documents = [_document(config, number) for number in range(first, first + _POOL * size)]
        documents.sort(key=lambda document: len(document.text))
        batches = [documents[i : i + size] for i in range(0, len(documents), size)]
        random.Random(derive_seed(config.seed, "order", pool)).shuffle(batches)
        for offset, batch in enumerate(batches):
            step = pool * _POOL + offset
            if start <= step < config.steps:
                yield batch


def _document(config: GrowConfig, number: int) -> WorldDocument:
    step = number // config.documents_per_step
    if step < config.lessons * len(LESSONS):
        return write_document(GROW_SEED, number, list(LESSONS)[step // config.lessons])
    more = random.Random(derive_seed(config.seed, "stories", number)).random() < config.more_stories
    return write_document(GROW_SEED, number, "story" if more else None)


def _tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    path = folder / "tokenizer"
    if not path.exists():
        with atomic_folder(path) as part:
            train_tokenizer(GROW_SEED).save_pretrained(part)
    return PreTrainedTokenizerFast.from_pretrained(path)
