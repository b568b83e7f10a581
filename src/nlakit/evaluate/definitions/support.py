"""Measures of the support score: whether it tells true claims from false ones."""

from __future__ import annotations

from nlakit.evaluate.definitions.definition import MeasureDefinition

SUPPORT = "Support of claims"

_COST = "8 further samples a row, one at each of 4 neighbouring tokens, and about 6 reconstructions a claim; on 400 rows at most"

_COST_KINDS = "about 6 reconstructions a claim more; samples and neighbours are shared with support_auroc"
_SAMPLES = (
    "8 further samples a row, and one at each of 4 neighbouring tokens; on 400 rows at most, shared with support_auroc"
)


def _auroc(name: str, title: str, over: str, cost: str = _COST) -> MeasureDefinition:
    """Return the definition of an AUROC over some claims."""
    return MeasureDefinition(
        name,
        title,
        f"AUROC of the support score: the probability that a true claim has more support than a false one, ties counting half, "
        f"{over}. Support is computed without the truth, by the calibration on the pair's card or the one that is shipped.",
        "0.5: support says nothing; 1: every true claim stands above every false one",
        "AUROC",
        cost,
        SUPPORT,
        ("truth",),
    )


_KINDS = {
    "frames": "found as in any text, by learnt frames, or as names, numbers and quotations",
    "statements": "that are whole statements, as most of free prose is read where no frame fits",
}
"""Claims that are found without knowing the language, by the ending of their measures."""


def _of_kind(kind: str) -> tuple[MeasureDefinition, MeasureDefinition]:
    """Return AUROC and calibration error of claims that are found without knowing the language."""
    over = f"over claims {_KINDS[kind]}; each is true if all is that the corpus's reader finds in its words"
    return (
        _auroc(f"support_auroc_{kind}", f"support, {kind}", over, _COST_KINDS),
        _calibration_error(f"support_error_{kind}", f"calibration error, {kind}", over, _COST_KINDS),
    )


def _calibration_error(name: str, title: str, over: str, cost: str = _COST) -> MeasureDefinition:
    """Return the definition of a calibration error over some claims."""
    return MeasureDefinition(
        name,
        title,
        "Expected calibration error: claims are put into ten bins of support, and the distance between mean support and share true "
        f"of each bin is averaged over claims; {over}.",
        "0: of the claims with support s a share of s is true",
        "fraction",
        cost,
        SUPPORT,
        ("truth",),
    )


def _recurring(name: str, title: str, which: str, baseline: str) -> MeasureDefinition:
    """Return the definition of the truth of claims that others make too, or do not."""
    return MeasureDefinition(
        name,
        title,
        f"Share of the claims that are true, of those that {which}.",
        baseline,
        "fraction",
        _SAMPLES,
        SUPPORT,
        ("truth",),
    )


DEFINITIONS: tuple[MeasureDefinition, ...] = (
    _auroc("support_auroc", "support tells true from false", "over all claims"),
    _auroc("support_auroc_theme", "support, themes", "over themes"),
    _auroc("support_auroc_entity", "support, entities", "over entities"),
    _auroc("support_auroc_detail", "support, details", "over details"),
    _auroc(
        "support_auroc_slot",
        "support within a slot",
        "over pairs of claims of the same slot. Some slots are nearly always right and others seldom, which alone gives a high "
        "support_auroc; this leaves it out",
    ),
    MeasureDefinition(
        "support_true_high",
        "claims true, support 0.9 and above",
        "Share of the claims with a support of at least 0.9 that are true.",
        "0.9 or more: support can be taken at its word",
        "fraction",
        _COST,
        SUPPORT,
        ("truth",),
    ),
    MeasureDefinition(
        "support_true_low",
        "claims true, support under 0.5",
        "Share of the claims with a support under 0.5 that are true.",
        "0.5 or less",
        "fraction",
        _COST,
        SUPPORT,
        ("truth",),
    ),
    _calibration_error("support_error", "calibration error of support", "over all claims"),
    *_of_kind("frames"),
    *_of_kind("statements"),
    _recurring(
        "agreement_true_all",
        "claims true, all samples agree",
        "all other samples of the same vector make too",
        "agreement_true_none: far below it where agreement tells which claim to believe; claims_true",
    ),
    _recurring(
        "agreement_true_none",
        "claims true, no sample agrees",
        "no other sample of the same vector makes",
        "agreement_true_all; 0: what one sample alone says is never so",
    ),
    _recurring(
        "recurrence_true_all",
        "claims true, all neighbours agree",
        "the readings at all neighbouring tokens (two on either side, where there are as many) make too",
        "recurrence_true_none: the paper finds that claims which recur are true more often. That themes recur more and are "
        "truer than details already makes it so; the table of claims by recurrence has details alone",
    ),
    _recurring(
        "recurrence_true_none",
        "claims true, no neighbour agrees",
        "no reading at a neighbouring token makes",
        "recurrence_true_all",
    ),
)
