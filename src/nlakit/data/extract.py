"""Stage 1, extract: read the target's activations at drawn positions of a corpus into a store.

Documents are taken in the order of the corpus and cut into shards of a fixed number; a shard is a
pure function of the settings, so that a run that was killed goes on with the shard it was writing
and ends with the same bytes as one that was not.

Axes: N rows, B documents of a batch, T tokens, D width of a vector.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from nlakit.config import ExtractConfig, Recipe
from nlakit.data.account import Speed, no_rows, remarks
from nlakit.data.corpus import Corpus, Document, load_corpus, unique
from nlakit.data.manifest import MANIFEST
from nlakit.data.sampling import lowered_minimum, positions_for, split_of
from nlakit.data.store import ROW_SCHEMA, TORCH_DTYPES, Store, StoreWriter, number_rows
from nlakit.data.tokens import Tokens, tokenise, truth_json
from nlakit.data.workers import in_order
from nlakit.errors import InputError, ModelError, UserError
from nlakit.models.sites import Site, resolve_site
from nlakit.models.target import Target
from nlakit.progress import Progress
from nlakit.prompts import tokenizer_fingerprint
from nlakit.runs import RunFolder, require_same

STAGE = "extract"

WINDOW_CHARACTERS = 1_000_000
"""Documents are tokenised and sorted by length in windows of about this much text: enough for batches of
equal length, little enough that their tokens fit into memory."""


def run(recipe: Recipe, folder: RunFolder, progress: Progress) -> Path:
    """Extract what the recipe describes into ``folder/extract``, or go on where an earlier attempt stopped.

    Returns the folder of the store. Raises :class:`~nlakit.errors.RunError` when what is there was
    made with other settings, and :class:`~nlakit.errors.InputError` when the corpus is empty or no
    document is long enough.
    """
    target, site = _load(recipe)
    corpus = load_corpus(recipe.corpus)
    settings = store_settings(recipe, target, site, corpus.fingerprint())
    stage = folder.stage(STAGE)
    if folder.check_stage(STAGE, settings, stage.path / MANIFEST) == "done":
        return stage.path
    stage.begin(settings)
    config = recipe.extract
    writer = StoreWriter(stage.path, width=site.width(target), dtype=config.dtype, settings=settings)
    counts: Counter[str] = Counter(documents=0, duplicates=0)
    speed = Speed()
    try:
        with progress.task("extract", total=recipe.corpus.documents) as task:
            pieces = _pieces(corpus, config, counts, len(writer.manifest.shards), set(writer.damaged()))
            for piece, shard in _shards(recipe, target, site, pieces):
                if shard is not None:
                    speed.count(len(shard[1]), shard[2]["tokens"])
                    if piece.index == len(writer.manifest.shards):
                        writer.append(*shard)
                    else:
                        writer.replace(piece.index, *shard)
                task.update(piece.seen, f"{writer.manifest.rows:,} rows, {speed}")
        if not writer.manifest.rows:
            raise InputError(no_rows(counts, corpus))
    except UserError:
        if not writer.manifest.rows:
            shutil.rmtree(stage.path)  # or the settings that gave nothing would stand in the way of better ones
        raise
    writer.finish(counts)
    for line in remarks(writer.manifest.counts, config):
        progress.say(f"extract: {line}")
    stage.finish(settings, writer.manifest.counts, speed.record(config.workers))
    return stage.path


def store_settings(recipe: Recipe, target: Target, site: Site, corpus: str) -> dict[str, Any]:
    """Return everything that decides the rows of a store, for its manifest and for comparing runs.

    ``corpus`` is the fingerprint of the corpus.
    Names and paths of target and corpus are left out where a fingerprint says more: moving either
    changes nothing, and neither does the number of workers.
    """
    return {
        "target": {"fingerprint": target.fingerprint, "dtype": target.dtype},
        "tokenizer": tokenizer_fingerprint(target.tokenizer),
        "corpus": {**recipe.corpus.model_dump(mode="json", exclude={"path"}), "fingerprint": corpus},
        "site": str(site),
        "extract": recipe.extract.model_dump(mode="json", exclude={"workers"}),
        "seed": recipe.seed,
    }


def open_store(folder: RunFolder) -> Store:
    """Open the store of a run, every byte as it was written.

    Raises RunError when its stage is not finished, and DamagedShardError when a file was changed since: training on
    damaged vectors would go unnoticed.
    """
    stage = folder.stage(STAGE)
    _ = stage.outputs
    store = Store(stage.path)
    store.require_sound()
    return store


def require_store_of(recipe: Recipe, store: Store, target: Target, site: Site) -> None:
    """Raise RunError unless the store is what this recipe describes; its documents are not read again.

    A pair's card says where its rows come from, and evaluation draws the held-out ones from that.
    """
    corpus = store.settings["corpus"]["fingerprint"]
    remedy = "Give the settings it was made with, or choose another --out."
    require_same(store.settings, store_settings(recipe, target, site, corpus), store.folder, remedy)


def shards_of(documents: Iterable[Document], config: ExtractConfig) -> Iterator[list[Document]]:
    """Cut documents into shards by their number alone, so that no shard depends on what another held."""
    remaining = iter(documents)
    size = max(1, config.shard_rows // config.rows_per_document)
    while shard := list(islice(remaining, size)):
        yield shard


def extract_rows(
    target: Target,
    site: Site,
    documents: Iterable[Document],
    config: ExtractConfig,
    seed: int,
    counts: Counter[str] | None = None,
) -> tuple[Tensor, pa.Table]:
    """Read vectors and row data of documents: ``(vectors_ND, rows)``, in the order of documents and positions.

    The vectors are raw, in float32, rounded to ``config.dtype`` as the store would; the table has the
    columns of :data:`~nlakit.data.store.ROW_SCHEMA` with ``row_id`` counted from 0. A document without a
    token at ``config.min_position`` is read from half of its length on. ``counts`` is given, of documents,
    ``lowered`` (read so), ``short`` (too short even for that: no row), ``cut`` (read up to ``max_tokens``
    only), ``escaped`` (chats that spelt a control token) and ``unplaced`` (chats whose roles and sections
    cannot be told), and ``tokens``, the number that the target read.
    Raises :class:`~nlakit.errors.ModelError` when the target gives numbers that are not finite.
    """
    counts = Counter() if counts is None else counts
    vectors: list[Tensor] = [torch.empty(0, site.width(target))]
    tables: list[pa.Table] = [ROW_SCHEMA.empty_table()]
    for chosen in choose_positions(target, documents, config, seed, counts):
        read_ND = read_vectors(target, site, [(t.ids, positions) for t, positions in chosen], config.batch_tokens)
        _require_finite(read_ND, chosen, target, site)
        vectors.append(read_ND.to(TORCH_DTYPES[config.dtype]).float())
        tables.append(_rows(target, site, chosen, vectors[-1], config, seed))
    return torch.cat(vectors), number_rows(pa.concat_tables(tables).combine_chunks())


def choose_positions(
    target: Target, documents: Iterable[Document], config: ExtractConfig, seed: int, counts: Counter[str]
) -> Iterator[list[tuple[Tokens, list[int]]]]:
    """Tokenise documents and draw the positions of each that become rows; a list for each window of text.

    ``counts`` is given what :func:`extract_rows` says; a document without a position is only counted.
    """
    counts.update(short=0, lowered=0, cut=0, escaped=0, unplaced=0, tokens=0)
    # Turn markers and the like are read reliably by nobody (paper, data: positions of ordinary tokens only).
    special = set(target.tokenizer.all_special_ids)
    for window in _windows(documents):
        chosen: list[tuple[Tokens, list[int]]] = []
        for tokens in tokenise(target, window, config.max_tokens):
            counts["cut"] += tokens.cut
            counts["escaped"] += tokens.escaped
            counts["unplaced"] += tokens.sections is None
            candidates = _candidates(tokens, config.min_position, special, counts)
            positions = positions_for(seed, tokens.document.id, candidates, config.rows_per_document)
            if positions:
                counts["tokens"] += positions[-1] + 1
                chosen.append((tokens, positions))
        if chosen:
            yield chosen


def _candidates(tokens: Tokens, min_position: int, special: AbstractSet[int], counts: Counter[str]) -> list[int]:
    """Return the positions that may be drawn, and count a document that has none at the minimum."""
    ordinary = [position for position in range(len(tokens)) if tokens.ids[position] not in special]
    found = [position for position in ordinary if position >= min_position]
    if not found:
        lowered = lowered_minimum(len(tokens))
        found = [position for position in ordinary if position >= lowered]
        counts["lowered" if found else "short"] += 1
    return found


def read_vectors(
    target: Target, site: Site, texts: Sequence[tuple[Sequence[int], Sequence[int]]], batch_tokens: int
) -> Tensor:
    """Read the vectors at chosen positions of tokenised texts: float32 [N, D], text after text.

    ``texts`` and ``batch_tokens`` are those of :func:`pack`; each forward pass ends after the site's block.
    """
    out_ND = torch.empty(sum(len(positions) for _, positions in texts), site.width(target))
    for batch in pack(texts, batch_tokens):
        vectors_BTD = site.read(target, batch.tokens_BT.to(target.device))
        out_ND[batch.rows_N] = vectors_BTD[batch.texts_N, batch.positions_N].float().cpu()
    return out_ND


@dataclass(frozen=True, slots=True)
class Batch:
    """Texts that share a forward pass, and the places in it that are rows."""

    tokens_BT: Tensor
    """Padded on the right, for reading without a mask: no real token sees a pad token, and attention stays on its fast path."""
    texts_N: list[int]
    """Which text of the batch each row is in."""
    positions_N: list[int]
    """Where in it."""
    rows_N: list[int]
    """The number of each row, counted over all texts."""


def pack(texts: Sequence[tuple[Sequence[int], Sequence[int]]], batch_tokens: int) -> Iterator[Batch]:
    """Put tokenised texts, ``(token ids, positions)``, into batches of at most ``batch_tokens`` tokens.

    Texts of about one length share a batch, and none is read past its last position.
    """
    needed = [max(positions) + 1 for _, positions in texts]
    starts = [0]
    for _, positions in texts:
        starts.append(starts[-1] + len(positions))
    for members in _batches(needed, batch_tokens):
        batch = Batch(torch.zeros(len(members), needed[members[-1]], dtype=torch.long), [], [], [])
        for place, text in enumerate(members):
            ids, positions = texts[text]
            batch.tokens_BT[place, : needed[text]] = torch.tensor(ids[: needed[text]])
            batch.texts_N.extend([place] * len(positions))
            batch.positions_N.extend(positions)
            batch.rows_N.extend(range(starts[text], starts[text + 1]))
        yield batch


def _batches(lengths: Sequence[int], batch_tokens: int) -> Iterator[list[int]]:
    """Group texts by length, shortest first, so that a group padded to its last text stays within ``batch_tokens``."""
    batch: list[int] = []
    for text in sorted(range(len(lengths)), key=lambda i: lengths[i]):
        if batch and (len(batch) + 1) * lengths[text] > batch_tokens:
            yield batch
            batch = []
        batch.append(text)
    if batch:
        yield batch


def _windows(documents: Iterable[Document]) -> Iterator[list[Document]]:
    window: list[Document] = []
    characters = 0
    for document in documents:
        window.append(document)
        characters += len(document.text)
        if characters >= WINDOW_CHARACTERS:
            yield window
            window, characters = [], 0
    if window:
        yield window


Shard = tuple[Tensor, pa.Table, Mapping[str, int]]
"""Vectors [N, D], rows and counts of one shard."""


@dataclass(frozen=True, slots=True)
class _Piece:
    """The documents of one shard, and where that stands in the corpus."""

    index: int
    documents: list[Document]
    seen: int
    """Documents of the corpus up to the end of the shard, duplicates included."""
    wanted: bool
    """Whether the shard is still to be made."""


def _load(recipe: Recipe) -> tuple[Target, Site]:
    target = Target.load(recipe.target.model, recipe.target.revision, recipe.target.dtype)
    return target, resolve_site(target, recipe.target.site)


def _pieces(
    corpus: Corpus, config: ExtractConfig, counts: Counter[str], written: int, damaged: AbstractSet[int]
) -> Iterator[_Piece]:
    for index, documents in enumerate(shards_of(unique(corpus, counts), config)):
        counts["documents"] += len(documents)
        yield _Piece(index, documents, counts.total(), wanted=index >= written or index in damaged)


def _shards(
    recipe: Recipe, target: Target, site: Site, pieces: Iterable[_Piece]
) -> Iterator[tuple[_Piece, Shard | None]]:
    """Make the shards that are wanted, here or in ``extract.workers`` processes, in the order of the pieces."""
    if recipe.extract.workers == 1:
        for piece in pieces:
            yield piece, _shard(target, site, piece.documents, recipe) if piece.wanted else None
        return
    threads = max(1, torch.get_num_threads() // recipe.extract.workers)
    items = ((piece, [_sendable(d) for d in piece.documents] if piece.wanted else None) for piece in pieces)
    for piece, made in in_order(partial(_prepare, recipe, threads), items, recipe.extract.workers):
        if made is None:
            yield piece, None
        else:
            vectors_ND, rows, counts = made
            yield piece, (torch.from_numpy(vectors_ND), _with_truth(rows, piece.documents), counts)


def _shard(target: Target, site: Site, documents: Sequence[Document], recipe: Recipe) -> Shard:
    counts: Counter[str] = Counter()
    vectors_ND, rows = extract_rows(target, site, documents, recipe.extract, recipe.seed, counts)
    return vectors_ND, rows, counts


def _prepare(
    recipe: Recipe, threads: int
) -> Callable[[list[Document]], tuple[np.ndarray, pa.Table, Mapping[str, int]]]:
    """Load the target in a worker process; return what makes a shard there, with offsets in place of truth."""
    torch.set_num_threads(threads)
    target, site = _load(recipe)

    def make(documents: list[Document]) -> tuple[np.ndarray, pa.Table, Mapping[str, int]]:
        vectors_ND, rows, counts = _shard(target, site, documents, recipe)
        return vectors_ND.numpy(), rows, counts

    return make


def _sendable(document: Document) -> Document:
    """Return a document that can be sent to a process: truth, which a corpus may tell as it likes, is asked for here."""
    return Document(document.id, document.text, document.messages, None if document.truth_at is None else _offset)


def _offset(offset: int) -> Mapping[str, int]:
    return {"offset": offset}


def _with_truth(rows: pa.Table, documents: Sequence[Document]) -> pa.Table:
    """Put what is true in place of the offsets at which it was asked for."""
    owners = {document.id: document for document in documents}
    truths = [
        None if asked is None else truth_json(owners[document_id], json.loads(asked)["offset"])
        for document_id, asked in zip(rows["document_id"].to_pylist(), rows["truth"].to_pylist(), strict=True)
    ]
    place = ROW_SCHEMA.get_field_index("truth")
    return rows.set_column(place, ROW_SCHEMA.field(place), pa.array(truths, pa.string()))


def _rows(
    target: Target,
    site: Site,
    chosen: Sequence[tuple[Tokens, list[int]]],
    vectors_ND: Tensor,
    config: ExtractConfig,
    seed: int,
) -> pa.Table:
    pairs = [(tokens, position) for tokens, positions in chosen for position in positions]
    sections = [tokens.section(position) for tokens, position in pairs]
    columns = {
        "row_id": list(range(len(pairs))),
        "document_id": [tokens.document.id for tokens, _ in pairs],
        "position": [position for _, position in pairs],
        "token_id": [tokens.ids[position] for tokens, position in pairs],
        "token": [tokens.token(position, target.tokenizer) for tokens, position in pairs],
        "context": [tokens.context(position) for tokens, position in pairs],
        "role": [role for role, _ in sections],
        "section": [section for _, section in sections],
        "site": [str(site)] * len(pairs),
        "norm": torch.linalg.vector_norm(vectors_ND, dim=1).numpy(),
        "split": [split for t, p in chosen for split in [split_of(seed, t.document.id, config.split)] * len(p)],
        "truth": [tokens.truth(position) for tokens, position in pairs],
    }
    return pa.table(columns, schema=ROW_SCHEMA)


def _require_finite(vectors_ND: Tensor, chosen: Sequence[tuple[Tokens, list[int]]], target: Target, site: Site) -> None:
    bad = (~torch.isfinite(vectors_ND).all(dim=1)).nonzero()
    if len(bad):
        owners = [(tokens.document.id, position) for tokens, positions in chosen for position in positions]
        document_id, position = owners[int(bad[0])]
        raise ModelError(
            f"{target.name!r} gave numbers that are not finite at {site}, document {document_id!r}, position {position} "
            f"({len(bad)} of {len(vectors_ND)} vectors). Load the target in float32 (target.dtype) or choose another site."
        )
