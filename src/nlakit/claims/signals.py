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

from nlakit.claims.anytext import STATEMENT
from nlakit.claims.exchange import ClaimReader, Pool
from nlakit.claims.leverage import leverages, text_errors
from nlakit.claims.likelihood import span_log_probs
from nlakit.claims.readers import claim_values
from nlakit.explanations import Explanation
from nlakit.models.pair import Pair
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
    verbalizer, reconstructor, stats = pair.verbalizer, pair.reconstructor, pair.card.require_stats()
    texts = [read.explanation.text if read.explanation.ok else "" for read in reads_N]
    known: dict[str, list[Claim]] = {}

    def claims_of(explanation: Explanation) -> list[Claim]:
        if explanation.ok and explanation.text not in known:
            known[explanation.text] = reader.claims(explanation.text)
        return known[explanation.text] if explanation.ok else []

    samples_N = [[claims_of(sample) for sample in read.samples] for read in reads_N]
    neighbours_N = [[claims_of(neighbour) for neighbour in read.neighbours] for read in reads_N]
    claims_N = [claims_of(read.explanation) for read in reads_N]
    usable = [row for row, claims in enumerate(claims_N) if claims]
    if not usable:
        return [[] for _ in reads_N]
    pool = claim_values(pair.card).completed(Pool.of(claim for claims in known.values() for claim in claims))
    given, claims, vectors_UD = [texts[row] for row in usable], [claims_N[row] for row in usable], vectors_ND[usable]
    spans = [[(claim.value_start, claim.value_end) for claim in found] for found in claims]
    log_probs = dict(zip(usable, span_log_probs(verbalizer, vectors_UD, given, spans), strict=True))
    mean_UD = stats.mean_D.expand(len(usable), -1)
    anyway = dict(zip(usable, span_log_probs(verbalizer, mean_UD, given, spans), strict=True))
    taught: dict[int, list[float]] = {}
    if pair.taught is not None:
        taught = dict(zip(usable, span_log_probs(pair.taught, vectors_UD, given, spans), strict=True))
    lifted = dict(zip(usable, leverages(reconstructor, vectors_UD, given, claims, pool, seed=seed), strict=True))
    errors = dict(zip(usable, text_errors(reconstructor, given, vectors_UD).tolist(), strict=True))
    found: list[list[tuple[Claim, Signals]]] = [[] for _ in reads_N]
    for row in usable:
        sampled, near = Made.by(samples_N[row]), Made.by(neighbours_N[row])
        for place, claim in enumerate(claims_N[row]):
            leverage = lifted[row][place]
            signals = {
                "agreement": sampled.same(claim),
                "contradiction": sampled.other(claim),
                "recurrence": near.same(claim),
                "leverage": (leverage.drop if leverage.swap is None else leverage.swap) / stats.variance,
                "probability": (likely := max(LOWEST_LOG_PROBABILITY, log_probs[row][place])),
                "lift": likely - max(LOWEST_LOG_PROBABILITY, anyway[row][place]),
                "taught": log_odds(taught[row][place]) if taught else None,
                "error": errors[row] / stats.variance,
            }
            found[row].append((claim, signals))
    return found


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
        """Share of them that speak of its slot and do not make it; whole statements do not speak of the same."""
        if not self.explanations:
            return None
        if claim.slot == STATEMENT:
            return 0.0
        return max(0, self.slots[claim.slot] - self.same_claims[claim.same]) / self.explanations
