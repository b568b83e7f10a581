"""The evaluation in words."""

from __future__ import annotations

import pytest
from tests.unit.evaluate.fabricated import evaluation, measures

from nlakit.card import Measure
from nlakit.evaluate.evaluation import Evaluation
from nlakit.evaluate.verdict import summarise


def with_measures(**changes: tuple[float, float, float] | None) -> Evaluation:
    """The fabricated evaluation with some measures changed, or taken away."""
    found = measures()
    for name, numbers in changes.items():
        if numbers is None:
            found.pop(name, None)
        else:
            value, low, high = numbers
            found[name] = Measure(value=value, low=low, high=high, n=1000, split="heldout")
    return evaluation(measures=found)


def test_a_good_pair_whose_words_are_half_wrong() -> None:
    """The headline says both: how much is carried, and how little of it is true."""
    summary = summarise(evaluation())
    assert summary.headline == (
        "The words carry most of what tells one vector from another, but only 41\u00a0% of what they say is true."
    )
    assert (
        "FVE 0.87 (0.86 to 0.88) on 1,000 vectors of 214 documents that nothing was trained on" in summary.sentences[0]
    )
    assert all(check.passed for check in summary.checks)


def test_levels_are_graded_by_the_share_that_is_true() -> None:
    """0.86 with its lower end above 0.8 may be believed, 0.31 is a guess, 0.6 is a lead."""
    grades = {line.level: line.trust for line in summarise(evaluation()).trust}
    assert grades == {"theme": "believe", "entity": "guess", "detail": "guess"}
    summary = summarise(with_measures(claims_true_theme=(0.82, 0.76, 0.88), claims_true_entity=(0.6, 0.55, 0.65)))
    assert [line.trust for line in summary.trust] == ["check", "check", "guess"]


def test_nothing_is_believed_of_a_handful_of_documents() -> None:
    """Rows of nine documents get a warning, and the best kind of claim is a lead; with ten there is none, and it is believed."""
    few, enough = (summarise(evaluation(documents=documents)) for documents in (9, 10))
    assert "Warning: these rows come from 9 documents" in few.sentences[1]
    assert [few.trust[0].trust, enough.trust[0].trust] == ["check", "believe"]
    assert not any("Warning: these rows" in sentence for sentence in enough.sentences)


def test_a_judge_that_is_hardly_understood_gets_a_warning() -> None:
    """Below half of the replies a sentence warns; from half on, and where nobody judged, none does."""
    few = summarise(with_measures(evidence_read=(0.49, 0.4, 0.6)))
    assert "Warning: of the judge's replies only 49\u00a0% could be read (we warn below 50\u00a0%)" in few.sentences[1]
    for enough in (with_measures(evidence_read=(0.5, 0.4, 0.6)), evaluation()):
        assert not any("judge" in sentence for sentence in summarise(enough).sentences)


@pytest.mark.parametrize(
    ("control", "words"),
    [
        ("fve_shuffled", "do not depend on the vector"),
        ("fve_zero_vector", "carry no more than no vector"),
        ("fve_empty_text", "carry no more than no vector, or no words"),
    ],
)
def test_a_pair_that_no_control_stays_below_is_called_broken(control: str, words: str) -> None:
    """When a control comes up to the round trip, no other praise is given, and the check fails."""
    summary = summarise(with_measures(**{control: (0.85, 0.83, 0.87)}))
    assert words in summary.headline
    assert summary.headline.endswith("this pair is broken.")
    assert [check.passed for check in summary.checks].count(False) == 1


