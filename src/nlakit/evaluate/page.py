"""The page: everything of a report in one HTML file that loads nothing from elsewhere.

Drawings are inline SVG, style is inline CSS, and both take the light or the dark scheme of the reader. Texts from
documents and explanations are escaped by the template engine.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from importlib.metadata import version
from itertools import product
from typing import Any

import yaml
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from nlakit.config import plain
from nlakit.evaluate.charts import Chart, fve_bars, level_bars, slot_dots
from nlakit.evaluate.contents import SLOT_HEADS, ReportData, left_out, measure_rows, slot_rows, table_rows, unmeasured
from nlakit.evaluate.evaluation import Evaluation, ShownClaim, ShownReading
from nlakit.evaluate.grown import prediction_sentences
from nlakit.evaluate.measures import format_value
from nlakit.evaluate.pieces import cut_document, cut_explanation
from nlakit.evaluate.table_charts import charts_of
from nlakit.evaluate.training import training_charts
from nlakit.evaluate.verdict import TRUST_WORDS, Summary, TrustLine, interval, number, summarise

SIGNS = {"true": "✓", "related": "≈", "unrelated": "✗"}
"""Signs beside the colours of verdicts, for readers who do not see colours."""

CAPTION = 70.0
"""Height of a chart's heading and caption on the page, in points: enough to tell which column has more room."""

OUTCOMES = {
    "no_closing_tag": "The output stopped without closing the explanation; it counts as failed.",
    "cut_off": "The output was cut off at the length limit; it counts as failed.",
    "empty": "The output is empty; it counts as failed.",
}


def as_html(data: ReportData) -> str:
    """Return the page."""
    folder = resources.files("nlakit.evaluate") / "templates"
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string((folder / "report.html.j2").read_text(encoding="utf-8"))
    css = (folder / "report.css").read_text(encoding="utf-8")
    return template.render(_context(data), css=Markup(css))  # noqa: S704 - our own style sheet


def _context(data: ReportData) -> dict[str, Any]:
    """Return everything that the template shows, in its order."""
    evaluation = data.evaluation
    summary = summarise(evaluation) if evaluation else Summary(unmeasured(data), (), (), ())
    result_charts = [[_drawn(chart) for chart in column] for column in _columns(evaluation)] if evaluation else []
    training = [_drawn(chart) for chart in training_charts(data.metrics)]
    documents = [cut_document(document) for document in evaluation.shown] if evaluation else []
    context = {
        "version": version("nlakit"),
        "title": data.title,
        "subtitle": _subtitle(data),
        "headline": summary.headline,
        "sentences": [*summary.sentences, *_missing_sentence(data)],
        "tiles": _tiles(evaluation) if evaluation else [],
        "alarms": data.alarms,
        "trust": [_trust_line(line) for line in summary.trust],
        "checks": summary.checks,
        "result_charts": result_charts,
        "target": {
            "sentences": prediction_sentences(data.prediction),
            "rows": measure_rows(data.prediction.measures),
            "continuations": data.prediction.continuations,
        }
        if data.prediction
        else None,
        "documents": [
            {"pieces": pieces, "readings": [_reading(reading) for reading in document.readings]}
            for document, pieces in zip(evaluation.shown if evaluation else (), documents, strict=True)
        ],
        "claims_known": any(
            reading.claims is not None
            for document in (evaluation.shown if evaluation else ())
            for reading in document.readings
        ),
        "training": training,
        "training_wide": [chart for chart in training if not chart["narrow"]],
        "training_narrow": [chart for chart in training if chart["narrow"]],
        "groups": _groups(evaluation) if evaluation else [],
        "left_out": left_out(evaluation) if evaluation else [],
        "slots": slot_rows(evaluation) if evaluation else [],
        "slot_heads": SLOT_HEADS,
        "tables": [
            {"title": table.title, "about": table.about, "heads": table.heads, "rows": table_rows(table)}
            for table in (evaluation.tables.values() if evaluation else ())
        ],
        "records": _records(data),
    }
    named = (
        ("trust", "Trust", "trust"), ("checks", "Controls", "controls"), ("result_charts", "Results", "results"),
        ("target", "Target", "target"),
        ("documents", "Readings", "readings"), ("training", "Training", "training"), ("groups", "Measures", "measures"),
        ("slots", "Facts", "slots"), ("tables", "Tables", "tables"), ("records", "How it was made", "made"),
    )  # fmt: skip
    return context | {"sections": [(anchor, label) for key, label, anchor in named if context[key]]}


