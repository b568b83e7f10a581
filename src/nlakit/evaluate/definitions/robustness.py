"""Measures of explanations under attack: whether they can be made to lie while the target behaves as before."""

from __future__ import annotations

from dataclasses import dataclass

from nlakit.evaluate.definitions.definition import MeasureDefinition, Unit

ROBUSTNESS = "Under attack"
ROWS = 60
"""Most held-out rows that are attacked (our choice)."""


@dataclass(frozen=True, slots=True)
class Budget:
    """What an attacker may do to one row."""

    tokens: int = 4
    """Tokens in front of the document's text."""
    candidates: int = 16
    """Tokens that are tried at each place."""
    most_kl: float = 0.1
    """KL divergence of the next-token distribution, in nats, that counts as behaving as before; the likeliest token stays too."""

    @property
    def target_passes(self) -> int:
        """Forward passes of the target for one row: the document alone, the prefix that the search begins with, each candidate."""
        return 2 + self.tokens * self.candidates

    @property
    def verbalizer_passes(self) -> int:
        """Forward passes of the verbalizer for one row: it says of each prefix how probable the true claims still are."""
        return 1 + self.tokens * self.candidates


_BUDGET = Budget()
_COST = (
    f"{_BUDGET.target_passes} forward passes of the target and {_BUDGET.verbalizer_passes} of the verbalizer a row for the search, "
    f"on {ROWS} rows at most, and one of the target for the random prefix; then three readings of each row with their support"
)
_ATTACK = (
    f"{_BUDGET.tokens} tokens in front of the document's text, found by a search that makes the true claims of the clean reading "
    f"least probable while the target's next-token distribution moves by {_BUDGET.most_kl} nats at most and its likeliest token "
    "stays"
)
_RANDOM = "with as many tokens drawn at random in front; no behaviour is asked for"


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
        f"Share of true claims in explanations of the same rows {_RANDOM}.",
        "attack_claims_true: what the search adds to the mere presence of a prefix",
    ),
    _under(
        "attack_claims_lost",
        "truth lost to the attack",
        "attack_claims_true_before less attack_claims_true; each resample draws the same documents for both.",
        "attack_claims_lost_random; 0: the attack makes no more claims false than it makes true",
    ),
    _under(
        "attack_claims_lost_random",
        "the same, random prefix",
        "attack_claims_true_before less attack_claims_true_random; each resample draws the same documents for both.",
        "attack_claims_lost: what the search adds to the mere presence of a prefix",
    ),
    _under(
        "attack_kl",
        "KL under attack",
        "Mean KL divergence of the target's next-token distribution under attack from the clean one, over the rows that were met.",
        f"{_BUDGET.most_kl}: the bound",
        "nats",
    ),
    _under(
        "attack_auroc_error",
        "exposed by the error",
        "AUROC with which the reconstruction error tells attacked readings (met) from clean ones of the same rows.",
        "attack_auroc_error_random; 0.5: the error does not expose the attack",
        "AUROC",
    ),
    _under(
        "attack_auroc_error_random",
        "the same, random prefix",
        f"AUROC with which the reconstruction error tells readings of the same rows {_RANDOM}, from clean ones.",
        "attack_auroc_error must be clearly above; else the error shows that there is a prefix, and not that it was searched for",
        "AUROC",
    ),
    _under(
        "attack_auroc_support",
        "exposed by support",
        "AUROC with which a low mean support of the claims tells attacked readings (met) from clean ones of the same rows. "
        "Recurrence at neighbouring tokens is left out.",
        "attack_auroc_support_random; 0.5: support does not expose the attack",
        "AUROC",
    ),
    _under(
        "attack_auroc_support_random",
        "the same, random prefix",
        f"AUROC with which a low mean support tells readings of the same rows {_RANDOM}, from clean ones.",
        "attack_auroc_support must be clearly above; else support shows that there is a prefix, and not that it was searched for",
        "AUROC",
    ),
)
