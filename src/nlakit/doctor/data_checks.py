"""Checks of the rows: no text on both sides of a split, statistics of the training rows alone, nothing measured that was learnt.

Axes: N rows, D width of a vector.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from zlib import crc32

import torch

from nlakit.card import Measure
from nlakit.config import SPLITS
from nlakit.data.sampling import split_of
from nlakit.data.store import Store
from nlakit.data.tokens import CONTEXT_CHARACTERS
from nlakit.doctor.findings import Result, failure, held, not_applicable, passed, warning
from nlakit.doctor.subject import Subject, present
from nlakit.errors import CardError
from nlakit.evaluate.estimates import HELDOUT, NEW
from nlakit.evaluate.released import NOTE
from nlakit.evaluate.rows import DataSettings
from nlakit.runs import read_metrics
from nlakit.train.rounds import STATS_ROWS, training_statistics
from nlakit.vectors import VectorStats

EARLY = 10
"""Positions at the start of a text whose vectors few words describe."""
EARLY_SHARE = 0.1
"""Largest share of held-out rows at such positions that goes without a warning (our choice)."""
DOCUMENTS = 20_000
"""Documents whose texts are compared, at most (our choice)."""
WORDS = 12
"""Words in a row from which a text is not the same as another by chance (our choice)."""
OVERLAP = 0.3
"""Share of a long document's runs of words that are in another split, from which it is a double (our choice)."""
SHARED = (0.005, 0.05)
"""Shares of documents with a double in another split from which that is a warning, and a failure; fewer begin alike by chance
where documents are made from templates (our choice)."""


def documents_are_in_one_split(subject: Subject) -> Result:
    """Collect the splits of each document's rows."""
    rows = present(subject.store).rows(None, ["document_id", "split"])
    splits: dict[str, set[str]] = defaultdict(set)
    for document, split in zip(rows["document_id"].to_pylist(), rows["split"].to_pylist(), strict=True):
        splits[document].add(split)
    divided = sorted(document for document, found in splits.items() if len(found) > 1)
    named = f", the first is {divided[0]!r}" if divided else ""
    return held(
        not divided,
        f"{len(divided):,} of {len(splits):,} documents have rows in more than one split{named}",
        _SPLIT_CURE,
    )


def texts_are_in_one_split(subject: Subject) -> Result:
    """Look for documents of one split whose text is also that of a document of another split, under whatever id."""
    texts = _contexts(present(subject.store))
    doubles = _beginning_alike(texts) | _overlapping(texts)
    share = len(doubles) / max(1, len(texts))
    named = f", such as {min(doubles)!r}" if doubles else ""
    found = f"{len(doubles):,} of {len(texts):,} documents have the text of a document in another split{named}"
    if share <= SHARED[0]:
        return passed(found)
    return failure(found, _SPLIT_CURE) if share > SHARED[1] else warning(found, _SPLIT_CURE)


_NOT_KNOWN = (
    "the corpus on the card was named for a pair that was made elsewhere; whether it was trained on is not known"
)
_SPLIT_CURE = (
    "Remove duplicates from the corpus, give each document one id that depends on its text, and extract again: splits are "
    "keyed by that id."
)


@dataclass(frozen=True, slots=True)
class _Text:
    """What a store keeps of a document's text."""

    document: str
    split: str
    contexts: list[str]

    @property
    def words(self) -> tuple[str, ...]:
        """The words of the longest context, which holds all shorter ones that were not cut at their beginning."""
        return tuple(max(self.contexts, key=len).split())

    @property
    def cut(self) -> bool:
        """Whether a context does not begin where the document does."""
        return any(len(context) >= CONTEXT_CHARACTERS for context in self.contexts)


def _contexts(store: Store) -> list[_Text]:
    """Gather the contexts of each document, of the first documents of a large store."""
    texts: dict[str, _Text] = {}
    for index in range(len(store.manifest.shards)):
        rows = store.shard_rows(index, ["document_id", "split", "context"])
        columns = (rows[name].to_pylist() for name in ("document_id", "split", "context"))
        for document, split, context in zip(*columns, strict=True):
            texts.setdefault(document, _Text(document, split, [])).contexts.append(context)
        if len(texts) >= DOCUMENTS:
            break
    return list(texts.values())


