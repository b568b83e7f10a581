"""What a report is made of: the parts of a run folder, each of which may be missing."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nlakit.card import Measure
from nlakit.evaluate.definitions.definition import Unit
from nlakit.evaluate.evaluation import FILE_NAME, DataTable, Evaluation, by_reason
from nlakit.evaluate.measures import REGISTRY, format_value, in_registry_order
from nlakit.models.prediction import PREDICTION_FILE, Prediction
from nlakit.runs import RunFolder, read_metrics

GROWN_TARGET = ("grow", "target")
"""Where a run keeps the target that it has grown."""
STAGES = ("grow", "extract", "annotate", "first-round", "ground", "warm-start", "train", "evaluate")
"""Folders of the stages whose work a report shows."""
OPTIONAL = ("grow", "first-round", "ground")
"""Those that only some recipes have."""

SLOT_HEADS = (
    "slot", "level", "claims", "true", "probe on the same", "facts", "probe right", "guessing", "held", "of these said",
)  # fmt: skip
"""Columns of the table of slots."""


@dataclass(frozen=True)
class ReportData:
    """Everything that a report is drawn from; each part may be missing."""

    title: str
    evaluation: Evaluation | None = None
    metrics: Sequence[Mapping[str, Any]] = ()
    """Lines of ``metrics.jsonl``."""
    alarms: Sequence[Mapping[str, Any]] = ()
    """What was raised during training: ``step`` and ``message``."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """The run's ``config.json``."""
    missing: Sequence[str] = ()
    """Stages of the run that are not finished."""
    prediction: Prediction | None = None
    """How well the target predicts text, where the run has grown it."""


def collect(folder: RunFolder, title: str) -> ReportData:
    """Gather what a run folder holds."""
    evaluated = folder.path / "evaluate"
    config = folder.path / "config.json"
    grown = folder.path.joinpath(*GROWN_TARGET)
    stages = [name for name in STAGES if name not in OPTIONAL or (folder.path / name).is_dir()]
    return ReportData(
        title=title,
        evaluation=Evaluation.load(evaluated) if (evaluated / FILE_NAME).exists() else None,
        metrics=read_metrics(folder.path / "metrics.jsonl"),
        alarms=read_metrics(folder.path / "alarms.jsonl"),
        config=json.loads(config.read_text(encoding="utf-8")) if config.exists() else {},
        missing=[name for name in stages if not (folder.path / name / "done.json").exists()],
        prediction=Prediction.load(grown) if (grown / PREDICTION_FILE).exists() else None,
    )


def unmeasured(data: ReportData) -> str:
    """Say that there is no evaluation, and what there is."""
    return "Not measured yet." if data.metrics else "This run has no results yet."


def measure_rows(measures: Mapping[str, Measure]) -> list[dict[str, str]]:
    """Return the table of measures with its cells written out: all that have a value, in the order of the registry."""
    rows = []
    for name in in_registry_order(measures):
        measure, definition = measures[name], REGISTRY[name]
        if measure.value is not None:
            texts = {key: getattr(definition, key) for key in ("group", "definition", "baseline", "cost")}
            value, ends = _written(measure.value, measure.low, measure.high, definition.unit)
            rows.append(
                {"name": name, "value": value, "interval": ends, "n": f"{measure.n:,}", "split": measure.split, **texts}
            )
    return rows


def _written(value: float, low: float | None, high: float | None, unit: Unit) -> tuple[str, str]:
    """Write a value and its interval; values of one document, which say nothing about others, have none."""
    found = format_value(value, unit, fine=True)
    if low is None or high is None:
        return found, "none: one document"
    return found, f"{format_value(low, unit, fine=True)} to {format_value(high, unit, fine=True)}"


def left_out(evaluation: Evaluation) -> list[tuple[str, list[str]]]:
    """Return (reason, names) of the measures that have no value."""
    empty = {
        name: "there is nothing to count" for name, measure in evaluation.measures.items() if measure.value is None
    }
    return by_reason({**evaluation.left_out, **empty})


def table_rows(table: DataTable) -> list[list[str]]:
    """Return the cells of a table written out."""

    def cell(value: str | float | None) -> str:
        if value is None:
            return "–"
        if isinstance(value, float):
            return f"{value:.{table.decimals}f}".replace("-", "−")
        return value if isinstance(value, str) else f"{value:,}"

    return [[cell(value) for value in row] for row in table.rows]


def slot_rows(evaluation: Evaluation) -> list[dict[str, Any]]:
    """Return the table of slots with its cells written out."""

    def share(value: float | None) -> str:
        return "–" if value is None else format_value(value, "fraction")

    return [
        {
            "slot": row.slot,
            "level": row.level,
            "cells": [
                f"{row.claims:,}", share(row.claims_true), share(row.claims_decodable), f"{row.facts:,}",
                share(row.probe_accuracy), share(row.majority), share(row.held), share(row.mentioned),
            ],
        }
        for row in evaluation.slots
    ]  # fmt: skip
