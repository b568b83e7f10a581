"""A recipe from start to end: which stages there are, in which order, and which are already done."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

from nlakit.config import NOTHING, Recipe
from nlakit.data.teachers import Priced, load_teacher
from nlakit.errors import ConfigError
from nlakit.progress import Progress
from nlakit.runs import RunFolder

StageFunction = Callable[[Recipe, RunFolder, Progress], Path]

GROW, GROUND = "grow", "ground"
STAGES: dict[str, str] = {
    GROW: "nlakit.train.grow:run",
    "extract": "nlakit.data.extract:run",
    "annotate": "nlakit.data.annotate:run",
    GROUND: "nlakit.train.ground:run",
    "warm-start": "nlakit.train.warm_start:run",
    "train": "nlakit.train.grpo:run",
    "evaluate": "nlakit.evaluate.runner:run",
    "report": "nlakit.evaluate.report:run",
}
"""Stage name -> its function; a stage imports nothing before it runs. Each one but the report skips itself when it is done."""


def stages_of(recipe: Recipe) -> list[str]:
    """Return the stages of a recipe in their order; ``grow`` and ``ground`` only where the recipe asks for them."""
    left_out = {GROW: not recipe.grown, GROUND: recipe.ground.by == NOTHING}
    return [name for name in STAGES if not left_out.get(name)]


def run_recipe(recipe: Recipe, path: Path, progress: Progress) -> Path:
    """Do all stages of a recipe in the folder ``path`` and return the report's path."""
    return run_stages(recipe, RunFolder(path), progress)["report"]


def run_stages(
    recipe: Recipe, folder: RunFolder, progress: Progress, stages: Sequence[str] | None = None
) -> dict[str, Path]:
    """Do some stages in the given order, or all of the recipe, while holding the folder; return where each one's output is.

    A stage that is done with the same settings is skipped. One that was made with other settings is a
    :class:`~nlakit.errors.RunError` naming the settings; one whose predecessor is missing likewise.
    """
    stages = stages_of(recipe) if stages is None else stages
    if GROW in stages and not recipe.grown:
        raise ConfigError(
            f"the recipe {recipe.name!r} reads the target {recipe.target.model!r}, so there is nothing to grow; that is for "
            "recipes with target.model = 'grown', such as real-text"
        )
    if GROUND in stages and recipe.ground.by == NOTHING:
        raise ConfigError(
            f"the recipe {recipe.name!r} takes the teacher's texts as they are (ground.by = 'nothing'), so there is nothing to "
            "ground; give --set ground.by=likelihood, or take a recipe that grounds, such as terrarium-full"
        )
    if "annotate" in stages:
        teacher = load_teacher(recipe.annotate)  # a misspelt one is told now, not behind the extraction
        if isinstance(teacher, Priced) and not (folder.stage("annotate").path / "done.json").exists():
            teacher.check()  # so is a missing key
    outputs: dict[str, Path] = {}
    with folder.lock(), folder.recording(recipe):
        for name in stages:
            before = folder.done_markers()
            started = time.monotonic()
            progress.say(f"{name} ...")
            outputs[name] = load_stage(name)(_with_target(recipe, folder, name), folder, progress)
            skipped = before == folder.done_markers()
            state = "was done" if skipped else f"done in {_duration(time.monotonic() - started)}"
            progress.say(f"{name}: {state}, {outputs[name]}")
    return outputs


def _with_target(recipe: Recipe, folder: RunFolder, stage: str) -> Recipe:
    """Put the folder of the target that the run has grown in place of the word ``grown``, for the stages that read it."""
    if not recipe.grown or stage in (GROW, "report"):
        return recipe
    from nlakit.train.grow import grown_target

    target = recipe.target.model_copy(update={"model": str(grown_target(recipe, folder))})
    return recipe.model_copy(update={"target": target})


def load_stage(name: str) -> StageFunction:
    """Import and return the function of a stage."""
    module, _, function = STAGES[name].partition(":")
    found: StageFunction = getattr(import_module(module), function)
    return found


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
