"""What the README says was measured: tables from the card of the shipped pair and the measures beside the shipped target."""

from __future__ import annotations

import json
from collections.abc import Mapping

from nlakit.card import Card, Measure
from nlakit.evaluate.measures import REGISTRY, Unit, format_value
from nlakit.terrarium import BEHAVIOUR_FILE, pair_folder, target_folder
from nlakit.terrarium.families import FAMILIES
from scripts.ship import COMMAND

PAIR_ROWS = {
    "fve": "FVE of the round trip, temperature 1",
    "fve_greedy": "FVE of the round trip, greedy",
    "fve_warm_start": "FVE before reinforcement learning",
    "fve_gain": "gained by reinforcement learning, row by row",
    "fve_shuffled": "control: FVE with another document's explanation",
    "fve_zero_vector": "control: FVE when a zero vector is put into words",
    "fve_empty_text": "control: FVE of empty text",
    "claims_true": "claims that are true",
    "claims_true_theme": "themes that are true",
    "claims_true_entity": "entities that are true",
    "claims_true_detail": "details that are true",
    "claims_true_of_probes": "claims that are true when linear probes, which were taught the truth and may be silent, make them",
    "claims_held": "claims whose fact a probe finds in the vector",
    "facts_mentioned": "facts that the probes find and the words mention",
    "facts_mentioned_of_probes": "facts that probes which may be silent find and mention",
    "claims_true_of_warm_start": "claims that are true before reinforcement learning",
    "facts_mentioned_of_warm_start": "facts that the probes find and the words mention, before it",
    "claims_true_of_nearest": "claims that are true when the words for the nearest of 6,000 training vectors are given",
    "support_auroc": "support score, AUROC of true against false claims",
    "fve_kept_shuffle": "share of FVE left when sentences are shuffled",
    "fve_kept_paraphrase_heavy": "share of FVE left when everything is said in other words",
    "fve_frozen_reconstructor": "FVE when the reconstructor from before reinforcement learning reads the words",
}
"""Measures of the pair in the order of the table, with what the reader is told they are."""


READING_ROWS = {
    "claims_true": "claims that are true",
    "claims_true_theme": "themes that are true",
    "claims_true_entity": "entities that are true",
    "claims_true_detail": "details that are true",
    "claims_per_explanation": "claims an explanation",
    "facts_mentioned": "facts that linear probes find in the vector and the words mention",
    "support_true_high": "claims with a support of 0.9 or more that are true",
    "support_true_low": "claims with a support under 0.5 that are true",
    "support_auroc": "support tells true claims from false ones (AUROC)",
    "support_auroc_detail": "the same, details alone",
    "support_auroc_slot": "the same, only claims about the same thing compared",
    "support_error": "calibration error of support",
    "support_auroc_frames": "support where nobody knows the language: claims found by frames learnt from the texts (AUROC)",
    "support_error_frames": "calibration error of the same",
    "support_auroc_statements": "support where no frame fits: whole statements (AUROC)",
    "support_error_statements": "calibration error of the same",
    "agreement_true_all": "claims that all eight other samples make too that are true",
    "recurrence_true_none": "claims that no neighbouring token makes too that are true",
    "retrieval_top1": "readings whose own vector is nearest among all measured rows",
    "splice_kl": "KL, in nats, of the target's next token with the rebuilt vector in place of its own",
    "splice_kl_mean": "the same with the mean direction",
    "splice_answers_kept": "right answers of the target that stay right with the rebuilt vector in place of its own",
    "fve_kept_shuffle": "FVE kept when sentences are shuffled",
    "fve_kept_paraphrase_light": "FVE kept when a third of the claims is said in other words",
    "fve_kept_paraphrase_heavy": "FVE kept when everything is said in other words, in another order",
    "fve_kept_entity_swap": "FVE kept when one name is exchanged for another: the lower, the more names matter",
    "fve_kept_translation": "FVE kept in French, which the reconstructor never read",
    "fve_kept_drop_half": "FVE kept when half of the clauses are dropped",
    "fve_kept_truncated": "FVE kept when the end is cut off, to the same length",
    "flip_rate": "claims whose exchange for another value changes anything",
    "claim_leverage_true": "FVE lost when the value of a true claim is exchanged",
    "claim_leverage_false": "FVE lost when the value of a false claim is exchanged",
    "attack_claims_lost": "truth lost when tokens are put in front that were searched to make the reading lie",
    "attack_claims_lost_random": "truth lost when as many tokens are drawn at random",
    "attack_auroc_support": "low support tells such readings from clean ones (AUROC)",
    "task_next_text": "true continuation picked among ten (at random: 10 %)",
    "task_yes_no": "yes/no questions answered right (50 %)",
    "task_hints": "marked answer named before it is given (33 %)",
    "task_motive": "unsaid motive of a request named (50 %)",
    "task_writer": "unsaid language of a writer named (25 %)",
}
"""Measures of the page on trust, with what the reader is told they are."""


