"""Measures of whether the words matter: what is left of FVE when explanations are edited, and the leverage of their claims."""

from __future__ import annotations

from nlakit.evaluate.definitions.definition import MeasureDefinition, Need, Unit

WORDS = "Do the words matter"
LEVERAGE = "Leverage of claims"

FLIPPED = 0.01
"""A claim counts as flipping something when its exchange raises the error by more than this share of Var."""

MODEL_COST = "; with a model as paraphraser (evaluate.paraphraser) one request an explanation"

_MEANING = (
    "1: meaning alone is read, 0 and below: wording alone. Compare with fve_kept_shuffle, which keeps the words; "
)


def _kept(edit: str, title: str, what: str, baseline: str, needs: tuple[Need, ...] = ()) -> MeasureDefinition:
    """Return the definition of the share of FVE that an edit leaves, over the explanations that it applies to."""
    return MeasureDefinition(
        f"fve_kept_{edit}",
        f"FVE kept, {title}",
        f"FVE of rows rebuilt from their edited explanations, divided by FVE of the same rows from the unedited ones: {what}. "
        "Left out where the interval of the FVE below the line is not above 0.",
        baseline,
        "fraction",
        f"one reconstruction a row{MODEL_COST if 'paraphraser' in needs else ''}",
        WORDS,
        needs,
    )


def _leverage(name: str, title: str, definition: str, baseline: str, unit: Unit = "FVE") -> MeasureDefinition:
    """Return the definition of a measure over claims."""
    cost = "up to four reconstructions a claim, and one more for claim_drop"
    needs: tuple[Need, ...] = ("truth",) if name.endswith(("true", "false")) else ()
    return MeasureDefinition(name, title, definition, baseline, unit, cost, LEVERAGE, needs)


DEFINITIONS: tuple[MeasureDefinition, ...] = (
    _kept(
        "shuffle",
        "order",
        "sentences, and the clauses of each, in random order",
        "1: the order carries nothing; the paper finds 0.93 to 0.98",
    ),
    _kept(
        "shuffle_body",
        "order but the end",
        "as fve_kept_shuffle, with the last sentence left as it is, where it is",
        "fve_kept_shuffle: far above it, the reconstructor relies on what stands last, not on order as such",
    ),
    _kept(
        "paraphrase_light",
        "light paraphrase",
        "some words exchanged, the order kept",
        _MEANING + "the paper finds 0.93 to 1.05",
        ("paraphraser",),
    ),
    _kept(
        "paraphrase_heavy",
        "heavy paraphrase",
        "nearly every word but names and values exchanged, and the order changed",
        _MEANING + "the paper finds 0.76 to 0.89",
        ("paraphraser",),
    ),
    _kept(
        "translation",
        "translation",
        "in another language, but for names",
        _MEANING + "the paper finds 0.81 to 0.90 for French",
        ("paraphraser",),
    ),
    _kept(
        "quotes_only",
        "quotations alone",
        "only the spans in quotation marks, over explanations that have such and other words",
        "fve_kept_prose_only: higher than it, the pair writes down what the text may have said instead of describing it",
    ),
    _kept(
        "prose_only",
        "without quotations",
        "without the spans in quotation marks, over explanations that have such and other words",
        "fve_kept_quotes_only",
    ),
    _kept(
        "drop_half",
        "half the clauses",
        "half of the clauses left out at random, of an odd number one fewer",
        "fve_kept_truncated: the same number of words, cut off at the end",
    ),
    _kept(
        "truncated",
        "cut short",
        "cut off after as many words as fve_kept_drop_half leaves",
        "fve_kept_drop_half: equal, each part of the text carries as much; above it, the first words carry most",
    ),
    _kept(
        "entity_swap",
        "one entity exchanged",
        "the value of one claim of the level entity exchanged for another value of its slot, over explanations that have one; "
        "1 minus it is the drop",
        "1: the reconstructor does not read which entity is named",
    ),
    _leverage(
        "claim_leverage",
        "swap leverage of a claim",
        "Mean over claims of the rise of the error, in units of Var, when the claim's value is exchanged for another value of its "
        "slot (mean over up to four, drawn as often as explanations give them).",
        "0: the values that claims name carry nothing",
    ),
    _leverage(
        "claim_leverage_true",
        "swap leverage, true claims",
        "claim_leverage over the claims that are true at their position.",
        "claim_leverage_false: the difference is what leverage knows of truth",
    ),
    _leverage(
        "claim_leverage_false",
        "swap leverage, false claims",
        "claim_leverage over the claims that are false at their position.",
        "0: a false value should carry no more than another",
    ),
    _leverage(
        "claim_drop",
        "drop leverage of a claim",
        "Mean over claims of the rise of the error, in units of Var, when the words of the claim are left out.",
        "claim_leverage: above it, that a slot is named carries something beside its value, or the reconstructor minds the form",
    ),
    _leverage(
        "flip_rate",
        "claims that matter when flipped",
        f"Share of the claims whose exchange for another value raises the error by more than {100 * FLIPPED:g} % of Var (mean over "
        "the values of claim_leverage): how often flipping a claim changes anything.",
        "1; Dingeto (2026) finds 0.02 to 0.04 for specific claims of a released pair",
        "fraction",
    ),
)
