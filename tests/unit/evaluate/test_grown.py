"""What the report says about a target that the run has grown."""

from __future__ import annotations

import json

import pytest
from tests.unit.evaluate.fabricated import evaluation, measures

from nlakit.card import Measure
from nlakit.evaluate.contents import ReportData, measure_rows
from nlakit.evaluate.grown import prediction_sentences
from nlakit.evaluate.page import as_html
from nlakit.evaluate.report import as_json, as_markdown
from nlakit.evaluate.verdict import summarise
from nlakit.models.prediction import Continuation, Prediction


def prediction(loss: float = 4.2, unigram: float = 6.5, seen: float = 4.0) -> Prediction:
    """A fabricated record with these losses."""
    values = {
        "target_loss": loss, "target_loss_unigram": unigram, "target_loss_seen": seen, "target_right": 0.27,
        "target_bits": 1.62, "target_bits_unigram": 2.5,
    }  # fmt: skip
    return Prediction(
        parameters=2_557_888,
        documents=2242,
        tokens=270_000,
        measures={
            name: Measure(value=value, low=value - 0.01, high=value + 0.01, n=286, split="heldout")
            for name, value in values.items()
        },
        continuations=(Continuation(given="The <unk> of", written=" the king was", real=" lobsters are"),),
    )


def test_the_loss_stands_beside_that_of_token_frequencies() -> None:
    """Size, loss with interval, baseline, bits a byte and guessed tokens are in the words."""
    made, reads, _ = prediction_sentences(prediction())

    assert "2,557,888 weights, 2,242 documents with 270,000 tokens" in made
    assert "286 held-out documents it loses 4.20 nats a token (4.19 to 4.21)" in reads
    assert "token frequencies alone lose 6.50" in reads
    assert "1.62 bits a byte, and 27\u00a0% of the next tokens guessed right" in reads


@pytest.mark.parametrize(
    ("loss", "words"), [(3.2, "It reads well"), (4.2, "It reads like a beginner"), (6.4, "It cannot read")]
)
def test_a_target_is_graded_by_what_it_saves_over_token_frequencies(loss: float, words: str) -> None:
    """Half of the unigram loss is good, a twentieth is nothing."""
    assert prediction_sentences(prediction(loss))[1].startswith(words)


def test_a_text_learnt_by_heart_is_told() -> None:
    """A loss on its own documents that is a tenth lower is a warning; a little lower is not."""
    assert "by heart" in prediction_sentences(prediction(seen=3.0))[2]
    assert "hardly less than on new ones" in prediction_sentences(prediction(seen=4.1))[2]


def test_no_sentence_rests_on_a_measure_without_an_interval() -> None:
    """One held-out document gives no interval; the numbers alone stand in the table."""
    one = prediction()
    bare = {name: measure.model_copy(update={"low": None, "high": None}) for name, measure in one.measures.items()}
    found = one.model_copy(update={"measures": bare})

    assert 1 == len(prediction_sentences(found))
    rows = measure_rows(found.measures)
    assert {row["name"] for row in rows} == set(bare)
    assert {row["interval"] for row in rows} == {"none: one document"}


def test_every_form_of_the_report_has_the_target() -> None:
    """Page, text and file for programs name it, its numbers and what it writes; without a growth none of them does."""
    with_target = ReportData("mine", evaluation(), prediction=prediction())
    page, text, program = as_html(with_target), as_markdown(with_target), json.dumps(as_json(with_target))

    for written in (page, text, program):
        assert "target_loss_unigram" in written
        assert "It reads like a beginner" in written
    assert "<mark>The &lt;unk&gt; of</mark> the king was" in page
    assert "grown from the corpus" in page
    for written in (as_html(ReportData("mine", evaluation())), as_markdown(ReportData("mine", evaluation()))):
        assert "target_loss" not in written


def test_unchecked_claims_are_told() -> None:
    """Where no claim could be judged the summary says so, and nowhere else."""
    unjudged = {name: measure for name, measure in measures().items() if "claims" not in name and "facts" not in name}
    without = summarise(evaluation(measures=unjudged, slots=(), levels=()))

    assert any("was not checked" in sentence for sentence in without.sentences)
    assert not any("was not checked" in sentence for sentence in summarise(evaluation()).sentences)
