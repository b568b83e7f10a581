"""The part that holds claims against the text, on texts and explanations made by hand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from types import SimpleNamespace

import pytest
from tests.unit.evaluate import toy
from tests.unit.evaluate.suite.test_words import TRUTHS, make_bench

from nlakit.claims.evidence import Evidence
from nlakit.config import AskConfig
from nlakit.errors import EndpointError
from nlakit.evaluate.bench import Bench
from nlakit.evaluate.definitions.evidence import DEFINITIONS
from nlakit.evaluate.evidence import Finding, Judged
from nlakit.evaluate.suite import evidence
from nlakit.truth import Verdict

TEXTS = [f"On topic animals, about animal {truth['animal']}, colour {truth['colour']}." for truth in TRUTHS]
NAMES = {definition.name for definition in DEFINITIONS}


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Nine explanations that are true, beside texts that spell the animal and the colour but never the topic."""
    toy.install(monkeypatch)
    texts = [Evidence(f"The {truth['animal']} is {truth['colour']}.") for truth in TRUTHS]
    monkeypatch.setattr(evidence, "surroundings", lambda _: texts)
    made = make_bench(TEXTS)
    made.pair.card = SimpleNamespace(data={"corpus": {"name": "toy"}})  # type: ignore[assignment]
    return made


def values(bench: Bench) -> dict[str, float | None]:
    return {name: found.value for name, found in bench.found.measures.items()}


def test_true_claims_have_evidence_where_their_words_are_in_the_text(bench: Bench) -> None:
    """Words show that the animal and the colour are true, and not that the topic is; another's text shows less."""
    evidence.measure(bench)
    found = values(bench)
    assert set(found) == NAMES - set(bench.found.left_out)
    assert found["evidence_true"] == pytest.approx(2 / 3)
    assert (found["evidence_true_theme"], found["evidence_true_entity"], found["evidence_true_detail"]) == (0, 1, 1)
    assert found["evidence_related"] == 0
    assert found["evidence_read"] == 1
    assert found["evidence_true_other"] < 2 / 3  # type: ignore[operator]
    assert found["evidence_agreement"] == pytest.approx(2 / 3)
    assert found["evidence_agreement_chance"] == found["evidence_true_other"]


def test_the_table_says_at_which_level_words_tell_the_truth(bench: Bench) -> None:
    """One line a level, with the claims that are true where their words are in the text and where they are not."""
    evidence.measure(bench)
    assert bench.found.tables["evidence"].rows == (
        ("theme", 9, 1.0, 0.0, None, 1.0, 0.0, 1.0),
        ("entity", 9, 1.0, 1.0, 1.0, None, 1.0, 1.0),
        ("detail", 9, 1.0, 1.0, 1.0, None, 1.0, 1.0),
    )


def test_one_answer_for_all_is_no_where_most_claims_are_false(bench: Bench) -> None:
    """Whoever calls every claim of a pair false that makes up animals and colours is right about these."""
    bench.__dict__["truths"] = [{"facts": {"topic": "animals", "animal": "x", "colour": "y"}, "planned": {}}] * 9
    evidence.measure(bench)
    assert values(bench)["evidence_agreement_majority"] == pytest.approx(18 / 27)
    assert [row[-1] for row in bench.found.tables["evidence"].rows] == [1.0, 1.0, 1.0]


def test_words_are_held_against_one_answer_for_all_and_asked_for_an_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the rare false claims are those without words, words order them, and agree no more often than 'all true' does."""
    toy.install(monkeypatch)
    texts = [Evidence(f"The {truth['animal']} is {truth['colour']}.") for truth in TRUTHS]
    monkeypatch.setattr(evidence, "surroundings", lambda _: texts)
    bench = make_bench([text.replace("colour red", "colour cold") for text in TEXTS])
    bench.pair.card = SimpleNamespace(data={"corpus": {"name": "toy"}})  # type: ignore[assignment]
    evidence.measure(bench)
    found = values(bench)
    # Nine themes are true and have no words; nine animals are true and have them; of nine colours three are false, without words.
    assert found["evidence_agreement_majority"] == pytest.approx(24 / 27)
    assert found["evidence_agreement"] == pytest.approx(18 / 27)
    assert found["evidence_auroc_detail"] == 1.0
    assert found["evidence_auroc"] == pytest.approx((15 + 9 / 2) / 24)
    reason = "of 9 claims all are true or none is, so there is nothing to tell apart"
    no_judge = dict.fromkeys(evidence.JUDGE, "evaluate.judge names no model")
    assert bench.found.left_out == {"evidence_auroc_theme": reason, "evidence_auroc_entity": reason, **no_judge}
    assert bench.found.tables["evidence"].rows[2][5:] == (0.0, 1.0, pytest.approx(6 / 9))


def test_a_corpus_without_truth_has_evidence_and_no_agreement(bench: Bench) -> None:
    """What needs the truth is left out with its reason, the rest is measured."""
    bench.__dict__["truths"] = None
    evidence.measure(bench)
    assert set(bench.found.left_out) == {*evidence.AGAINST_TRUTH, *evidence.JUDGE}
    assert set(bench.found.measures) == NAMES - set(bench.found.left_out)


def test_one_document_has_no_control(bench: Bench) -> None:
    """Without another document nothing is said of another's text."""
    bench.heldout.document_ids[:] = ["d0"] * len(TEXTS)
    evidence.measure(bench)
    assert set(bench.found.left_out) == {*evidence.OTHER, *evidence.AGAINST_TRUTH, *evidence.JUDGE}
    assert set(bench.found.measures) == set(evidence.OWN)


