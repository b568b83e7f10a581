"""Which rows are in which batch: pure functions of (seed, label, step).

A resumed run asks for step 1,000 and gets the batch that the unbroken run had there; no state of a random generator is saved.

Axes: N rows, B rows of one batch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from nlakit.config import derive_seed
from nlakit.errors import InputError

WINDOW_BATCHES = 32
"""Batches of similar length are cut from windows of this many batches of shuffled rows: nearly all padding goes, and a
window is wide enough that the lengths of a batch say little about which rows are in it."""


def permutation(count: int, seed: int, *labels: object) -> Tensor:
    """Return a random order of ``range(count)`` that depends only on the seed and the labels; shape (count,), int64."""
    generator = torch.Generator().manual_seed(derive_seed(seed, *labels))
    return torch.randperm(count, generator=generator)


@dataclass
class EpochBatches:
    """Passes over all rows in a new keyed order each epoch, cut into batches of similar length.

    Every row is in exactly one batch of an epoch; the last batch of an epoch may be smaller.
    """

    lengths: Sequence[int]
    """Tokens of each row, for bucketing."""
    batch_size: int
    seed: int
    label: str
    """Names the stream: two stages with one seed draw independent orders."""
    _cache: tuple[int, list[list[int]]] = field(default=(-1, []), init=False, repr=False)

    def __post_init__(self) -> None:
        """Refuse what has no batches."""
        if not self.lengths or self.batch_size < 1:
            raise InputError(
                f"{self.label}: got {len(self.lengths)} rows and batch_size {self.batch_size}; expected at least one of each"
            )

    @property
    def per_epoch(self) -> int:
        """Batches in one epoch."""
        return -(-len(self.lengths) // self.batch_size)

    def steps(self, epochs: float) -> int:
        """Optimiser steps in this many epochs, fractions rounded up; 0 for 0 epochs."""
        return max(0, math.ceil(round(self.per_epoch * epochs, 6)))  # 1.1 epochs of 100 batches are 110.00000000000001

    def at(self, step: int) -> list[int]:
        """Return the row indices of the batch that step ``step`` (from 0) trains on."""
        epoch, position = divmod(step, self.per_epoch)
        if self._cache[0] != epoch:
            self._cache = (epoch, self._plan(epoch))
        return self._cache[1][position]

    def _plan(self, epoch: int) -> list[list[int]]:
        order = permutation(len(self.lengths), self.seed, self.label, "rows", epoch).tolist()
        window = WINDOW_BATCHES * self.batch_size
        batches = [
            batch
            for start in range(0, len(order), window)
            for batch in length_batches(order[start : start + window], self.lengths, self.batch_size)
        ]
        # Long and short batches alternate at random; a sorted order would be a curriculum nobody asked for.
        return [batches[i] for i in permutation(len(batches), self.seed, self.label, "batches", epoch).tolist()]


def length_batches(rows: Sequence[int], lengths: Sequence[int], batch_size: int) -> list[list[int]]:
    """Cut rows into batches of similar length: sorted by (length, place in ``rows``), then cut.

    Args:
        rows: indices into ``lengths``.
        lengths: tokens of each row.
        batch_size: rows of a batch; the last may be smaller.
    """
    ordered = sorted(rows, key=lambda row: lengths[row])
    return [ordered[start : start + batch_size] for start in range(0, len(ordered), batch_size)]


def prompts_at(step: int, *, count: int, size: int, seed: int) -> list[int]:
    """Return the rows whose vectors are described in reinforcement-learning step ``step`` (from 0).

    The rows of consecutive steps run through keyed permutations of all rows, one after the other, so that no row comes a
    second time before every row has come once and every step has its full number of prompts.

    Args:
        step: step number from 0.
        count: rows to draw from.
        size: prompts per step.
        seed: the run's seed.

    Raises:
        InputError: if there is no row to draw from.
    """
    if count < 1:
        raise InputError(f"no row to train on (got {count}); extract more documents or raise extract.split.rl")
    first = step * size
    orders: dict[int, list[int]] = {}
    rows = []
    for place in range(first, first + size):
        epoch, position = divmod(place, count)
        if epoch not in orders:
            orders[epoch] = permutation(count, seed, "train", "prompts", epoch).tolist()
        rows.append(orders[epoch][position])
    return rows


def validation_rows(documents: Sequence[str], rows: int, seed: int, *labels: object) -> tuple[list[int], list[int]]:
    """Divide rows into training rows and validation rows, by document.

    Documents are ranked by a hash of (seed, labels, document id) and the first ones are set aside until they hold ``rows``
    rows, but never more than a fifth of the documents. A set-aside document gives no training row, so nothing that validates
    shares a text with anything that trains.

    Args:
        documents: document id of each row.
        rows: validation rows wanted.
        seed: the run's seed.
        labels: name the division.

    Returns:
        (training rows, validation rows), both in ascending order; at most ``rows`` of the latter.

    Raises:
        InputError: if there are fewer than two documents.
    """
    ranked = sorted(set(documents), key=lambda document: derive_seed(seed, "validation", *labels, document))
    if len(ranked) < 2:
        raise InputError(
            f"got rows of {len(ranked)} document(s); expected at least 2, one to train on and one to validate on. "
            "Raise corpus.documents or the split's share in extract.split"
        )
    by_document: dict[str, list[int]] = {}
    for row, document in enumerate(documents):
        by_document.setdefault(document, []).append(row)
    set_aside: set[str] = set()
    found = 0
    for document in ranked[: max(1, len(ranked) // 5)]:
        if found >= rows:
            break
        set_aside.add(document)
        found += len(by_document[document])
    training = [row for row, document in enumerate(documents) if document not in set_aside]
    validation = sorted(row for document in set_aside for row in by_document[document])
    return training, validation[:rows]
