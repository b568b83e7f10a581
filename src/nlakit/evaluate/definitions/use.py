"""Measures of how much the verbalizer takes from its vector."""

from __future__ import annotations

from nlakit.evaluate.definitions.definition import MeasureDefinition

USE = "Use of the vector"

DEFINITIONS: tuple[MeasureDefinition, ...] = (
    MeasureDefinition(
        "cross_entropy_true",
        "cross-entropy, own vector",
        "Mean negative log-probability a token that the verbalizer gives the teacher's explanation when it reads the row's own "
        "vector.",
        "cross_entropy_shuffled",
        "nats/token",
        "one forward pass a row over the teacher's explanation",
        USE,
        ("teacher",),
    ),
    MeasureDefinition(
        "cross_entropy_shuffled",
        "cross-entropy, another's vector",
        "As cross_entropy_true, when the verbalizer reads the vector of a row of another document.",
        "must be clearly above cross_entropy_true: the gap is what the verbalizer takes from the vector",
        "nats/token",
        "one forward pass a row over the teacher's explanation",
        USE,
        ("teacher",),
    ),
)
