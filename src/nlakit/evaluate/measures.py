"""The definition of every measure that nlakit prints: one name, one definition.

A number never travels without its name, its interval, its count and its split. ``REGISTRY`` is the
only list of names; the evaluation may not return a measure that is not in it, and ``docs/metrics.md``
is written from it. No torch here: the command line and the documentation read this module.

FVE ("fraction of variance explained") everywhere is ``1 - mean error / Var`` with
``error = 2 (1 - cos)`` between the given and the rebuilt direction, and ``Var`` the mean squared distance
of the unit vectors of the training splits from their un-normalised mean (the paper, section "Method":
Fraser-Taliente et al. 2026). Other definitions in the wild divide by another variance, or leave it
out; their numbers are not comparable.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from nlakit.errors import InternalError
from nlakit.evaluate.definitions import (
    against,
    baselines,
    evidence,
    identify,
    reconstruction,
    robustness,
    support,
    target,
    tasks,
    truth,
    use,
    words,
)
from nlakit.evaluate.definitions.definition import MeasureDefinition, Need, Unit

_DEFINITIONS: tuple[MeasureDefinition, ...] = (
    *reconstruction.DEFINITIONS,
    *identify.DEFINITIONS,
    *truth.DEFINITIONS,
    *evidence.DEFINITIONS,
    *use.DEFINITIONS,
    *tasks.DEFINITIONS,
    *words.DEFINITIONS,
    *support.DEFINITIONS,
    *baselines.DEFINITIONS,
    *against.DEFINITIONS,
    *robustness.DEFINITIONS,
    *target.DEFINITIONS,
)

REGISTRY: Mapping[str, MeasureDefinition] = {definition.name: definition for definition in _DEFINITIONS}
"""Every measure by name, in the order in which tables list them."""


def definition_of(name: str) -> MeasureDefinition:
    """Return the definition of a measure; an unknown name is a bug of the caller."""
    if name not in REGISTRY:
        raise InternalError(f"measure {name!r} has no definition; add it to nlakit.evaluate.measures.REGISTRY")
    return REGISTRY[name]


def names_that_need(need: Need, *groups: str) -> list[str]:
    """Return the measures that cannot be had without ``need``, of all groups or of some."""
    return [
        definition.name
        for definition in _DEFINITIONS
        if need in definition.needs and (not groups or definition.group in groups)
    ]


def in_registry_order(names: Iterable[str]) -> list[str]:
    """Return the given names in the order of the registry."""
    wanted = set(names)
    for name in wanted:
        definition_of(name)
    return [name for name in REGISTRY if name in wanted]


def format_value(value: float, unit: Unit, *, fine: bool = False) -> str:
    """Write a value the way its unit is read: shares in per cent, tokens with one decimal, the rest with two.

    ``fine`` adds a decimal, for tables and for shares near 0 or 1.
    """
    if unit == "fraction":
        return f"{100 * value:.{int(fine)}f}\u00a0%"
    decimals = (1 if unit == "tokens" else 2) + int(fine)
    return f"{value:.{decimals}f}".replace("-", "−")


def metrics_markdown() -> str:
    """Return ``docs/metrics.md``: every measure with its definition, written from the registry."""
    lines = [
        "# Measures",
        "",
        "Every number that `nlakit evaluate` prints, and how to read it. This page is generated from",
        "`nlakit.evaluate.measures`; change a definition there.",
        "",
        "All are taken on held-out rows: positions of documents that no stage of the training has read, rebuilt from the",
        "corpus, the settings and the seed that the pair's card records. Each comes with a 95 % interval by bootstrap over",
        "documents (rows of one document are not independent), with `n`, the number of rows, claims or facts it is taken",
        "over, and with its split. What a grown target can predict is measured once, by `nlakit grow`, and stands in the report.",
        "",
        "Over fewer than ten documents a bootstrap interval is too narrow, which the output warns of. Where all that was seen is",
        "alike it has no width; a share of exactly 0 or 100 % has the exact interval over documents instead (Clopper and Pearson).",
        "",
        "**FVE** is `1 - mean error / Var`, with `error = 2 (1 - cos)` between the given and the rebuilt direction, and `Var` the",
        "mean squared distance of the unit vectors of the training splits from their un-normalised mean. 0 is what the mean vector",
        "scores, 1 is perfect, and a constant *direction* scores below 0. Other definitions divide by another variance, or by",
        "none; their numbers are not comparable.",
        "",
        "**Claims and facts** need a corpus that knows its own truth (a plugin of the group `nlakit.truth`). A *claim* is one",
        "statement found in an explanation: a slot, such as the place, and a value. Without a truth plugin these measures are",
        "left out, and the report says so.",
    ]
    group = ""
    for definition in _DEFINITIONS:
        if definition.group != group:
            group = definition.group
            lines += ["", f"## {group}"]
        lines += ["", f"### `{definition.name}`", "", definition.definition, ""]
        lines.append(f"* Unit: {definition.unit}")
        lines.append(f"* Compare with: {definition.baseline}")
        lines.append(f"* Costs: {definition.cost}")
        if definition.needs:
            lines.append(f"* Needs: {', '.join(definition.needs)}")
    return "\n".join(lines) + "\n"
