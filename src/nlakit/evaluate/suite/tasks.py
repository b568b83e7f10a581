"""The reading tasks: the pair, and the pair as it was before reinforcement learning."""

from __future__ import annotations

from collections.abc import Sequence

from nlakit.evaluate.bench import Bench
from nlakit.evaluate.definitions.tasks import DEFINITIONS
from nlakit.evaluate.evaluation import DataTable
from nlakit.evaluate.tasks import TASKS, Marks, Sitting
from nlakit.explanations import Explanation, Outcome


def measure(bench: Bench) -> None:
    """Take every task of the sampled explanations, and of those that the earlier pair samples for the same rows."""
    found = bench.found
    if bench.truths is None or bench.reader is None:
        found.leave_out([definition.name for definition in DEFINITIONS], bench.why_no_truth)
        return
    _take(bench, "", bench.explanations)
    if bench.explained_before is None:
        names = [f"task_{task}_warm_start" for task in TASKS]
        found.leave_out(names, "the pair does not keep its weights from before reinforcement learning")
    else:
        _take(bench, "_warm_start", bench.explained_before)
    _tabulate(bench)


def _take(bench: Bench, suffix: str, explanations: Sequence[Explanation]) -> None:
    found, documents = bench.found, bench.found.documents_N
    for task, marks in _sit(bench, explanations).items():
        name = f"task_{task}{suffix}"
        if not marks:
            found.leave_out([name], "no held-out row has a question of this task")
            continue
        owners = [documents[row] for row in marks]
        found.measures[name] = found.estimator.mean(name, list(marks.values()), owners)


def _sit(bench: Bench, explanations: Sequence[Explanation]) -> dict[str, Marks]:
    """Return the marks of some explanations in every task."""
    if bench.truths is None or bench.reader is None:
        return {}
    sitting = Sitting.of(bench.reader, bench.truths, bench.found.documents_N, explanations, bench.config.seed)
    return {task: take(sitting) for task, take in TASKS.items()}


def _tabulate(bench: Bench) -> None:
    """Make the table of the tasks that were taken; who says nothing answers at random, which gives the chance of each."""
    measures = bench.found.measures
    rows = []
    for task, marks in _sit(bench, [Explanation("", Outcome.EMPTY)] * len(bench.explanations)).items():
        if marks:
            own, before = measures[f"task_{task}"], measures.get(f"task_{task}_warm_start")
            chance = sum(marks.values()) / len(marks)
            rows.append((task, own.value, own.low, own.high, None if before is None else before.value, chance, own.n))
    bench.found.tables["tasks"] = DataTable(
        title="Reading tasks",
        about="Share of the questions that the explanations answer right, beside the share before RL and at random.",
        heads=("task", "right", "low", "high", "before RL", "at random", "rows"),
        rows=tuple(rows),
    )
