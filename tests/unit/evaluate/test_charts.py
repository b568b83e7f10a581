"""Drawings for the page."""

from __future__ import annotations

import re
import sys
from functools import cache
from xml.etree import ElementTree as ET

import pytest
from tests.unit.evaluate.fabricated import evaluation, metrics

from nlakit.errors import MissingExtraError
from nlakit.evaluate.charts import _VARIABLES, Chart, Series, curves, fve_bars, level_bars, slot_dots, smooth
from nlakit.evaluate.training import points, training_charts


@cache
def drawings() -> list[Chart]:
    found = evaluation()
    charts = [fve_bars(found.numbers), slot_dots(found.slots), level_bars(found.levels), *training_charts(metrics())]
    assert None not in charts
    return [chart for chart in charts if chart is not None]


def test_colours_come_from_the_page() -> None:
    """No stand-in colour is left, so that one drawing serves the light and the dark page."""
    for chart in drawings():
        assert not [color for color in _VARIABLES if color in chart.svg], chart.name
        assert "var(--" in chart.svg


def test_drawings_are_well_formed_and_load_nothing() -> None:
    """Each is one SVG element without style, script or address."""
    for chart in drawings():
        root = ET.fromstring(chart.svg)  # noqa: S314 - drawn here
        assert root.tag == "svg"
        assert not re.search(r"https?:|<style|<script|font-family", chart.svg), chart.name


def test_ids_do_not_meet_on_one_page() -> None:
    """Clip paths and markers of one drawing are not another's."""
    ids = [found for chart in drawings() for found in re.findall(r'\bid="([^"]+)"', chart.svg)]
    assert len(ids) == len(set(ids))


def test_the_same_numbers_give_the_same_drawing() -> None:
    """A report drawn twice is the same file."""
    again = level_bars(evaluation().levels)
    assert again in drawings()


def test_numbers_are_written_beside_the_bars() -> None:
    """A bar that is cut at the left edge still tells its value."""
    numbers = evaluation().numbers
    numbers["fve_shuffled"] = numbers["fve_shuffled"]._replace(value=-2.31, low=-2.5, high=-2.1)
    chart = fve_bars(numbers)
    assert chart is not None
    assert "−2.31" in chart.svg
    assert "cut there" in chart.caption


def test_nothing_to_draw() -> None:
    """A chart without a number is no chart."""
    assert fve_bars({}) is None
    assert slot_dots(()) is None
    assert level_bars(()) is None
    assert curves("name", "title", "caption", [Series("line", "#050505", [])]) is None
    assert training_charts([]) == []


def test_a_run_that_stopped_after_the_warm_start_has_its_curves() -> None:
    """Charts are drawn for the stages that have numbers."""
    lines = [line for line in metrics() if line["stage"] == "warm-start"]
    assert [chart.name for chart in training_charts(lines)] == ["warm-verbalizer", "warm-reconstructor"]


def test_missing_values_are_skipped() -> None:
    """Null and absent values are no points; one step alone is drawn."""
    lines = [{"step": 1, "kl": None}, {"step": 2}, {"step": 3, "kl": 0.5}]
    assert points(lines, "kl") == [(3.0, 0.5)]
    assert curves("kl", "KL", "", [Series("kl", "#050505", points(lines, "kl"))]) is not None


def test_smoothing_keeps_steps_and_averages_neighbours() -> None:
    """The mean over three points, over two at the ends."""
    assert smooth([(1, 0.0), (2, 3.0), (3, 6.0)], 3) == [(1, 1.5), (2, 3.0), (3, 4.5)]


def test_missing_matplotlib_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package the message has the pip command."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"drawing the report .*pip install 'nlakit\[eval\]'"):
        fve_bars(evaluation().numbers)