def _beginning_alike(texts: Sequence[_Text]) -> set[str]:
    """Find documents of two splits where all that is kept of one is the beginning of the other."""
    doubles: set[str] = set()
    whole = sorted((text.words, text.document, text.split) for text in texts if not text.cut)
    for (words, document, split), (longer, other, other_split) in pairwise(whole):
        if split != other_split and len(words) >= WORDS and words == longer[: len(words)]:
            doubles |= {document, other}
    return doubles


def _overlapping(texts: Sequence[_Text]) -> set[str]:
    """Find long documents much of whose contexts is in those of documents of another split.

    Contexts of one text may begin anywhere, so runs of words are compared that begin at the same words everywhere.
    """
    runs = {text.document: set().union(*map(_runs, text.contexts)) for text in texts if text.cut}
    splits: dict[int, set[str]] = defaultdict(set)
    for text in texts:
        for run in runs.get(text.document, ()):
            splits[run].add(text.split)
    doubles = set()
    for text in texts:
        own = runs.get(text.document, set())
        elsewhere = sum(len(splits[run]) > 1 for run in own)
        if own and elsewhere >= OVERLAP * len(own):
            doubles.add(text.document)
    return doubles


def _runs(context: str) -> set[int]:
    """Hash every run of words that begins at one of a few words, chosen by their own hash."""
    words = context.split()
    return {
        hash(tuple(words[place : place + WORDS]))
        for place in range(len(words) - WORDS)
        if crc32(words[place].encode()) % 16 == 0
    }


def variance_is_around_the_mean(subject: Subject) -> Result:
    """Hold the card's variance against its mean: of unit vectors it is 1 - |mean|² around the mean as it is."""
    stats = present(subject.card).stats
    if stats is None:
        return not_applicable("the card has no mean and variance")
    norm = float(stats.mean_D.norm())
    return held(
        abs(stats.variance - (1 - norm**2)) < 1e-3,
        f"the card's variance is {stats.variance:.4f}, and around its mean of norm {norm:.4f} it would be {1 - norm**2:.4f}",
        "Take the variance around the mean of the unit vectors as it is, not brought to norm 1 "
        "(nlakit.vectors.VectorStats.fit).",
    )


def statistics_are_of_training_rows(subject: Subject) -> Result:
    """Compute mean and variance again from the store's training rows, and compare with the card's."""
    card, store = present(subject.card), present(subject.store)
    if card.stats is None or not present(subject.pair).trained:
        return not_applicable("no pair was trained on these rows yet")
    if sum(store.counts.get(f"rows_{split}", 0) for split in SPLITS if split != HELDOUT) < 2:
        return not_applicable("the store has no training rows")
    stats, _ = training_statistics(store, card.injection_scale, int(store.settings.get("seed", 0)))
    off = _difference(stats, card.stats)
    sampled = len(store) > STATS_ROWS
    found = (
        f"variance {card.stats.variance:.4f} on the card and {stats.variance:.4f} from the training rows; the means are "
        f"{float((stats.mean_D - card.stats.mean_D).norm()):.2g} apart"
    )
    if off < (1e-2 if sampled else 1e-4):
        return passed(found)
    others = {"all rows": None, "the held-out rows": HELDOUT}
    for name, split in others.items():
        ids = store.rows(split, ["row_id"])["row_id"].to_pylist()[:STATS_ROWS]
        if len(ids) > 1 and _difference(VectorStats.fit(store.vectors(ids)), card.stats) < 1e-4:
            return failure(f"{found}: those on the card are of {name}")
    return failure(found)


def _difference(one: VectorStats, other: VectorStats) -> float:
    """Largest difference of the variances or of the means' components; infinite where the widths differ."""
    if one.mean_D.shape != other.mean_D.shape:
        return float("inf")
    return max(abs(one.variance - other.variance), float((one.mean_D - other.mean_D).abs().max()))


