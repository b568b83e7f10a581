"""Rows of a sweep: the same positions of the same documents, read at every wanted layer in one forward pass.

Documents come in parts, at random keyed by (seed, document id): probes are fitted on one and asked on another, and where
the corpus knows its truth two further parts serve for that alone. Documents that the recipe holds out are in none, so that the
choice of a layer has not looked at them.

Axes: N rows, D vector width, L layers.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from nlakit.config import Recipe, derive_seed
from nlakit.data.corpus import Document, load_corpus
from nlakit.data.extract import choose_positions, pack
from nlakit.data.sampling import split_of
from nlakit.data.teachers import Context
from nlakit.data.tokens import Tokens
from nlakit.errors import InputError, ModelError
from nlakit.evaluate.estimates import HELDOUT
from nlakit.evaluate.rows import draw_documents
from nlakit.models.sites import read_blocks
from nlakit.models.target import Target
from nlakit.progress import Task
from nlakit.storage import require_free_space

FIT_SHARE = 0.6
"""Share of the documents that probes and regressions are fitted on; the others are asked (our choice)."""
NEAR = 32
"""How many tokens before and after a row's own are known of it (our choice)."""

Parts = Mapping[str, list[Document]]
"""Documents of the parts ``fit`` and ``asked``, and of ``truth fit`` and ``truth asked`` where there is truth."""


@dataclass(frozen=True, slots=True)
class Place:
    """Tokens around a row, by their ids."""

    token: int
    before: tuple[int, ...]
    """The ``NEAR`` tokens before it, or as many as there are, the nearest first."""
    after: tuple[int, ...]
    """The same of those that follow the next one in the document, the nearest first."""
    next: int
    """What the target itself finds likeliest to come next, which need not be what the document has."""


@dataclass(frozen=True, slots=True)
class LayerRows:
    """Rows of one part, in the order of documents and positions."""

    layers: tuple[int, ...]
    vectors_LND: Tensor
    """Raw vectors, float32, in a file on the disk."""
    contexts: tuple[Context, ...]
    """What is known about each row: its document, its token, its text so far, its truth."""
    places: tuple[Place, ...]
    """Tokens around each row."""

    def __len__(self) -> int:
        return len(self.contexts)

    @property
    def documents_N(self) -> list[str]:
        """The document of each row."""
        return [context.document_id for context in self.contexts]


def draw_parts(recipe: Recipe, documents: int, *, with_truth: bool) -> dict[str, list[Document]]:
    """Draw ``documents`` documents to measure on, and as many again for the truth, in parts.

    Fewer come back when the corpus has fewer. Raises what loading the corpus raises.
    """
    shares = {"fit": FIT_SHARE, "asked": 1 - FIT_SHARE}
    if with_truth:
        shares = {
            **{name: share / 2 for name, share in shares.items()},
            **{f"truth {name}": share / 2 for name, share in shares.items()},
        }
    wanted = {name: round(documents * (FIT_SHARE if name.endswith("fit") else 1 - FIT_SHARE)) for name in shares}

    def part(document_id: str) -> str:
        if split_of(recipe.seed, document_id, recipe.extract.split) == HELDOUT:
            return ""
        place = derive_seed(recipe.seed, "layers", document_id) % 1000 / 1000
        for name, share in shares.items():
            place -= share
            if place < 0:
                return name
        return "asked"

    drawn = draw_documents(load_corpus(recipe.corpus), wanted, part, recipe.seed)
    return {name: found[: wanted[name]] for name, found in drawn.items()}


def read_rows(
    target: Target, layers: Sequence[int], documents: Sequence[Document], recipe: Recipe, folder: Path, task: Task
) -> LayerRows:
    """Read the rows of some documents at several layers; the vectors lie in a file in ``folder``.

    ``task`` counts documents. Raises :class:`~nlakit.errors.InputError` when no document gives a row,
    :class:`~nlakit.errors.ModelError` for vectors that are not finite, and
    :class:`~nlakit.errors.StorageFullError` when the disk has no room for them.
    """
    config = recipe.extract
    counts: Counter[str] = Counter()
    chosen = [item for some in choose_positions(target, documents, config, recipe.seed, counts) for item in some]
    if not chosen:
        raise InputError(
            f"the corpus {recipe.corpus.name!r} gives no row: of {len(documents)} documents that may be used none has a token "
            "that can be read. Give a corpus of longer texts, or more of them (--documents)."
        )
    count = sum(len(positions) for _, positions in chosen)
    vectors_LND = _on_disk(folder, (len(layers), count, target.d_model))
    next_N = torch.empty(count, dtype=torch.long)
    texts = [(tokens.ids, positions) for tokens, positions in chosen]
    task.advance(len(documents) - len(chosen))
    for batch in pack(texts, config.batch_tokens):
        read_LND, following_N = read_blocks(
            target, layers, batch.tokens_BT.to(target.device), batch.texts_N, batch.positions_N
        )
        _require_finite(read_LND, layers, target)
        vectors_LND[:, batch.rows_N] = read_LND
        next_N[batch.rows_N] = following_N
        task.advance(len(set(batch.texts_N)))
    rows = [(tokens, position) for tokens, positions in chosen for position in positions]
    return LayerRows(
        layers=tuple(layers),
        vectors_LND=vectors_LND,
        contexts=tuple(_context(target, row, tokens, position) for row, (tokens, position) in enumerate(rows)),
        places=tuple(
            _place(tokens, position, following)
            for (tokens, position), following in zip(rows, next_N.tolist(), strict=True)
        ),
    )


def _on_disk(folder: Path, shape: tuple[int, int, int]) -> Tensor:
    """Make room for vectors in a file, which the system keeps in memory as far as there is some."""
    size = 4 * shape[0] * shape[1] * shape[2]
    require_free_space(folder, size, "give fewer --documents or --layers, or set TMPDIR to a larger disk")
    path = folder / f"{len(list(folder.iterdir()))}.f32"
    return torch.from_numpy(np.memmap(path, dtype=np.float32, mode="w+", shape=shape))


def _context(target: Target, row: int, tokens: Tokens, position: int) -> Context:
    truth = tokens.truth(position)
    return Context(
        row_id=row,
        document_id=tokens.document.id,
        position=position,
        token=tokens.token(position, target.tokenizer),
        text=tokens.context(position),
        truth=None if truth is None else json.loads(truth),
    )


def _place(tokens: Tokens, position: int, following: int) -> Place:
    ids = tokens.ids[: len(tokens)]
    before = ids[max(0, position - NEAR) : position]
    return Place(ids[position], tuple(reversed(before)), tuple(ids[position + 2 : position + 2 + NEAR]), following)


def _require_finite(vectors_LND: Tensor, layers: Sequence[int], target: Target) -> None:
    finite_L = torch.isfinite(vectors_LND).all(dim=2).all(dim=1)
    if not bool(finite_L.all()):
        layer = layers[int((~finite_L).nonzero()[0])]
        raise ModelError(
            f"{target.name!r} gave numbers that are not finite at layer {layer}. Load it in float32 (target.dtype), or leave "
            "the layer out with --layers."
        )
