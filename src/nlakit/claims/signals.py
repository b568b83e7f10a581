"""Signals of a claim: what can be seen of it, without any truth, that goes with its being true.

=================  ======================================================================================================
``agreement``      share of the other samples of the same vector that make the same claim
``contradiction``  share of them that give its slot another value
``recurrence``     share of the readings at neighbouring tokens that make the same claim (the paper: what recurs is true more often)
``leverage``       rise of the reconstruction error, in units of Var, when its value is exchanged for others; when its slot has no
                   other value, when it is left out
``probability``    log-probability in nats of its value's tokens, given the vector and the words before
``lift``           nats by which that is above the log-probability given the mean vector: a guess that any vector would get has none
``taught``         log-odds of the value's tokens under the verbalizer as it was before reinforcement learning, given the vector;
                   after it a verbalizer says likely guesses as if they were certain
``error``          the reconstruction error of the whole explanation, in units of Var
=================  ======================================================================================================

Level and slot of a claim are no signals, so that what is learnt from a corpus with known truth can be used on any other.

Axes: N explanations, D width of a vector.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from nlakit.claims.anytext import ANYTHING
from nlakit.claims.exchange import ClaimReader, Pool
from nlakit.claims.leverage import leverages, text_errors
from nlakit.claims.likelihood import Span, span_log_probs
from nlakit.claims.readers import claim_values
from nlakit.explanations import Explanation
from nlakit.models.pair import Pair
from nlakit.models.verbalizer import Verbalizer
from nlakit.truth import Claim

SIGNALS = ("agreement", "contradiction", "recurrence", "leverage", "probability", "lift", "taught", "error")
UNTAUGHT = tuple(name for name in SIGNALS if name != "taught")
"""Those of a pair that does not keep its verbalizer from before reinforcement learning."""
LOWEST_LOG_PROBABILITY = -10.0
"""A value may be as improbable as it likes; further down than this says no more."""

MOST_LOG_ODDS = 7.0
"""Further from even odds than this, to either side, a probability says no more."""

Signals = Mapping[str, float | None]
"""A number for each signal; None where it cannot be had, such as recurrence for a vector without neighbours."""


@dataclass(frozen=True, slots=True)
class Read:
    """One explanation with what was sampled around it."""

    explanation: Explanation
    samples: Sequence[Explanation]
    """Other samples of the same vector."""
    neighbours: Sequence[Explanation]
    """Readings at neighbouring tokens of the same text."""


def claim_signals(
    pair: Pair, reader: ClaimReader, vectors_ND: Tensor, reads_N: Sequence[Read], seed: int = 0
) -> list[list[tuple[Claim, Signals]]]:
    """Return every claim of each explanation with its signals; a failed explanation claims nothing.

    Three forward passes an explanation, and a few reconstructions a claim. Values are exchanged for others of the texts that the
    pair was taught; a slot of which its card keeps none takes them from the explanations at hand.

    Raises:
        CardError: for a pair whose card has no mean and variance, which claims are held against.
    """
    known: dict[str, list[Claim]] = {}

    def claims_of(explanation: Explanation) -> list[Claim]:
        if explanation.ok and explanation.text not in known:
            known[explanation.text] = reader.claims(explanation.text)
        return known[explanation.text] if explanation.ok else []

    claims_N = [claims_of(read.explanation) for read in reads_N]
    sampled_N = [Made.by([claims_of(sample) for sample in read.samples]) for read in reads_N]
    near_N = [Made.by([claims_of(neighbour) for neighbour in read.neighbours]) for read in reads_N]
    pool = claim_values(pair.card).completed(Pool.of(claim for claims in known.values() for claim in claims))
    usable = [row for row, claims in enumerate(claims_N) if claims]
    texts = [reads_N[row].explanation.text for row in usable]
    weighed_U = _weighed(pair, vectors_ND[usable], texts, [claims_N[row] for row in usable], pool, seed)
    found_N: list[list[tuple[Claim, Signals]]] = [[] for _ in reads_N]
    for row, weighed in zip(usable, weighed_U, strict=True):
        for claim, signals in zip(claims_N[row], weighed, strict=True):
            signals["agreement"] = sampled_N[row].same(claim)
            signals["contradiction"] = sampled_N[row].other(claim)
            signals["recurrence"] = near_N[row].same(claim)
            found_N[row].append((claim, {name: signals[name] for name in SIGNALS}))
    return found_N


def _weighed(
    pair: Pair, vectors_ND: Tensor, texts: Sequence[str], claims_N: Sequence[Sequence[Claim]], pool: Pool, seed: int
) -> list[list[dict[str, float | None]]]:
    """Return what the models of a pair say of each claim of each explanation: the signals that need no other explanation."""
    if not texts:
        return []
    stats = pair.card.require_stats()
    spans_N = [[(claim.value_start, claim.value_end) for claim in claims] for claims in claims_N]
    given_N = _log_probs(pair.verbalizer, vectors_ND, texts, spans_N)
    anyway_N = _log_probs(pair.verbalizer, stats.mean_D.expand(len(texts), -1), texts, spans_N)
    taught_N = _log_probs(pair.taught, vectors_ND, texts, spans_N)
    leverages_N = leverages(pair.reconstructor, vectors_ND, texts, claims_N, pool, seed=seed)
    errors_N = text_errors(pair.reconstructor, texts, vectors_ND).tolist()
    return [
        [
            {
                "leverage": None if rise is None else rise / stats.variance,
                "probability": given,
                "lift": None if given is None or anyway is None else given - anyway,
                "taught": None if taught is None else log_odds(taught),
                "error": error / stats.variance,
            }
            for leverage, given, anyway, taught in zip(*of_claims, strict=True)
            for rise in [leverage.drop if leverage.swap is None else leverage.swap]
        ]
        for error, *of_claims in zip(errors_N, leverages_N, given_N, anyway_N, taught_N, strict=True)
    ]


def _log_probs(
    verbalizer: Verbalizer | None, vectors_ND: Tensor, texts: Sequence[str], spans_N: Sequence[Sequence[Span]]
) -> list[list[float | None]]:
    """Return the log-probability of each span, not below the lowest that says anything.

    None for each span of a text that outgrows the verbalizer's window, and of all without a verbalizer.
    """
    found_N: list[list[float | None]] = [[None] * len(spans) for spans in spans_N]
    if verbalizer is None:
        return found_N
    fits = [row for row, text in enumerate(texts) if verbalizer.fits(text)]
    scored = span_log_probs(verbalizer, vectors_ND[fits], [texts[row] for row in fits], [spans_N[row] for row in fits])
    for row, log_probs in zip(fits, scored, strict=True):
        found_N[row] = [max(LOWEST_LOG_PROBABILITY, log_prob) for log_prob in log_probs]
    return found_N


def log_odds(log_prob: float) -> float:
    """Return ln(p / (1 - p)) of a log-probability in nats, within ``MOST_LOG_ODDS``."""
    if log_prob > -1e-9:
        return MOST_LOG_ODDS
    return max(-MOST_LOG_ODDS, min(MOST_LOG_ODDS, log_prob - math.log(-math.expm1(log_prob))))


@dataclass(frozen=True, slots=True)
class Made:
    """How many of some explanations make a claim, and how many speak of its slot."""

    explanations: int
    same_claims: Counter[tuple[str, str]]
    slots: Counter[str]

    @classmethod
    def by(cls, claims: Sequence[Sequence[Claim]]) -> Made:
        """Count the claims of each explanation."""
        return cls(
            len(claims),
            Counter(same for found in claims for same in {claim.same for claim in found}),
            Counter(slot for found in claims for slot in {claim.slot for claim in found}),
        )

    def same(self, claim: Claim) -> float | None:
        """Share of the explanations that make this claim; None without explanations."""
        return self.same_claims[claim.same] / self.explanations if self.explanations else None

    def other(self, claim: Claim) -> float | None:
        """Share of them that speak of its slot and do not make it; two names, or two statements, do not speak of the same."""
        if not self.explanations:
            return None
        if claim.slot in ANYTHING:
            return 0.0
        return max(0, self.slots[claim.slot] - self.same_claims[claim.same]) / self.explanations