def heldout_rows_are_not_early(subject: Subject) -> Result:
    """Count the held-out rows at the first positions, whose vectors few words describe."""
    positions_N = torch.tensor(present(subject.store).rows(HELDOUT, ["position"])["position"].to_pylist())
    if not len(positions_N):
        return not_applicable("the store holds no row out")
    share = float((positions_N < EARLY).float().mean())
    found = f"{share:.1%} of {len(positions_N):,} held-out rows are before position {EARLY}"
    return (
        passed(found)
        if share <= EARLY_SHARE
        else warning(found, "Raise extract.min_position, or use longer documents.")
    )


def results_are_of_heldout_rows(subject: Subject) -> Result:
    """Look at the split of every measured number on the card."""
    card = present(subject.card)
    if NOTE in card.data:
        return not_applicable(_NOT_KNOWN)
    if not card.results:
        return not_applicable("the pair was not evaluated yet")
    return _splits(card.results, "the card")


def evaluation_is_of_heldout_rows(subject: Subject) -> Result:
    """Look at the split of every number of the evaluation, and at the documents that it shows."""
    evaluation, run = present(subject.evaluation), present(subject.run)
    result = _splits(evaluation.measures, "the evaluation")
    if evaluation.corpus:
        return result  # of another corpus, without the documents of the pair's own
    recipe = run.recipe()
    seen = {row["document_id"] for row in read_metrics(run.path / "samples.jsonl") if "document_id" in row}
    if subject.store is not None:
        seen |= _trained_documents(subject.store)
    wrong = [
        shown.document_id
        for shown in evaluation.shown
        if shown.document_id in seen or split_of(recipe.seed, shown.document_id, recipe.extract.split) != HELDOUT
    ]
    if wrong:
        return failure(
            f"{len(wrong)} of {len(evaluation.shown)} documents that the evaluation shows are in a split that was trained on, "
            f"the first is {wrong[0]!r}"
        )
    return result


def trained_rows_are_not_held_out(subject: Subject) -> Result:
    """See that the rows that reinforcement learning sampled for are not among those that are held out."""
    run, store = present(subject.run), present(subject.store)
    sampled = {row["document_id"] for row in read_metrics(run.path / "samples.jsonl") if "document_id" in row}
    heldout = set(store.rows(HELDOUT, ["document_id"])["document_id"].to_pylist())
    if not sampled:
        return not_applicable("nothing was sampled in training yet")
    both = sorted(sampled & heldout)
    return held(
        not both,
        f"{len(both)} of {len(sampled)} documents in samples.jsonl are among the {len(heldout):,} held-out ones",
    )


def something_is_held_out(subject: Subject) -> Result:
    """See that the card's settings hold documents out at all."""
    card = present(subject.trained).card
    if NOTE in card.data:
        return not_applicable(_NOT_KNOWN)
    try:
        split = DataSettings.of(card).extract.split
    except CardError:
        return not_applicable("the card does not say where the pair's rows come from")
    found = f"{split.heldout:.0%} of the documents are held out"
    if split.heldout > 0:
        return passed(found)
    return warning(found, "Set extract.split.heldout above 0 and train again, or measure on other documents.")


def _splits(measures: Mapping[str, Measure], where: str) -> Result:
    others = sorted(name for name, measure in measures.items() if measure.split not in (HELDOUT, NEW))
    named = f", the first is {others[0]} on {measures[others[0]].split!r}" if others else ""
    return held(
        not others,
        f"{len(measures) - len(others)} of {len(measures)} numbers of {where} are of held-out or new documents{named}",
    )


def _trained_documents(store: Store) -> set[str]:
    """Return the documents of the splits that are trained on."""
    rows = store.rows(None, ["document_id", "split"])
    columns = (rows[name].to_pylist() for name in ("document_id", "split"))
    return {document for document, split in zip(*columns, strict=True) if split != HELDOUT}
