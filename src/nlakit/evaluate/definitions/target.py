"""Measures of what a grown target can predict."""

from __future__ import annotations

from nlakit.evaluate.definitions.definition import MeasureDefinition, Unit

TARGET = "What the target can predict"


def _target_measure(name: str, title: str, definition: str, baseline: str, unit: Unit) -> MeasureDefinition:
    """Return the definition of a measure that the stage ``grow`` takes, once, of the target that it has grown."""
    cost = "one forward pass a document, at the end of nlakit grow"
    return MeasureDefinition(name, title, definition, baseline, unit, cost, TARGET, ("grown target",))


DEFINITIONS: tuple[MeasureDefinition, ...] = (
    _target_measure(
        "target_loss",
        "loss of the target",
        "Mean negative log-probability that the grown target gives the next token, over all tokens of all held-out documents. "
        "Its tokenizer has never read them either.",
        "target_loss_unigram",
        "nats/token",
    ),
    _target_measure(
        "target_loss_unigram",
        "loss of token frequencies",
        "The same when each token is predicted by how often it comes in the documents that the target was grown from (each count "
        "raised by one), whatever stands before it: the unigram cross-entropy.",
        "target_loss: the difference is what the target has learnt about the order of words",
        "nats/token",
    ),
    _target_measure(
        "target_loss_seen",
        "loss on documents it was grown from",
        "As target_loss, on as many of the documents that the target was grown from, drawn at random.",
        "target_loss: far below it, the target has learnt its text by heart",
        "nats/token",
    ),
    _target_measure(
        "target_right",
        "next tokens guessed right",
        "Share of the held-out tokens that the target finds more probable than any other.",
        "1",
        "fraction",
    ),
    _target_measure(
        "target_bits",
        "bits a byte, target",
        "target_loss in bits, divided by the bytes of the text (UTF-8) and not by its tokens: comparable between tokenizers.",
        "target_bits_unigram; large language models need 1 bit a byte of English or less",
        "bits/byte",
    ),
    _target_measure(
        "target_bits_unigram",
        "bits a byte, token frequencies",
        "target_loss_unigram in bits a byte.",
        "target_bits",
        "bits/byte",
    ),
)
