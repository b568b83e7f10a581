"""Which documents go to which split, and which positions of a document become rows.

Both depend on (seed, document id) and on nothing else: the order of the corpus, shards and workers
cannot change the data, and no document is in two splits. Here is also the draw behind every control that asks what words
about something else are worth: a row of another document for each row.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

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


def positions_for(seed: int, document_id: str, candidates: Sequence[int], count: int) -> list[int]:
    """Draw up to ``count`` different positions of one document, in ascending order.

    ``candidates`` are the token indices that may be drawn, ascending; all of them come back where there
    are fewer than ``count``. Robert Floyd's algorithm on ``random()``, the only draw whose sequence
    Python promises never to change.
    """
    if len(candidates) <= count:
        return list(candidates)
    rng = random.Random(derive_seed(seed, "positions", document_id))
    chosen: set[int] = set()
    for top in range(len(candidates) - count, len(candidates)):
        draw = int(rng.random() * (top + 1))
        chosen.add(top if draw in chosen else draw)
    return [candidates[index] for index in sorted(chosen)]


def lowered_minimum(tokens: int) -> int:
    """Return the earliest position of a document that ends before the minimum: half of its tokens, never its first one.

    The vector at the first token holds nothing of the text, and is often of an extraordinary norm.
    """
    return max(1, tokens // 2)


def other_document_rows(documents_N: Sequence[str], seed: int, *labels: object) -> list[int] | None:
    """Pair each row with a row of another document, as the control "words about something else": an index a row.

    Each row takes the next row of another document in an order drawn at random, so that nearly all rows are used once.
    ``labels`` name the draw. None when all rows are of one document.
    """
    if len(set(documents_N)) < 2:
        return None
    count = len(documents_N)
    order = sorted(range(count), key=lambda row: (derive_seed(seed, "other document", *labels, row), row))
    paired = [0] * count
    for place, row in enumerate(order):
        others = (order[(place + step) % count] for step in range(1, count))
        paired[row] = next(other for other in others if documents_N[other] != documents_N[row])
    return paired
