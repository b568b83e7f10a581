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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nlakit.card import Card, TargetRecord
from nlakit.config import Recipe, WarmStartConfig, fingerprint
from nlakit.data import annotate, extract
from nlakit.data.annotate import load_explanations
from nlakit.data.store import Store
from nlakit.errors import InputError
from nlakit.models.adapters import uses_adapters
from nlakit.models.compute import Compute
from nlakit.models.pair import Pair
from nlakit.models.reconstructor import Reconstructor
from nlakit.models.sites import resolve_site
from nlakit.models.target import Target
from nlakit.models.verbalizer import Verbalizer
from nlakit.progress import Progress
from nlakit.prompts import Prompts, resolve_prompts
from nlakit.runs import RunFolder
from nlakit.train.batches import permutation, validation_rows
from nlakit.train.optimise import require_finite
from nlakit.train.rollout import text_errors
from nlakit.train.supervised import Half, Job, train_half
from nlakit.train.validation import BATCH_ROWS, ValidationRows, cross_entropies
from nlakit.vectors import VectorStats, direction_error, fve

STAGE = "warm-start"

VALIDATION_ROWS = 128
"""Rows of each split set aside for the validation loss."""
STATS_ROWS = 65_536
"""Mean, variance and norms are taken from at most this many rows, evenly spread over the store."""


@dataclass(frozen=True)
class TaughtRows:
    """Rows of one split with the teacher's explanations, those for validation apart."""

    store: Store
    row_ids: list[int]
    documents: list[str]
    texts: list[str]
    ids: list[list[int]]
    """Tokens of each completion: tags, text and end of text."""
    training: list[int]
    """Indices into the lists above."""
    validation: list[int]
    left_out: int
    """Rows whose text is longer than ``max_explanation_tokens``."""

    def vectors(self, rows: list[int]) -> Tensor:
        """Read the vectors of rows from the store; (B, D), float32."""
        return self.store.vectors([self.row_ids[row] for row in rows])


def run(recipe: Recipe, folder: RunFolder, progress: Progress) -> Path:
    """Warm-start both halves and return the folder of the pair; goes on where an earlier attempt stopped.

    Raises:
        RunError: if an earlier stage is missing, or what is there was made with other settings.
        InputError: if a split has too few rows or documents to learn from.
        DivergedError: if a loss or gradient is not finite; the last checkpoint is kept.
    """
    store = extract.open_store(folder)
    stage = folder.stage(STAGE)
    target = Target.load(recipe.target.model, recipe.target.revision, recipe.target.dtype)
    site = resolve_site(target, recipe.target.site)
    extract.require_store_of(recipe, store, target, site)
    annotate.require_teacher_of(recipe, folder)
    prompts = resolve_prompts(target, recipe.prompts)
    taught = {split: _explained(folder, split) for split in ("av", "ar")}
    adapters = recipe.adapters if uses_adapters(recipe.adapters, target) else None
    settings = {
        "store": store.fingerprint,
        "explanations": {split: fingerprint(rows, texts) for split, (rows, texts) in taught.items()},
        "prompts": prompts.model_dump(mode="json"),
        "adapters": recipe.adapters.model_dump(mode="json"),
        "warm_start": recipe.warm_start.model_dump(mode="json"),
        "seed": recipe.seed,
    }
    output = stage.path / "pair"
    if folder.check_stage(STAGE, settings, output) == "done":
        return output
    stats, scale = training_statistics(store, recipe.warm_start.injection_scale, recipe.seed)
    verbalizer = Verbalizer.from_target(
        target, prompts, injection_scale=scale, max_new_tokens=recipe.train.max_new_tokens, adapters=adapters
    )
    reconstructor = Reconstructor.from_target(target, site, prompts, adapters)
    rows = {
        split: _taught_rows(store, *taught[split], verbalizer, recipe.warm_start, recipe.seed, split)
        for split in taught
    }
    verbalizer.self_check()
    verbalizer.compute = Compute.of(recipe.memory, verbalizer.model, target.dtype)
    reconstructor.compute = Compute.of(recipe.memory, reconstructor.backbone, target.dtype)
    stage.begin(settings)
    with folder.metrics(STAGE) as metrics:
        job = Job(recipe.warm_start, recipe.seed, metrics, stage.path / "checkpoints", progress, recipe.memory.fill)
        steps, written = train_half(verbalizer_half(verbalizer, rows["av"], job.config, job.seed), job)
        half = reconstructor_half(reconstructor, rows["ar"], job.config, stats.variance)
        _, rebuilt = train_half(half, job, first_step=steps)
    figures = {
        **written,
        **rebuilt,
        **{f"rows_{split}": len(found.training) for split, found in rows.items()},
        **{f"rows_too_long_{split}": found.left_out for split, found in rows.items()},
    }
    teacher = annotate.recorded_teacher(folder)
    card = _card(recipe, store, target, str(site), prompts, scale, stats, figures, teacher)
    Pair(target, verbalizer, reconstructor, card).save(output)
    stage.finish(settings, {"pair": fingerprint(weight_hashes(output)), **figures})
    shutil.rmtree(job.checkpoints, ignore_errors=True)
    return output


