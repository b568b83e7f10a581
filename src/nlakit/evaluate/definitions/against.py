"""Measures of another pair on the same rows, and of the difference."""

from __future__ import annotations

from nlakit.evaluate.definitions.definition import MeasureDefinition

AGAINST = "Against another pair"

_COST = "one sampled explanation a row by the other pair"
_NO_FEWER = "0: no difference. Positive where this pair is better"

DEFINITIONS: tuple[MeasureDefinition, ...] = (
    MeasureDefinition(
        "fve_of_other_pair",
        "FVE, other pair",
        "As fve, by the pair that evaluate.against names: its words, rebuilt by its reconstructor.",
        "fve",
        "FVE",
        _COST,
        AGAINST,
    ),
    MeasureDefinition(
        "fve_over_other_pair",
        "FVE, difference",
        "fve minus fve_of_other_pair, row by row.",
        f"{_NO_FEWER}; paired, so its interval is narrower than those of the two measures",
        "FVE",
        _COST,
        AGAINST,
    ),
    MeasureDefinition(
        "claims_true_of_other_pair",
        "claims true, other pair",
        "As claims_true, of the words of the pair that evaluate.against names.",
        "claims_true",
        "fraction",
        _COST,
        AGAINST,
        ("truth",),
    ),
    MeasureDefinition(
        "claims_true_over_other_pair",
        "claims true, difference",
        "claims_true minus claims_true_of_other_pair. Each resample draws the same documents for both.",
        _NO_FEWER,
        "fraction",
        _COST,
        AGAINST,
        ("truth",),
    ),
    MeasureDefinition(
        "facts_mentioned_of_other_pair",
        "held facts mentioned, other pair",
        "As facts_mentioned, in the words of the pair that evaluate.against names.",
        "facts_mentioned",
        "fraction",
        _COST,
        AGAINST,
        ("truth",),
    ),
)
