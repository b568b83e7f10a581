"""Held-out rows, built again from what a pair's card records.

The card names the corpus, the extraction settings and the seed; splits and positions are keyed by (seed,
document id), so the rows are the ones that the run's store holds, and no store is needed. Only documents of
the split ``heldout`` are measured on, or those of another corpus that the pair's own does not have. Rows of the split ``rl`` come
along for the probes, which have to be fitted somewhere else than where they are asked.

Axes: N rows, D vector width.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import torch
from pydantic import ValidationError
from torch import Tensor

from nlakit.card import Card
from nlakit.config import AnnotateConfig, CorpusConfig, ExtractConfig, derive_seed
from nlakit.data.corpus import Corpus, Document, load_corpus, unique
from nlakit.data.extract import extract_rows
from nlakit.data.sampling import split_of
from nlakit.data.teachers import Context
from nlakit.errors import CardError, InputError
from nlakit.evaluate.estimates import HELDOUT
from nlakit.models.sites import Site
from nlakit.models.target import Target
from nlakit.truth import Truth

PROBE_SPLIT = "rl"
"""Split whose documents the probes are fitted on: the largest, and never held out."""

POOL = 8
"""How many times more documents than needed are kept, since short ones give fewer rows or none."""
EARLY_POOL = 3
"""How many times more documents than needed are looked through in a corpus that is exchangeable."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Vectors with what is known about them, in the order of documents and positions."""

    vectors_ND: Tensor
    """Raw vectors, float32."""
    table: pa.Table
    """Row data in the columns of the store."""
    documents: tuple[Document, ...]
    """The documents that the rows come from."""

    def __len__(self) -> int:
        return len(self.vectors_ND)

    def column(self, name: str) -> list[Any]:
        """Return one column of the row data."""
        values: list[Any] = self.table[name].to_pylist()
        return values

    @property
    def document_ids(self) -> list[str]:
        """The document of each row."""
        return self.column("document_id")

    def take(self, rows: Sequence[int]) -> Rows:
        """Return some rows, in the order given."""
        return Rows(self.vectors_ND[list(rows)], self.table.take(list(rows)), self.documents)

    def truths(self) -> list[Truth | None]:
        """What is true at each row's position, None where the corpus does not know."""
        return [None if text is None else json.loads(text) for text in self.column("truth")]

    def contexts(self) -> list[Context]:
        """What a teacher may see of each row."""
        names = ("row_id", "document_id", "position", "token", "context")
        columns = zip(*(self.column(name) for name in names), self.truths(), self.vectors_ND, strict=True)
        return [Context(*values) for values in columns]


@dataclass(frozen=True, slots=True)
class DataSettings:
    """The part of a card that says where rows come from."""

    corpus: CorpusConfig
    corpus_fingerprint: str
    extract: ExtractConfig
    seed: int
    annotate: AnnotateConfig | None
    """Who wrote the explanations; None when the card does not say."""

    @classmethod
    def of(cls, card: Card) -> DataSettings:
        """Read them; CardError when they are missing or cannot be understood."""
        missing = [key for key in ("corpus", "corpus_fingerprint", "extract", "seed") if key not in card.data]
        if missing:
            raise CardError(
                f"the card of {card.name!r} lacks data.{', data.'.join(missing)}, so its held-out rows cannot be built again; "
                "evaluate a pair that was trained by this version of nlakit."
            )
        annotate = card.data.get("annotate")
        try:
            return cls(
                CorpusConfig.model_validate(card.data["corpus"]),
                str(card.data["corpus_fingerprint"]),
                ExtractConfig.model_validate(card.data["extract"]),
                int(card.data["seed"]),
                None if annotate is None else AnnotateConfig.model_validate(annotate),
            )
        except ValidationError as error:
            raise CardError(f"the card of {card.name!r} has data that cannot be understood: {error}") from error


