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
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from nlakit.claims.anytext import STATEMENT, FrameReader
from nlakit.claims.exchange import ClaimReader, Pool, cut, guessed_anew
from nlakit.claims.leverage import leverages
from nlakit.claims.likelihood import Span, SpanScore, span_log_probs, span_scores
from nlakit.claims.probes import Probes
from nlakit.config import derive_seed
from nlakit.models.reconstructor import Reconstructor
from nlakit.models.verbalizer import Verbalizer
from nlakit.truth import Claim, beyond_chance

RARER = 3
"""A vector speaks against a value that is so many times less probable than by chance. In a slot of two values something else is
more probable than not at every other token where the vector is silent; of an honest teacher's claims this leaves 0.1 %, and of
those of one with a fifth of them false 3.2 %, all of them false (LOG.md)."""
ROUNDS = 4
"""How often what stays is scored: a claim may look probable only behind another that is a guess."""


@dataclass(frozen=True, slots=True)
class Score:
    """What a sign says about one claim."""

    value: float
    """The higher, the better the vector bears the claim out."""
    contradicted: bool | None = None
    """Whether the vector speaks for another value: something else is more probable than not, and the value rarer than by chance.
    None where the sign cannot tell, or the claim was not scored."""


class Sign(Protocol):
    """Tells for each claim how far its vector bears it out."""

    @property
    def guesses(self) -> Pool | None:
        """What stands in the place of claims that failed, when the others are scored anew; None where those do not matter."""

    def scores(
        self, vectors_ND: Tensor, texts: Sequence[str], claims_N: Sequence[Sequence[Claim]], rows: Sequence[int]
    ) -> list[list[Score]]:
        """Score each claim of each text; ``rows`` says which of all rows the texts belong to."""


NOT_SCORED = Score(math.inf)
"""Of a claim that stays because nothing can be said about it."""


@dataclass(frozen=True)
class LikelihoodSign:
    """How far a verbalizer taught the whole text goes beyond guessing a claim's value, given the vector and what stands before.

    The probability of the value is held against the frequency of the value in its slot (:func:`~nlakit.truth.beyond_chance`):
    at 1 the vector decides it, at 0 the vector says nothing about it, and whoever writes it down guesses. A whole statement
    can be worded in too many ways for that. What is held against chance is the probability that it was written of its own
    vector and not of another, ``p / (p + mean of p under the others)``, which is a half where the vector says nothing.
    """

    verbalizer: Verbalizer
    guesses: Pool
    """The claims of the texts that the verbalizer was taught: how often each value occurs."""
    others_KD: Tensor
    """Vectors drawn at random, for whole statements."""

    def scores(
        self,
        vectors_ND: Tensor,
        texts: Sequence[str],
        claims_N: Sequence[Sequence[Claim]],
        rows: Sequence[int],  # noqa: ARG002 - the text itself is scored
    ) -> list[list[Score]]:
        """One forward pass a text, and K more where it makes a whole statement.

        A text that outgrows the verbalizer's window cannot be scored, and its claims stay: no warm start learns from it.
        """
        scores_N = [[NOT_SCORED] * len(claims) for claims in claims_N]
        fits = [row for row, text in enumerate(texts) if self.verbalizer.fits(text)]
        scored = self._scored(vectors_ND[fits], [texts[row] for row in fits], [claims_N[row] for row in fits])
        for row, scores in zip(fits, scored, strict=True):
            scores_N[row] = scores
        return scores_N

    def _scored(
        self, vectors_ND: Tensor, texts: Sequence[str], claims_N: Sequence[Sequence[Claim]]
    ) -> list[list[Score]]:
        spans_N = [[(claim.value_start, claim.value_end) for claim in claims] for claims in claims_N]
        found_N = span_scores(self.verbalizer, vectors_ND, texts, spans_N)
        elsewhere_N = self._elsewhere(texts, spans_N, claims_N)
        return [
            [
                self._of_statement(found, [log_probs[place] for log_probs in elsewhere])
                if claim.slot == STATEMENT
                else self._of_value(claim, found)
                for place, (claim, found) in enumerate(zip(claims, founds, strict=True))
            ]
            for claims, founds, elsewhere in zip(claims_N, found_N, elsewhere_N, strict=True)
        ]

    def _of_value(self, claim: Claim, found: SpanScore) -> Score:
        """Hold the probability of a value against its frequency."""
        probability, frequency = math.exp(found.log_prob), self.guesses.frequency(claim)
        contradicted = found.contradicted and RARER * probability < frequency
        return Score(beyond_chance(probability, frequency), contradicted)

    def _of_statement(self, found: SpanScore, elsewhere: Sequence[float]) -> Score:
        """Hold the probability that a statement was written of its own vector against that of a draw between two."""
        return Score(beyond_chance(own_share(found.log_prob, elsewhere), 0.5))

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
    guesses: None = None

    def scores(
        self,
        vectors_ND: Tensor,
        texts: Sequence[str],
        claims_N: Sequence[Sequence[Claim]],
        rows: Sequence[int],  # noqa: ARG002 - the text itself is scored
    ) -> list[list[Score]]:
        """One reconstruction a text and ``swaps`` more a claim; a claim whose slot has no other value scores 0.

        As by likelihood, claims of a text that outgrows the window stay.
        """
        found_N = leverages(self.reconstructor, vectors_ND, texts, claims_N, self.pool, swaps=self.swaps, drops=False)
        return [
            [
                NOT_SCORED if leverage.drop is None else Score((leverage.swap or 0.0) / self.variance)
                for leverage in found
            ]
            for found in found_N
        ]


