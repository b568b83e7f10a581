"""Grows Terrarium's target model: a small Qwen3, from nothing, on two processor cores.

Documents are made as they are needed and never twice, so there is nothing to overfit. They are not the world's own mix:
growth begins with lessons, and stories come more often. The loop resumes after a kill with the same weights, bit for bit,
as an unbroken run: everything random is keyed by the step.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from pydantic import Field
from torch import Tensor
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from nlakit.config import Settings, derive_seed, plain
from nlakit.errors import RunError
from nlakit.models.verbalizer import save_weights
from nlakit.progress import Progress
from nlakit.prompts import PROMPTS_FILE
from nlakit.runs import MetricsWriter, folder_lock, require_same
from nlakit.storage import atomic_folder, write_json
from nlakit.terrarium.stories import LESSONS
from nlakit.terrarium.tokens import PROMPTS, train_tokenizer
from nlakit.terrarium.world import WorldDocument, write_document
from nlakit.train.checkpoints import Checkpoints, State
from nlakit.train.optimise import make_optimizer, optimizer_step, require_finite

STAGE = "grow"
SETTINGS_FILE = "grow.json"
"""In the folder of a growth and of the grown target: the settings it was grown with."""
GROW_SEED, HELD_OUT_SEED = 1, 2
"""Seeds of the worlds that the target is grown in and tested on; recipes use seed 0, which it never reads."""
_POOL = 16
"""Batches whose documents are sorted by length together: fewer padding tokens, still well mixed."""


class GrowConfig(Settings):
    """How the target is grown. What made the one that ships lies beside its weights, in `grow.json`."""

    seed: int = 0
    """Seed of weights and order."""
    steps: int = Field(default=7000, ge=1)
    """Optimiser steps."""
    documents_per_step: int = Field(default=32, ge=1)
    """Documents in a batch; of about 75 tokens each."""
    answer_weight: float = Field(default=6.0, gt=0)
    """Weight in the loss of a token that answers, beside 1 of every other: answers are what is hard, and one token in twenty."""
    more_stories: float = Field(default=0.25, ge=0, le=1)
    """Share of documents that are stories whatever the world draws: tracking who did what is learnt last."""
    lessons: int = Field(default=300, ge=0)
    """Steps of each of the two kinds of lessons at the beginning: they teach to look up what was said of whom."""
    width: int = Field(default=192, ge=32, multiple_of=32)
    """Width of the residual stream; heads are 32 wide."""
    blocks: int = Field(default=4, ge=2)
    """Transformer blocks."""
    learning_rate: float = Field(default=3e-3, gt=0)
    """Peak learning rate, of Muon for the matrices of the blocks and of AdamW for everything else."""
    warmup_steps: int = Field(default=200, ge=0)
    """Steps of linear warm-up."""
    decay_share: float = Field(default=0.5, gt=0, le=1)
    """Share of the steps at the end over which the learning rate falls linearly to 0."""
    weight_decay: float = Field(default=0.02, ge=0)
    """Muon's, on the matrices of the blocks."""
    checkpoint_every: int = Field(default=500, ge=1)
    """Steps between checkpoints."""


