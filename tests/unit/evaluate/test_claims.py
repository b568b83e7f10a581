"""Claims counted by hand."""

from __future__ import annotations

import pytest
from tests.unit.evaluate import toy

from nlakit.claims.probes import FactCheck
from nlakit.claims.readers import truth_reader
from nlakit.evaluate.claims import JudgedClaim, claim_measures, judge, level_table, slot_table
from nlakit.evaluate.estimates import Estimator
from nlakit.explanations import Explanation, Outcome
from nlakit.truth import Truth

READER = toy.ToyTruth()
DOCUMENTS = ["a", "a", "b"]
EXPLANATIONS = [
    Explanation("About topic animals, animal cat, colour red."),
    Explanation("About topic animals, animal dog, colour old."),
    Explanation("animal cat, and then", Outcome.CUT_OFF),
]
TRUTHS: list[Truth] = [
    {"facts": {"topic": "animals", "animal": "cat"}, "planned": {}},
    {"facts": {"topic": "animals", "animal": "cat", "colour": "red"}, "planned": {}},
    {"facts": {"topic": "animals", "animal": "cat"}, "planned": {}},
]


def fact(slot: str, value: str, probability: float, predicted: str) -> dict[str, FactCheck]:
    return {slot: FactCheck(slot, value, probability, predicted, "cat")}


CHECKS = [
    fact("topic", "animals", 1.0, "animals") | fact("animal", "cat", 0.9, "cat"),
    fact("topic", "animals", 1.0, "animals") | fact("animal", "cat", 0.6, "cat") | fact("colour", "red", 0.2, "old"),
    fact("topic", "animals", 1.0, "animals") | fact("animal", "cat", 0.4, "dog"),
]


def judged() -> list[JudgedClaim]:
    return judge(READER, EXPLANATIONS, TRUTHS, CHECKS)


def test_verdicts_and_what_the_vector_holds() -> None:
    """Six claims of two outputs; the failed one claims nothing; a slot without truth is not held."""
    found = [(c.row, c.claim.slot, c.verdict.value, c.held, c.decodable) for c in judged()]
    assert found == [
        (0, "topic", "true", True, True),
        (0, "animal", "true", True, True),
        (0, "colour", "unrelated", False, False),
        (1, "topic", "true", True, True),
        (1, "animal", "related", True, True),
        (1, "colour", "related", False, False),
    ]


def test_measures_by_hand() -> None:
    """Each share is a count of the six claims, or of the seven facts of which five are held."""
    measures = claim_measures(judged(), CHECKS, [e.ok for e in EXPLANATIONS], DOCUMENTS, Estimator(50, 0))
    expected = {
        "claims_true": (3 / 6, 6),
        "claims_true_theme": (2 / 2, 2),
        "claims_true_entity": (1 / 2, 2),
        "claims_true_detail": (0 / 2, 2),
        "claims_related": (2 / 6, 6),
        "claims_held": (4 / 6, 6),
        "claims_ceiling": (4 / 6, 6),
        "claims_ceiling_entity": (2 / 2, 2),
        "claims_per_explanation": (6 / 2, 2),
        "facts_held": (5 / 7, 7),
        "facts_mentioned": (3 / 5, 5),
    }
    for name, (value, n) in expected.items():
        assert measures[name].value == pytest.approx(value), name
        assert measures[name].n == n, name


def test_table_of_slots() -> None:
    """One line a slot: claims on one side, facts and probes on the other."""
    table = {row.slot: row for row in slot_table(READER, judged(), CHECKS)}
    assert list(table) == ["topic", "animal", "colour"]
    animal = table["animal"]
    assert (animal.claims, animal.claims_true, animal.claims_decodable) == (2, 0.5, 1.0)
    assert (animal.facts, animal.probe_accuracy, animal.majority) == (3, pytest.approx(2 / 3), 1.0)
    assert (animal.held, animal.mentioned) == (pytest.approx(2 / 3), 0.5)
    assert table["colour"].mentioned is None


def test_shares_of_verdicts_sum_to_one() -> None:
    """Every claim is true, related or unrelated."""
    for row in level_table(judged()):
        assert (row.true or 0) + (row.related or 0) + (row.unrelated or 0) == pytest.approx(1)


def test_no_claim_at_all() -> None:
    """Silent explanations have no share of true claims, and mention nothing that is held."""
    measures = claim_measures([], CHECKS, [True] * 3, DOCUMENTS, Estimator(50, 0))
    assert measures["claims_true"].value is None
    assert measures["claims_per_explanation"].value == 0.0
    assert measures["facts_mentioned"].value == 0.0


def test_a_corpus_without_truth_has_no_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    """The truth that judges is the plugin of the corpus's own name."""
    toy.install(monkeypatch)
    assert truth_reader("jsonl") is None
    assert isinstance(truth_reader("toy"), toy.ToyTruth)
