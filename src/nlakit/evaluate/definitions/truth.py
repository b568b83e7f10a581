"""Measures of the truth of claims, and of what the vectors hold."""

from __future__ import annotations

from nlakit.evaluate.definitions.definition import NONE, MeasureDefinition
from nlakit.truth import HELD_ABOVE

TRUTH = "Truth of claims"
HELD = "What the vectors hold"

_PROBES = "one linear probe a slot, fitted on training documents"
_HOLDS = (
    f"the probe of its slot gives the true value a probability p that lies more than {HELD_ABOVE} of the way from the value's "
    "frequency f in training to certainty, (p - f) / (1 - f)"
)


def _level_measure(level: str, meaning: str) -> MeasureDefinition:
    """Return the definition of ``claims_true`` within one level."""
    return MeasureDefinition(
        name=f"claims_true_{level}",
        title=f"claims true, {level}",
        definition=f"Share of the claims of level {level} ({meaning}) that are true at their position.",
        baseline=f"claims_ceiling_{level}: the same claims, each with the probe's best value",
        unit="fraction",
        cost=NONE,
        group=TRUTH,
        needs=("truth",),
    )


def _ceiling_measure(level: str) -> MeasureDefinition:
    """Return the definition of ``claims_ceiling`` within one level."""
    return MeasureDefinition(
        name=f"claims_ceiling_{level}",
        title=f"claims a probe gets right, {level}",
        definition=f"claims_ceiling over the claims of level {level} only.",
        baseline="1",
        unit="fraction",
        cost=_PROBES,
        group=HELD,
        needs=("truth",),
    )


DEFINITIONS: tuple[MeasureDefinition, ...] = (
    MeasureDefinition(
        "claims_true",
        "claims true",
        "Share of the claims in the sampled explanations that are true at their position, judged by the corpus's own truth.",
        "claims_ceiling: the same claims, each with the probe's best value",
        "fraction",
        NONE,
        TRUTH,
        ("truth",),
    ),
    _level_measure("theme", "what the text is about"),
    _level_measure("entity", "who or what is in it"),
    _level_measure("detail", "a particular of them"),
    MeasureDefinition(
        "claims_related",
        "claims false but related",
        "Share of the claims that are false, but of the right kind for the text (the paper's middle class).",
        "the rest, 1 - claims_true - claims_related, is false and unrelated",
        "fraction",
        NONE,
        TRUTH,
        ("truth",),
    ),
    MeasureDefinition(
        "claims_per_explanation",
        "claims an explanation",
        "Claims made, divided by the number of explanations that parsed.",
        "silence is one way of not being wrong: read it with claims_true",
        "claims",
        NONE,
        TRUTH,
        ("truth",),
    ),
    MeasureDefinition(
        "claims_held",
        "claims about a held fact",
        f"Share of the claims that speak about a fact which the vector holds, whatever they say about it: {_HOLDS}. A claim "
        "about a slot that has no truth at the position counts as not held.",
        "1: the explanation speaks only of what is there",
        "fraction",
        _PROBES,
        HELD,
        ("truth",),
    ),
    MeasureDefinition(
        "facts_mentioned",
        "held facts mentioned",
        "Of the facts that the vectors hold (see facts_held), the share that the explanation states correctly. A failed output "
        "mentions nothing.",
        "1: the explanation says all that is there",
        "fraction",
        _PROBES,
        HELD,
        ("truth",),
    ),
    MeasureDefinition(
        "facts_held",
        "facts held",
        f"Share of the facts true at the held-out positions that the vectors hold. A vector holds a fact when {_HOLDS}.",
        "1",
        "fraction",
        _PROBES,
        HELD,
        ("truth",),
    ),
    MeasureDefinition(
        "claims_ceiling",
        "claims a probe gets right",
        "What a linear probe makes of the same claims: share of them that would be true if each gave the value its slot's probe "
        "finds most probable in the vector. It is no bound: a claim about a slot that has no truth at the position counts as "
        "wrong, whatever the probe says, and a pair chooses what to claim, and may claim what is easy. Probes that may be silent "
        "are measured by claims_true_of_probes.",
        "claims_true: far below it, the words waste what the vector holds",
        "fraction",
        _PROBES,
        HELD,
        ("truth",),
    ),
    _ceiling_measure("theme"),
    _ceiling_measure("entity"),
    _ceiling_measure("detail"),
)