def _card(
    recipe: Recipe,
    store: Store,
    target: Target,
    site: str,
    prompts: Prompts,
    scale: float,
    stats: VectorStats,
    figures: dict[str, float],
    teacher: dict[str, Any],
) -> Card:
    """The contract between both halves, the target and the data; ``teacher`` is what a teacher wants to be kept of it."""
    return Card(
        name=recipe.name,
        target=TargetRecord.of(target),
        site=site,
        prompts=prompts,
        injection_scale=scale,
        max_new_tokens=recipe.train.max_new_tokens,
        stats=stats,
        data={
            "corpus": recipe.corpus.model_dump(mode="json"),
            "corpus_fingerprint": store.settings["corpus"]["fingerprint"],
            "extract": recipe.extract.model_dump(mode="json", exclude={"workers"}),
            "annotate": annotate.teacher_settings(recipe.annotate),
            **({"teacher": teacher} if teacher else {}),
            "seed": recipe.seed,
        },
        training={"warm_start": {"settings": recipe.warm_start.model_dump(mode="json"), "figures": figures}},
    )


def verbalizer_half(verbalizer: Verbalizer, rows: TaughtRows, config: WarmStartConfig, seed: int) -> Half:
    """Teach the verbalizer to write the teacher's text from the injected vector.

    Loss: mean cross-entropy, nats per token, over the tokens of the completion (tags, text, end of text).
    """
    documents = [rows.documents[row] for row in rows.validation]
    validation = ValidationRows.of(rows.vectors(rows.validation), documents, seed, STAGE)
    lengths = [len(rows.ids[row]) for row in rows.training]

    def loss(examples: list[int], what: str) -> Tensor:  # noqa: ARG001 - the loop names the step itself
        batch = [rows.training[example] for example in examples]
        log_probs_BT, mask_BT = verbalizer.log_probs(rows.vectors(batch), [rows.ids[row] for row in batch])
        return -(log_probs_BT * mask_BT).sum()

    return Half(
        "verbalizer",
        verbalizer.model,
        config.verbalizer_learning_rate,
        config.verbalizer_epochs,
        lengths,
        lengths,
        loss,
        lambda: cross_entropies(verbalizer, validation, [rows.ids[row] for row in rows.validation]),
        lambda found: f"loss {found:.3f}",
    )


def reconstructor_half(
    reconstructor: Reconstructor, rows: TaughtRows, config: WarmStartConfig, variance: float
) -> Half:
    """Teach the reconstructor to rebuild the vector from the teacher's text. Loss: mean direction error 2(1 - cos)."""
    ids = reconstructor.token_ids(rows.texts)

    def loss(examples: list[int], what: str) -> Tensor:
        batch = [rows.training[example] for example in examples]
        texts = [ids[row] for row in batch]
        return text_errors(reconstructor, texts, rows.vectors(batch), what).sum()

    return Half(
        "reconstructor",
        reconstructor,
        config.reconstructor_learning_rate,
        config.reconstructor_epochs,
        [len(ids[row]) for row in rows.training],
        [1] * len(rows.training),
        loss,
        lambda: _reconstruction(reconstructor, rows, variance),
        lambda found: f"error {found:.3f}, FVE {1 - found / variance:.3f}",
    )


