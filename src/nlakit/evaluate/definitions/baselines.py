"""Measures of other ways to read the same vectors, on the same rows."""

from __future__ import annotations

from nlakit.evaluate.definitions.definition import MeasureDefinition

BASELINES = "Other ways to read the same vectors"

_METHODS: dict[str, tuple[str, str, str]] = {
    "logit_lens": (
        "logit lens",
        "the five likeliest words of the target's output layer for the vector",
        "one pass of the output layer a row",
    ),
    "untrained": (
        "SelfIE / Patchscopes",
        "the target itself reads the vector in the verbalizer's prompt, untrained",
        "one greedy text a row",
    ),
    "warm_start": (
        "warm start only",
        "the verbalizer that was taught the teacher's text, before any reconstructor had a say",
        "one sampled text a row",
    ),
    "nearest": (
        "nearest training row",
        "the teacher's text of the training row with the nearest vector",
        "the teacher's text of some thousand training rows",
    ),
    "probes": (
        "linear probes",
        "every slot whose likeliest value by a linear probe has more than one half, put into words",
        "one linear probe a slot",
    ),
    "similar_text": (
        "most similar text",
        "the teacher's text of the training row whose text is most similar by TF-IDF; no vector is read",
        "the teacher's text of some thousand training rows",
    ),
    "teacher": (
        "teacher",
        "the teacher's text of the row itself, which sees the text and not the vector",
        "one teacher's explanation a row",
    ),
}
"""Title, what is said, and what it costs, of each method."""


def _of(method: str) -> tuple[MeasureDefinition, ...]:
    """Return the definitions of what is measured of one method."""
    title, about, cost = _METHODS[method]
    return (
        MeasureDefinition(
            f"fve_of_{method}",
            f"FVE, {title}",
            f"FVE of the pair's reconstructor on other words: {about}. It was not trained on such text, which counts against "
            "methods of another wording.",
            "fve: what the pair's own words reach",
            "FVE",
            cost,
            BASELINES,
        ),
        MeasureDefinition(
            f"claims_true_of_{method}",
            f"claims true, {title}",
            f"Share of the claims that are true in other words: {about}. Left out where they make none that the corpus can read.",
            "claims_true, with facts_mentioned",
            "fraction",
            cost,
            BASELINES,
            ("truth",),
        ),
        MeasureDefinition(
            f"facts_mentioned_of_{method}",
            f"held facts mentioned, {title}",
            f"As facts_mentioned, in other words: {about}.",
            "facts_mentioned",
            "fraction",
            cost,
            BASELINES,
            ("truth",),
        ),
    )


DEFINITIONS: tuple[MeasureDefinition, ...] = (
    *(definition for method in _METHODS for definition in _of(method)),
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
