"""Which documents go to which split, and which positions of a document become rows.

Both depend on (seed, document id) and on nothing else: the order of the corpus, shards and workers
cannot change the data, and no document is in two splits.
"""

from __future__ import annotations

import random

from nlakit.config import SPLITS, SplitConfig, derive_seed

_SEED_RANGE = 2**63


def split_of(seed: int, document_id: str, split: SplitConfig) -> str:
    """Return the one split that all rows of a document belong to: ``av``, ``ar``, ``rl`` or ``heldout``.

    Each split gets its configured share of documents in expectation; the last one takes what
    rounding leaves over.
    """
    draw = derive_seed(seed, "split", document_id) / _SEED_RANGE
    bound = 0.0
    for name in SPLITS[:-1]:
        bound += getattr(split, name)
        if draw < bound:
            return name
    return SPLITS[-1]


def positions_for(seed: int, document_id: str, length: int, count: int, min_position: int) -> list[int]:
    """Draw up to ``count`` different positions of one document, in ascending order.

    Positions are token indices in ``range(min_position, length)``; all of them come back where there
    are fewer than ``count``, none where the document is too short. Robert Floyd's algorithm on
    ``random()``, the only draw whose sequence Python promises never to change.
    """
    available = length - min_position
    if available <= count:
        return list(range(min_position, length))
    rng = random.Random(derive_seed(seed, "positions", document_id))
    chosen: set[int] = set()
    for top in range(available - count, available):
        draw = int(rng.random() * (top + 1))
        chosen.add(top if draw in chosen else draw)
    return sorted(min_position + offset for offset in chosen)
