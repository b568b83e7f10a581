"""The report of a run: one page to look at, one text to paste, one file for programs.

``report.html`` is self-contained: style and drawings are inline and nothing is loaded from elsewhere. It is drawn
from what the run folder holds, so that a run which lacks a stage gets a report on the others.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nlakit.card import Measure
from nlakit.config import Recipe, plain
from nlakit.evaluate.contents import (
    SLOT_HEADS,
    ReportData,
    collect,
    left_out,
    measure_rows,
    slot_rows,
    table_rows,
    unmeasured,
)
from nlakit.evaluate.evaluation import DataTable, Evaluation
from nlakit.evaluate.grown import prediction_sentences
from nlakit.evaluate.measures import REGISTRY, format_value, in_registry_order
from nlakit.evaluate.page import as_html
from nlakit.evaluate.verdict import TRUST_WORDS, summarise
from nlakit.models.prediction import Prediction
from nlakit.progress import Progress
from nlakit.runs import RunFolder
from nlakit.storage import atomic_write_text, write_json

STAGE = "report"


def run(recipe: Recipe, folder: RunFolder, progress: Progress) -> Path:
    """Draw the report of a run into ``folder/report`` and return the path of ``report.html``.

    Always draws anew, which takes a second or two. Raises :class:`~nlakit.errors.MissingExtraError` without
    matplotlib.
    """
    stage = folder.stage(STAGE)
    settings = {"format": 1}
    with progress.task("report", total=1) as task:
        stage.begin(settings)
        path = write_report(collect(folder, recipe.name), stage.path)
        stage.finish(settings, {"html": path.name})
        task.advance()
    return path


def write_report(data: ReportData, folder: Path) -> Path:
    """Write ``report.html``, ``report.md`` and ``report.json`` into a folder; return the path of the page."""
    write_json(folder / "report.json", as_json(data))
    atomic_write_text(folder / "report.md", as_markdown(data))
    atomic_write_text(folder / "report.html", as_html(data))
    return folder / "report.html"


def as_json(data: ReportData) -> dict[str, Any]:
    """Return the report for programs: summary, measures with definitions, tables, alarms, configuration."""
    report: dict[str, Any] = {
        "title": data.title,
        "headline": unmeasured(data),
        "alarms": [dict(alarm) for alarm in data.alarms],
        "missing_stages": list(data.missing),
        "config": dict(data.config),
    }
    if data.prediction is not None:
        named = {name: with_definition(measure, name) for name, measure in data.prediction.measures.items()}
        report["grown_target"] = {
            **plain(data.prediction),
            "sentences": prediction_sentences(data.prediction),
            "measures": named,
        }
    evaluation = data.evaluation
    if evaluation is None:
        return report
    summary = summarise(evaluation)
    return report | {
        "headline": summary.headline,
        "sentences": list(summary.sentences),
        "trust": {line.level: line.trust for line in summary.trust},
        "checks": [{"passed": check.passed, "text": check.text} for check in summary.checks],
        "measures": {
            name: with_definition(evaluation.measures[name], name) for name in in_registry_order(evaluation.measures)
        },
        "left_out": dict(evaluation.left_out),
        "slots": plain(evaluation.slots),
        "levels": plain(evaluation.levels),
        "tables": plain(evaluation.tables),
        "outcomes": dict(evaluation.outcomes),
    }


def as_markdown(data: ReportData) -> str:
    """Return the report as text: the summary, the table of measures, the table of slots, the alarms."""
    lines = [f"# {data.title}", ""]
    if data.evaluation is None:
        lines += [unmeasured(data), ""]
    else:
        lines += [*_summary_lines(data.evaluation), *_measure_lines(data.evaluation), *_slot_lines(data.evaluation)]
        lines += [line for table in data.evaluation.tables.values() for line in _table_lines(table)]
    if data.prediction is not None:
        lines += [*_target_lines(data.prediction)]
    if data.missing:
        lines += [f"Stages not finished: {', '.join(data.missing)}.", ""]
    if data.alarms:
        lines += ["## Alarms", "", *(f"* step {alarm['step']}: {alarm['message']}." for alarm in data.alarms)]
    return "\n".join(lines).rstrip() + "\n"


def with_definition(measure: Measure, name: str) -> dict[str, Any]:
    """Return a measure for programs, with what it is."""
    definition = REGISTRY[name]
    texts = {key: getattr(definition, key) for key in ("unit", "definition", "baseline", "cost")}
    return {**plain(measure), **texts}


def _summary_lines(evaluation: Evaluation) -> list[str]:
    summary = summarise(evaluation)
    return [
        f"**{summary.headline}**", "",
        *(f"* {sentence}" for sentence in summary.sentences),
        *(f"* {line.level}: {format_value(line.true.value, 'fraction')} true, {TRUST_WORDS[line.trust]}" for line in summary.trust),
        "", "## Controls", "",
        *(f"* {'holds' if check.passed else '**FAILS**'}: {check.text}" for check in summary.checks), "",
    ]  # fmt: skip


def _measure_lines(evaluation: Evaluation) -> list[str]:
    lines = ["## Measures", "", "| measure | value | 95 % interval | n | split |", "|---|---|---|---|---|"]
    lines += [
        f"| `{row['name']}` | {row['value']} | {row['interval']} | {row['n']} | {row['split']} |"
        for row in measure_rows(evaluation.measures)
    ]
    lines += [f"\nLeft out, because {reason}: {', '.join(names)}." for reason, names in left_out(evaluation)]
    return [*lines, ""]


def _target_lines(prediction: Prediction) -> list[str]:
    rows = measure_rows(prediction.measures)
    return [
        "## The target", "", *(f"* {sentence}" for sentence in prediction_sentences(prediction)), "",
        "| measure | value | 95 % interval | documents | split |", "|---|---|---|---|---|",
        *(f"| `{row['name']}` | {row['value']} | {row['interval']} | {row['n']} | {row['split']} |" for row in rows), "",
    ]  # fmt: skip


def _slot_lines(evaluation: Evaluation) -> list[str]:
    if not evaluation.slots:
        return []
    rows = [f"| {row['slot']} | {row['level']} | {' | '.join(row['cells'])} |" for row in slot_rows(evaluation)]
    return ["## Facts, slot by slot", "", f"| {' | '.join(SLOT_HEADS)} |", "|---" * len(SLOT_HEADS) + "|", *rows, ""]


def _table_lines(table: DataTable) -> list[str]:
    rows = [f"| {' | '.join(cells)} |" for cells in table_rows(table)]
    heads = [f"| {' | '.join(table.heads)} |", "|---" * len(table.heads) + "|"]
    return [f"## {table.title}", "", table.about, "", *heads, *rows, ""]
