"""Rewordings in training: the reconstructor reads a share of the explanations in other words.

What survives is meaning. A code that only the two halves share, such as the order of snippets or the choice between two phrases,
cannot carry anything through other words, so no private code is learnt (the paper's tests for one are rewordings too).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from nlakit.claims.paraphrasers import Shuffler, paraphraser_of
from nlakit.config import derive_seed
from nlakit.paraphrase import Paraphraser


@dataclass(frozen=True)
class Reworder:
    """Says a share of the texts in other words."""

    paraphraser: Paraphraser
    share: float

    @classmethod
    def of(cls, corpus_name: str, share: float) -> Self:
        """Take the paraphraser of a corpus; one that has none gets sentences and clauses in another order."""
        return cls(paraphraser_of(corpus_name) or Shuffler(), share)

    def some(self, texts: Sequence[str], keys: Sequence[int], seed: int) -> list[str]:
        """Return the texts, each reworded with the probability of the share; keyed by the seed and each text's own key."""
        if not self.share:
            return list(texts)
        chosen = [row for row, key in enumerate(keys) if random.Random(derive_seed(seed, key)).random() < self.share]
        reworded = self.paraphraser.reword([texts[row] for row in chosen], "training", derive_seed(seed, "words"))
        found = list(texts)
        for row, text in zip(chosen, reworded, strict=True):
            found[row] = found[row] if text is None else text
        return found