@pytest.mark.parametrize(
    ("before", "gain", "words"),
    [
        ((0.812, 0.797, 0.826), (0.060, 0.040, 0.080), "raised it, and the intervals do not touch"),
        ((0.870, 0.857, 0.882), (0.012, 0.003, 0.021), "raised it. Row by row"),
        ((0.870, 0.857, 0.882), (0.012, -0.003, 0.021), "changed it by less than these rows can show"),
        ((0.880, 0.870, 0.890), (-0.01, -0.02, -0.001), "lowered it. Row by row"),
        ((0.920, 0.910, 0.930), None, "lowered it, and the intervals do not touch."),
        ((0.870, 0.857, 0.882), None, "changed it by less than these rows can show."),
    ],
)
def test_what_reinforcement_learning_did(
    before: tuple[float, float, float], gain: tuple[float, float, float] | None, words: str
) -> None:
    """The sentence follows the intervals, row by row where that was measured, and not the point values alone."""
    assert words in summarise(with_measures(fve_warm_start=before, fve_gain=gain)).sentences[1]


def test_without_truth_nothing_is_said_about_it() -> None:
    """A corpus that does not know its truth gets a headline that says so, and no line of trust."""
    gone = {name: None for name in measures() if name.startswith(("claims", "facts"))}
    summary = summarise(with_measures(**gone))
    assert summary.headline.endswith("; whether they are true is not known.")
    assert summary.trust == ()
    assert len(summary.sentences) == 2


def test_words_that_are_true() -> None:
    """A share whose lower end is above 0.8 is praised without a number."""
    summary = summarise(with_measures(claims_true=(0.9, 0.88, 0.92)))
    assert summary.headline.endswith("and what they say is mostly true.")


def test_length_at_the_cap_fails_its_check() -> None:
    """Outputs as long as the cap are being cut off."""
    failed = [
        check.text for check in summarise(with_measures(length_tokens=(95.0, 94.0, 96.0))).checks if not check.passed
    ]
    assert failed == ["95.0 tokens an output, cap 96"]


def test_a_verbalizer_that_does_not_use_its_vector_fails_its_check() -> None:
    """Cross-entropies whose intervals touch show no use of the vector."""
    summary = summarise(with_measures(cross_entropy_shuffled=(0.93, 0.91, 0.95)))
    assert [check.text for check in summary.checks if not check.passed] == [
        "teacher's text at 0.91 nats a token from its own vector, 0.93 from another's"
    ]


def test_words_that_only_carry_in_their_own_form_are_called_a_private_code() -> None:
    """Headline and sentence warn where little FVE is left of a paraphrase or a shuffle, and name the bound; else neither does."""
    coded = summarise(with_measures(fve_kept_paraphrase_heavy=(0.31, 0.28, 0.34), fve_kept_shuffle=(0.74, 0.72, 0.76)))
    assert ", much of it in a private code, but only 41" in coded.headline
    warning = next(sentence for sentence in coded.sentences if sentence.startswith("Warning"))
    assert "only 31\u00a0% of FVE is left when the same is said in other words and only 74\u00a0%" in warning
    assert "(we warn below 75\u00a0%)" in warning
    fine = summarise(with_measures(fve_kept_paraphrase_heavy=(0.76, 0.74, 0.78), fve_kept_shuffle=(0.97, 0.96, 0.98)))
    assert "code" not in " ".join((fine.headline, *fine.sentences))


@pytest.mark.parametrize(
    ("frozen", "before", "words"),
    [
        (
            0.60,
            0.812,
            "less than the words of its own time gave it (0.81): the words have drifted into a private code.",
        ),
        (0.60, 0.500, "understood only by the reconstructor that was trained beside them."),
        (0.66, 0.812, None),
    ],
)
def test_words_that_the_earlier_reconstructor_does_not_understand(
    frozen: float, before: float, words: str | None
) -> None:
    """Below three quarters of FVE a sentence warns, and speaks of drift where the old words gave the old reconstructor more."""
    summary = summarise(
        with_measures(
            fve_frozen_reconstructor=(frozen, frozen - 0.01, frozen + 0.01),
            fve_warm_start=(before, before - 0.01, before + 0.01),
        )
    )
    found = [sentence for sentence in summary.sentences if sentence.startswith("Warning")]
    assert len(found) == (words is not None)
    assert all(sentence.endswith(words or "") for sentence in found)


def test_nothing_measured() -> None:
    """An evaluation without a headline number has no verdict."""
    assert summarise(evaluation(measures={})).headline == "Nothing was measured."