def rebuild_rows(
    target: Target, card: Card, *, rows: int, probe_rows: int, seed: int, corpus: CorpusConfig | None = None
) -> tuple[Rows, Rows | None]:
    """Extract rows to measure on, and rows for the probes, from documents drawn by ``seed``.

    The former are held out, or come from another ``corpus``. Returns as many as there are when there are fewer than ``rows``, and
    None for the probes when ``probe_rows`` is 0 or their split has no row. Raises :class:`~nlakit.errors.InputError` when there is
    nothing to measure on, and when the corpus of the pair is no longer the one that it was trained on: what it learnt
    from could then be measured on.
    """
    settings = DataSettings.of(card)
    own = _own_corpus(settings, card.name)
    site = Site.parse(card.site)
    site.check(target)
    per_document = settings.extract.rows_per_document
    wanted = {HELDOUT: -(-rows // per_document), PROBE_SPLIT: -(-probe_rows // per_document)}
    drawn = draw_documents(
        own, wanted, lambda document: split_of(settings.seed, document, settings.extract.split), seed
    )
    if corpus is not None:
        drawn[HELDOUT] = _new_documents(own, corpus, -(-rows // per_document), seed)
    measured = _extract(target, site, drawn[HELDOUT], settings, rows)
    if measured is None and corpus is not None:
        raise InputError(
            f"evaluate.corpus ({corpus.name!r}) gives no row: {len(drawn[HELDOUT])} of its documents are not in the corpus on "
            "the pair's card. Name documents that are new to it, and long enough."
        )
    if measured is None:
        raise InputError(
            f"the corpus {settings.corpus.name!r} gives no held-out row: {len(drawn[HELDOUT])} of its documents are in the split "
            f"{HELDOUT!r} (extract.split.heldout = {settings.extract.split.heldout:g}). Evaluate with a larger corpus."
        )
    return measured, _extract(target, site, drawn[PROBE_SPLIT], settings, probe_rows)


def _own_corpus(settings: DataSettings, name: str) -> Corpus:
    """Return the corpus that a pair was trained on; InputError where it has changed."""
    corpus = load_corpus(settings.corpus)
    if corpus.fingerprint() != settings.corpus_fingerprint:
        raise InputError(
            f"the corpus {settings.corpus.name!r} has the fingerprint {corpus.fingerprint()}, and the card of {name!r} "
            f"names {settings.corpus_fingerprint}: which of its documents are held out cannot be known. Put the files back "
            "as they were, or train on the new ones."
        )
    return corpus


def _new_documents(own: Corpus, config: CorpusConfig, count: int, seed: int) -> list[Document]:
    """Draw documents of another corpus, without those that ``own`` has too."""
    known = {document.content_hash for document in own}
    return draw_documents(load_corpus(config), {HELDOUT: count}, lambda _: HELDOUT, seed, known)[HELDOUT]


def draw_documents(
    corpus: Corpus,
    wanted: Mapping[str, int],
    split: Callable[[str], str],
    seed: int,
    known: AbstractSet[str] = frozenset(),
) -> dict[str, list[Document]]:
    """Return documents of each wanted split in an order drawn at random, keyed by (seed, document id).

    Those whose content hash is ``known`` are left out. At most ``POOL`` times the wanted number comes back. The whole corpus is
    read, without its duplicates, so that a sorted one is represented from end to end. One that declares itself
    ``exchangeable`` (its documents are independent draws, as in a generated world) is read only until ``EARLY_POOL`` times the
    number was seen.
    """
    # Heaps of (minus the draw, order of arrival, document): the largest draw is on top and leaves first.
    pools: dict[str, list[tuple[int, int, Document]]] = {name: [] for name in wanted}
    seen = dict.fromkeys(wanted, 0)
    early = bool(getattr(corpus, "exchangeable", False))
    for document in unique(corpus):
        name = split(document.id)
        if not wanted.get(name) or document.content_hash in known:
            continue
        seen[name] += 1
        entry = (-derive_seed(seed, "evaluate", document.id), -seen[name], document)
        if len(pools[name]) < POOL * wanted[name]:
            heapq.heappush(pools[name], entry)
        else:
            heapq.heappushpop(pools[name], entry)
        if early and all(seen[name] >= EARLY_POOL * wanted[name] for name in wanted):
            break
    return {name: [document for _, _, document in sorted(pool, reverse=True)] for name, pool in pools.items()}


def _extract(
    target: Target, site: Site, documents: Sequence[Document], settings: DataSettings, rows: int
) -> Rows | None:
    """Extract documents in turn until ``rows`` rows are there, then cut to that number; None when there are none."""
    vectors: list[Tensor] = []
    tables: list[pa.Table] = []
    used: list[Document] = []
    found = 0
    for portion in _portions(documents, -(-rows // settings.extract.rows_per_document)):
        if found >= rows:
            break
        vectors_ND, table = extract_rows(target, site, portion, settings.extract, settings.seed)
        vectors.append(vectors_ND)
        tables.append(table)
        used += portion
        found += len(vectors_ND)
    if not found:
        return None
    table = pa.concat_tables(tables).slice(0, rows).combine_chunks()
    kept = set(table["document_id"].to_pylist())
    return Rows(torch.cat(vectors)[:rows], table, tuple(document for document in used if document.id in kept))


def _portions(documents: Sequence[Document], size: int) -> Iterator[Sequence[Document]]:
    """Cut documents into the number that should give all rows, then smaller ones that make up for short documents."""
    start, step = 0, max(1, size)
    while start < len(documents):
        yield documents[start : start + step]
        start += step
        step = max(8, size // 10)
