"""Grounding: leaving out of a teacher's text what the vectors do not hold.

A teacher writes about the text that the target had read, and not all of that is in the vector. A verbalizer that is taught such
text learns to name *some* place in the right tone, and reconstruction cannot punish it, since the vector says nothing about
the place. So claims are scored by a *sign* of whether the vector holds them, and those that fail are taken out before
anything learns from the text.

Axes: N explanations, D width of a vector.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from nlakit.claims.anytext import STATEMENT
from nlakit.claims.exchange import ClaimReader, Pool, without
from nlakit.claims.leverage import leverages
from nlakit.claims.likelihood import Span, span_log_probs, span_scores
from nlakit.claims.probes import Probes
from nlakit.models.reconstructor import Reconstructor
from nlakit.models.verbalizer import Verbalizer
from nlakit.truth import Claim

ROUNDS = 4
"""How often a text is scored anew without what failed: a claim may have looked probable only behind another that has gone."""


@dataclass(frozen=True, slots=True)
class Score:
    """What a sign says about one claim."""

    value: float
    """The higher, the better the vector bears the claim out."""
    contradicted: bool = False
    """Whether the vector speaks for another value, more probably than not."""


class Sign(Protocol):
    """Tells for each claim how far its vector bears it out."""

    @property
    def repeats(self) -> bool:
        """Whether a claim's score depends on the claims before it, so that texts are scored anew when some have gone."""

    def scores(
        self, vectors_ND: Tensor, texts: Sequence[str], claims_N: Sequence[Sequence[Claim]], rows: Sequence[int]
    ) -> list[list[Score]]:
        """Score each claim of each text; ``rows`` says which of all rows the texts belong to."""


@dataclass(frozen=True)
class LikelihoodSign:
    """The probability that a verbalizer taught the whole text gives a claim's value, given the vector and what stands before.

    It is in [0, 1], and where it is below one half the vector leaves the value open: whoever writes it down guesses. A whole
    statement can be worded in too many ways for that; it scores the probability that it was written of its own vector and
    not of one of the others, each being as likely before: ``p / (p + mean of p under the others)``.
    """

    verbalizer: Verbalizer
    others_KD: Tensor
    """Vectors of other documents."""
    repeats: bool = True

    def scores(
        self,
        vectors_ND: Tensor,
        texts: Sequence[str],
        claims_N: Sequence[Sequence[Claim]],
        rows: Sequence[int],  # noqa: ARG002 - the text itself is scored
    ) -> list[list[Score]]:
        """One forward pass a text, and K more where it makes a whole statement."""
        spans_N = [[(claim.value_start, claim.value_end) for claim in claims] for claims in claims_N]
        found_N = span_scores(self.verbalizer, vectors_ND, texts, spans_N)
        elsewhere_N = self._elsewhere(texts, spans_N, claims_N)
        return [
            [
                Score(own_share(found.log_prob, [log_probs[place] for log_probs in elsewhere]))
                if claim.slot == STATEMENT
                else Score(math.exp(found.log_prob), found.contradicted)
                for place, (claim, found) in enumerate(zip(claims, founds, strict=True))
            ]
            for claims, founds, elsewhere in zip(claims_N, found_N, elsewhere_N, strict=True)
        ]

    def _elsewhere(
        self, texts: Sequence[str], spans_N: Sequence[Sequence[Span]], claims_N: Sequence[Sequence[Claim]]
    ) -> list[list[list[float]]]:
        """Return the log-probabilities of the spans of each text under the other vectors; none where no statement is made."""
        rows = [row for row, claims in enumerate(claims_N) if any(claim.slot == STATEMENT for claim in claims)]
        found: list[list[list[float]]] = [[] for _ in texts]
        given, spans = [texts[row] for row in rows], [spans_N[row] for row in rows]
        for other_D in self.others_KD if rows else ():
            scored = span_log_probs(self.verbalizer, other_D.expand(len(rows), -1), given, spans)
            for row, log_probs in zip(rows, scored, strict=True):
                found[row].append(log_probs)
        return found


def own_share(log_prob: float, others: Sequence[float]) -> float:
    """Return ``p / (p + mean of the others)`` from log-probabilities in nats."""
    mean = float(torch.logsumexp(torch.tensor(others, dtype=torch.float64), dim=0)) - math.log(len(others))
    return float(torch.sigmoid(torch.tensor(log_prob - mean, dtype=torch.float64)))


