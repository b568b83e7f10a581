"""Charts of tables beyond the measures: support against truth, and what is left of FVE after edits."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from nlakit.evaluate.charts import INK, MAIN, MUTED, Chart, as_svg, drawing
from nlakit.evaluate.evaluation import DataTable


def reliability_chart(table: DataTable) -> Chart:
    """Draw the share of claims that is true over their support; on the diagonal support can be taken at its word."""
    most = max(int(row[4] or 0) for row in table.rows)
    with drawing() as draw:
        figure, axes = draw(230)
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=0.9, linestyle=(0, (4, 2)))
        for low, high, _, true, claims in table.rows:
            # Width by the number of claims would hide the rare bins; a shade tells it and every bin stays visible.
            shade = 0.25 + 0.75 * int(claims or 0) / most
            axes.bar(
                float(low or 0),
                float(true or 0),
                float(high or 0) - float(low or 0),
                align="edge",
                color=MAIN,
                alpha=shade,
            )
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1)
        axes.set_xlabel("support")
        axes.set_ylabel("share true")
        axes.grid(axis="y")
        axes.set_axisbelow(True)
        caption = f"{table.about} The darker a bar, the more claims; the dashed line is where support equals truth."
        return Chart("reliability", table.title, caption, as_svg(figure, "reliability", "Share true by support"))


def edits_chart(table: DataTable) -> Chart:
    """Draw the share of FVE that each edit of the explanations leaves, with its interval."""
    with drawing() as draw:
        figure, axes = draw(30 + 19 * len(table.rows))
        for index, (_, kept, low, high) in enumerate(reversed(table.rows)):
            value, ends = float(kept or 0), [float(low or 0), float(high or 0)]
            axes.barh(index, max(-1.0, value), height=0.62, color=MAIN, alpha=0.8)
            axes.plot([max(-1.0, end) for end in ends], [index, index], color=INK, linewidth=1.2)
            axes.text(1.22, index, f"{value:.2f}".replace("-", "−"), va="center", ha="right", color=INK)
        axes.set_yticks(range(len(table.rows)), [str(row[0]) for row in reversed(table.rows)])
        axes.tick_params(axis="y", labelcolor=INK)
        axes.axvline(0, color=MUTED, linewidth=0.8)
        axes.axvline(1, color=MUTED, linewidth=0.8, linestyle=(0, (4, 2)))
        axes.set_xlim(-1.03, 1.23)
        axes.set_xticks([-1, -0.5, 0, 0.5, 1], ["−1", "−0.5", "0", "0.5", "1"])
        axes.spines["left"].set_visible(False)
        caption = f"{table.about} Bars that go below −1 are cut there."
        return Chart("edits", table.title, caption, as_svg(figure, "edits", "Share of FVE kept by edit"))


CHARTS: Mapping[str, Callable[[DataTable], Chart]] = {"reliability": reliability_chart, "edits": edits_chart}
"""The chart of a table, by the table's key."""


def charts_of(tables: Mapping[str, DataTable]) -> list[Chart]:
    """Draw every table that has a chart and a row."""
    return [draw(tables[key]) for key, draw in CHARTS.items() if key in tables and tables[key].rows]
