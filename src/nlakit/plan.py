"""What a run will take: memory, disk, teacher tokens and hours, from sizes alone.

Pure arithmetic; docs/plan.md explains each formula and compares it with what was published. The three efficiencies below are
fitted to those runs and are the doubtful part: expect a factor of two either way on other code and other hardware.

Letters: P parameters, D width, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass

from nlakit.config import Recipe
from nlakit.errors import ConfigError, nearest

TRAINING_EFFICIENCY = 0.30
"""Share of the peak arithmetic that training reaches; fits the published warm start of Qwen2.5-7B on two H100."""
READING_EFFICIENCY = 0.40
"""The same for forward passes alone (our assumption)."""
DECODING_EFFICIENCY = 0.011
"""Share of the memory-bandwidth bound that sampling reaches; fits the published reinforcement learning runs, whose rollouts
go through a server that takes embeddings. Sampling in process should do better, by how much is open."""

ROWS_AT_ONCE = 128
"""Rows that one GPU decodes in the time of one (our assumption)."""

PROMPT_TOKENS, EXPLANATION_TOKENS = 90, 120
"""Tokens of the verbalizer's prompt and of an explanation (paper: at most 150)."""
RECONSTRUCTOR_PROMPT_TOKENS = 30
TEACHER_PROMPT_TOKENS, TEACHER_CONTEXT_TOKENS = 400, 400
"""Tokens of the instruction, and of the text before a position that is sent along."""
ROW_BYTES = 600
"""Of a row's Parquet columns: ids, token and context (measured on Terrarium)."""
GIB, HOUR = 2**30, 3600.0


@dataclass(frozen=True)
class Gpu:
    """One kind of accelerator: memory, dense bfloat16 arithmetic and memory bandwidth, from its data sheet."""

    memory_gib: float
    flops: float
    """Floating-point operations a second."""
    bandwidth: float
    """Bytes a second."""


PUBLISHED = {
    "name": "published",
    "description": "Batch sizes of the released pairs, as far as they are known.",
    "extract": {"rows_per_document": 10, "dtype": "bfloat16"},
    "warm_start": {"batch_size": 256},
    "train": {"steps": 640, "prompts_per_step": 128, "group_size": 8, "max_new_tokens": 150, "micro_batch": 8},
}
"""What a plan assumes without a recipe; after 640 steps the released pair of 27 B was at FVE 0.70."""

GPUS = {
    "A100": Gpu(80, 312e12, 2.04e12),
    "A100-40": Gpu(40, 312e12, 1.56e12),
    "H100": Gpu(80, 989e12, 3.35e12),
    "H200": Gpu(141, 989e12, 4.8e12),
    "L40S": Gpu(48, 362e12, 0.86e12),
    "A10": Gpu(24, 125e12, 0.6e12),
    "RTX4090": Gpu(24, 165e12, 1.01e12),
}


@dataclass(frozen=True)
class Sizes:
    """Of a target, all that the arithmetic needs."""

    parameters: int
    """Of the whole model."""
    active: int
    """Of those, how many one token goes through; fewer than all in a mixture of experts."""
    share_read: float
    """Share of the active ones that lie in blocks 0..K."""
    n_layers: int
    d_model: int
    vocabulary: int


@dataclass(frozen=True)
class Plan:
    """What a run will take; memory is that of the fullest GPU."""

    mode: str
    """``lora``, or ``full`` with everything sharded over the GPUs."""
    memory_gib: dict[str, float]
    """Peak of each stage on one GPU."""
    disk_gib: dict[str, float]
    rows: int
    teacher_calls: int
    teacher_tokens_in: int
    teacher_tokens_out: int
    hours: dict[str, float]
    seconds_per_step: dict[str, float]

    @property
    def total_hours(self) -> float:
        """Of all stages, the teacher's left out: it depends on the endpoint."""
        return sum(self.hours.values())


def parse_gpus(text: str) -> tuple[Gpu, int]:
    """Read ``H100:8`` or ``H100``; ConfigError for an unknown kind."""
    name, _, count = text.partition(":")
    if name.upper() not in GPUS:
        raise ConfigError(f"--gpu {text!r}: there is no GPU {name!r}.{nearest(name, GPUS)} Known: {', '.join(GPUS)}.")
    if count and not (count.isdigit() and 0 < int(count) <= 100_000):
        raise ConfigError(f"--gpu {text!r}: {count!r} is no number of GPUs; write for example H100:8.")
    return GPUS[name.upper()], int(count or 1)


