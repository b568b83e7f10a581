"""The report as page, text and data."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import pytest
from tests.unit.evaluate.fabricated import evaluation, metrics, report_data, shown_documents
from tests.unit.evaluate.test_table_charts import TABLES

from nlakit.config import Recipe
from nlakit.errors import RunError
from nlakit.evaluate import report
from nlakit.evaluate.contents import collect
from nlakit.evaluate.evaluation import Evaluation
from nlakit.evaluate.measures import REGISTRY
from nlakit.evaluate.page import _columns, as_html
from nlakit.progress import Progress
from nlakit.runs import RunFolder

VOID = {"meta", "br", "img", "link", "hr", "input"}


class Checker(HTMLParser):
    """Counts tags and notes those that are closed wrongly."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@cache
def default_page() -> str:
    """The page with every part, drawn once."""
    alarms = [{"step": 80, "alarm": "kl_runs_away", "message": "divergence from the warm start is 1.20"}]
    return as_html(report_data(alarms=alarms))


def parse(page: str) -> Checker:
    checker = Checker()
    checker.feed(page)
    return checker


def test_the_page_is_one_file() -> None:
    """Nothing is loaded from elsewhere: no address, no script, no picture, no import."""
    page = default_page()
    assert not re.findall(r"https?://|<script|<img|<link|@import|url\((?!#)|src=", page)
    checker = parse(page)
    assert (checker.open, checker.wrong) == ([], [])


def test_the_page_has_every_part() -> None:
    """Verdict, controls, charts, readings, curves, measures with definitions, slots, alarms and settings are there."""
    page = default_page()
    for name in ("trust", "controls", "results", "readings", "training", "measures", "slots", "made", "alarms"):
        assert f'id="{name}"' in page, name
    text = " ".join(parse(page).text)
    assert "divergence from the warm start is 1.20" in text
    for name in evaluation().measures:
        assert name in text
    assert REGISTRY["fve"].definition in text
    assert f"Costs: {REGISTRY['fve'].cost}." in text
    assert page.count("<svg") == 13


def test_charts_fill_two_columns_of_about_one_height() -> None:
    """However many charts there are, none stands alone beside a long empty column."""
    tables = {key: table for key, table in TABLES.items() if key != "edits"}
    columns = _columns(evaluation(tables=tables))
    heights = [sum(chart.height for chart in column) for column in columns]
    assert sum(map(len, columns)) == 3 + len(tables)
    assert abs(heights[0] - heights[1]) < 250


def test_links_inside_the_page_lead_somewhere() -> None:
    """Every anchor that is linked exists."""
    page = default_page()
    assert set(re.findall(r'href="#([^"]+)"', page)) <= set(re.findall(r'\bid="([^"]+)"', page))


def test_texts_are_escaped() -> None:
    """A document that holds HTML is shown and not run."""
    first, *rest = shown_documents()
    evil = first.model_copy(update={"text": first.text.replace("brass", "<b>&bull;</b>", 1)})
    shown = evaluation(shown=(evil, *rest), slots=(), levels=())
    page = as_html(report_data(title="<script>x</script>", evaluation=shown, metrics=[]))
    assert "<script" not in page
    assert "&lt;b&gt;&amp;bull;" in page


def test_a_failed_output_says_what_happened() -> None:
    """What was cut off is not shown as an explanation."""
    assert "cut off at the length limit; it counts as failed" in default_page()


@pytest.mark.parametrize(("evaluated", "trained"), [(True, False), (False, True), (False, False)])
def test_whatever_exists_is_drawn(evaluated: bool, trained: bool) -> None:
    """A run that lacks a stage gets a report on the others, which names what is missing."""
    data = report_data(
        evaluation=evaluation() if evaluated else None,
        metrics=metrics() if trained else [],
        missing=["train"] if not trained else [],
    )
    page = as_html(data)
    assert ('id="training"' in page) is trained
    assert ('id="measures"' in page) is evaluated
    assert ("stage train" in page) is not trained
    assert "# terrarium-quick" in report.as_markdown(data)
    assert json.loads(json.dumps(report.as_json(data)))["missing_stages"] == list(data.missing)


def test_reasons_for_what_was_left_out_are_told() -> None:
    """A measure without a number appears with its reason on the page and in the text."""
    found = evaluation()
    kept = {name: measure for name, measure in found.measures.items() if name != "fve_warm_start"}
    data = report_data(
        evaluation=evaluation(measures=kept, left_out={"fve_warm_start": "the weights were not kept"}), metrics=[]
    )
    assert "because the weights were not kept" in as_html(data)
    assert "because the weights were not kept: fve_warm_start" in report.as_markdown(data)


def test_a_measure_of_one_document_is_told_without_an_interval() -> None:
    """Its value stands in the page and in the text; no measure that was taken goes missing."""
    found = report_data()
    measures = dict(found.evaluation.measures)
    measures["task_writer"] = measures["fve"].model_copy(update={"value": 0.4375, "low": None, "high": None, "n": 4})
    data = replace(found, evaluation=found.evaluation.model_copy(update={"measures": measures}))

    assert re.search(r"`task_writer` \| 43\.\d+.% \| none: one document \| 4 \|", report.as_markdown(data))
    assert "none: one document" in as_html(data)


def test_three_files_that_agree(tmp_path: Path) -> None:
    """Page, text and data carry the same headline."""
    page = report.write_report(report_data(), tmp_path)
    data = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    definition = REGISTRY["fve"]
    assert data["measures"]["fve"] == {
        "value": 0.873, "low": 0.861, "high": 0.884, "n": 1000, "split": "heldout", "unit": "FVE",
        "definition": definition.definition, "baseline": definition.baseline, "cost": definition.cost,
    }  # fmt: skip
    for path in (page, tmp_path / "report.md"):
        assert data["headline"] in path.read_text(encoding="utf-8")


def test_the_stage_draws_an_unfinished_run(tmp_path: Path) -> None:
    """The report of a run that was only started says which stages are missing, and can be drawn again."""
    folder = RunFolder(tmp_path / "run")
    recipe = Recipe(name="started", description="x")
    folder.write_config(recipe)
    for _ in range(2):
        page = report.run(recipe, folder, Progress(silent=True))
    text = page.read_text(encoding="utf-8")
    assert "This run has no results yet." in text
    assert "stages extract, annotate, warm-start, train, evaluate" in text


def test_an_evaluation_survives_its_file(tmp_path: Path) -> None:
    """What is read back is what was written; a damaged file is named."""
    found = evaluation()
    path = found.save(tmp_path)
    assert Evaluation.load(tmp_path) == found
    path.write_text('{"pair": 1}', encoding="utf-8")
    with pytest.raises(RunError, match=r"evaluation.json is damaged"):
        Evaluation.load(tmp_path)


def test_alarms_come_from_the_run(tmp_path: Path) -> None:
    """What training wrote into alarms.jsonl is collected with its step."""
    folder = RunFolder(tmp_path)
    line = {"stage": "train", "step": 7, "alarm": "entropy_collapsed", "message": "entropy fell"}
    (tmp_path / "alarms.jsonl").write_text(json.dumps(line) + "\n", encoding="utf-8")
    assert collect(folder, "x").alarms == [line]
