"""A reconstructor that reads words and no order: each word adds a vector of its own."""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch
from torch import Tensor

from nlakit.config import derive_seed

WIDTH = 64


def word_vector(word: str) -> Tensor:
    """The vector of a word (D,), a random one keyed by it."""
    return torch.randn(WIDTH, generator=torch.Generator().manual_seed(derive_seed(0, "bag", word)))


class BagOfWords:
    """Stands in for a reconstructor; ``deaf_to`` are words that add nothing, ``window`` the most words of a text."""

    def __init__(self, deaf_to: Sequence[str] = (), window: int = 1000) -> None:
        self.window = window
        self.deaf_to = set(deaf_to)
        self.asked: list[str] = []

    def reconstruct(self, texts: Sequence[str]) -> Tensor:
        """Vectors (N, D); no text at all has a vector too."""
        self.asked += texts
        return torch.stack([self._of(text) for text in texts])

    def reconstruct_fitting(self, texts: Sequence[str]) -> tuple[Tensor, list[bool]]:
        """Every text fits."""
        return self.reconstruct(texts), [True] * len(texts)

    def fitting_ids(self, texts: Sequence[str]) -> list[list[int] | None]:
        """A number for each word of a text, None for a text of more than ``window`` words."""
        return [[0] * count if count <= self.window else None for count in (len(text.split()) for text in texts)]

    def _of(self, text: str) -> Tensor:
        words = [word for word in re.findall(r"\w+", text.lower()) if word not in self.deaf_to]
        return 1e-3 * word_vector("") + torch.stack([word_vector(word) for word in ("", *words)])[1:].sum(dim=0)
