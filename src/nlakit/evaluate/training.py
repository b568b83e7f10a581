"""Curves of the training, drawn from the lines of ``metrics.jsonl``.

A line is ``{"stage", "step", ...values}``; a value that was not measured at a step is missing or null, and
a chart without any value is left out, so that a run which stopped early still has the charts it earned.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nlakit.evaluate.charts import CONTROL, MAIN, SECOND, THIRD, Chart, Series, curves, smooth

Lines = Sequence[Mapping[str, Any]]

GROW_STAGE = "grow"
FIRST_ROUND_STAGE = "first-round"
WARM_START_STAGE = "warm-start"
TRAIN_STAGE = "train"


def training_charts(lines: Lines) -> list[Chart]:
    """Return the charts of growing a target, both rounds of supervised training and reinforcement learning, as far as they went."""
    grow = [line for line in lines if line.get("stage") == GROW_STAGE]
    first = [line for line in lines if line.get("stage") == FIRST_ROUND_STAGE]
    warm = [line for line in lines if line.get("stage") == WARM_START_STAGE]
    train = [line for line in lines if line.get("stage") == TRAIN_STAGE]
    supervised = [*_supervised(first, "first", "First round"), *_supervised(warm, "warm", "Warm start")]
    charts = [*_grow(grow), *supervised, *_reinforcement(train)]
    return [chart for chart in charts if chart is not None]


def points(lines: Lines, key: str) -> list[tuple[float, float]]:
    """Return (step, value) of every line that has a number under ``key``."""
    return [
        (float(line["step"]), float(line[key]))
        for line in lines
        if isinstance(line.get(key), int | float) and not isinstance(line.get(key), bool)
    ]


def _smoothed(lines: Lines, key: str, label: str, color: str) -> list[Series]:
    """Return a faint raw line and the running mean on top of it."""
    raw = points(lines, key)
    window = max(1, len(raw) // 25)
    if window == 1:
        return [Series(label, color, raw)]
    return [Series(label, color, raw, faint=True), Series(label, color, smooth(raw, window))]


def _grow(lines: Lines) -> list[Chart | None]:
    caption = "Loss on the documents it is grown from, nats a token; how it reads new ones stands above."
    return [curves("grow-loss", "Growing the target", caption, _smoothed(lines, "loss", "loss", MAIN))]


def _supervised(lines: Lines, name: str, title: str) -> list[Chart | None]:
    return [
        curves(
            f"{name}-verbalizer",
            f"{title}: verbalizer",
            "Cross-entropy of the teacher's text, nats a token, given the vector.",
            _smoothed(lines, "verbalizer_loss", "own vector", MAIN),
        ),
        curves(
            f"{name}-reconstructor",
            f"{title}: reconstructor",
            "Error 2(1 − cos) of the vector rebuilt from the teacher's text; 2 is an unrelated direction.",
            _smoothed(lines, "reconstructor_loss", "error", SECOND),
        ),
    ]


def _reinforcement(lines: Lines) -> list[Chart | None]:
    fve = [
        *_smoothed(lines, "fve_batch", "on the batch", SECOND),
        Series("validation", MAIN, points(lines, "fve_validation")),
    ]
    controls = [
        Series("own vector", MAIN, points(lines, "fve_validation")),
        Series("another's", CONTROL, points(lines, "fve_shuffled"), dashed=True),
        Series("zeros", THIRD, points(lines, "fve_zero"), dashed=True),
    ]
    entropy = [
        Series("own vector", MAIN, points(lines, "own_cross_entropy_true")),
        Series("another's", CONTROL, points(lines, "own_cross_entropy_shuffled"), dashed=True),
        Series("zeros", THIRD, points(lines, "own_cross_entropy_zero"), dashed=True),
    ]
    small = (
        ("reward", "Reward", "Minus the error, minus the length penalty; −2 for a failed output."),
        ("kl", "Divergence from the warm start", "Nats a token; running away, the words become a private code."),
        ("entropy", "Entropy", "Nats a token; near 0, all samples of a vector are alike."),
        ("length", "Length", "Mean tokens an output, tags included."),
        ("parse_rate", "Outputs that parse", "Share of samples with text before a closing tag."),
    )
    return [
        curves(
            "rl-fve",
            "Reinforcement learning: FVE",
            "On the batch it learns from, and on a validation slice of the training documents.",
            fve,
        ),
        curves(
            "rl-controls",
            "FVE beside its controls",
            "What another row's vector, or none, gives; must stay far below.",
            controls,
            zero=True,
        ),
        curves(
            "rl-ce",
            "Use of the vector",
            "Cross-entropy of an explanation given each vector, nats a token.",
            entropy,
            narrow=True,
        ),
        *(
            curves(f"rl-{key}", title, caption, _smoothed(lines, key, title, MAIN), narrow=True)
            for key, title, caption in small
        ),
    ]
