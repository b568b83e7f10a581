"""Measures of whether a text picks its own vector out, and of what the target makes of the rebuilt vector."""

from __future__ import annotations

from nlakit.evaluate.definitions.definition import MeasureDefinition, Need, Unit

IDENTIFY = "Does the text pick its vector out"
SPLICE = "What the target makes of the rebuilt vector"

_COST = "one reconstruction a row"
_PASSES = "one reconstruction and four forward passes of the target a row, for all measures of this group together"


def _splice(
    name: str, title: str, definition: str, baseline: str, unit: Unit, needs: tuple[Need, ...] = ()
) -> MeasureDefinition:
    """Return the definition of a measure that puts vectors back into the target."""
    return MeasureDefinition(name, title, definition, baseline, unit, _PASSES, SPLICE, needs)


def _kept(name: str, title: str, definition: str) -> tuple[MeasureDefinition, ...]:
    """Return the definitions of one measure of behaviour and of its controls."""
    below = f"must be far below {name}"
    return (
        _splice(name, title, definition, f"1; {name}_mean and {name}_other", "fraction", ("truth",)),
        _splice(
            f"{name}_mean",
            f"{title}, mean direction",
            f"As {name}, with the mean direction of the training rows in place of every vector.",
            below,
            "fraction",
            ("truth",),
        ),
        _splice(
            f"{name}_other",
            f"{title}, another row's words",
            f"As {name}, with the vector that was rebuilt for a row of another document.",
            f"{below}; above 0 where both rows go on alike",
            "fraction",
            ("truth",),
        ),
    )


DEFINITIONS: tuple[MeasureDefinition, ...] = (
    MeasureDefinition(
        "retrieval_top1",
        "own vector is nearest",
        "Share of the rows whose own vector is nearer to the reconstruction (by cosine) than that of every other measured row. A "
        "failed output counts as missed.",
        "1 / n: picking a row at random",
        "fraction",
        _COST,
        IDENTIFY,
    ),
    MeasureDefinition(
        "retrieval_reciprocal_rank",
        "mean reciprocal rank",
        "Mean of 1 / rank of the own vector among those of all measured rows, by nearness to the reconstruction; 0 for a failed "
        "output.",
        "about (ln n + 0.6) / n: ranks at random",
        "fraction",
        _COST,
        IDENTIFY,
    ),
    MeasureDefinition(
        "choice_same_document",
        "own before another of its document",
        "Probability that the own vector is nearer to the reconstruction than that of a random other row of the same document; 0.5 "
        "for a failed output. Documents with one row do not count.",
        "0.5: at random",
        "fraction",
        _COST,
        IDENTIFY,
    ),
    MeasureDefinition(
        "choice_other_document",
        "own before one of another document",
        "Probability that the own vector is nearer to the reconstruction than that of a random row of another document; 0.5 for a "
        "failed output.",
        "0.5: at random",
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
        "splice_kl_later_mean and splice_kl_later_other; what later tokens fetch from the row's by attention is here, and where "
        "all three are near 0 they fetch nothing",
        "nats",
    ),
    _splice(
        "splice_kl_later_mean",
        "the same, mean direction",
        "As splice_kl_later, with the mean direction of the training rows in place of every vector.",
        "splice_kl_later must be far below",
        "nats",
    ),
    _splice(
        "splice_kl_later_other",
        "the same, another row's words",
        "As splice_kl_later, with the vector that was rebuilt for a row of another document.",
        "splice_kl_later must be far below",
        "nats",
    ),
    _splice(
        "splice_same_token",
        "same next token",
        "Share of the rows at which the target's most probable next token stays the same with the rebuilt vector in place of the "
        "own one.",
        "1; where several next tokens are about as probable, hardly anything changes which comes first",
        "fraction",
    ),
    *_kept(
        "splice_settled_kept",
        "right words kept",
        "Of the rows at which the truth settles the next word (no other can follow) and the target finds its token most probable, "
        "the share at which it still does with the rebuilt vector in place of the own one.",
    ),
    *_kept(
        "splice_answers_kept",
        "right answers kept",
        "As splice_settled_kept, over the rows at which that word is the value of a known fact: the answer to a question, a name, "
        "a thing. Words that any text has are left out.",
    ),
)
