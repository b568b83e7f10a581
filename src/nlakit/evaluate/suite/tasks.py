"""The reading tasks: the pair, and the pair as it was before reinforcement learning."""

from __future__ import annotations

from collections.abc import Sequence

from nlakit.evaluate.bench import Bench
from nlakit.evaluate.definitions.tasks import DEFINITIONS
from nlakit.evaluate.tasks import TASKS, Sitting
from nlakit.explanations import Explanation


def measure(bench: Bench) -> None:
    """Take every task of the sampled explanations, and of those that the earlier pair samples for the same rows."""
    found = bench.found
    if bench.truths is None or bench.reader is None:
        found.leave_out([definition.name for definition in DEFINITIONS], bench.why_no_truth)
        return
    _take(bench, "", bench.explanations)
    if bench.before is None:
        names = [f"task_{task}_warm_start" for task in TASKS]
        found.leave_out(names, "the pair does not keep its weights from before reinforcement learning")
        return
    earlier = bench.explain("sampled", bench.heldout.vectors_ND, pair=bench.before)
    _take(bench, "_warm_start", [output.explanation for output in earlier])


def _take(bench: Bench, suffix: str, explanations: Sequence[Explanation]) -> None:
    found, documents = bench.found, bench.found.documents_N
    if bench.truths is None or bench.reader is None:
        return
    sitting = Sitting.of(bench.reader, bench.truths, documents, explanations, bench.config.seed)
    for task, take in TASKS.items():
        name, marks = f"task_{task}{suffix}", take(sitting)
        if not marks:
            found.leave_out([name], "no held-out row has a question of this task")
            continue
        owners = [documents[row] for row in marks]
        found.measures[name] = found.estimator.mean(name, list(marks.values()), owners)
