"""The first round of grounding: one half of a pair is taught the teacher's whole text, to find out what the vectors bear out.

The verbalizer learns from the split ``av``, or the reconstructor from ``ar``, as ``ground.by`` needs it. It has a folder of its
own, since what claims are looked for and what score they have to exceed changes nothing of it, and since the warm start goes on
from it (``ground.reuse``).

::

    first-round/
      step-*/          weights of the half that was taught
      checkpoints/     while it is taught
"""

from __future__ import annotations

import shutil
from typing import Any, Literal

from nlakit.config import Recipe, WarmStartConfig, derive_seed, fingerprint
from nlakit.data import annotate
from nlakit.data.annotate import load_explanations
from nlakit.errors import RunError
from nlakit.models.reconstructor import Reconstructor
from nlakit.models.verbalizer import Verbalizer
from nlakit.progress import Progress
from nlakit.runs import RunFolder
from nlakit.train.checkpoints import Checkpoints, State
from nlakit.train.rewording import Reworder
from nlakit.train.rounds import NO_RESULT, Beginning, TaughtRows, reconstructor_half, taught_rows, verbalizer_half
from nlakit.train.supervised import Half, Job, train_half

STAGE = "first-round"
HALVES = {"likelihood": "verbalizer", "swap": "reconstructor"}
"""Which half a sign needs."""
GROUND = "ground"
"""The stage that it serves, which also names the draws."""


def verbalizer(beginning: Beginning, folder: RunFolder, progress: Progress) -> tuple[Verbalizer, TaughtRows]:
    """Return a verbalizer that was taught the teacher's texts, and what it was taught; loaded where it has been taught before."""
    found = beginning.verbalizer()
    rows = _rows(beginning, folder, progress, found, "av")
    half = verbalizer_half(found, rows, _config(beginning.recipe), _seed(beginning.recipe))
    _teach(half, beginning, folder, progress)
    return found, rows


def reconstructor(beginning: Beginning, folder: RunFolder, progress: Progress) -> tuple[Reconstructor, TaughtRows]:
    """Return a reconstructor that was taught the teacher's texts as they are, and what it was taught; loaded likewise."""
    recipe, found = beginning.recipe, beginning.reconstructor()
    rows = _rows(beginning, folder, progress, beginning.verbalizer(), "ar")
    as_they_are = Reworder.of(recipe.corpus.name, 0.0)  # their wording is not what is tested
    variance = beginning.statistics[0].variance
    half = reconstructor_half(found, rows, _config(recipe), variance, as_they_are, _seed(recipe))
    _teach(half, beginning, folder, progress)
    return found, rows


def take_up(half: Half, beginning: Beginning, folder: RunFolder) -> None:
    """Load what the first round taught this half, if the recipe says so and there was a first round of it.

    Raises RunError when that was made with other settings or is gone.
    """
    config, path = beginning.recipe.ground, folder.stage(STAGE).path
    if not config.reuse or half.name != HALVES.get(config.by):
        return
    if _kept(half, folder).resume() is None:
        raise RunError(
            f"{path} is gone, and the warm start is to go on from it; remove {folder.path / GROUND} to ground again"
        )


def fingerprint_of(beginning: Beginning, folder: RunFolder) -> str | None:
    """Return a hash of everything that the weights follow from; None where the recipe needs no first round.

    Raises RunError where there is one that was made with other settings.
    """
    half = HALVES.get(beginning.recipe.ground.by)
    if half is None:
        return None
    settings = _settings(beginning, folder, half)
    folder.check_stage(STAGE, settings, folder.stage(STAGE).path)
    return fingerprint(settings)


def _settings(beginning: Beginning, folder: RunFolder, half: str) -> dict[str, Any]:
    recipe, explained = beginning.recipe, folder.stage(annotate.STAGE)
    others = {f"{other}_{name}" for other in HALVES.values() if other != half for name in ("epochs", "learning_rate")}
    return {
        "store": beginning.store.fingerprint,
        "explanations": fingerprint(explained.settings, explained.outputs),
        "prompts": beginning.prompts.model_dump(mode="json"),
        "adapters": recipe.adapters.model_dump(mode="json"),
        "half": half,
        "training": _config(recipe).model_dump(mode="json", exclude={"rewordings", *others, *NO_RESULT}),
        "seed": recipe.seed,
    }


def _teach(half: Half, beginning: Beginning, folder: RunFolder, progress: Progress) -> None:
    """Train a half and keep its weights, or load them where that was done."""
    recipe, stage, kept = beginning.recipe, folder.stage(STAGE), _kept(half, folder)
    settings = _settings(beginning, folder, half.name)
    if folder.check_stage(STAGE, settings, stage.path) == "done" and kept.resume() is not None:
        progress.say(f"{STAGE}: was done, {stage.path}")
        return
    stage.begin(settings)
    with folder.metrics(STAGE) as metrics:
        checkpoints = stage.path / "checkpoints"
        job = Job("first round", _config(recipe), _seed(recipe), metrics, checkpoints, progress, recipe.memory.fill)
        steps, figures = train_half(half, job)
    kept.save(State(steps))
    stage.finish(settings, figures)
    shutil.rmtree(checkpoints, ignore_errors=True)


def _rows(
    beginning: Beginning, folder: RunFolder, progress: Progress, counting: Verbalizer, split: Literal["av", "ar"]
) -> TaughtRows:
    recipe = beginning.recipe
    row_ids, texts = load_explanations(folder.stage(annotate.STAGE).path, split)
    rows = taught_rows(beginning.store, row_ids.tolist(), texts, counting, _config(recipe), recipe.seed, split)
    rows.tell(progress, "first round", split, recipe.train.max_new_tokens)
    return rows


def _config(recipe: Recipe) -> WarmStartConfig:
    """Return how the warm start is taught, for as many passes as grounding wants."""
    epochs = {"verbalizer_epochs": recipe.ground.epochs, "reconstructor_epochs": recipe.ground.epochs}
    return recipe.warm_start.model_copy(update=epochs)


def _seed(recipe: Recipe) -> int:
    return derive_seed(recipe.seed, GROUND)


def _kept(half: Half, folder: RunFolder) -> Checkpoints:
    return Checkpoints(folder.stage(STAGE).path, {half.name: half.module}, {})