@dataclass(frozen=True)
class SwapSign:
    """The rise of the reconstruction error, in units of Var, when a claim's value is exchanged for others of its slot."""

    reconstructor: Reconstructor
    pool: Pool
    variance: float
    swaps: int = 2
    repeats: bool = False

    def scores(
        self,
        vectors_ND: Tensor,
        texts: Sequence[str],
        claims_N: Sequence[Sequence[Claim]],
        rows: Sequence[int],  # noqa: ARG002 - the text itself is scored
    ) -> list[list[Score]]:
        """One reconstruction a text and ``swaps`` more a claim; a claim whose slot has no other value scores 0."""
        found_N = leverages(self.reconstructor, vectors_ND, texts, claims_N, self.pool, swaps=self.swaps, drops=False)
        return [[Score((leverage.swap or 0.0) / self.variance) for leverage in found] for found in found_N]


@dataclass(frozen=True)
class ProbeSign:
    """The probability that a linear probe, fitted on other documents, gives the claim's value; needs a known truth."""

    probes: Mapping[int, Probes]
    """For each row the probes that were fitted without its document."""
    facts: Mapping[int, Mapping[str, str]]
    """What is true at each row."""
    repeats: bool = False

    def scores(
        self,
        vectors_ND: Tensor,
        texts: Sequence[str],  # noqa: ARG002 - what is true is known
        claims_N: Sequence[Sequence[Claim]],
        rows: Sequence[int],
    ) -> list[list[Score]]:
        """No model is run. A false claim scores 0."""
        found: list[list[Score]] = [[] for _ in rows]
        for probes in {id(self.probes[row]): self.probes[row] for row in rows}.values():
            places = [place for place, row in enumerate(rows) if self.probes[row] is probes]
            checks_N = probes.check(vectors_ND[places], [self.facts[rows[place]] for place in places])
            for place, checks in zip(places, checks_N, strict=True):
                for claim in claims_N[place]:
                    check = checks.get(claim.slot)
                    true = check is not None and check.value == claim.value
                    value = check.probability if check is not None and true else 0.0
                    found[place].append(Score(value, contradicted=check is not None and not true and check.held))
        return found


@dataclass(frozen=True, slots=True)
class Grounded:
    """One explanation without the claims that failed."""

    text: str
    judged: tuple[tuple[Claim, Score], ...]
    """Every claim that was there, as it was scored when the text was whole."""
    kept: int
    """Claims that are left."""


def ground(
    texts: Sequence[str],
    vectors_ND: Tensor,
    reader: ClaimReader,
    sign: Sign,
    *,
    threshold: float,
    rows: Sequence[int] | None = None,
    rounds: int = ROUNDS,
) -> list[Grounded]:
    """Take the claims whose score is not above the threshold out of each text; ``rows`` are their names for the sign.

    What fails is taken out together, and what stays is scored again, up to ``rounds`` times, by a sign for which that matters.
    """
    rows = range(len(texts)) if rows is None else rows
    current = list(texts)
    judged: list[tuple[tuple[Claim, Score], ...]] = [()] * len(texts)
    kept = [0] * len(texts)
    unsettled = list(range(len(texts)))
    for number in range(rounds if sign.repeats else 1):
        claims_N = [reader.claims(current[place]) for place in unsettled]
        given = [current[place] for place in unsettled]
        scores_N = sign.scores(vectors_ND[unsettled], given, claims_N, [rows[place] for place in unsettled])
        changed = []
        for place, claims, scores in zip(unsettled, claims_N, scores_N, strict=True):
            if number == 0:
                judged[place] = tuple(zip(claims, scores, strict=True))
            failed = [claim for claim, score in zip(claims, scores, strict=True) if not score.value > threshold]
            kept[place] = len(claims) - len(failed)
            if failed:
                # Words around claims say nothing once all claims are gone.
                current[place] = without(current[place], failed) if kept[place] else ""
            if failed and kept[place]:
                changed.append(place)
        unsettled = changed
        if not unsettled:
            break
    return [Grounded(*found) for found in zip(current, judged, kept, strict=True)]
