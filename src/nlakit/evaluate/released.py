"""Pairs made elsewhere, on a corpus that whoever uses them names: a release records neither corpus nor mean and variance.

The card takes the named corpus with a recipe's default settings for everything else, so that held-out rows and rows of a training
split come about as for a pair of ours; mean and variance are those of the training rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nlakit.card import Card
from nlakit.config import CorpusConfig, ExtractConfig, Recipe, plain
from nlakit.data.corpus import load_corpus
from nlakit.errors import InputError
from nlakit.evaluate.rows import PROBE_SPLIT, Rows
from nlakit.models.pair import Pair

NOTE = "statistics"
"""Key of a card's data that says from how many rows its mean and variance were computed afterwards."""


def lacks_corpus(card: Card) -> bool:
    """Whether a card is that of a pair made elsewhere which does not say where its rows come from."""
    return bool(card.source) and not card.data


def with_corpus(card: Card, corpus: CorpusConfig) -> Card:
    """Return a card on which this corpus stands as the pair's own, with default splits, positions and seed.

    Raises as :func:`~nlakit.data.corpus.load_corpus` does.
    """
    data = {
        "corpus": plain(corpus),
        "corpus_fingerprint": load_corpus(corpus).fingerprint(),
        "extract": plain(ExtractConfig()),
        "seed": Recipe.model_fields["seed"].default,
    }
    return card.model_copy(update={"data": data})


def with_statistics(pair: Pair, training: Rows | None) -> Pair:
    """Return a pair with mean and variance of these rows on its card, and how many they are; as it is where it has them.

    Raises :class:`~nlakit.errors.InputError` where there are no rows, or too few.
    """
    if pair.card.stats is not None:
        return pair
    if training is None:
        raise InputError(
            f"the corpus {pair.card.data['corpus']['name']!r} gives no row of the split {PROBE_SPLIT!r}, which mean and variance "
            f"of the vectors of {pair.card.name!r} are computed from; name a larger corpus, a thousand documents or more."
        )
    found = pair.with_statistics(training.vectors_ND)
    note = {"split": PROBE_SPLIT, "rows": len(training), "documents": len(set(training.document_ids))}
    found.card = found.card.model_copy(update={"data": {**pair.card.data, NOTE: note}})
    return found


def statistics_sentence(card: Card) -> str:
    """Say what FVE is measured against, where mean and variance are not from the rows that a pair was trained on; else nothing."""
    note: Mapping[str, Any] | None = card.data.get(NOTE)
    if note is None:
        return ""
    corpus = card.data["corpus"]
    place = f" ({corpus['path']})" if corpus.get("path") else ""
    return (
        f"FVE is measured against the mean and variance of {note['rows']:,} rows of {note['documents']:,} other documents of the "
        f"corpus {corpus['name']!r}{place}, as the release records none; whether the pair was trained on it is not known."
    )
