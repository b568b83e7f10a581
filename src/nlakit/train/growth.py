"""Growing a small target from nothing: the shape of the model, its learning rate, the loop, and how it is saved.

What it learns from comes in as batches: the documents of a corpus (:mod:`nlakit.train.grow`) or those of a generated world.
The loop resumes after a kill with the same weights, bit for bit, as an unbroken run: a batch is a function of its step.

Axes: B documents of a batch, T tokens, D width of the residual stream, N labelled tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from nlakit.config import GrowthConfig
from nlakit.models.prediction import token_losses
from nlakit.models.verbalizer import save_weights
from nlakit.progress import Progress
from nlakit.prompts import PROMPTS_FILE
from nlakit.runs import MetricsWriter
from nlakit.storage import write_json
from nlakit.train.checkpoints import Checkpoints, State
from nlakit.train.optimise import make_optimizer, optimizer_step, require_finite
from nlakit.train.vocabulary import PROMPTS, WINDOW

STAGE = "grow"
LOG_EVERY = 20
"""Steps between lines of metrics."""


@dataclass(frozen=True)
class Batch:
    """What one step learns from."""

    tokens_BT: Tensor
    """Right-padded tokens."""
    labels_BT: Tensor
    """The same where they are to be predicted, -100 elsewhere and at the first position."""
    weights_BT: Tensor | None = None
    """Weight of each label in the loss; None when all count the same."""
    figures: Mapping[str, float] = field(default_factory=dict)
    """Shown and logged beside the loss."""


def make_model(config: GrowthConfig, tokenizer: PreTrainedTokenizerFast, seed: int) -> Qwen3ForCausalLM:
    """Make a fresh model; its weights depend on ``seed`` alone.

    Normed queries and keys (Qwen3's) and blocks that begin as the identity are what lets it learn who goes with what; a
    Llama of that size does not within the time (LOG.md).
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Qwen3ForCausalLM(
            Qwen3Config(
                vocab_size=len(tokenizer),
                hidden_size=config.width,
                intermediate_size=config.width * 8 // 3 // 16 * 16,
                num_hidden_layers=config.blocks,
                num_attention_heads=config.width // 32,
                num_key_value_heads=config.width // 32,
                head_dim=32,
                max_position_embeddings=WINDOW,
                tie_word_embeddings=True,
                bos_token_id=tokenizer.bos_token_id,
                eos_token_id=tokenizer.eos_token_id,
                pad_token_id=tokenizer.pad_token_id,
            )
        )
    for block in model.model.layers:
        torch.nn.init.zeros_(block.self_attn.o_proj.weight)
        torch.nn.init.zeros_(block.mlp.down_proj.weight)
    # On documents this short, plain attention in bfloat16 is three times faster backward than PyTorch's fused one.
    model.set_attn_implementation("eager")
    return model


def grow_model(
    model: Qwen3ForCausalLM,
    config: GrowthConfig,
    steps: int,
    batches: Callable[[int], Iterable[Batch]],
    folder: Path,
    metrics: MetricsWriter,
    progress: Progress,
    *,
    bfloat16: bool,
) -> None:
    """Train a model for ``steps`` steps, or go on from the newest checkpoint in ``folder``.

    ``batches`` gives the batches from a step on, counted from 0. With ``bfloat16`` the products inside the blocks are taken in
    bfloat16. Raises :class:`~nlakit.errors.DivergedError` when a loss or gradient is not finite; the last checkpoint is kept.
    """
    # AdamW alone learns several times slower per token here (LOG.md), which would not fit the time.
    optimizer = make_optimizer(model, weight_decay=config.weight_decay, kind="muon")
    checkpoints = Checkpoints(folder, {"model": model}, {"model": optimizer})
    state = checkpoints.resume() or State(0)
    metrics.truncate_after(state.step)
    with progress.task(STAGE, steps) as task:
        task.update(state.step)
        for step, batch in zip(range(state.step, steps), batches(state.step), strict=False):
            losses_N = token_losses(model, batch.tokens_BT, batch.labels_BT, bfloat16=bfloat16)
            loss = losses_N.detach().mean()
            require_finite(loss, f"grow: loss at step {step}")
            _weighted(losses_N, batch).backward()
            rate = config.learning_rate * schedule(config, step, steps)
            optimizer_step(optimizer, learning_rate=rate, max_grad_norm=1.0, what=f"grow: step {step}")
            if (step + 1) % LOG_EVERY == 0:
                metrics.write(step + 1, {"loss": loss.item(), **batch.figures})
            beside = "".join(f" ({name} {value:.3f})" for name, value in batch.figures.items())
            task.advance(text=f"loss {loss.item():.3f}{beside}")
            if (step + 1) % config.checkpoint_every == 0:
                metrics.sync()
                checkpoints.save(State(step + 1))


def _weighted(losses_N: Tensor, batch: Batch) -> Tensor:
    if batch.weights_BT is None:
        return losses_N.mean()
    weights_N = batch.weights_BT[batch.labels_BT != -100]
    return (losses_N * weights_N).sum() / weights_N.sum()


def schedule(config: GrowthConfig, step: int, steps: int) -> float:
    """Factor of the learning rate: linear warm-up, plateau, linear decay to 0."""
    warm = min(1.0, (step + 1) / max(1, config.warmup_steps))
    left = (steps - step) / max(1.0, config.decay_share * steps)
    return min(warm, left, 1.0)


def has_bfloat16() -> bool:
    """Whether the processor multiplies in bfloat16; where it does not, emulation would be slower than float32."""
    found = torch.cpu.get_capabilities()
    return bool(found.get("avx512_bf16") or found.get("amx_bf16"))


def save_target(model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write a Hugging Face checkpoint in bfloat16, with the target's prompts beside it, into an empty folder."""
    save_weights(model, folder, "bfloat16")
    tokenizer.save_pretrained(folder)
    write_json(folder / PROMPTS_FILE, PROMPTS)
