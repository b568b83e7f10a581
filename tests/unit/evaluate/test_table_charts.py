"""Charts of tables beyond the measures, and their cells written out."""

from __future__ import annotations

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


def test_tables_with_a_chart_are_drawn() -> None:
    """Each key has its drawing, with the labels of its rows; a table without a chart has none."""
    drawn = {chart.name: chart for chart in charts_of({"reliability": RELIABILITY, "edits": EDITS, "other": EDITS})}
    assert drawn.keys() == CHARTS.keys()
    assert "share true" in drawn["reliability"].svg
    assert "shuffle" in drawn["edits"].svg
    assert "−1.40" in drawn["edits"].svg


def test_an_empty_table_is_not_drawn() -> None:
    """Where nothing was counted there is nothing to see."""
    assert charts_of({"edits": EDITS.model_copy(update={"rows": ()})}) == []


def test_cells_are_written_as_people_read_them() -> None:
    """Counts have separators, numbers their decimals and a true minus, missing ones a dash."""
    assert table_rows(RELIABILITY)[1] == ["0.90", "1.00", "0.97", "1.00", "1,200"]
    assert table_rows(EDITS)[1] == ["paraphrase_heavy", "−1.40", "−1.60", "–"]