def training_statistics(store: Store, injection_scale: float | None, seed: int) -> tuple[VectorStats, float]:
    """Return mean and variance of the directions, and the injection scale, from the rows that are not held out.

    Args:
        store: the rows.
        injection_scale: taken as it is; None for the 75th percentile of the row norms (paper, section 1.3).
        seed: of the draw, where there are more rows than are looked at.
    """
    ids = sorted(row for split in ("av", "ar", "rl") for row in store.rows(split, ["row_id"])["row_id"].to_pylist())
    # Drawn by lot: every n-th row could be the same place of every document.
    order_N = permutation(len(ids), seed, STAGE, "statistics")
    vectors_ND = store.vectors(sorted(ids[place] for place in order_N[:STATS_ROWS].tolist()))
    if injection_scale is None:
        injection_scale = float(torch.quantile(vectors_ND.norm(dim=1), 0.75))
    return VectorStats.fit(vectors_ND), injection_scale


def weight_hashes(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every safetensors file below a folder, by its path there."""
    found = {}
    for path in sorted(folder.rglob("*.safetensors")):
        with path.open("rb") as file:
            found[path.relative_to(folder).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def _explained(folder: RunFolder, split: str) -> tuple[list[int], list[str]]:
    """Return (row ids, texts) of a split's usable explanations; RunError when the stage before is not finished."""
    stage = folder.stage(annotate.STAGE)
    _ = stage.outputs
    row_ids, texts = load_explanations(stage.path, split)
    return [int(row) for row in row_ids], texts


def _taught_rows(
    store: Store,
    row_ids: list[int],
    texts: list[str],
    verbalizer: Verbalizer,
    config: WarmStartConfig,
    seed: int,
    split: str,
) -> TaughtRows:
    """Tokenise once, leave out what is too long, and set validation documents aside."""
    ids = [verbalizer.encode_explanation(text) for text in texts]
    limit = min(config.max_explanation_tokens, verbalizer.room)
    kept = [row for row, tokens in enumerate(ids) if len(tokens) <= limit]
    if not kept:
        raise InputError(
            f"all {len(ids)} explanations of the split {split!r} are longer than warm_start.max_explanation_tokens "
            f"({config.max_explanation_tokens}); the shortest has {min(map(len, ids), default=0)} tokens. Raise that setting"
        )
    table = store.rows(split, ["row_id", "document_id"])
    document_of = dict(zip(table["row_id"].to_pylist(), table["document_id"].to_pylist(), strict=True))
    documents = [document_of[row_ids[row]] for row in kept]
    training, validation = validation_rows(documents, VALIDATION_ROWS, seed, STAGE, split)
    return TaughtRows(
        store=store,
        row_ids=[row_ids[row] for row in kept],
        documents=documents,
        texts=[texts[row] for row in kept],
        ids=[ids[row] for row in kept],
        training=training,
        validation=validation,
        left_out=len(ids) - len(kept),
    )


@torch.no_grad()
def _reconstruction(reconstructor: Reconstructor, rows: TaughtRows, variance: float) -> dict[str, float]:
    """Error and FVE of the reconstructor on the teacher's texts of the validation rows."""
    texts = [rows.texts[row] for row in rows.validation]
    guesses_ND = reconstructor.reconstruct(texts, batch_size=BATCH_ROWS).cpu()
    require_finite(guesses_ND, "warm start: the reconstructor's output")
    vectors_ND = rows.vectors(rows.validation)
    errors_N = direction_error(guesses_ND, vectors_ND)
    return {
        "reconstructor_validation_error": float(errors_N.mean()),
        "fve_teacher_text": fve(errors_N, variance),
    }