def _columns(evaluation: Evaluation) -> list[list[Chart]]:
    """Return the charts of the results in two columns, shared out so that the columns end at about one height."""
    first = (fve_bars(evaluation.numbers), slot_dots(evaluation.slots), level_bars(evaluation.levels))
    charts = [chart for chart in (*first, *charts_of(evaluation.tables)) if chart is not None]

    def unevenness(rights: Sequence[bool]) -> float:
        signed = zip(charts, rights, strict=True)
        return abs(sum((chart.height + CAPTION) * (-1 if right else 1) for chart, right in signed))

    # Nine charts at most are a few hundred ways at most; the first stays at the left, where reading begins.
    ways = ((False, *rights) for rights in product((True, False), repeat=max(0, len(charts) - 1)))
    sides = min(ways, key=unevenness) if charts else ()
    columns = ([chart for chart, right in zip(charts, sides, strict=True) if right is side] for side in (False, True))
    return [column for column in columns if column]


def _missing_sentence(data: ReportData) -> list[str]:
    if not data.missing:
        return []
    noun = "stages" if len(data.missing) > 1 else "stage"
    return [f"Not finished when this page was drawn: {noun} {', '.join(data.missing)}."]


def _subtitle(data: ReportData) -> list[str]:
    items = []
    if data.evaluation:
        target = data.evaluation.target if data.prediction is None else "grown from the corpus"
        items += [f"target {target}", data.evaluation.site, data.evaluation.created_at[:10]]
    elif data.config.get("written_at"):
        items.append(str(data.config["written_at"])[:10])
    return items


def _tiles(evaluation: Evaluation) -> list[dict[str, str]]:
    """Return the four numbers at the top."""
    numbers = evaluation.numbers
    tiles: list[dict[str, str]] = []
    for name, label, note in (
        ("fve", "FVE, held-out", "interval {}"),
        ("fve_warm_start", "before RL", "interval {}"),
        ("claims_true", "claims true", "interval {}"),
        ("claims_ceiling", "with a probe's values", "interval {}"),
        ("parse_rate", "outputs that parse", "interval {}"),
        ("fve_shuffled", "another's explanation", "FVE, interval {}"),
        ("length_tokens", "tokens an output", "interval {}"),
    ):
        if name in numbers and len(tiles) < 4:
            tiles.append({"label": label, "value": number(numbers, name), "note": note.format(interval(numbers, name))})
    return tiles


def _trust_line(line: TrustLine) -> dict[str, Any]:
    return {
        "level": line.level,
        "trust": line.trust,
        "word": TRUST_WORDS[line.trust],
        "true": format_value(line.true.value, "fraction"),
        "true_width": round(100 * line.true.value, 1),
        "ceiling_at": None if line.ceiling is None else round(100 * line.ceiling.value, 1),
    }


def _drawn(chart: Chart) -> dict[str, Any]:
    return {"title": chart.title, "caption": chart.caption, "narrow": chart.narrow, "svg": Markup(chart.svg)}  # noqa: S704 - drawn by matplotlib here


def _reading(reading: ShownReading) -> dict[str, Any]:
    """Return one explanation for the template."""
    return {
        "token": reading.token.strip() or reading.token.replace("\n", "⏎").replace(" ", "␣"),
        "position": reading.position,
        "failed": OUTCOMES.get(reading.outcome, "") if reading.outcome != "ok" else "",
        "pieces": cut_explanation(reading.explanation, reading.claims or ()),
        "explained": format_value(reading.explained, "FVE"),
        "error": format_value(reading.error, "FVE"),
        "claims": [
            {
                "verdict": claim.verdict.value,
                "held": claim.held,
                "sign": SIGNS[claim.verdict.value],
                "text": _claim_text(claim),
            }
            for claim in reading.claims or ()
        ],
    }


def _claim_text(claim: ShownClaim) -> str:
    said = f"{claim.slot}: {claim.value}"
    if claim.verdict.value == "true":
        return said
    return f"{said} (is {claim.truth})" if claim.truth is not None else f"{said} (has none)"


def _groups(evaluation: Evaluation) -> list[dict[str, Any]]:
    """Return the measures by heading."""
    groups: dict[str, list[dict[str, str]]] = {}
    for row in measure_rows(evaluation.measures):
        groups.setdefault(row["group"], []).append(row)
    return [{"name": name, "rows": rows} for name, rows in groups.items()]


def _records(data: ReportData) -> list[tuple[str, str]]:
    """Return what stands under "How it was made": settings, versions, and the evaluation's own."""
    records = []
    if data.config:
        if "recipe" in data.config:
            records.append(("Recipe", _yaml(data.config["recipe"])))
        records.append(("Run", _yaml({key: value for key, value in data.config.items() if key != "recipe"})))
    if data.evaluation:
        keys = ("pair", "target", "site", "split", "corpus", "rows", "rows_wanted", "documents", "seed", "max_new_tokens",
                "variance", "statistics", "probe_rows", "outcomes", "seconds", "versions", "created_at")  # fmt: skip
        values = plain(data.evaluation)
        records.append(("Evaluation", _yaml({key: values[key] for key in keys})))
    return records


def _yaml(value: object) -> str:
    return yaml.safe_dump(plain(value), sort_keys=False, allow_unicode=True, width=100).rstrip()
