"""Measures of the paper's five reading tasks, in the form that they have in a corpus that knows its truth."""

from __future__ import annotations

from nlakit.evaluate.definitions.definition import NONE, MeasureDefinition, Need

TASKS = "Reading tasks"

_SILENT = "An explanation that does not speak of it counts as answering at random."
_TASKS: dict[str, tuple[str, str, str]] = {
    "next_text": (
        "the true continuation among ten",
        (
            "Ten rows, its own and nine of other documents with the same theme where there are as many: share of the rows whose "
            "explanation makes more claims that are true of its own row than of any other; ties are split. No judge model is asked."
        ),
        "0.1: at random",
    ),
    "yes_no": (
        "yes/no questions",
        (
            "One question a row on a fact of it, half with the true value and half with another of its slot: share answered right, "
            f"yes where the explanation claims the value and no where it claims another. {_SILENT}"
        ),
        "0.5: at random",
    ),
    "hints": (
        "a hint in the text",
        (
            "Rows at which a mark has given the answer away and it is not yet said: share of the explanations that give it. "
            f"{_SILENT}"
        ),
        "in Terrarium 1 / the number of options: at random",
    ),
    "motive": (
        "an unsaid motive",
        (
            "Rows at which it is settled, and not yet said, what somebody will do because of how they see the situation: share of "
            f"the explanations that say so. {_SILENT}"
        ),
        "in Terrarium 0.5: at random",
    ),
    "writer": (
        "an unsaid attribute of the writer",
        (
            "Rows at which clues have settled something about the writer that is not said: share of the explanations that say it. "
            f"{_SILENT}"
        ),
        "in Terrarium 1 / the number of languages: at random",
    ),
}
"""Title, definition and baseline of each task."""


def _of(task: str) -> tuple[MeasureDefinition, MeasureDefinition]:
    """Return the definitions of one task: for the pair, and for what it was before reinforcement learning."""
    title, definition, baseline = _TASKS[task]
    needs: tuple[Need, ...] = ("truth",)
    own = MeasureDefinition(f"task_{task}", title, definition, baseline, "fraction", NONE, TASKS, needs)
    before = MeasureDefinition(
        f"task_{task}_warm_start",
        f"{title}, before RL",
        f"As task_{task}, by the pair as it was before reinforcement learning.",
        f"task_{task}: the paper reports progress within a run",
        "fraction",
        "none beyond fve_warm_start",
        TASKS,
        (*needs, "warm start"),
    )
    return own, before


DEFINITIONS: tuple[MeasureDefinition, ...] = tuple(definition for task in _TASKS for definition in _of(task))
