"""Readings with support: every claim of an explanation, and how far to believe it.

Axes: N positions read, T tokens of the text, D width of a vector.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

from torch import Tensor

from nlakit.claims.readers import claim_reader
from nlakit.claims.signals import Read, claim_signals
from nlakit.claims.support import kind_of, support_of
from nlakit.config import derive_seed
from nlakit.explanations import Explanation
from nlakit.models.pair import Pair
from nlakit.models.readings import SUPPORT_SAMPLES, Reading, ScoredExplanation, SupportedClaim, neighbours_of


@dataclass(frozen=True, slots=True)
class Around:
    """What is sampled around readings, for the support of their claims."""

    samples_N: Sequence[Sequence[Explanation]]
    """Further explanations of the vector of each reading, ``SUPPORT_SAMPLES`` each."""
    near: Mapping[int, Explanation]
    """One explanation of each neighbour that was not read itself, by position."""


def unread_neighbours(readings: Sequence[Reading], ids: Sequence[int], special: AbstractSet[int]) -> list[int]:
    """Return the positions near those of readings that were not read themselves.

    Args:
        readings: of some positions of one text.
        ids: all its tokens.
        special: ids of the tokenizer's special tokens, which are no neighbours.
    """
    read = {reading.position for reading in readings}
    around = {place for position in read for place in neighbours_of(position, ids, special)}
    return sorted(around - read)


def with_support(
    pair: Pair,
    readings: Sequence[Reading],
    ids: Sequence[int],
    special: AbstractSet[int],
    vectors_TD: Tensor,
    seed: int,
) -> list[Reading]:
    """Sample around readings, and return them with the claims of their explanations and the support of each.

    Args:
        pair: what the readings are by.
        readings: of some positions of one text.
        ids: all its tokens.
        special: ids of the tokenizer's special tokens, which are no neighbours.
        vectors_TD: their raw vectors.
        seed: of the further samples: ``SUPPORT_SAMPLES`` of each position, and one of each neighbour that was not read.

    Raises:
        CardError: for a pair whose card has no mean and variance, which claims are held against.
    """
    pair.card.require_stats()  # refused before anything is sampled
    vectors_ND = vectors_TD[[reading.position for reading in readings]]
    samples = pair.describe(vectors_ND, samples=SUPPORT_SAMPLES, seed=derive_seed(seed, "support", "samples"))
    samples_N = [samples[start : start + SUPPORT_SAMPLES] for start in range(0, len(samples), SUPPORT_SAMPLES)]
    missing, written = unread_neighbours(readings, ids, special), list[Explanation]()
    if missing:
        written = pair.describe(vectors_TD[missing], seed=derive_seed(seed, "support", "neighbours"))
    around = Around(samples_N, dict(zip(missing, written, strict=True)))
    return supported(pair, readings, ids, special, vectors_ND, around, seed)


def supported(
    pair: Pair,
    readings: Sequence[Reading],
    ids: Sequence[int],
    special: AbstractSet[int],
    vectors_ND: Tensor,
    around: Around,
    seed: int,
) -> list[Reading]:
    """Return readings with the claims of their explanations and the support of each, from what was sampled around them.

    Args are those of :func:`with_support`, with the raw vectors of the readings alone and what is ``around``.
    """
    near = {reading.position: reading.explanations[0].explanation for reading in readings} | dict(around.near)
    reads, rows = [], []
    for row, (reading, samples) in enumerate(zip(readings, around.samples_N, strict=True)):
        neighbours = [near[place] for place in neighbours_of(reading.position, ids, special)]
        for item in reading.explanations:
            reads.append(Read(item.explanation, samples, neighbours))
            rows.append(row)
    reader = claim_reader(pair.card)
    found = iter(claim_signals(pair, reader, vectors_ND[rows], reads, seed))

    def with_claims(item: ScoredExplanation) -> ScoredExplanation:
        claims = []
        for claim, signals in next(found):
            support = support_of(pair, kind_of(reader, claim)).apply(signals)
            claims.append(SupportedClaim(claim.slot, claim.value, claim.start, claim.end, support, dict(signals)))
        return replace(item, claims=claims if item.ok else None)

    return [replace(reading, explanations=[with_claims(item) for item in reading.explanations]) for reading in readings]
