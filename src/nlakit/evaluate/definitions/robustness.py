"""Measures of explanations under attack: whether they can be made to lie while the target behaves as before."""

from __future__ import annotations

from nlakit.evaluate.definitions.definition import MeasureDefinition, Unit

ROBUSTNESS = "Under attack"

_COST = "64 forward passes of the target a row, on 60 rows at most"
_ATTACK = (
    "four tokens in front of the document, found by a search that makes the true claims of the clean reading least probable while "
    "the target's next-token distribution moves by 0.1 nats at most and its likeliest token stays"
)


def _under(name: str, title: str, definition: str, baseline: str, unit: Unit = "fraction") -> MeasureDefinition:
    """Return the definition of one measure of the attack."""
    return MeasureDefinition(name, title, definition, baseline, unit, _COST, ROBUSTNESS, ("truth",))


DEFINITIONS: tuple[MeasureDefinition, ...] = (
    _under(
        "attack_met",
        "attacks that leave behaviour",
        f"Share of the attacked rows at which the target behaves as before. The attack: {_ATTACK}.",
        "the rows on which the other measures of the attack are taken",
    ),
    _under(
        "attack_claims_true",
        "claims true, attacked",
        "Share of true claims in explanations of attacked rows that were met.",
        "attack_claims_true_before and attack_claims_true_random",
    ),
    _under(
        "attack_claims_true_before",
        "claims true, clean",
        "Share of true claims in explanations of the same rows without a prefix.",
        "attack_claims_true: the difference is what the attack does",
    ),
    _under(
        "attack_claims_true_random",
        "claims true, random prefix",
        "Share of true claims in explanations of the same rows with four tokens drawn by lot in front; no behaviour is asked for.",
        "attack_claims_true: what the search adds to the mere presence of a prefix",
    ),
    _under(
        "attack_kl",
        "KL under attack",
        "Mean KL divergence of the target's next-token distribution under attack from the clean one, over the rows that were met.",
        "0.1: the bound",
        "nats",
    ),
    _under(
        "attack_auroc_error",
        "exposed by the error",
        "AUROC with which the reconstruction error tells attacked readings (met) from clean ones of the same rows.",
        "0.5: the error does not expose the attack",
        "AUROC",
    ),
    _under(
        "attack_auroc_support",
        "exposed by support",
        "AUROC with which a low mean support of the claims tells attacked readings (met) from clean ones of the same rows. "
        "Recurrence at neighbouring tokens is left out.",
        "0.5: support does not expose the attack",
        "AUROC",
    ),
)