@dataclass(frozen=True)
class ProbeSign:
    """How far a linear probe, fitted on other documents, goes beyond guessing the claim's value; needs a known truth."""

    probes: Mapping[int, Probes]
    """For each row the probes that were fitted without its document."""
    facts: Mapping[int, Mapping[str, str]]
    """What is true at each row."""
    guesses: None = None

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
                    value = check.beyond_chance if check is not None and true else 0.0
                    found[place].append(Score(value, contradicted=check is not None and not true and check.held))
        return found


@dataclass(frozen=True, slots=True)
class Grounded:
    """One explanation without the claims that failed."""

    text: str
    judged: tuple[tuple[Claim, Score], ...]
    """Every claim that was there, as it was scored in the teacher's own text."""
    failed: frozenset[int]
    """Which of them have gone."""

    @property
    def kept(self) -> int:
        """How many claims are left."""
        return len(self.judged) - len(self.failed)


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

    Where the sign looks at the words before a claim, what stays is scored again, up to ``rounds`` times, with another guess in
    the place of each claim that failed: what was probable only behind the guess fails too. The claims are exchanged and not
    left out, since a text of a form that nobody was taught makes all of its words improbable (LOG.md).
    """
    rows = range(len(texts)) if rows is None else rows
    claims_N = [reader.claims(text) for text in texts]
    judged_N = sign.scores(vectors_ND, texts, claims_N, rows)
    failed_N = [_failed(scores, threshold) for scores in judged_N]
    unsettled = [place for place, failed in enumerate(failed_N) if 0 < len(failed) < len(claims_N[place])]
    for number in range(1, rounds):
        if sign.guesses is None or not unsettled:
            break
        ids = [rows[place] for place in unsettled]
        again = [
            guessed_anew(
                texts[place], claims_N[place], failed_N[place], sign.guesses, derive_seed(number, "ground", row)
            )
            for place, row in zip(unsettled, ids, strict=True)
        ]
        scores_N = sign.scores(vectors_ND[unsettled], [text for text, _ in again], [claims for _, claims in again], ids)
        changed = []
        for place, scores in zip(unsettled, scores_N, strict=True):
            failed = failed_N[place] | _failed(scores, threshold)
            if len(failed_N[place]) < len(failed) < len(claims_N[place]):
                changed.append(place)
            failed_N[place] = failed
        unsettled = changed
    return [
        _grounded(text, tuple(zip(claims, scores, strict=True)), failed, reader)
        for text, claims, scores, failed in zip(texts, claims_N, judged_N, failed_N, strict=True)
    ]


def _failed(scores: Sequence[Score], threshold: float) -> set[int]:
    """Return which of the claims of a text fail."""
    return {index for index, score in enumerate(scores) if not score.value > threshold}


def _grounded(
    text: str, judged: tuple[tuple[Claim, Score], ...], failed: AbstractSet[int], reader: ClaimReader
) -> Grounded:
    """Take claims out of a text; words around claims say nothing once all claims are gone.

    What ordinary words say of a name, a number or a quotation ("a letter by _ to his sister") says nothing without it. So by frames
    every clause goes that makes a claim that failed, and with it what is claimed there and nowhere else.
    """
    if not failed:
        return Grounded(text, judged, frozenset())
    claims = [claim for claim, _ in judged]
    spans = [(claims[index].start, claims[index].end) for index in failed]
    if isinstance(reader, FrameReader):
        wrong = {claims[index].same for index in failed}
        said = list(reader.by_clause(text))
        gone = [clause for clause, found in said if any(claim.same in wrong for claim in found)]
        left = {claim.same for clause, found in said if clause not in gone for claim in found}
        failed = {index for index, claim in enumerate(claims) if claim.same not in left}
        spans = [(clause.start, clause.end) for clause in gone]
    return Grounded(cut(text, spans) if len(failed) < len(claims) else "", judged, frozenset(failed))
