"""Reading tasks on a world of two slots, by hand."""

from __future__ import annotations

import pytest
from tests.unit.evaluate import toy

from nlakit.evaluate.tasks import CANDIDATES, TASKS, Sitting, asked_for, next_text, yes_no
from nlakit.explanations import Explanation, Outcome
from nlakit.truth import Question, Truth

VALUES = [(animal, colour) for animal in toy.ANIMALS for colour in toy.COLOURS] + [("fox", "blue"), ("owl", "grey")]
TRUTHS = [
    {"facts": {"topic": "animals", "animal": animal, "colour": colour}, "planned": {}} for animal, colour in VALUES
]
RIGHT = [Explanation(toy.explain(truth)) for truth in TRUTHS]


class Examined(toy.ToyTruth):
    def questions(self, truth: Truth) -> list[Question]:
        return [Question("hints", "colour", 0.25)] if truth["facts"]["animal"] == "cat" else []


def sitting(explanations: list[Explanation]) -> Sitting:
    documents = [f"d{row}" for row in range(len(explanations))]
    return Sitting.of(Examined(), TRUTHS[: len(explanations)], documents, explanations, seed=0)


def test_who_says_what_is_so_answers_everything_right() -> None:
    """True claims pick their own row, and answer yes and no as it is."""
    assert set(next_text(sitting(RIGHT)).values()) == {1.0}
    assert set(yes_no(sitting(RIGHT)).values()) == {1.0}
    assert asked_for("hints")(sitting(RIGHT)) == {0: 1.0, 1: 1.0, 2: 1.0}


def test_silence_answers_by_lot() -> None:
    """Without a claim all ten rows tie, questions count one half, and a hint its chance; so do failed outputs."""
    for silent in (Explanation("nothing"), Explanation("colour red", Outcome.CUT_OFF)):
        quiet = sitting([silent] * len(TRUTHS))
        assert set(next_text(quiet).values()) == {1 / CANDIDATES}
        assert set(yes_no(quiet).values()) == {0.5}
        assert set(asked_for("hints")(quiet).values()) == {0.25}


def test_a_false_claim_is_a_wrong_answer() -> None:
    """Another colour gives the hint's answer wrong, whatever else is true."""
    false = [Explanation("animal cat, colour purple")] * len(TRUTHS)
    assert asked_for("hints")(sitting(false)) == {0: 0.0, 1: 0.0, 2: 0.0}


def test_every_question_of_a_task_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A row that two questions of a task are asked of has the mean of both marks, in whatever order they come."""
    both = [Question("writer", "colour", 0.25), Question("writer", "animal", 0.5)]
    said = sitting([Explanation("animal cat, colour purple")] * len(TRUTHS))
    for questions in (both, both[::-1]):
        monkeypatch.setattr(Examined, "questions", lambda *_, asked=questions: asked)
        assert asked_for("writer")(said)[0] == 0.5


def test_a_row_without_facts_is_not_asked() -> None:
    """Where nothing is known to be true, yes or no cannot be asked, and the other rows are asked as before."""
    empty: Truth = {"facts": {}, "planned": {}}
    some = Sitting.of(Examined(), [empty, *TRUTHS], ["d", *map(str, range(len(TRUTHS)))], [RIGHT[0], *RIGHT], seed=0)
    assert set(yes_no(some)) == set(range(1, len(TRUTHS) + 1))


def test_half_of_the_questions_are_about_another_value() -> None:
    """Who claims one value everywhere is right about as often as it is asked for or true."""
    marks = yes_no(sitting([Explanation("topic weather, animal unicorn, colour purple")] * len(TRUTHS)))
    assert len(marks) == len(TRUTHS)
    assert 0.0 < sum(marks.values()) / len(marks) < 1.0


def test_too_few_rows_give_no_choice_among_ten() -> None:
    """A task that does not apply gives no mark."""
    assert next_text(sitting(RIGHT[:5])) == {}


@pytest.mark.parametrize("task", TASKS)
def test_questions_do_not_depend_on_the_answers(task: str) -> None:
    """The rows to which a task applies are the same for every reader."""
    assert set(TASKS[task](sitting(RIGHT))) == set(TASKS[task](sitting([Explanation("nothing")] * len(TRUTHS))))
