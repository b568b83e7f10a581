"""Measures of whether a text picks its own vector out, and of what the target makes of the rebuilt vector."""

from __future__ import annotations

from nlakit.evaluate.definitions.definition import MeasureDefinition, Unit

IDENTIFY = "Does the text pick its vector out"
SPLICE = "What the target makes of the rebuilt vector"

_COST = "one reconstruction a row"
_PASSES = "two forward passes of the target a row, and two more for the baselines"


def _splice(name: str, title: str, definition: str, baseline: str, unit: Unit) -> MeasureDefinition:
    """Return the definition of a measure that puts vectors back into the target."""
    return MeasureDefinition(name, title, definition, baseline, unit, _PASSES, SPLICE)


DEFINITIONS: tuple[MeasureDefinition, ...] = (
    MeasureDefinition(
        "retrieval_top1",
        "own vector is nearest",
        "Share of the rows whose own vector is nearer to the reconstruction (by cosine) than that of every other measured row. A "
        "failed output counts as missed.",
        "1 / n: picking a row by lot",
        "fraction",
        _COST,
        IDENTIFY,
    ),
    MeasureDefinition(
        "retrieval_reciprocal_rank",
        "mean reciprocal rank",
        "Mean of 1 / rank of the own vector among those of all measured rows, by nearness to the reconstruction; 0 for a failed "
        "output.",
        "about (ln n + 0.6) / n: ranks by lot",
        "fraction",
        _COST,
        IDENTIFY,
    ),
    MeasureDefinition(
        "choice_same_document",
        "own before another of its document",
        "Probability that the own vector is nearer to the reconstruction than that of a random other row of the same document; 0.5 "
        "for a failed output. Documents with one row do not count.",
        "0.5: by lot",
        "fraction",
        _COST,
        IDENTIFY,
    ),
    MeasureDefinition(
        "choice_other_document",
        "own before one of another document",
        "Probability that the own vector is nearer to the reconstruction than that of a random row of another document; 0.5 for a "
        "failed output.",
        "0.5: by lot",
        "fraction",
        _COST,
        IDENTIFY,
    ),
    _splice(
        "splice_kl",
        "KL of the next token",
        "KL divergence of the target's next-token distribution at the row's token from what it is when the rebuilt vector, set to "
        "the norm of the own one, stands in its place. A failed output is replaced by the mean direction.",
        "splice_kl_mean and splice_kl_other; 0: nothing that counts for the next token was lost",
        "nats",
    ),
    _splice(
        "splice_kl_mean",
        "the same, mean direction",
        "As splice_kl, with the mean direction of the training rows in place of every vector.",
        "splice_kl must be far below",
        "nats",
    ),
    _splice(
        "splice_kl_other",
        "the same, another row's words",
        "As splice_kl, with the vector that was rebuilt for a row of another document.",
        "splice_kl must be far below",
        "nats",
    ),
    _splice(
        "splice_kl_later",
        "KL of the tokens after it",
        "As splice_kl, averaged over the up to 8 tokens of the document that follow the row's, as they are written there.",
        "0; what later tokens fetch from the row's by attention is here",
        "nats",
    ),
    _splice(
        "splice_same_token",
        "same next token",
        "Share of the rows at which the target's most probable next token stays the same with the rebuilt vector in place of the "
        "own one.",
        "1",
        "fraction",
    ),
)
