"""Readings with support: every claim of an explanation, and how far to believe it.

Axes: N positions read, T tokens of the text, D width of a vector.
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace

from torch import Tensor

from nlakit.claims.readers import claim_reader
from nlakit.claims.signals import Read, claim_signals
from nlakit.claims.support import shipped
from nlakit.config import derive_seed
from nlakit.models.pair import Pair
from nlakit.models.readings import SUPPORT_SAMPLES, Reading, ScoredExplanation, SupportedClaim, neighbours_of


def with_support(
    pair: Pair,
    readings: Sequence[Reading],
    ids: Sequence[int],
    special: AbstractSet[int],
    vectors_TD: Tensor,
    seed: int,
) -> list[Reading]:
    """Return readings whose explanations have their claims with support.

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
    stats = pair.card.require_stats()
    positions = [reading.position for reading in readings]
    vectors_ND = vectors_TD[positions]
    samples = pair.describe(vectors_ND, samples=SUPPORT_SAMPLES, seed=derive_seed(seed, "support", "samples"))
    near = {
        position: reading.explanations[0].explanation for position, reading in zip(positions, readings, strict=True)
    }
    around = {position: neighbours_of(position, ids, special) for position in positions}
    missing = sorted({place for places in around.values() for place in places} - set(near))
    if missing:
        written = pair.describe(vectors_TD[missing], seed=derive_seed(seed, "support", "neighbours"))
        near |= dict(zip(missing, written, strict=True))
    reads, rows = [], []
    for row, reading in enumerate(readings):
        neighbours = [near[place] for place in around[reading.position]]
        for item in reading.explanations:
            others = samples[row * SUPPORT_SAMPLES : (row + 1) * SUPPORT_SAMPLES]
            reads.append(Read(item.explanation, others, neighbours))
            rows.append(row)
    reader, calibration = claim_reader(pair.card), pair.card.support or shipped()
    found = iter(claim_signals(pair.verbalizer, pair.reconstructor, stats, reader, vectors_ND[rows], reads, seed))

    def supported(item: ScoredExplanation) -> ScoredExplanation:
        claims = [
            SupportedClaim(claim.slot, claim.value, claim.start, claim.end, calibration.apply(signals), dict(signals))
            for claim, signals in next(found)
        ]
        return replace(item, claims=claims if item.ok else None)

    return [replace(reading, explanations=[supported(item) for item in reading.explanations]) for reading in readings]
