"""Healthy patients for the doctor: a pair as training leaves it, and the folder of a run whose numbers are good."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from tests.unit.evaluate import fabricated

from nlakit.card import Card
from nlakit.evaluate.evaluation import Evaluation
from nlakit.models.pair import Pair
from nlakit.pipeline import run_stages
from nlakit.progress import Progress
from nlakit.runs import RunFolder
from nlakit.testing import tiny_pair, tiny_recipe, tiny_target

STAGES = ["extract", "annotate", "warm-start", "train", "evaluate"]
GOOD = {
    "length": 9.0,
    "cap_rate": 0.01,
    "parse_rate": 0.99,
    "fve_validation": 0.7,
    "fve_shuffled": -0.8,
    "fve_zero": -0.7,
    "own_cross_entropy_true": 0.9,
    "own_cross_entropy_shuffled": 2.1,
    "own_cross_entropy_zero": 2.3,
}
"""What a training of hours would have logged; one of seconds does not get there, and the doctor says so."""


def healthy_pair(*, bos: bool = False) -> Pair:
    """Make a pair whose card says that it was trained and measured, and whose head has moved."""
    pair = tiny_pair(tiny_target(bos=bos), injection_scale=10.0)
    with torch.no_grad():
        noise = torch.randn((32, 32), generator=torch.Generator().manual_seed(1))
        pair.reconstructor.value_head.weight.add_(0.1 * noise)
    return with_card(pair, training={"warm_start": {}, "train": {}}, results=fabricated.measures())


def with_card(pair: Pair, **changes: Any) -> Pair:
    """Return the pair with another card."""
    return Pair(pair.target, pair.verbalizer, pair.reconstructor, pair.card.model_copy(update=changes))


def make_run(folder: Path) -> Path:
    """Run the whole pipeline in miniature, and write into its records what a good run would have."""
    recipe = tiny_recipe(
        folder,
        documents=40,
        extract={"min_position": 10},
        train={"steps": 6, "evaluate_every": 3, "checkpoint_every": 6},
        evaluate={"rows": 8},
    )
    run = folder / "run"
    run_stages(recipe, RunFolder(run), Progress(silent=True), STAGES)
    change_metrics(run, lambda line: {**line, **{key: GOOD[key] for key in GOOD.keys() & line.keys()}})
    change_metrics(run, lambda line: {**line, "kl": 0.01 * line["step"]} if "kl" in line else line)
    measures = fabricated.measures()
    measures["length_tokens"] = measures["length_tokens"].model_copy(update={"value": 9.0})
    change_results(run, lambda _: measures)
    return run


def copy_of(run: Path, folder: Path) -> Path:
    """Copy a run, to plant something in it."""
    return Path(shutil.copytree(run, folder / "run"))


def change_metrics(run: Path, change: Any) -> None:
    """Rewrite the lines of reinforcement learning in ``metrics.jsonl``."""
    path = run / "metrics.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    kept = [change(line) if line["stage"] == "train" else line for line in lines]
    path.write_text("".join(json.dumps(line) + "\n" for line in kept))


def change_results(run: Path, change: Any) -> None:
    """Rewrite the measures, in the evaluation and on the card."""
    evaluation = Evaluation.load(run / "evaluate")
    measures = change(dict(evaluation.measures))
    evaluation.model_copy(update={"measures": measures}).save(run / "evaluate")
    change_card(run, results=measures)


def change_card(run: Path, **changes: Any) -> None:
    """Rewrite the card of the finished pair."""
    Card.load(run / "pair").model_copy(update=changes).save(run / "pair")
