"""What is examined: the parts of a model, a pair, a run or a store, as far as they open, and vectors to try them with.

Axes: N rows, T tokens, D width of a vector.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from nlakit.card import Card
from nlakit.config import SPLITS, derive_seed
from nlakit.data.store import Store
from nlakit.errors import InternalError
from nlakit.evaluate.evaluation import Evaluation
from nlakit.models.inject import Arrival
from nlakit.models.pair import Pair
from nlakit.models.reconstructor import Reconstructor
from nlakit.models.sites import Site, default_site
from nlakit.models.target import Target
from nlakit.models.verbalizer import Verbalizer
from nlakit.runs import RunFolder, read_metrics
from nlakit.train.validation import ValidationRows

T = TypeVar("T")

TEXTS = (
    "One morning, Mia put the key in the box by the window and went out into the garden. The box was empty when she came back.",
    "The train to the north leaves at nine from platform two. Anyone who misses it has to wait for three hours.",
    "Dear Tom, thank you for the letter. We counted twelve apples, seven pears and one plum this year, and the tree is well.",
)
"""Texts that the target reads where there is no store; our own."""
EXPLANATIONS = (
    "A key.",
    "A text about a box and a key that is looked for in the garden.",
    "The next word names a train.",
)
"""Texts of different lengths that the reconstructor reads."""
TEXT_TOKENS = 64
"""Tokens of a text that are read at most."""
ROWS = 16
"""Vectors that are tried where all of them are needed."""


@dataclass
class Subject:
    """The parts of what is examined; a part that is not there, or does not open, is ``None``.

    The verbalizer and the reconstructor of a bare model are those that a pair of it would start from; they share its weights
    and are not trained.
    """

    name: str
    target: Target | None = None
    card: Card | None = None
    """The pair's card; of a bare model none."""
    verbalizer: Verbalizer | None = None
    reconstructor: Reconstructor | None = None
    folder: Path | None = None
    """Folder of the pair in nlakit's own layout."""
    run: RunFolder | None = None
    store: Store | None = None
    closed: dict[str, str] = field(default_factory=dict)
    """What does not open, with the reason."""

    @cached_property
    def pair(self) -> Pair | None:
        """The pair, where it has all its parts but perhaps the target."""
        if self.card is None or self.verbalizer is None or self.reconstructor is None:
            return None
        return Pair(self.target, self.verbalizer, self.reconstructor, self.card)

    @cached_property
    def reader(self) -> Pair | None:
        """The pair with its target."""
        return self.pair if self.target is not None else None

    @cached_property
    def trained(self) -> Pair | None:
        """The pair, where it was trained."""
        return self.pair if self.pair is not None and self.pair.trained else None

    @cached_property
    def prompting(self) -> Any:
        """The tokenizer that writes the prompts, where there is a card and a verbalizer or target to take it from."""
        owner = self.verbalizer or self.target
        return None if self.card is None or owner is None else owner.tokenizer

    @property
    def tokenizer(self) -> Any:
        """The tokenizer of the first part that has one."""
        return next(part.tokenizer for part in (self.target, self.verbalizer, self.reconstructor) if part is not None)

    @cached_property
    def site(self) -> Site:
        """Where the target is read: by the card, by the store, or at two-thirds depth."""
        if self.card is not None:
            return Site.parse(self.card.site)
        if self.store is not None and "site" in self.store.settings:
            return Site.parse(self.store.settings["site"])
        return default_site(present(self.target))

    @cached_property
    def rows(self) -> ValidationRows:
        """Some vectors of different documents, each with one of another document beside it.

        Held-out rows of the store, else read from :data:`TEXTS`; random directions where there is no target either.
        """
        if self.store is not None and (found := _store_rows(self.store)) is not None:
            return found
        if self.target is not None:
            return read_rows(self.target, self.site)
        width = (self.verbalizer or self.reconstructor).width  # type: ignore[union-attr]
        vectors_ND = torch.randn((ROWS, width), generator=torch.Generator().manual_seed(0))
        return ValidationRows.of(vectors_ND, [str(row) for row in range(ROWS)], 0, "doctor")

    @cached_property
    def arrival(self) -> Arrival:
        """What becomes of vectors that are injected; raises ``InternalError`` where none is."""
        return present(self.verbalizer).measure_injection()

    @cached_property
    def history(self) -> list[dict[str, Any]] | None:
        """Metrics of the run's reinforcement learning, oldest first; ``None`` before its first step."""
        if self.run is None:
            return None
        return read_metrics(self.run.path / "metrics.jsonl", "train") or None

    @cached_property
    def evaluation(self) -> Evaluation | None:
        """What the run's evaluation found; ``None`` before it. Raises ``RunError`` for a damaged record."""
        if self.run is None or not (self.run.stage("evaluate").path / "done.json").is_file():
            return None
        return Evaluation.load(self.run.stage("evaluate").path)

    def has(self, part: str) -> bool:
        """Whether a part is there."""
        return getattr(self, part) is not None


def _store_rows(store: Store) -> ValidationRows | None:
    """Draw one row each of some documents, of held-out ones first; ``None`` for a store with fewer than two documents."""
    chosen: dict[str, int] = {}
    for split in reversed(SPLITS):
        table = store.rows(split, ["row_id", "document_id"])
        last = dict(zip(table["document_id"].to_pylist(), table["row_id"].to_pylist(), strict=True))
        for document in sorted(last, key=lambda document: derive_seed(0, "doctor", document))[: ROWS - len(chosen)]:
            chosen[document] = last[document]
    if len(chosen) < 2:
        return None
    return ValidationRows.of(store.vectors(list(chosen.values())), list(chosen), 0, "doctor")


def read_rows(target: Target, site: Site) -> ValidationRows:
    """Read the last tokens of the texts, where the vectors know most."""
    vectors, documents = [], []
    for number, text in enumerate(TEXTS):
        ids = target.encode(text, literal=True, max_tokens=TEXT_TOKENS).ids
        vectors_TD = site.read(target, torch.tensor([ids], device=target.device))[0].float().cpu()
        chosen_TD = vectors_TD[-(ROWS // len(TEXTS)) :]
        vectors.append(chosen_TD)
        documents += [f"text {number}"] * len(chosen_TD)
    return ValidationRows.of(torch.cat(vectors), documents, 0, "doctor")


def present(part: T | None) -> T:
    """Return a part that a look has declared to need."""
    if part is None:
        raise InternalError("a check looked at a part that it does not declare to need")
    return part


def times(count: int) -> str:
    """Say how often."""
    words = ("never", "once", "twice")
    return words[count] if count < len(words) else f"{count} times"


def apart(one: Tensor, other: Tensor, model: Any) -> float:
    """Largest distance of two sets of rows (N, D) from each other, as a share of the mean norm of the first.

    Of a model in bfloat16 the median: a rounding there can choose other experts, and a mistake shows in every row. Infinite
    where a number is not finite.
    """
    distance_N = (one.float().cpu() - other.float().cpu()).norm(dim=-1)
    exact = next(model.parameters()).dtype == torch.float32
    share = float((distance_N.max() if exact else distance_N.median()) / one.float().cpu().norm(dim=-1).mean())
    return share if share == share else float("inf")
