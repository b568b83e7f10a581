"""Inputs crafted so that explanations lie while the target behaves as before.

The attacker puts a few tokens in front of a document. They change nothing that the document says, so what was true at a
row's token is true still. It searches, one token at a time, for those that make the true claims of the clean reading least
probable under the vector that the target then has, as long as the target's next-token distribution stays where it was.

Axes: C candidates of one round, T tokens, D vector width, V vocabulary.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nlakit.claims.likelihood import Span, span_log_probs
from nlakit.models.sites import Site, decoder_inputs
from nlakit.models.target import Target
from nlakit.models.verbalizer import Verbalizer


@dataclass(frozen=True, slots=True)
class Budget:
    """What an attacker may do to one row."""

    tokens: int = 4
    """Tokens in front of the document."""
    candidates: int = 16
    """Tokens that are tried at each place."""
    most_kl: float = 0.1
    """KL divergence of the next-token distribution, in nats, that counts as behaving as before; the likeliest token stays too."""

    @property
    def queries(self) -> int:
        """Forward passes of the target for one row."""
        return self.tokens * self.candidates


@dataclass(frozen=True, slots=True)
class Attacked:
    """One row with tokens in front of its document."""

    prefix: tuple[int, ...]
    vector_D: Tensor
    kl: float
    """Of the next-token distribution from the clean one, in nats."""
    met: bool
    """Whether the target behaves as before."""


@dataclass(frozen=True)
class Attacker:
    """The search, for one target and one verbalizer."""

    target: Target
    site: Site
    verbalizer: Verbalizer
    budget: Budget

    def vocabulary(self) -> list[int]:
        """Return the tokens that may be put in front: all but the special ones."""
        special = set(self.target.tokenizer.all_special_ids)
        return [token for token in range(len(self.target.tokenizer)) if token not in special]

    def random_prefix(self, ids: Sequence[int], rng: random.Random) -> Attacked:
        """Put tokens drawn by lot in front: the control, of the same length and without a search."""
        prefix = tuple(rng.sample(self.vocabulary(), self.budget.tokens))
        return self._try(ids, [prefix], self._next(ids))[0]

    def attack(self, ids: Sequence[int], text: str, spans: Sequence[Span], rng: random.Random) -> Attacked:
        """Search for the prefix under which the spans of the clean explanation, its true values, are least probable.

        Of those under which the target behaves as before the worst for the claims is taken; where none does, the one that
        changes it least.
        """
        clean_V, words = self._next(ids), self.vocabulary()
        best = self.random_prefix(ids, rng)
        score = self._score([best], text, spans)[0]
        for place in range(self.budget.tokens):
            drawn = rng.sample(words, self.budget.candidates)
            prefixes = [(*best.prefix[:place], token, *best.prefix[place + 1 :]) for token in drawn]
            tried = self._try(ids, prefixes, clean_V)
            for found, value in zip(tried, self._score(tried, text, spans), strict=True):
                better = value < score if found.met == best.met else found.met
                if not found.met and not best.met:
                    better = found.kl < best.kl
                if better:
                    best, score = found, value
        return best

    def _score(self, tried: Sequence[Attacked], text: str, spans: Sequence[Span]) -> list[float]:
        """Return the log-probability of the spans under each vector."""
        vectors_CD = torch.stack([found.vector_D for found in tried])
        found_C = span_log_probs(self.verbalizer, vectors_CD, [text] * len(tried), [spans] * len(tried))
        return [sum(log_probs) for log_probs in found_C]

    def _try(self, ids: Sequence[int], prefixes: Sequence[tuple[int, ...]], clean_V: Tensor) -> list[Attacked]:
        """Run the target on each prefix with the document behind it."""
        tokens_CT = torch.tensor([[*prefix, *ids] for prefix in prefixes], device=self.target.device)
        vectors_CD = self.site.read(self.target, tokens_CT)[:, -1].float().cpu()
        after_CV = self._log_probs(tokens_CT)
        kl_C = (clean_V.exp() * (clean_V - after_CV)).sum(dim=-1)
        same_C = after_CV.argmax(dim=-1) == clean_V.argmax()
        return [
            Attacked(prefix, vector_D, float(kl), bool(same) and float(kl) <= self.budget.most_kl)
            for prefix, vector_D, kl, same in zip(prefixes, vectors_CD, kl_C, same_C, strict=True)
        ]

    def _next(self, ids: Sequence[int]) -> Tensor:
        return self._log_probs(torch.tensor([list(ids)], device=self.target.device))[0]

    @torch.no_grad()
    def _log_probs(self, tokens_CT: Tensor) -> Tensor:
        """Return the target's log-probabilities (C, V) of the token that comes next."""
        inputs = decoder_inputs(tokens_CT, None, self.target.takes_positions)
        found_CV: Tensor = self.target.model(**inputs, use_cache=False).logits[:, -1].float().log_softmax(dim=-1).cpu()
        return found_CV
