"""Inputs crafted so that explanations lie while the target behaves as before.

The attacker puts a few tokens in front of a document's text, behind the special tokens that it begins with. They change nothing
that the document says, so what was true at a row's token is true still. It searches, one token at a time, for those that make the
true claims of the clean reading least probable under the vector that the target then has, as long as the target's next-token
distribution stays where it was.

Axes: C candidates of one round, T tokens, D vector width, V vocabulary.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from nlakit.claims.likelihood import Span, span_log_probs
from nlakit.evaluate.definitions.robustness import Budget
from nlakit.models.decoder import window
from nlakit.models.sites import Site, next_logits
from nlakit.models.target import Target
from nlakit.models.verbalizer import Verbalizer


@dataclass(slots=True)
class Passes:
    """Texts that were put through a model, counted where it happens."""

    target: int = 0
    verbalizer: int = 0


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
    passes: Passes = field(default_factory=Passes)
    """What has been spent so far, over all rows."""

    def vocabulary(self) -> list[int]:
        """Return the tokens that may be put in front: all but the special ones."""
        special = set(self.target.tokenizer.all_special_ids)
        return [token for token in range(len(self.target.tokenizer)) if token not in special]

    def beginning(self, ids: Sequence[int]) -> int:
        """How many special tokens a document begins with; nobody who writes a text can put anything before them."""
        special = set(self.target.tokenizer.all_special_ids)
        return next((place for place, token in enumerate(ids) if token not in special), len(ids))

    def has_room(self, ids: Sequence[int]) -> bool:
        """Whether the target's window holds the document with the tokens of the attack."""
        return len(ids) + self.budget.tokens <= window(self.target.model)

    def clean(self, ids: Sequence[int]) -> Tensor:
        """Return the target's log-probabilities (V,) of what follows the document alone: the behaviour that has to stay."""
        return self._run(torch.tensor([list(ids)], device=self.target.device))[1][0]

    def random_prefix(self, ids: Sequence[int], clean_V: Tensor, rng: random.Random) -> Attacked:
        """Put tokens drawn at random in front: the control, of the same length and without a search."""
        prefix = tuple(rng.sample(self.vocabulary(), self.budget.tokens))
        return self._try(ids, [prefix], clean_V)[0]

    def attack(
        self, ids: Sequence[int], clean_V: Tensor, text: str, spans: Sequence[Span], rng: random.Random
    ) -> Attacked:
        """Search for the prefix under which the spans of the clean explanation, its true values, are least probable.

        Of those under which the target behaves as before the worst for the claims is taken; where none does, the one that
        changes it least.
        """
        words = self.vocabulary()
        best = self.random_prefix(ids, clean_V, rng)
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
        self.passes.verbalizer += len(tried)
        vectors_CD = torch.stack([found.vector_D for found in tried])
        found_C = span_log_probs(self.verbalizer, vectors_CD, [text] * len(tried), [spans] * len(tried))
        return [sum(log_probs) for log_probs in found_C]

    def _try(self, ids: Sequence[int], prefixes: Sequence[tuple[int, ...]], clean_V: Tensor) -> list[Attacked]:
        """Run the target on each prefix with the document behind it."""
        begin = self.beginning(ids)
        texts = [[*ids[:begin], *prefix, *ids[begin:]] for prefix in prefixes]
        tokens_CT = torch.tensor(texts, device=self.target.device)
        vectors_CD, after_CV = self._run(tokens_CT)
        kl_C = (clean_V.exp() * (clean_V - after_CV)).sum(dim=-1)
        same_C = after_CV.argmax(dim=-1) == clean_V.argmax()
        return [
            Attacked(prefix, vector_D, float(kl), bool(same) and float(kl) <= self.budget.most_kl)
            for prefix, vector_D, kl, same in zip(prefixes, vectors_CD, kl_C, same_C, strict=True)
        ]

    @torch.no_grad()
    def _run(self, tokens_CT: Tensor) -> tuple[Tensor, Tensor]:
        """Return vectors (C, D) of the last token and log-probabilities (C, V) of what follows it, of one forward pass."""
        self.passes.target += len(tokens_CT)
        with self.site.watch(self.target) as seen:
            logits_CV = next_logits(self.target, tokens_CT, tokens_CT.shape[1] - 1)[:, -1]
        return seen[-1][:, -1].float().cpu(), logits_CV.float().log_softmax(dim=-1).cpu()
