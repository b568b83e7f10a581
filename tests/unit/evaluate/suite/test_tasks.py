"""The part that takes the reading tasks, on truths of the toy world."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from tests.unit.evaluate.test_tasks import RIGHT, TRUTHS, Examined

from nlakit.evaluate.bench import Found
from nlakit.evaluate.estimates import Estimator
from nlakit.evaluate.suite import tasks
from nlakit.explanations import Explanation


def take(explanations: list[Explanation]) -> Found:
    """Take all tasks of a pair without earlier weights."""
    found = Found(Estimator(50, 0), [f"d{row}" for row in range(len(TRUTHS))], 0.8)
    bench: Any = SimpleNamespace(
        found=found, truths=TRUTHS, reader=Examined(), explanations=explanations, explained_before=None,
        config=SimpleNamespace(seed=0),
    )  # fmt: skip
    tasks.measure(bench)
    return found


def test_the_table_holds_each_task_against_chance() -> None:
    """Who is right is at 1 whatever the chance, who is silent is at chance, and tasks without a question have no line."""
    right = {row[0]: row for row in take(RIGHT).tables["tasks"].rows}
    assert list(right) == ["next_text", "yes_no", "hints"]
    assert [row[1] for row in right.values()] == [1.0, 1.0, 1.0]
    assert [row[5] for row in right.values()] == pytest.approx([0.1, 0.5, 0.25])
    silent = take([Explanation("nothing")] * len(TRUTHS)).tables["tasks"].rows
    assert [row[1] for row in silent] == pytest.approx([row[5] for row in silent])


def test_without_earlier_weights_the_table_has_no_number_for_them() -> None:
    """What was not taken is empty in the table and has its reason."""
    found = take(RIGHT)
    assert {row[4] for row in found.tables["tasks"].rows} == {None}
    assert "task_yes_no_warm_start" in found.left_out