def make_model(config: GrowConfig, tokenizer: PreTrainedTokenizerFast) -> Qwen3ForCausalLM:
    """A fresh model; weights depend on `config.seed` alone.

    Normed queries and keys (Qwen3's) and blocks that begin as the identity are what lets it learn who goes with what; a
    Llama of that size does not within the time (LOG.md).
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(config.seed, "weights"))
        model = Qwen3ForCausalLM(
            Qwen3Config(
                vocab_size=len(tokenizer),
                hidden_size=config.width,
                intermediate_size=config.width * 8 // 3 // 16 * 16,
                num_hidden_layers=config.blocks,
                num_attention_heads=config.width // 32,
                num_key_value_heads=config.width // 32,
                head_dim=32,
                max_position_embeddings=512,
                tie_word_embeddings=True,
                bos_token_id=tokenizer.bos_token_id,
                eos_token_id=tokenizer.eos_token_id,
                pad_token_id=tokenizer.pad_token_id,
            )
        )
    for block in model.model.layers:
        torch.nn.init.zeros_(block.self_attn.o_proj.weight)
        torch.nn.init.zeros_(block.mlp.down_proj.weight)
    return model


def grow(config: GrowConfig, folder: Path, progress: Progress) -> Path:
    """Trains tokenizer and model; returns `folder/target`, a Hugging Face checkpoint in bfloat16.

    The metrics go to `folder/metrics.jsonl`. Raises `RunError` when another process grows in the folder or what is there was
    grown with other settings, and `DivergedError` when a loss is not finite.
    """
    held = {entry.name for entry in folder.iterdir() if not entry.name.startswith(".")} if folder.is_dir() else set()
    if held - {"tokenizer"} and SETTINGS_FILE not in held:
        raise RunError(f"{folder} is not empty and no growth was begun in it; choose another --out or empty it")
    folder.mkdir(parents=True, exist_ok=True)
    bfloat16 = _has_bfloat16()
    with folder_lock(folder):
        settings = {**plain(config), "bfloat16": bfloat16}
        if (folder / SETTINGS_FILE).exists():
            recorded = json.loads((folder / SETTINGS_FILE).read_text(encoding="utf-8"))
            require_same(recorded, settings, folder, "Choose another --out, or give the settings it was begun with.")
        write_json(folder / SETTINGS_FILE, settings)
        tokenizer = _tokenizer(folder)
        model = make_model(config, tokenizer)
        # On documents this short, plain attention in bfloat16 is three times faster backward than PyTorch's fused one.
        model.set_attn_implementation("eager")
        with MetricsWriter(folder / "metrics.jsonl", STAGE) as metrics:
            _train(config, model, tokenizer, folder / "checkpoints", metrics, progress, bfloat16=bfloat16)
        return _save(model, tokenizer, settings, folder / "target")


def _train(
    config: GrowConfig,
    model: Qwen3ForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    folder: Path,
    metrics: MetricsWriter,
    progress: Progress,
    *,
    bfloat16: bool,
) -> None:
    # AdamW alone learns several times slower per token here (LOG.md), which would not fit the time.
    optimizer = make_optimizer(model, weight_decay=config.weight_decay, kind="muon")
    checkpoints = Checkpoints(folder, {"model": model}, {"model": optimizer})
    state = checkpoints.resume() or State(0)
    metrics.truncate_after(state.step)
    with progress.task(STAGE, config.steps) as task:
        task.update(state.step)
        for step, documents in _batches(config, state.step):
            tokens_BT, labels_BT, answers_BT = encode_documents(tokenizer, documents)
            losses_N = token_losses(model, tokens_BT, labels_BT, bfloat16=bfloat16)
            weights_N = torch.where(answers_BT[labels_BT != -100], config.answer_weight, 1.0)
            loss = losses_N.detach().mean()
            require_finite(loss, f"grow: loss at step {step}")
            ((losses_N * weights_N).sum() / weights_N.sum()).backward()
            rate = config.learning_rate * schedule(config, step)
            optimizer_step(optimizer, learning_rate=rate, max_grad_norm=1.0, what=f"grow: step {step}")
            world = sum(document.surprisal for document in documents) / len(losses_N)
            if (step + 1) % 20 == 0:
                metrics.write(step + 1, {"loss": loss.item(), "world": world})
            task.advance(text=f"loss {loss.item():.3f} (world {world:.3f})")
            if (step + 1) % config.checkpoint_every == 0:
                metrics.sync()
                checkpoints.save(State(step + 1))


def schedule(config: GrowConfig, step: int) -> float:
    """Factor of the learning rate: linear warm-up, plateau, linear decay to 0."""
    warm = min(1.0, (step + 1) / max(1, config.warmup_steps))
    left = (config.steps - step) / max(1.0, config.decay_share * config.steps)
    return min(warm, left, 1.0)


def encode_documents(
    tokenizer: PreTrainedTokenizerFast, documents: Sequence[WorldDocument]
) -> tuple[Tensor, Tensor, Tensor]:
    """Right-padded `tokens_BT`, `labels_BT` and `answers_BT`.

    Labels are -100 on padding and on the token that begins a document; answers are the tokens that the world has settled
    before they come, such as the last word of "Where was the key? In that box".
    """
    encoded = tokenizer([document.text for document in documents], return_offsets_mapping=True)
    shape = (len(documents), max(map(len, encoded.input_ids)))
    tokens_BT, labels_BT = torch.full(shape, tokenizer.pad_token_id), torch.full(shape, -100)
    answers_BT = torch.zeros(shape, dtype=torch.bool)
    for row, (document, ids) in enumerate(zip(documents, encoded.input_ids, strict=True)):
        tokens_BT[row, : len(ids)] = torch.tensor(ids)
        labels_BT[row, 1 : len(ids)] = torch.tensor(ids[1:])
        ends = {piece.end for piece in document.pieces if piece.kind in ("answer", "verdict")}
        answers_BT[row, : len(ids)] = torch.tensor([end in ends for _, end in encoded.offset_mapping[row]])
    return tokens_BT, labels_BT, answers_BT


def token_losses(model: Qwen3ForCausalLM, tokens_BT: Tensor, labels_BT: Tensor, *, bfloat16: bool = False) -> Tensor:
    """Cross-entropy of every labelled token, in nats, in one flat tensor; logits at labelled positions only.

    With `bfloat16` the products inside the blocks are taken in bfloat16; weights, residual stream and logits stay float32.
    """
    with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        hidden_BTD = model.model(input_ids=tokens_BT).last_hidden_state[:, :-1]
    labels_BT = labels_BT[:, 1:]
    wanted = labels_BT != -100
    return torch.nn.functional.cross_entropy(model.lm_head(hidden_BTD[wanted]), labels_BT[wanted], reduction="none")


def _batches(config: GrowConfig, start: int) -> Iterator[tuple[int, list[WorldDocument]]]:
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
                yield step, batch


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


def _has_bfloat16() -> bool:
    """Whether the processor multiplies in bfloat16; where it does not, emulation would be slower than float32."""
    found = torch.cpu.get_capabilities()
    return bool(found.get("avx512_bf16") or found.get("amx_bf16"))


def _save(
    model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerFast, settings: Mapping[str, object], folder: Path
) -> Path:
    with atomic_folder(folder) as part:
        save_weights(model, part, "bfloat16")
        tokenizer.save_pretrained(part)
        write_json(part / PROMPTS_FILE, PROMPTS)
        write_json(part / SETTINGS_FILE, settings)
    return folder
