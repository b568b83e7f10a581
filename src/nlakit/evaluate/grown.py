"""What the report says about a target that the run has grown: how well it reads the text that its pair is about.

Pure functions from what was measured to sentences and rows. The thresholds are our choice; a sentence always carries
the number it rests on.
"""

from __future__ import annotations

from collections.abc import Mapping

from nlakit.evaluate.evaluation import Number, numbers_of
from nlakit.evaluate.verdict import interval, number
from nlakit.models.prediction import Prediction

_READS = (
    (0.5, "It reads well", "it has learnt much of what decides the next word"),
    (0.05, "It reads like a beginner", "it has learnt which words follow which, and little of what a text is about"),
    (float("-inf"), "It cannot read", "it has learnt next to nothing beyond how frequent each token is"),
)
"""From which share of the unigram loss saved on, and what that means."""
BY_HEART = 0.1
"""A target whose loss on documents it was grown from is lower by this share than on held-out ones knows some by heart."""


def prediction_sentences(prediction: Prediction) -> list[str]:
    """Say what the target was grown from, how well it reads, and how much of its text it knows by heart."""
    measures = numbers_of(prediction.measures)
    made = f"{prediction.parameters:,} weights, {prediction.documents:,} documents with {prediction.tokens:,} tokens"
    lines = [f"The target was grown from nothing on this text ({made})."]
    if {"target_loss", "target_loss_unigram", "target_bits", "target_right"} <= measures.keys():
        lines.append(_reads(measures))
    if {"target_loss", "target_loss_seen"} <= measures.keys():
        lines.append(_by_heart(measures))
    return lines


def _reads(measures: Mapping[str, Number]) -> str:
    saved = 1 - measures["target_loss"].value / measures["target_loss_unigram"].value
    verdict, meaning = next((verdict, meaning) for bound, verdict, meaning in _READS if saved >= bound)
    return (
        f"{verdict}: on {measures['target_loss'].n:,} held-out documents it loses {number(measures, 'target_loss')} nats a token "
        f"({interval(measures, 'target_loss')}), where token frequencies alone lose {number(measures, 'target_loss_unigram')}; "
        f"that is {number(measures, 'target_bits')} bits a byte, and {number(measures, 'target_right')} of the next tokens "
        f"guessed right. So {meaning}."
    )


def _by_heart(measures: Mapping[str, Number]) -> str:
    seen, new = measures["target_loss_seen"].value, measures["target_loss"].value
    text = f"On documents it was grown from it loses {number(measures, 'target_loss_seen')}"
    if seen > (1 - BY_HEART) * new:
        return f"{text}, hardly less than on new ones."
    return (
        f"{text}: a part of them it knows by heart, and the pair, which learns from those same documents, is tested on harder "
        "ones."
    )
