"""Which part of the recipe raises truth: variants of one recipe, trained at a small budget with three seeds each.

::

    python -m scripts.ablate FOLDER                       every variant and seed, then docs/ablation.md
    python -m scripts.ablate FOLDER plain grounded ...    only these variants

Each run lies in FOLDER/SEED/VARIANT and can be killed and taken up again; what is finished is skipped. Runs of one seed share
their vectors and the teacher's text. On two cores a run takes under twenty minutes.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nlakit.card import Measure
from nlakit.evaluate.evaluation import FILE_NAME, Evaluation
from nlakit.evaluate.measures import REGISTRY, format_value
from nlakit.pipeline import run_stages, stages_of
from nlakit.progress import Progress
from nlakit.recipe import load_recipe
from nlakit.runs import RunFolder
from nlakit.storage import atomic_write_text

RECIPE = "terrarium-full"
SEEDS = (0, 1, 2)
SHARED = ("extract", "annotate")
BUDGET = (
    "corpus.documents=12000", "train.steps=100", "train.evaluate_rows=256", "train.evaluate_every=50",
    "evaluate.rows=600", "evaluate.parts=['standard']",
)  # fmt: skip
"""A fifth of the documents and a quarter of the steps of the full recipe."""
PLAIN = (
    "ground.by=nothing", "annotate.options.false_share=0.0", "warm_start.rewordings=0.0",
    "train.rewordings=0.0", "train.agreement=0.0",
)  # fmt: skip

COLUMNS = (
    "fve", "claims_true", "claims_true_entity", "claims_true_detail", "claims_per_explanation", "facts_mentioned",
    "fve_kept_paraphrase_heavy", "fve_kept_shuffle",
)  # fmt: skip


@dataclass(frozen=True)
class Variant:
    """One line of the table."""

    about: str
    overrides: tuple[str, ...]


VARIANTS: dict[str, Variant] = {
    "plain": Variant("the teacher's text as it is", ()),
    "swap": Variant("grounded by swap leverage, no truth used", ("ground.by=swap",)),
    "likelihood": Variant("grounded by a first-round verbalizer, no truth used", ("ground.by=likelihood",)),
    "probes": Variant("grounded by linear probes, truth used", ("ground.by=probes",)),
    "rewordings": Variant(
        "plain, the reconstructor reads half of the texts in other words",
        ("warm_start.rewordings=0.5", "train.rewordings=0.5"),
    ),
    "agreement": Variant("plain, agreement rewarded", ("train.agreement=0.02",)),
    "likelihood-rewordings": Variant(
        "grounded, and rewordings", ("ground.by=likelihood", "warm_start.rewordings=0.5", "train.rewordings=0.5")
    ),
    "all": Variant(
        "grounded, rewordings, agreement rewarded",
        ("ground.by=likelihood", "warm_start.rewordings=0.5", "train.rewordings=0.5", "train.agreement=0.02"),
    ),
    "all-lenient": Variant(
        "the same, claims kept from a probability of 0.2 on",
        (
            "ground.by=likelihood", "ground.threshold=0.2", "warm_start.rewordings=0.5", "train.rewordings=0.5",
            "train.agreement=0.02",
        ),
    ),
    "false": Variant("plain, 30 % of the teacher's facts wrong on purpose", ("annotate.options.false_share=0.3",)),
    "false-all": Variant(
        "the same teacher, with everything above",
        (
            "annotate.options.false_share=0.3", "ground.by=likelihood", "warm_start.rewordings=0.5",
            "train.rewordings=0.5", "train.agreement=0.02",
        ),
    ),
}  # fmt: skip


def main(arguments: Sequence[str]) -> int:
    """Run what is missing and write the table of what is there."""
    unknown = [name for name in arguments[1:] if name not in VARIANTS]
    if not arguments or unknown:
        sys.stderr.write(f"{__doc__}\nvariants: {', '.join(VARIANTS)}\n")
        return 2
    folder = Path(arguments[0])
    for seed in SEEDS:
        for name in arguments[1:] or VARIANTS:
            run(folder / str(seed), name, seed)
    atomic_write_text(Path("docs/ablation.md"), as_markdown(collect(folder)))
    return 0


def run(folder: Path, name: str, seed: int) -> None:
    """Train and measure one variant with one seed."""
    recipe = load_recipe(RECIPE, [*BUDGET, *PLAIN, *VARIANTS[name].overrides, f"seed={seed}"])
    teacher = folder / f"teacher-{recipe.annotate.options['false_share']}"
    run_stages(recipe, RunFolder(teacher), Progress(), SHARED)
    place = folder / name
    for stage in SHARED:
        if not (place / stage).exists():
            # Linked, not copied: a finished stage is never written to again.
            shutil.copytree(teacher / stage, place / stage, copy_function=os.link)
    shutil.copy(teacher / "config.json", place / "config.json")
    later = [stage for stage in stages_of(recipe) if stage not in (*SHARED, "report")]
    run_stages(recipe, RunFolder(place), Progress(), later)


def collect(folder: Path) -> dict[str, list[Evaluation]]:
    """Return the finished evaluations of each variant."""
    found = {
        name: [
            Evaluation.load(path.parent)
            for seed in SEEDS
            if (path := folder / str(seed) / name / "evaluate" / FILE_NAME).exists()
        ]
        for name in VARIANTS
    }
    return {name: evaluations for name, evaluations in found.items() if evaluations}


def as_markdown(found: Mapping[str, Sequence[Evaluation]]) -> str:
    """Return the page: a line for each variant."""
    lines = [
        "# What raises truth",
        "",
        f"Variants of the recipe `{RECIPE}` at a small budget ({', '.join(f'`{item}`' for item in BUDGET)}), written by",
        "`python -m scripts.ablate FOLDER`. Each cell is the mean over the seeds, with the lowest low end and the highest",
        "high end of their 95 % intervals over documents.",
        "",
        f"| variant | seeds | {' | '.join(f'`{name}`' for name in COLUMNS)} |",
        "|---" * (len(COLUMNS) + 2) + "|",
    ]
    for name, evaluations in found.items():
        cells = [cell(column, [item.measures.get(column) for item in evaluations]) for column in COLUMNS]
        lines.append(f"| {name} | {len(evaluations)} | {' | '.join(cells)} |")
    lines += ["", *(f"* `{name}`: {VARIANTS[name].about}." for name in found)]
    return "\n".join(lines) + "\n"


def cell(name: str, measures: Sequence[Measure | None]) -> str:
    """Write the mean of a measure over seeds with the widest interval; a dash where a run does not have it."""
    known = [item for item in measures if item is not None and item.value is not None]
    if len(known) < len(measures) or not known:
        return "–"
    unit = REGISTRY[name].unit
    mean = sum(item.value for item in known if item.value is not None) / len(known)
    lows = [item.low for item in known if item.low is not None]
    highs = [item.high for item in known if item.high is not None]
    if not lows or not highs:
        return format_value(mean, unit)
    return f"{format_value(mean, unit)} ({format_value(min(lows), unit)} to {format_value(max(highs), unit)})"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
