"""Stage 3, warm start: both halves learn from the teacher's explanations before any reinforcement learning.

The verbalizer learns to write the teacher's text from the vector (split ``av``), the reconstructor to rebuild the vector from
the teacher's text (split ``ar``); the two never see a document in common. Without this stage copies of the target write
nonsense in place of explanations, and FVE can rise on nonsense (paper, warm start).

::

    warm-start/
      pair/           a whole pair: card, verbalizer, reconstructor
      checkpoints/    while the stage runs

Differs from the paper's released code: rows of a fifth of the documents at most are set aside for validation, and texts
that are too long are left out and counted instead of cut.

Axes: N rows, B rows of a batch, T tokens, D vector width.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nlakit.card import Card, TargetRecord
from nlakit.claims.readers import fitted_reader, kept_claims
from nlakit.config import NOTHING, Recipe, fingerprint
from nlakit.data import annotate
from nlakit.data.annotate import load_explanations
from nlakit.models.pair import Pair
from nlakit.progress import Progress
from nlakit.runs import RunFolder
from nlakit.train import first_round, ground
from nlakit.train.rewording import Reworder
from nlakit.train.rounds import NO_RESULT, Beginning, reconstructor_half, taught_rows, verbalizer_half
from nlakit.train.supervised import Job, train_half

STAGE = "warm-start"


def run(recipe: Recipe, folder: RunFolder, progress: Progress) -> Path:
    """Warm-start both halves and return the folder of the pair; goes on where an earlier attempt stopped.

    Raises:
        RunError: if an earlier stage is missing, or what is there was made with other settings.
        InputError: if a split has too few rows or documents to learn from.
        DivergedError: if a loss or gradient is not finite; the last checkpoint is kept.
    """
    stage = folder.stage(STAGE)
    beginning = Beginning.of(recipe, folder)
    taught = {split: explained(recipe, folder, split) for split in ground.TAUGHT_SPLITS}
    settings, output = _settings(beginning, folder, taught), stage.path / "pair"
    if folder.check_stage(STAGE, settings, output) == "done":
        return output
    verbalizer, reconstructor = beginning.verbalizer(), beginning.reconstructor()
    rows = {
        split: taught_rows(beginning.store, *found, verbalizer, recipe.warm_start, recipe.seed, split)
        for split, found in taught.items()
    }
    for split, found in rows.items():
        found.tell(progress, "warm start", split, recipe.train.max_new_tokens)
    stage.begin(settings)
    reworder = Reworder.of(recipe.corpus.name, recipe.warm_start.rewordings)
    with folder.metrics(STAGE) as metrics:
        config, seed, checkpoints = recipe.warm_start, recipe.seed, stage.path / "checkpoints"
        job = Job("warm start", config, seed, metrics, checkpoints, progress, recipe.memory.fill)
        variance = beginning.statistics[0].variance
        writes = verbalizer_half(verbalizer, rows["av"], config, seed)
        rebuilds = reconstructor_half(reconstructor, rows["ar"], config, variance, reworder, seed)
        for half in (writes, rebuilds):
            first_round.take_up(half, beginning, folder)
        steps, written = train_half(writes, job)
        _, rebuilt = train_half(rebuilds, job, first_step=steps)
    figures = {
        **written,
        **rebuilt,
        **{f"rows_{split}": len(found.training) for split, found in rows.items()},
        **{f"rows_too_long_{split}": found.left_out for split, found in rows.items()},
    }
    teacher = annotate.recorded_teacher(folder)
    reader = fitted_reader(recipe.corpus.name, rows["av"].texts, silence=recipe.ground.silence)
    claims = kept_claims(reader, rows["av"].texts)
    card = _card(beginning, figures, teacher, claims)
    Pair(beginning.target, verbalizer, reconstructor, card).save(output)
    stage.finish(settings, {"pair": fingerprint(weight_hashes(output)), **figures})
    shutil.rmtree(job.checkpoints, ignore_errors=True)
    return output


def _settings(
    beginning: Beginning, folder: RunFolder, taught: Mapping[str, tuple[list[int], list[str]]]
) -> dict[str, Any]:
    """Return everything that the weights follow from."""
    recipe = beginning.recipe
    return {
        "store": beginning.store.fingerprint,
        "explanations": {split: fingerprint(rows, texts) for split, (rows, texts) in taught.items()},
        "prompts": beginning.prompts.model_dump(mode="json"),
        "adapters": recipe.adapters.model_dump(mode="json"),
        "warm_start": recipe.warm_start.model_dump(mode="json", exclude=NO_RESULT),
        "first_round": first_round.fingerprint_of(beginning, folder) if recipe.ground.reuse else None,
        "seed": recipe.seed,
    }


def _card(beginning: Beginning, figures: dict[str, float], teacher: dict[str, Any], claims: dict[str, Any]) -> Card:
    """The contract between both halves, the target and the data; ``teacher`` and ``claims`` are what is kept of who wrote it."""
    recipe, (stats, scale) = beginning.recipe, beginning.statistics
    return Card(
        name=recipe.name,
        target=TargetRecord.of(beginning.target),
        site=str(beginning.site),
        prompts=beginning.prompts,
        injection_scale=scale,
        max_new_tokens=recipe.train.max_new_tokens,
        stats=stats,
        data={
            "corpus": recipe.corpus.model_dump(mode="json"),
            "corpus_fingerprint": beginning.store.settings["corpus"]["fingerprint"],
            "extract": recipe.extract.model_dump(mode="json", exclude={"workers"}),
            "annotate": annotate.teacher_settings(recipe.annotate),
            "ground": recipe.ground.model_dump(mode="json"),
            "claims": claims,
            **({"teacher": teacher} if teacher else {}),
            "seed": recipe.seed,
        },
        training={"warm_start": {"settings": recipe.warm_start.model_dump(mode="json"), "figures": figures}},
    )


def weight_hashes(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every safetensors file below a folder, by its path there."""
    found = {}
    for path in sorted(folder.rglob("*.safetensors")):
        with path.open("rb") as file:
            found[path.relative_to(folder).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def explained(recipe: Recipe, folder: RunFolder, split: str) -> tuple[list[int], list[str]]:
    """Return (row ids, texts) of a split's usable explanations.

    RunError when the stage before is not finished, or was made with other settings.
    """
    stage = folder.stage(annotate.STAGE)
    if recipe.ground.by != NOTHING:
        ground.require_grounding_of(recipe, folder)
        stage = folder.stage(ground.STAGE)
    _ = stage.outputs
    row_ids, texts = load_explanations(stage.path, split)
    return [int(row) for row in row_ids], texts
