"""Which layer to read: a rule from the table of a sweep, and what the known truth says of its choice.

The rule is our choice; the paper reads at two thirds of the depth and does not compare layers. In this order:

1. *Knows*. The layer that knows most of what stands around its token leads. Every layer that is not shown to be more than
   ``MATTERS`` behind it, on the same questions, stays in the race.
2. *Not the last*. The last block drops out unless it alone is left: its output is only ever read by the output layer.
3. *Carried*. Of these, those stay whose FVE from text is within the interval of the best one's.
4. *Depth*. Of these, the nearest to two thirds of the depth, where the paper reads; of two, the earlier one, which is cheaper.

The truth takes no part in it: known facts are probed on other documents, and only afterwards is the choice held against them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nlakit.card import Measure
from nlakit.errors import InputError
from nlakit.models.sites import default_layer

MATTERS = 0.02
"""Layers that differ by less in what they know are alike (our choice)."""


@dataclass(frozen=True, slots=True)
class LayerLine:
    """One line of the table: what was measured at one layer."""

    layer: int
    """Block K, counted from 0."""
    depth: float
    """Share of all blocks that have run, blocks 0..K."""
    measures: Mapping[str, Measure]
    """By name; docs/layers.md defines each."""


@dataclass(frozen=True, slots=True)
class Recommendation:
    """The layer to read, and why."""

    layer: int
    reason: str
    contenders: tuple[int, ...]
    """Layers not shown to know less of what stands around their token than the best, by more than ``MATTERS``."""

    @property
    def separated(self) -> bool:
        """Whether what the layers know settles it."""
        return len(self.contenders) == 1


@dataclass(frozen=True, slots=True)
class TruthCheck:
    """The recommendation held against the known facts."""

    layer: int
    """The layer whose probes get most of the facts right."""
    contenders: tuple[int, ...]
    """Layers not shown to hold fewer, by more than ``MATTERS``."""
    behind: Measure
    """How much less than that layer the recommended one holds of the facts; the interval is of the difference."""
    agrees: bool
    """Whether the recommended layer is among the contenders."""
    verdict: str
    """The same in words."""


def recommend(lines: Sequence[LayerLine], n_layers: int) -> Recommendation:
    """Choose a layer of a target with ``n_layers`` blocks from a table, by the rule at the top of this module.

    Lines need the measures ``context``, ``context_behind`` and ``fve_text``. Raises InputError without a line.
    """
    if not lines:
        raise InputError("no layer was measured, so none can be recommended")
    contenders = alike(lines, "context_behind")
    running = [line for line in contenders if line.layer != n_layers - 1] or contenders
    carried = _carried(running)
    preferred = default_layer(n_layers)
    chosen = min(carried, key=lambda line: (abs(line.layer - preferred), line.layer))
    sentences = [_knowledge(lines, contenders)]
    if len(running) < len(contenders):
        sentences.append("The last block is left out: only the output layer ever reads it.")
    elif chosen.layer == n_layers - 1 and len(lines) > 1:
        sentences.append("It is the last block, which only the output layer reads; no other comes near it.")
    if len(carried) < len(running):
        sentences.append(
            f"Of these, {_named(carried)} {_verb(carried, 'is', 'are')} carried best by text ({_fves(carried)})."
        )
    if len(carried) > 1:
        sentences.append(
            f"Layer {chosen.layer} is the nearest of them to two thirds of the depth, where the paper reads."
        )
    return Recommendation(chosen.layer, " ".join(sentences), tuple(line.layer for line in contenders))


def check(lines: Sequence[LayerLine], recommended: int) -> TruthCheck:
    """Hold a recommendation against the facts: lines need the measures ``facts`` and ``facts_behind``."""
    contenders = alike(lines, "facts_behind")
    best = max(lines, key=lambda line: _value(line, "facts"))
    behind = next(line.measures["facts_behind"] for line in lines if line.layer == recommended)
    agrees = recommended in [line.layer for line in contenders]
    held = f"layer {best.layer} holds most of the known facts ({_spread(best.measures['facts'])})"
    gap = f"{number(behind.value)} behind, {interval(behind)}"
    if recommended == best.layer:
        verdict = f"By the truth {held}: the recommendation agrees."
    elif agrees:
        verdict = f"By the truth {held}, and layer {recommended} about as many ({gap}): the recommendation agrees."
    else:
        verdict = f"By the truth {held}, and layer {recommended} fewer ({gap}): the recommendation is wrong here."
    return TruthCheck(best.layer, tuple(line.layer for line in contenders), behind, agrees, verdict)


def alike(lines: Sequence[LayerLine], name: str) -> list[LayerLine]:
    """Return the lines that are not shown to be more than ``MATTERS`` behind the best; all of them when nothing was measured."""
    found = []
    for line in lines:
        behind = line.measures[name]
        shown = behind.value if behind.low is None else behind.low
        if shown is None or shown <= MATTERS:
            found.append(line)
    return found


def _carried(lines: Sequence[LayerLine]) -> list[LayerLine]:
    """Keep the lines whose FVE from text is within the interval of the best one's."""
    best = max(lines, key=lambda line: _value(line, "fve_text")).measures["fve_text"]
    least = best.value if best.low is None else best.low
    return [line for line in lines if least is None or _value(line, "fve_text") >= least]


def _knowledge(lines: Sequence[LayerLine], contenders: Sequence[LayerLine]) -> str:
    """Say what the probes of the surroundings show."""
    best = max(contenders, key=lambda line: _value(line, "context"))
    if best.measures["context"].value is None:
        return "There are too few rows for probes of what stands around a token, so they tell no layers apart."
    if len(lines) == 1:
        return f"Layer {best.layer} is the only one that was read."
    share = _spread(best.measures["context"])
    least = best.measures["context"].low
    if least is not None and least <= 0:
        return (
            f"No layer is shown to know more of what stands around its token than the token tells (the most {share})."
        )
    if len(contenders) == 1:
        behind = min((line for line in lines if line is not best), key=lambda line: _value(line, "context_behind"))
        gap = behind.measures["context_behind"]
        return (
            f"Layer {best.layer} knows most of what stands around its token ({share}), clearly more than any other: layer "
            f"{behind.layer}, the next, is {number(gap.value)} behind ({interval(gap)})."
        )
    return (
        f"{_named(contenders).capitalize()} know about as much of what stands around their token (the most layer {best.layer}, "
        f"{share}); no gap above {MATTERS} is shown."
    )


def _value(line: LayerLine, name: str) -> float:
    value = line.measures[name].value
    return float("-inf") if value is None else value


def _named(lines: Sequence[LayerLine]) -> str:
    names = [str(line.layer) for line in lines]
    return f"layer {names[0]}" if len(names) == 1 else f"layers {', '.join(names[:-1])} and {names[-1]}"


def _verb(lines: Sequence[LayerLine], one: str, many: str) -> str:
    return one if len(lines) == 1 else many


def _fves(lines: Sequence[LayerLine]) -> str:
    return "FVE " + ", ".join(_spread(line.measures["fve_text"]) for line in lines)


def number(value: float | None) -> str:
    """Write a number with two decimals; a dash for none."""
    return "-" if value is None else f"{value:.2f}".replace("-", "−")


def interval(measure: Measure) -> str:
    """Write the interval of a measure; a dash for none."""
    return "-" if measure.low is None else f"{number(measure.low)} to {number(measure.high)}"


def _spread(measure: Measure) -> str:
    return f"{number(measure.value)}, {interval(measure)}"
