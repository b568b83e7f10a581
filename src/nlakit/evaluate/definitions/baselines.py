"""Measures of other ways to read the same vectors, on the same rows."""

from __future__ import annotations

from dataclasses import dataclass

from nlakit.evaluate.definitions.definition import MeasureDefinition

BASELINES = "Other ways to read the same vectors"

_ROWS = "the vectors of some thousand training rows"
_OWN_WORDS = f"one sampled text a training row that is used, and {_ROWS}"


@dataclass(frozen=True, slots=True)
class MethodDefinition:
    """What one way to read vectors is."""

    title: str
    said: str
    """The words that it gives."""
    cost: str
    mind: str = ""
    """What to mind when the pair is held against it."""


METHODS: dict[str, MethodDefinition] = {
    "logit_lens": MethodDefinition(
        "logit lens",
        "the five likeliest words of the target's output layer for the vector",
        "one pass of the output layer a row",
    ),
    "untrained": MethodDefinition(
        "SelfIE / Patchscopes",
        "the target itself reads the vector in the verbalizer's prompt, untrained",
        "one greedy text a row",
    ),
    "warm_start": MethodDefinition(
        "warm start only",
        "the verbalizer that was taught the teacher's text, before any reconstructor had a say",
        "one sampled text a row",
    ),
    "nearest": MethodDefinition(
        "nearest row, pair's words",
        "what the pair itself writes of the training row whose vector is nearest by cosine",
        _OWN_WORDS,
        "only what the pair reads in the row's own vector and not in a neighbour's can put it above this",
    ),
    "nearest_teacher": MethodDefinition(
        "nearest row, teacher's words",
        "the teacher's whole text of the training row whose vector is nearest by cosine",
        f"one teacher's explanation a training row that is used, and {_ROWS}",
        "it needs no pair. Where the recipe grounds the teacher's text, the pair was taught less than this, which counts against "
        "this method in FVE and in claims that are true; the nearest row in the pair's words is free of that",
    ),
    "probes": MethodDefinition(
        "linear probes",
        "every slot that a linear probe finds to be there, with its value: the probes have the class 'not there' beside the "
        "values, and a value is said that goes more than half of the way from its frequency to certainty",
        "one linear probe a slot, fitted on some thousand training rows and their truth",
        "the probes are taught the truth, which no pair is, and know the list of values",
    ),
    "similar_text": MethodDefinition(
        "most similar text",
        "what the pair itself writes of the training row whose text is most similar by TF-IDF; the row's own vector is not read",
        _OWN_WORDS,
        "it shows what the text alone gives away",
    ),
    "teacher": MethodDefinition(
        "teacher",
        "the teacher's whole text of the row itself, which sees the text and not the vector",
        "one teacher's explanation a row",
    ),
}
"""Every method by name, from the least to the most informed."""


def _of(name: str) -> tuple[MeasureDefinition, ...]:
    """Return the definitions of what is measured of one method."""
    method = METHODS[name]
    mind = f"; {method.mind}" if method.mind else ""
    return (
        MeasureDefinition(
            f"fve_of_{name}",
            f"FVE, {method.title}",
            f"FVE of the pair's reconstructor on other words: {method.said}. It was not trained on such text, which counts against "
            "methods of another wording.",
            f"fve: what the pair's own words reach{mind}",
            "FVE",
            method.cost,
            BASELINES,
        ),
        MeasureDefinition(
            f"claims_true_of_{name}",
            f"claims true, {method.title}",
            f"Share of the claims that are true in other words: {method.said}. Left out where the corpus can "
            "read none.",
            f"claims_true, with facts_mentioned{mind}",
            "fraction",
            method.cost,
            BASELINES,
            ("truth",),
        ),
        MeasureDefinition(
            f"facts_mentioned_of_{name}",
            f"held facts mentioned, {method.title}",
            f"As facts_mentioned, in other words: {method.said}.",
            f"facts_mentioned{mind}",
            "fraction",
            method.cost,
            BASELINES,
            ("truth",),
        ),
    )


DEFINITIONS: tuple[MeasureDefinition, ...] = (
    *(definition for name in METHODS for definition in _of(name)),
    MeasureDefinition(
        "logit_lens_next",
        "next token by logit lens",
        "Share of the rows whose likeliest word by the logit lens is the token that the target finds likeliest to come next.",
        "1 at the last block; what the vector already says of the next token by itself",
        "fraction",
        "one forward pass a document",
        BASELINES,
    ),
)
