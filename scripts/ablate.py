"""Which part of the recipe raises truth: variants of one recipe, trained at a small budget with three seeds each.

::

    python -m scripts.ablate FOLDER                every variant and seed that docs/ablation.json does not have yet
    python -m scripts.ablate FOLDER plain all ...  only these variants
    python -m scripts.ablate FOLDER 1 2 ...        only these seeds

Each run lies in FOLDER/SEED/VARIANT-FINGERPRINT and can be killed and taken up again. What it measures goes into
docs/ablation.json, with the fingerprint of its recipe, so that the table can be filled on several machines; docs/ablation.md and
its picture are written from it. Runs of one seed share their vectors, the teacher's text and what else they have in common. A run
takes fifteen to forty minutes on one thread, less on two cores that do nothing else.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nlakit.config import Recipe, fingerprint
from nlakit.evaluate.charts import INK, MAIN, SECOND, WIDTH, Chart, as_svg, drawing, standalone
from nlakit.evaluate.evaluation import Evaluation
from nlakit.evaluate.measures import REGISTRY, format_value
from nlakit.pipeline import run_stages, stages_of
from nlakit.progress import Progress
from nlakit.recipe import load_recipe
from nlakit.runs import RunFolder
from nlakit.storage import atomic_write_text, write_json
from nlakit.terrarium import paraphraser
from nlakit.train.agreement import AGAINST
from nlakit.train.first_round import STAGE as FIRST_ROUND

RECIPE = "terrarium-full"
RECORD, PAGE, PICTURE = Path("docs/ablation.json"), Path("docs/ablation.md"), Path("docs/ablation.svg")
SEEDS = (0, 1, 2)
SHARED = ("extract", "annotate")
BUDGET = (
    "corpus.documents=12000", "train.steps=100", "train.evaluate_rows=256", "train.evaluate_every=50",
    "evaluate.rows=600", "evaluate.parts=['truth', 'words']",
)  # fmt: skip
"""A fifth of the documents and a quarter of the steps of the full recipe."""
PLAIN = (
    "ground.by=nothing", "annotate.options.false_share=0.0", "warm_start.rewordings=0.0",
    "train.rewordings=0.0", "train.agreement=0.0", "warm_start.verbalizer_epochs=3",
)  # fmt: skip
"""Without what raises truth. Whatever the variant, the verbalizer makes three passes over the teacher's texts."""

COLUMNS = (
    "fve", "claims_true", "claims_true_entity", "claims_true_detail", "claims_per_explanation", "facts_mentioned",
    "fve_kept_paraphrase_heavy", "fve_kept_shuffle",
)  # fmt: skip


DRAWN = {
    "claims_true": ("claims true", 0.0, 1.0),
    "facts_mentioned": ("held facts mentioned", 0.0, 1.0),
    "fve": ("FVE", 0.0, 1.0),
    "fve_kept_paraphrase_heavy": ("FVE kept in other words", -1.0, 1.0),
}
"""Panels of the picture, with their ends."""

Runs = dict[str, dict[str, dict[str, Any]]]
"""By variant and seed: the fingerprint of its recipe and its measures."""


@dataclass(frozen=True)
class Variant:
    """One line of the table."""

    about: str
    overrides: tuple[str, ...]
    begins_like: str = ""
    """A variant that has some of the same stages."""
    same: tuple[str, ...] = ()
    """Stages whose results are taken over from that one where they are there."""


REWORDINGS = ("warm_start.rewordings=0.5", "train.rewordings=0.5")
GROUNDED = ("ground.by=likelihood", "warm_start.verbalizer_epochs=1")
"""Two of the three passes are those of grounding's first round."""
RAISED = (*GROUNDED, *REWORDINGS, "train.agreement=0.02")
FALSE = ("annotate.options.false_share=0.3",)
MOSTLY_FALSE = ("annotate.options.false_share=0.6",)

