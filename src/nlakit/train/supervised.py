"""The loop that teaches one half of a pair from examples: the same for the verbalizer and the reconstructor.

A loop that was killed goes on from its last checkpoint and ends with the weights of an unbroken one: which rows a batch
has depends on the step alone, and the averages for the log travel with the checkpoint.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from nlakit.config import WarmStartConfig
from nlakit.progress import Progress
from nlakit.runs import MetricsWriter
from nlakit.train.batches import EpochBatches
from nlakit.train.checkpoints import Checkpoints, State
from nlakit.train.memory import rows_that_fit
from nlakit.train.optimise import make_optimizer, optimizer_step, require_finite, warmup_cosine

FLOOR = 0.1
"""The cosine falls to this share of the peak learning rate."""


@dataclass(frozen=True)
class Job:
    """What the loops of both halves write to and take their settings from."""

    title: str
    """Names the round in the progress bar and in errors."""
    config: WarmStartConfig
    seed: int
    metrics: MetricsWriter
    checkpoints: Path
    """Folder with one folder of checkpoints for each loop."""
    progress: Progress
    fill: float
    """Share of the free memory that a backward pass may take."""


@dataclass(frozen=True)
class Half:
    """One half of a pair as the loop sees it."""

    name: str
    """``verbalizer`` or ``reconstructor``; names metrics, checkpoints and the progress bar."""
    module: nn.Module
    learning_rate: float
    """At its peak."""
    epochs: float
    lengths: list[int]
    """Tokens of each training example, for batches of similar length."""
    weights: list[int]
    """What each training example counts in the mean of a batch."""
    loss: Callable[[list[int], int, str], Tensor]
    """Batch of examples, the step and the words for an error -> sum of their losses, with gradient."""
    validate: Callable[[], dict[str, float]]
    """Figures on rows that nothing trains on."""
    say: Callable[[float], str]
    """Mean loss -> text beside the progress bar."""


def train_half(half: Half, job: Job, *, first_step: int = 0) -> tuple[int, dict[str, float]]:
    """Train one half for its epochs; return its number of steps and the final validation figures.

    Metrics count steps on from ``first_step``. Raises :class:`~nlakit.errors.DivergedError` when a loss, gradient or
    validation figure is not finite; the last checkpoint is kept.
    """
    config, metrics, name = job.config, job.metrics, half.name
    half.module.eval()  # dropout would make sampling and training disagree, here and later
    optimizer = make_optimizer(half.module, weight_decay=config.weight_decay, kind=config.optimizer)
    checkpoints = Checkpoints(job.checkpoints / name, {name: half.module}, {name: optimizer})
    batches = EpochBatches(half.lengths, config.batch_size, job.seed, f"warm start, {name}")
    steps = batches.steps(half.epochs)
    state = checkpoints.resume() or State(0)
    recent: list[float] = state.numbers.get("recent", [])
    figures: dict[str, float] = state.numbers.get("figures", {})
    # Kept with the checkpoint: where a batch is cut moves the last digits, and a resumed run has to have the same ones.
    micro_batch: int = state.numbers.get("micro_batch") or _fitting(half, job)
    if micro_batch < min(config.micro_batch, config.batch_size):
        job.progress.say(f"{job.title}: {name}: {micro_batch} rows in a backward pass, which is what the memory holds")
    if state.step < steps:  # later lines are those of the other half when this loop is done
        metrics.truncate_after(first_step + state.step)
    with job.progress.task(f"{job.title}: {name}", total=steps) as task:
        task.update(state.step)
        for step in range(state.step + 1, steps + 1):
            started, what = time.perf_counter(), f"{job.title}: {name}, step {step}"
            examples = batches.at(step - 1)
            recent.append(_backward(half, examples, micro_batch, step, what))
            factor = warmup_cosine(step - 1, steps=steps, warmup=round(config.warmup_fraction * steps), floor=FLOOR)
            rate = half.learning_rate * factor
            norm = optimizer_step(optimizer, learning_rate=rate, max_grad_norm=config.max_grad_norm, what=what)
            line: dict[str, float] = {}
            if step % config.log_every == 0 or step == steps:
                seconds = time.perf_counter() - started
                line = {
                    f"{name}_loss": sum(recent) / len(recent),
                    f"{name}_grad_norm": norm,
                    f"{name}_learning_rate": rate,
                    "seconds": seconds,
                    "tokens_per_second": sum(half.lengths[example] for example in examples) / seconds,
                }
                recent.clear()
                task.update(step, half.say(line[f"{name}_loss"]))
            due = step % config.checkpoint_every == 0 or step == steps
            if due:
                figures = half.validate()
                require_finite(sum(figures.values()), f"{what}: a validation figure")
                line |= figures
            if line:
                metrics.write(first_step + step, line)
            if due:
                metrics.sync()
                numbers = {"recent": recent, "figures": figures, "micro_batch": micro_batch}
                checkpoints.save(State(step, numbers=numbers))
    return steps, figures


def _fitting(half: Half, job: Job) -> int:
    """How many examples a backward pass may have, judged by the longest one."""
    longest = max(range(len(half.lengths)), key=half.lengths.__getitem__)

    def run(rows: int) -> None:
        half.loss([longest] * rows, 0, "trying what fits into memory").backward()

    most = min(job.config.micro_batch, job.config.batch_size)
    return rows_that_fit(run, [half.module], most=most, fill=job.fill)


def _backward(half: Half, examples: list[int], micro_batch: int, step: int, what: str) -> float:
    """Leave the gradient of the mean loss of a batch on the module, and return that loss."""
    total = sum(half.weights[example] for example in examples)
    found = 0.0
    for start in range(0, len(examples), micro_batch):
        loss = half.loss(examples[start : start + micro_batch], step, what) / total
        found += loss.item()
        require_finite(found, f"{what}: the loss")
        loss.backward()
    return found
