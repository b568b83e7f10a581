"""What a round of supervised training begins from: fresh halves on the target, rows with texts, and what each half learns.

The warm start is one such round; grounding has a first one to find out what the vectors bear out.

Axes: N rows, B rows of a batch, T tokens, D vector width.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import torch
from torch import Tensor

from nlakit.config import AdapterConfig, Recipe, WarmStartConfig, derive_seed
from nlakit.data import annotate, extract
from nlakit.data.store import Store
from nlakit.errors import InputError
from nlakit.models.adapters import uses_adapters
from nlakit.models.compute import Compute
from nlakit.models.reconstructor import Reconstructor
from nlakit.models.sites import Site, resolve_site
from nlakit.models.target import Target
from nlakit.models.verbalizer import Verbalizer
from nlakit.progress import Progress
from nlakit.prompts import Prompts, resolve_prompts
from nlakit.runs import RunFolder
from nlakit.train.batches import permutation, validation_rows
from nlakit.train.optimise import require_finite
from nlakit.train.rewording import Reworder
from nlakit.train.rollout import text_errors
from nlakit.train.supervised import Half
from nlakit.train.validation import BATCH_ROWS, ValidationRows, cross_entropies
from nlakit.vectors import VectorStats, direction_error, fve

LABEL = "warm-start"
"""Names the draws of validation rows and statistics; both rounds make the same ones."""

NO_RESULT = {"checkpoint_every", "log_every"}
"""Settings of supervised training that change nothing of what is learnt, so that a run may go on with others."""
VALIDATION_ROWS = 128
"""Rows of each split set aside for the validation loss."""
STATS_ROWS = 65_536
"""Mean, variance and norms are taken from at most this many rows of the store, drawn at random."""


@dataclass(frozen=True)
class Beginning:
    """Target, store and prompts of a run, checked against its recipe: what fresh halves are made from."""

    recipe: Recipe
    store: Store
    target: Target
    site: Site
    prompts: Prompts
    adapters: AdapterConfig | None

    @classmethod
    def of(cls, recipe: Recipe, folder: RunFolder) -> Self:
        """Open them; RunError when an earlier stage is missing, or was made with other settings."""
        store = extract.open_store(folder)
        target = Target.load(recipe.target.model, recipe.target.revision, recipe.target.dtype)
        site = resolve_site(target, recipe.target.site)
        extract.require_store_of(recipe, store, target, site)
        annotate.require_teacher_of(recipe, folder)
        adapters = recipe.adapters if uses_adapters(recipe.adapters, target) else None
        return cls(recipe, store, target, site, resolve_prompts(target, recipe.prompts), adapters)

    @cached_property
    def statistics(self) -> tuple[VectorStats, float]:
        """Mean and variance of the directions, and the injection scale."""
        return training_statistics(self.store, self.recipe.warm_start.injection_scale, self.recipe.seed)

    def verbalizer(self) -> Verbalizer:
        """Make a verbalizer that has learnt nothing yet."""
        verbalizer = Verbalizer.from_target(
            self.target,
            self.prompts,
            injection_scale=self.statistics[1],
            max_new_tokens=self.recipe.train.max_new_tokens,
            adapters=self.adapters,
        )
        verbalizer.self_check()
        verbalizer.compute = Compute.of(self.recipe.memory, verbalizer.model, self.target.dtype)
        return verbalizer

    def reconstructor(self) -> Reconstructor:
        """Make a reconstructor that has learnt nothing yet."""
        reconstructor = Reconstructor.from_target(self.target, self.site, self.prompts, self.adapters)
        reconstructor.compute = Compute.of(self.recipe.memory, reconstructor.backbone, self.target.dtype)
        return reconstructor


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

    def tell(self, progress: Progress, title: str, split: str, limit: int) -> None:
        """Say how many explanations are too long to be taught, or to be written later; nothing where none is."""
        if self.left_out:
            progress.say(
                f"{title}: {self.left_out:,} of {self.left_out + len(self.texts):,} explanations of the split {split!r} are longer "
                "than warm_start.max_explanation_tokens and are left out"
            )
        longer = sum(len(tokens) > limit for tokens in self.ids)
        if longer and split == "av":
            progress.say(
                f"{title}: {longer:,} of {len(self.ids):,} explanations have more tokens than train.max_new_tokens ({limit}): "
                "where the verbalizer writes like them, it will be cut off; raise that setting"
            )

    def vectors(self, rows: list[int]) -> Tensor:
        """Read the vectors of rows from the store; (B, D), float32."""
        return self.store.vectors([self.row_ids[row] for row in rows])


def taught_rows(
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
    training, validation = validation_rows(documents, VALIDATION_ROWS, seed, LABEL, split)
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


def verbalizer_half(verbalizer: Verbalizer, rows: TaughtRows, config: WarmStartConfig, seed: int) -> Half:
    """Teach the verbalizer to write the teacher's text from the injected vector.

    Loss: mean cross-entropy, nats per token, over the tokens of the completion (tags, text, end of text).
    """
    documents = [rows.documents[row] for row in rows.validation]
    validation = ValidationRows.of(rows.vectors(rows.validation), documents, seed, LABEL)
    lengths = [len(rows.ids[row]) for row in rows.training]

    def loss(examples: list[int], step: int, what: str) -> Tensor:  # noqa: ARG001 - the loop names the step itself
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
    reconstructor: Reconstructor,
    rows: TaughtRows,
    config: WarmStartConfig,
    variance: float,
    reworder: Reworder,
    seed: int,
) -> Half:
    """Teach the reconstructor to rebuild the vector from the teacher's text, a share of it in other words at each step.

    Loss: mean direction error 2(1 - cos).
    """
    ids = reconstructor.token_ids(rows.texts)

    def loss(examples: list[int], step: int, what: str) -> Tensor:
        batch = [rows.training[example] for example in examples]
        heard = reworder.some([rows.texts[row] for row in batch], batch, derive_seed(seed, LABEL, "heard", step))
        # Other words that are too long for the window give way to the teacher's own.
        texts = [found or ids[row] for row, found in zip(batch, reconstructor.fitting_ids(heard), strict=True)]
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
    # Drawn at random: every n-th row could be the same place of every document.
    order_N = permutation(len(ids), seed, LABEL, "statistics")
    vectors_ND = store.vectors(sorted(ids[place] for place in order_N[:STATS_ROWS].tolist()))
    if injection_scale is None:
        injection_scale = float(torch.quantile(vectors_ND.norm(dim=1), 0.75))
    return VectorStats.fit(vectors_ND), injection_scale


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
