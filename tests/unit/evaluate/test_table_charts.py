"""Charts of tables beyond the measures, and their cells written out."""

from __future__ import annotations

import pytest

from nlakit.evaluate.charts import _VARIABLES
from nlakit.evaluate.contents import table_rows
from nlakit.evaluate.evaluation import DataTable
from nlakit.evaluate.table_charts import CHARTS, charts_of

RELIABILITY = DataTable(
    title="Support against truth",
    about="Claims by support.",
    heads=("from", "to", "mean support", "true", "claims"),
    rows=((0.0, 0.1, 0.05, 0.0, 12), (0.9, 1.0, 0.97, 1.0, 1200)),
)
EDITS = DataTable(
    title="Edits",
    about="What is left.",
    heads=("edit", "fve_kept", "low", "high"),
    rows=(("shuffle", 0.93, 0.9, 0.95), ("paraphrase_heavy", -1.4, -1.6, None)),
)
SIGNALS = DataTable(
    title="Signals",
    about="AUROC.",
    heads=("signals", "AUROC", "details", "within a slot"),
    rows=(("slot alone", 0.71, 0.6, None), ("all signals", 0.95, None, 0.9), ("error alone", 0.45, 0.5, 0.41)),
)
RECURRENCE = DataTable(
    title="Recurrence",
    about="Truth.",
    heads=("made too by", "true", "low", "high", "claims", "details true", "details"),
    rows=(
        ("none other samples", 0.1, 0.05, 0.2, 40, 0.1, 12),
        ("all other samples", 0.97, 0.96, 0.98, 800, None, 0),
        ("none neighbouring tokens", 0.5, None, None, 60, 0.4, 30),
        ("all neighbouring tokens", None, None, None, 0, None, 0),
    ),
)
TASKS = DataTable(
    title="Tasks",
    about="Right.",
    heads=("task", "right", "low", "high", "before RL", "at random", "rows"),
    rows=(("next_text", 0.83, 0.8, 0.86, 0.79, 0.1, 300), ("hints", 0.0, None, None, None, 0.25, 3)),
)
BASELINES = DataTable(
    title="Others",
    about="Same rows.",
    heads=("method", "FVE", "low", "high", "claims true", "low", "high", "claims a text", "held facts mentioned"),
    rows=(
        ("this pair", 0.88, 0.86, 0.9, 0.91, 0.9, 0.92, 3.9, 0.97),
        ("logit lens", -1.4, -1.5, -1.3, None, None, None, None, None),
    ),
)
TABLES = {
    "reliability": RELIABILITY, "edits": EDITS, "signals": SIGNALS, "recurrence": RECURRENCE, "tasks": TASKS,
    "baselines": BASELINES,
}  # fmt: skip


def test_tables_with_a_chart_are_drawn() -> None:
    """Each key has its drawing, with the labels of its rows; a table without a chart has none."""
    drawn = {chart.name: chart for chart in charts_of({**TABLES, "other": EDITS})}
    assert drawn.keys() == CHARTS.keys() == TABLES.keys()
    assert "share true" in drawn["reliability"].svg
    assert "shuffle" in drawn["edits"].svg
    assert "−1.40" in drawn["edits"].svg


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("signals", ["slot alone", "error alone", "all claims", "within a slot"]),
        ("recurrence", ["none", "all", "other samples", "neighbouring tokens"]),
        ("tasks", ["next text", "83 %", "at random", "before RL"]),
        ("baselines", ["this pair", "logit lens", "claims true", "no claims"]),
    ],
)
def test_charts_name_what_they_show(key: str, words: list[str]) -> None:
    """Each line and each mark has its word, and no colour but the page's is left in the drawing."""
    (chart,) = charts_of({key: TABLES[key]})
    for word in words:
        assert f">{word}<" in chart.svg
    assert not [color for color in _VARIABLES if color in chart.svg]


def test_an_axis_of_edits_reaches_as_far_down_as_needed() -> None:
    """Where every edit leaves something, no room is wasted below 0 and nothing is said of bars that are cut."""
    (chart,) = charts_of({"edits": EDITS.model_copy(update={"rows": EDITS.rows[:1]})})
    assert ">−1<" not in chart.svg
    assert "cut there" not in chart.caption
    (cut,) = charts_of({"edits": EDITS})
    assert ">−1<" in cut.svg
    assert "cut there" in cut.caption


def test_a_signal_worse_than_chance_is_inside_its_chart() -> None:
    """The axis of AUROC reaches below the least value that there is, and no further than chance where all are above it."""
    (chart,) = charts_of({"signals": SIGNALS})
    assert ">0.4<" in chart.svg
    (good,) = charts_of({"signals": SIGNALS.model_copy(update={"rows": SIGNALS.rows[:2]})})
    assert ">0.4<" not in good.svg


def test_an_empty_table_is_not_drawn() -> None:
    """Where nothing was counted there is nothing to see."""
    assert charts_of({"edits": EDITS.model_copy(update={"rows": ()})}) == []


def test_cells_are_written_as_people_read_them() -> None:
    """Counts have separators, numbers their decimals and a true minus, missing ones a dash."""
    assert table_rows(RELIABILITY)[1] == ["0.90", "1.00", "0.97", "1.00", "1,200"]
    assert table_rows(EDITS)[1] == ["paraphrase_heavy", "−1.40", "−1.60", "–"]