VARIANTS: dict[str, Variant] = {
    "plain": Variant("the teacher's text as it is", ()),
    "all": Variant("grounded by a first-round verbalizer, rewordings, agreement rewarded: the recipe", RAISED),
    "false": Variant("plain, 30 % of the teacher's facts wrong on purpose", FALSE),
    "false-all": Variant("the same teacher, the recipe", (*FALSE, *RAISED)),
    "mostly-false": Variant("plain, 60 % of the teacher's facts wrong on purpose", MOSTLY_FALSE),
    "mostly-false-all": Variant("the same teacher, the recipe", (*MOSTLY_FALSE, *RAISED)),
    "likelihood": Variant(
        "grounded by a first-round verbalizer, no truth used", GROUNDED, "all", (FIRST_ROUND, "ground")
    ),
    "frames": Variant(
        "the same, with claims found by frames learnt from the texts: no knowledge of the language either",
        (*GROUNDED, "ground.claims=frames"),
        "all",
        (FIRST_ROUND,),
    ),
    # The first round is not gone on from: it would give this reconstructor four passes, and all others have two.
    "swap": Variant("grounded by swap leverage, no truth used", ("ground.by=swap", "ground.reuse=false")),
    "rewordings": Variant("plain, the reconstructor reads half of the texts in other words", REWORDINGS),
    "agreement": Variant("plain, agreement rewarded", ("train.agreement=0.02",), "plain", ("warm-start",)),
    "probes": Variant("grounded by linear probes, truth used", ("ground.by=probes",)),
}
"""In the order in which they are run for each seed."""


def main(arguments: Sequence[str]) -> int:
    """Run what is missing and write the table of what is there."""
    chosen = arguments[1:]
    seeds = [seed for seed in SEEDS if str(seed) in chosen] or SEEDS
    names = [name for name in VARIANTS if name in chosen] or VARIANTS
    if not arguments or set(chosen) - {*map(str, SEEDS), *VARIANTS}:
        sys.stderr.write(f"{__doc__}\nvariants: {', '.join(VARIANTS)}; seeds: {', '.join(map(str, SEEDS))}\n")
        return 2
    folder, runs = Path(arguments[0]), recorded()
    for seed in seeds:
        for name in names:
            if not up_to_date(runs, name, seed):
                recipe = recipe_of(name, seed)
                measures = run(recipe, folder / str(seed), name)
                runs.setdefault(name, {})[str(seed)] = {"recipe": made_with(recipe), "measures": measures}
                write_json(RECORD, {name: runs[name] for name in VARIANTS if name in runs})
            write(runs)
    return 0


def recipe_of(name: str, seed: int) -> Recipe:
    """Return the recipe of one run."""
    return load_recipe(RECIPE, [*BUDGET, *PLAIN, *VARIANTS[name].overrides, f"seed={seed}"])


def made_with(recipe: Recipe) -> str:
    """Return a hash over what a run follows from: its recipe, the rewordings, and how agreement is rewarded where it is."""
    reward = [AGAINST] if recipe.train.agreement else []
    others = {"evaluate": {"paraphraser", "corpus", "against"}}  # none is named
    return fingerprint(recipe.model_dump(mode="json", exclude=others), paraphraser().fingerprint(), *reward)


def up_to_date(runs: Runs, name: str, seed: int | str) -> bool:
    """Whether a run is recorded that was made as it would be made now."""
    return runs.get(name, {}).get(str(seed), {}).get("recipe") == made_with(recipe_of(name, int(seed)))


def recorded() -> Runs:
    """Return what is recorded, by variant and seed."""
    found: Runs = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.exists() else {}
    return found


def run(recipe: Recipe, folder: Path, name: str) -> dict[str, Any]:
    """Train and measure one variant with one seed; return the measures of the table."""
    teacher = folder / f"teacher-{recipe.annotate.options['false_share']}"
    run_stages(recipe, RunFolder(teacher), Progress(), SHARED)
    place, like = place_of(folder, name, recipe.seed), VARIANTS[name].begins_like
    for stage in SHARED:
        take_over(teacher / stage, place / stage)
    shutil.copy(teacher / "config.json", place / "config.json")
    for stage in VARIANTS[name].same:
        take_over(place_of(folder, like, recipe.seed) / stage, place / stage)
    later = [stage for stage in stages_of(recipe) if stage not in (*SHARED, "report")]
    run_stages(recipe, RunFolder(place), Progress(), later)
    measures = Evaluation.load(place / "evaluate").measures
    return {
        column: {"value": found.value, "low": found.low, "high": found.high}
        for column in COLUMNS
        if (found := measures.get(column)) is not None
    }


def place_of(folder: Path, name: str, seed: int) -> Path:
    """Return where a variant is run; as its recipe is part of the name, a run of an earlier form is not taken for one of now."""
    return folder / f"{name}-{made_with(recipe_of(name, seed))}"


