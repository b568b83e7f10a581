"""Readings with support: every claim of an explanation, and how far to believe it.

Axes: N positions read, T tokens of the text, D width of a vector.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from nlakit.claims.readers import claim_reader
from nlakit.claims.signals import Read, claim_signals
from nlakit.claims.support import shipped
from nlakit.models.pair import Pair
from nlakit.models.readings import SUPPORT_SAMPLES, Reading, ScoredExplanation, SupportedClaim, neighbours_of


def with_support(pair: Pair, readings: Sequence[Reading], vectors_TD: Tensor, seed: int) -> list[Reading]:
    """Return readings whose explanations have their claims with support.

    Args:
        pair: what the readings are by.
        readings: of some positions of one text.
        vectors_TD: the raw vectors of all its tokens.
        seed: of the further samples: ``SUPPORT_SAMPLES`` of each position, and one of each neighbour that was not read.

    Raises:
        CardError: for a pair whose card has no variance, which leverage is measured in.
    """
    variance = pair.card.require_stats().variance
    positions = [reading.position for reading in readings]
    vectors_ND = vectors_TD[positions]
    samples = pair.describe(vectors_ND, samples=SUPPORT_SAMPLES, seed=seed + 1)
    near = {
        position: reading.explanations[0].explanation for position, reading in zip(positions, readings, strict=True)
    }
    missing = sorted({n for position in positions for n in neighbours_of(position, len(vectors_TD))} - set(near))
    if missing:
        near |= dict(zip(missing, pair.describe(vectors_TD[missing], seed=seed + 2), strict=True))
    reads, rows = [], []
    for row, reading in enumerate(readings):
        around = [near[place] for place in neighbours_of(reading.position, len(vectors_TD))]
        for item in reading.explanations:
            reads.append(Read(item.explanation, samples[row * SUPPORT_SAMPLES : (row + 1) * SUPPORT_SAMPLES], around))
            rows.append(row)
    reader, calibration = claim_reader(pair.card), pair.card.support or shipped()
    found = iter(claim_signals(pair.verbalizer, pair.reconstructor, variance, reader, vectors_ND[rows], reads, seed))

    def supported(item: ScoredExplanation) -> ScoredExplanation:
        claims = [
            SupportedClaim(claim.slot, claim.value, claim.start, claim.end, calibration.apply(signals), dict(signals))
            for claim, signals in next(found)
        ]
        return replace(item, claims=claims if item.ok else None)

    return [replace(reading, explanations=[supported(item) for item in reading.explanations]) for reading in readings]