def make_plan(sizes: Sizes, recipe: Recipe, gpu: Gpu, count: int, *, lora: bool, tokens_per_document: int) -> Plan:
    """Work out what a recipe takes on ``count`` GPUs of one kind."""
    documents = recipe.corpus.documents
    rows = documents * recipe.extract.rows_per_document
    split = recipe.extract.split
    taught = {"av": int(rows * split.av), "ar": int(rows * split.ar)}
    tokens = min(tokens_per_document, recipe.extract.max_tokens)
    calls = sum(taught.values())
    reading = gpu.flops * READING_EFFICIENCY * count
    training = gpu.flops * TRAINING_EFFICIENCY * count
    # Forward 2, backward 4, and 2 again because activations are computed twice; adapters leave out the base's gradients.
    per_parameter = 6 if lora else 8
    whole, part = sizes.active, sizes.active * sizes.share_read
    batch = recipe.warm_start.batch_size
    told = PROMPT_TOKENS + EXPLANATION_TOKENS
    heard = RECONSTRUCTOR_PROMPT_TOKENS + EXPLANATION_TOKENS
    step = {
        "warm-start verbalizer": per_parameter * whole * batch * told / training,
        "warm-start reconstructor": per_parameter * part * batch * heard / training,
        "train": _rl_step(sizes, recipe, gpu, count, per_parameter, training, reading),
    }
    epochs = {"av": recipe.warm_start.verbalizer_epochs, "ar": recipe.warm_start.reconstructor_epochs}
    steps = {name: taught[name] * epochs[name] / batch for name in taught}
    warm = steps["av"] * step["warm-start verbalizer"] + steps["ar"] * step["warm-start reconstructor"]
    # A first round teaches one half; then every text of both splits is read about twice, without gradients.
    by_swap = recipe.ground.by == "swap"
    first = ("ar", "warm-start reconstructor") if by_swap else ("av", "warm-start verbalizer")
    grounding = taught[first[0]] * recipe.ground.epochs / batch * step[first[1]]
    grounding += 2 * calls * 2 * (part * heard if by_swap else whole * told) / reading
    hours = {
        "extract": 2 * part * documents * tokens / reading / HOUR,
        **({"ground": grounding / HOUR} if recipe.ground.by in ("likelihood", "swap") else {}),
        "warm-start": warm / HOUR,
        "train": recipe.train.steps * step["train"] / HOUR,
    }
    bytes_stored = 4 if recipe.extract.dtype == "float32" else 2
    half = _half_bytes(sizes, lora)
    return Plan(
        mode="lora" if lora else "full",
        memory_gib=_memory(sizes, recipe, count, lora=lora),
        disk_gib={
            "target": 2 * sizes.parameters / GIB,
            "store": rows * (sizes.d_model * bytes_stored + ROW_BYTES) / GIB,
            # Best and last, with the optimizer's two moments in float32, and the finished pair.
            "checkpoints": 2 * half * (1 + 4) / GIB + half / GIB,
        },
        rows=rows,
        teacher_calls=calls,
        teacher_tokens_in=calls * (TEACHER_PROMPT_TOKENS + min(TEACHER_CONTEXT_TOKENS, tokens)),
        teacher_tokens_out=calls * EXPLANATION_TOKENS,
        hours=hours,
        seconds_per_step=step,
    )


def _rl_step(
    sizes: Sizes, recipe: Recipe, gpu: Gpu, count: int, per_parameter: int, training: float, reading: float
) -> float:
    """Seconds of one step: sampling, scoring with training of the reconstructor, reference and policy."""
    samples = recipe.train.prompts_per_step * recipe.train.group_size
    new = min(EXPLANATION_TOKENS, recipe.train.max_new_tokens)
    # Each token of all rows takes one pass over the weights, as long as no GPU has more rows than it computes in that time.
    sampling = (
        new * (2 * sizes.active / gpu.bandwidth) / DECODING_EFFICIENCY * max(1.0, samples / (ROWS_AT_ONCE * count))
    )
    told = samples * (PROMPT_TOKENS + new)
    heard = samples * (RECONSTRUCTOR_PROMPT_TOKENS + new)
    policy = per_parameter * sizes.active * told / training + 2 * sizes.active * told / reading
    return sampling + policy + per_parameter * sizes.active * sizes.share_read * heard / training


def _half_bytes(sizes: Sizes, lora: bool) -> float:
    """Stored weights of both halves in bfloat16, heads in float32."""
    heads = 4 * sizes.d_model**2
    if lora:
        # Rank 16 on the linear layers of a block: about 14 widths in and out (ours: 4 attention maps, 3 of the feed-forward).
        return 2 * 2 * sizes.n_layers * 16 * 18 * sizes.d_model + heads
    return 2 * sizes.parameters * (1 + sizes.share_read) + heads


def _memory(sizes: Sizes, recipe: Recipe, count: int, *, lora: bool) -> dict[str, float]:
    """Peak GiB on one GPU: weights, gradients, optimizer and what a micro-batch leaves behind."""
    weights = 2 * sizes.parameters
    told = PROMPT_TOKENS + EXPLANATION_TOKENS
    micro = recipe.train.micro_batch
    # With activations computed twice only the inputs of blocks stay, one block's inside, and logits at completion tokens.
    activations = micro * told * sizes.d_model * 2 * (sizes.n_layers + 34)
    logits = micro * EXPLANATION_TOKENS * sizes.vocabulary * 4 * 2
    # bfloat16 weights and gradients, float32 master copy and two moments.
    trained = (2 + 2 + 4 + 8) * (_half_bytes(sizes, lora) / 2)
    reference = 0.0 if lora else 2 * weights / count  # in float32
    state = weights + trained if lora else trained / count + reference
    keys = recipe.train.prompts_per_step * recipe.train.group_size / count * told * sizes.n_layers * sizes.d_model
    return {
        "extract": (weights * max(sizes.share_read, 0.1) + 8192 * sizes.d_model * 2 * 40) / GIB,
        "warm-start": (state + activations + logits) / GIB,
        "train": (state + max(activations + logits, keys)) / GIB,
    }