def reading_table() -> str:
    """Return the table of the page on trust."""
    head = ["| measure | value (95 % interval) |", "|---|---|"]
    return "\n".join([*head, *_rows(Card.load(pair_folder()), READING_ROWS)])


def pair_table() -> str:
    """Return the table of the shipped pair."""
    card = Card.load(pair_folder())
    head = [f"| `{COMMAND}` | |", "|---|---|"]
    return "\n".join([*head, *_rows(card, PAIR_ROWS), "", _trust_sentence(card.results)])


def _rows(card: Card, labels: Mapping[str, str]) -> list[str]:
    """Return a line for each measure that the card has."""
    return [
        f"| {label} | {_cell(card.results[name], REGISTRY[name].unit)} |"
        for name, label in labels.items()
        if name in card.results
    ]


def _trust_sentence(results: Mapping[str, Measure]) -> str:
    parts = {"themes": "claims_true_theme", "details": "claims_true_detail", "entities": "claims_true_entity"}
    shares = ", ".join(f"{_share(results[measure])} of {kind}" for kind, measure in parts.items())
    return (
        f"So the words carry {_share(results['fve'])} of the variance, and {_share(results['claims_true'])} of what they claim is "
        f"true: {shares}."
    )


def _share(measure: Measure) -> str:
    return "an unknown share" if measure.value is None else f"{100 * measure.value:.0f} %"


def target_table() -> str:
    """Return the table of the shipped target: what it can do in each family."""
    text = (target_folder() / BEHAVIOUR_FILE).read_text(encoding="utf-8")
    found = {name: Measure.model_validate(measure) for name, measure in json.loads(text).items()}
    rows = [
        f"| {family} | {_cell(found[f'{family}_answers'], 'fraction')} | {_cell(found[f'{family}_documents'], 'fraction')} |"
        for family in FAMILIES
    ]
    return "\n".join(
        [
            _loss_sentence(found),
            "",
            "| family | answers right | documents with all answers right |",
            "|---|---|---|",
            *rows,
        ]
    )


def _loss_sentence(found: Mapping[str, Measure]) -> str:
    ratio, verdicts = found["loss_over_entropy"], found["sum_verdicts"]
    return (
        f"Its held-out loss is {_number(found['loss'].value)} nats a token and the world's own entropy "
        f"{_number(found['world_entropy'].value)}: {_number(ratio.value)} times as much ({_number(ratio.low)} to "
        f"{_number(ratio.high)}). It says correctly whether the tool's sum is right in {_cell(verdicts, 'fraction')}."
    )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _cell(measure: Measure, unit: Unit) -> str:
    if measure.value is None or measure.low is None or measure.high is None:
        return "-"
    value, low, high = (format_value(number, unit, fine=False) for number in (measure.value, measure.low, measure.high))
    return f"{value} ({low} to {high})"