def take_over(source: Path, place: Path) -> None:
    """Link a finished stage of another run into this one, which refuses it if its settings are others."""
    if (source / "done.json").exists() and not place.exists():
        # Linked, not copied: a finished stage is never written to again.
        shutil.copytree(source, place, copy_function=os.link)


def write(runs: Runs) -> None:
    """Write the page and its picture."""
    atomic_write_text(PAGE, as_markdown(runs))
    atomic_write_text(PICTURE, as_picture(runs))


def label(runs: Runs, name: str) -> str:
    """Return the name of a variant, marked where a run of it was made otherwise than it would be made now."""
    return name if all(up_to_date(runs, name, seed) for seed in runs[name]) else f"{name} (earlier)"


def as_picture(runs: Runs) -> str:
    """Draw a dot for each run and the span of its intervals, a panel a measure; SVG."""
    names = [name for name in reversed(VARIANTS) if name in runs]
    labels = [label(runs, name) for name in names]
    with drawing() as draw:
        figure, all_axes = draw(58 + 19 * len(names), 2 * WIDTH, columns=len(DRAWN))
        for place, (axes, (column, (title, low, high))) in enumerate(zip(all_axes, DRAWN.items(), strict=True)):
            for row, name in enumerate(names):
                found = [item for of_seed in runs[name].values() if (item := of_seed["measures"].get(column))]
                if not found:  # nothing to keep of an FVE that is not above 0
                    continue
                color = MAIN if name == "all" else SECOND
                ends = [min(item["low"] for item in found), max(item["high"] for item in found)]
                axes.plot(ends, [row, row], color=color, linewidth=4, alpha=0.3, solid_capstyle="butt")
                axes.plot([item["value"] for item in found], [row] * len(found), "o", color=color, markersize=4)
            axes.set_title(title, loc="left", color=INK)
            axes.set_yticks(range(len(names)), labels if place == 0 else [""] * len(names))
            axes.tick_params(axis="y", labelcolor=INK)
            axes.set_xlim(low - 0.03 * (high - low), high + 0.03 * (high - low))
            axes.set_xticks([low, (low + high) / 2, high])
            axes.grid(axis="both")
            axes.set_axisbelow(True)
            axes.spines["left"].set_visible(False)
        title = "Claims true, held facts mentioned, FVE, and FVE kept in other words, by variant"
        return standalone(Chart("ablation", title, "", as_svg(figure, "ablation", title)))


def as_markdown(runs: Runs) -> str:
    """Return the page: a line for each variant."""
    lines = [
        "# What raises truth",
        "",
        f"Variants of the recipe `{RECIPE}` at a small budget ({', '.join(f'`{item}`' for item in BUDGET)}), written by",
        "`python -m scripts.ablate FOLDER`. Whatever the variant, the verbalizer makes three passes over the teacher's texts, and",
        "the reconstructor two.",
        "",
        f"![{', '.join(title for title, _, _ in DRAWN.values())}, by variant]({PICTURE.name})",
        "",
        "A dot is a seed; a bar, as the brackets below, goes from the lowest low end to the highest high end of their 95 %",
        "intervals over documents. A cell is the mean over the seeds.",
        "",
        f"| variant | seeds | {' | '.join(f'`{name}`' for name in COLUMNS)} |",
        "|---" * (len(COLUMNS) + 2) + "|",
    ]
    present = [name for name in VARIANTS if name in runs]
    for name in present:
        measures = [of_seed["measures"] for of_seed in runs[name].values()]
        cells = [cell(column, [found.get(column) for found in measures]) for column in COLUMNS]
        lines.append(f"| {label(runs, name)} | {len(measures)} | {' | '.join(cells)} |")
    if any(label(runs, name) != name for name in present):
        lines += ["", "`earlier`: with the recipe or the reward as they were before their last change."]
    lines.append("")
    lines += [f"* `{name}`: {VARIANTS[name].about}." for name in present]
    return "\n".join(lines) + "\n"


def cell(name: str, measures: Sequence[Mapping[str, float | None] | None]) -> str:
    """Write the mean of a measure over seeds with the widest interval; a dash where a run does not have it."""
    found = [item for item in measures if item]
    values, lows, highs = (
        [value for item in found if (value := item[key]) is not None] for key in ("value", "low", "high")
    )
    if not values or len(values) < len(measures):
        return "–"
    unit = REGISTRY[name].unit
    mean = format_value(sum(values) / len(values), unit)
    return f"{mean} ({format_value(min(lows), unit)} to {format_value(max(highs), unit)})" if lows and highs else mean


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