def test_a_judge_takes_the_place_of_words(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a judge its findings are counted, and the share of explanations that it gave a judgement of."""

    def judged(_: Bench, texts: Sequence[object]) -> list[Judged]:
        read = [row > 0 for row in range(len(TEXTS))]
        return [
            Judged([Finding(1, "a", "theme", Verdict.RELATED), Finding(2, "b", "theme", Verdict.TRUE)], read)
            for _ in texts
        ]

    monkeypatch.setattr(evidence, "judge_by_model", judged)
    bench.config = bench.config.model_copy(update={"judge": AskConfig(teacher="openai")})
    evidence.measure(bench)
    found = values(bench)
    assert found["evidence_read"] == pytest.approx(8 / 9)
    assert (found["evidence_true"], found["evidence_related"], found["evidence_true_other"]) == (0.5, 0.5, 0.5)
    assert found["evidence_true_detail"] is None


def ask_judge(bench: Bench, monkeypatch: pytest.MonkeyPatch, own: Judged, other: Judged) -> None:
    """Measure with a judge that says ``own`` of the rows' own texts, and ``other`` of those of other documents."""
    monkeypatch.setattr(evidence, "judge_by_model", lambda *_: [own, other])
    bench.config = bench.config.model_copy(update={"judge": AskConfig(teacher="openai")})
    evidence.measure(bench)


def test_a_judge_is_held_against_the_truth(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Right is who calls a true claim true, and a false one related or unrelated; what cannot be matched is not counted."""
    bench.__dict__["truths"] = [
        truth if row else {"facts": {}, "planned": {}} for row, truth in enumerate(bench.truths or ())
    ]
    said = [
        (0, "about animal cat", Verdict.RELATED),  # false
        (1, "about animal cat", Verdict.TRUE),  # true
        (1, "colour old", Verdict.UNRELATED),  # true
        (2, "topic animals, colour cold", Verdict.RELATED),  # true
        (2, "something else", Verdict.TRUE),
        (3, "animal cat", Verdict.UNRELATED),  # not what the explanation says
    ]
    own = Judged([Finding(row, words, "entity", verdict) for row, words, verdict in said], [True] * 9)
    ask_judge(bench, monkeypatch, own, Judged([], [True] * 9))
    found = values(bench)
    assert found["judge_agreement"] == pytest.approx(2 / 4)
    assert found["judge_agreement_majority"] == pytest.approx(3 / 4)
    assert bench.found.measures["judge_agreement"].n == 4
    assert found["judge_checked"] == pytest.approx(4 / 6)
    assert set(bench.found.measures) == NAMES - set(bench.found.left_out)
    assert "judgements" not in bench.found.tables


def test_a_judge_is_not_checked_without_truth_and_its_unread_replies_are_shown(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nobody knows what is true, the reason is that; what could not be read is in a table wherever there is such."""
    bench.__dict__["truths"] = None
    own = Judged([], [False] * 9, Counter(no_list=9))
    ask_judge(bench, monkeypatch, own, Judged([], [True] * 9))
    assert {bench.found.left_out[name] for name in evidence.JUDGE} == {bench.why_no_truth}
    assert bench.found.tables["judgements"].rows[0][:4] == ("its own", 9, 0, "9 no list")


def test_a_judge_that_cannot_be_asked_leaves_the_rest(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """An endpoint that fails costs its own measures, and its words are the reason."""

    def failing(*_: object) -> list[Judged]:
        raise EndpointError("it is silent")

    monkeypatch.setattr(evidence, "judge_by_model", failing)
    bench.config = bench.config.model_copy(update={"judge": AskConfig(teacher="openai")})
    evidence.measure(bench)
    unasked = {name for name, why in bench.found.left_out.items() if "it is silent" in why}
    assert unasked == {*evidence.OWN, *evidence.OTHER, *evidence.JUDGE}
    assert {*evidence.AGREEMENT, "evidence_agreement_majority"} == set(bench.found.measures)
