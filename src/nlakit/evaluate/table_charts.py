"""Charts of tables beyond the measures: support and its signals, edits, recurrence, reading tasks, other ways to read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from nlakit.evaluate.charts import CONTROL, FONT, INK, MAIN, MUTED, PAPER, SECOND, THIRD, Chart, as_svg, drawing, legend
from nlakit.evaluate.evaluation import DataTable

Cell = str | float | int | None
Row = Sequence[Cell]


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
        _lines(axes, table.rows)
        least = min(float(value) for row in table.rows for value in (row[1], row[2], 0.0) if value is not None)
        floor = max(-1.0, least)
        for index, (_, kept, low, high) in enumerate(reversed(table.rows)):
            _bar(axes, index, kept, (low, high), floor=floor, color=MAIN)
            axes.text(1.37, index, _written(kept), va="center", ha="right", color=INK)
        axes.axvline(0, color=MUTED, linewidth=0.8)
        axes.axvline(1, color=MUTED, linewidth=0.8, linestyle=(0, (4, 2)))
        axes.set_xlim(floor - 0.03, 1.38)
        ticks = [tick for tick in (-1, -0.5, 0, 0.5, 1) if tick >= floor]
        axes.set_xticks(ticks, [f"{tick:g}".replace("-", "−") for tick in ticks])
        caption = table.about + (" Bars that go below −1 are cut there." if least < -1 else "")
        return Chart("edits", table.title, caption, as_svg(figure, "edits", "Share of FVE kept by edit"))


def signals_chart(table: DataTable) -> Chart:
    """Draw the AUROC of support with all signals, without each and with each alone, over all claims and within a slot."""
    with drawing() as draw:
        figure, axes = draw(56 + 16 * len(table.rows))
        _lines(axes, table.rows)
        for index, (_, over_all, _, within) in enumerate(reversed(table.rows)):
            if within is not None:
                _mark(axes, index, within, SECOND, PAPER, 7)
            if over_all is not None:
                _mark(axes, index, over_all, MAIN, MAIN, 5)
        axes.axvline(0.5, color=MUTED, linewidth=0.9, linestyle=(0, (4, 2)))
        least = min(float(value) for row in table.rows for value in (row[1], row[3], 0.5) if value is not None)
        axes.set_xlim(least - 0.03, 1.02)
        axes.grid(axis="x")
        axes.set_axisbelow(True)
        legend(axes, (("all claims", MAIN, "o", MAIN), ("within a slot", SECOND, "o", PAPER)))
        caption = (
            "AUROC on held-out claims when support is fitted anew on claims of training rows. At the dashed line it tells nothing. "
            "Slot alone knows how often claims of a slot are true, and nothing of the claim itself."
        )
        return Chart("signals", table.title, caption, as_svg(figure, "signals", "AUROC by signals of support"))


def recurrence_chart(table: DataTable) -> Chart:
    """Draw the share of claims that is true over how many other samples, and neighbouring tokens, make them too."""
    series = (("other samples", MAIN, -0.06), ("neighbouring tokens", THIRD, 0.06))
    names: dict[str, int] = {}
    with drawing() as draw:
        figure, axes = draw(200)
        for others, color, aside in series:
            found = [row for row in table.rows if str(row[0]).endswith(others)]
            places = [names.setdefault(str(row[0]).removesuffix(others).strip(), len(names)) for row in found]
            drawn = [(place + aside, row) for place, row in zip(places, found, strict=True) if row[1] is not None]
            axes.plot(
                [x for x, _ in drawn], [float(row[1] or 0) for _, row in drawn], color=color, marker="o", markersize=5
            )
            for x, (_, _, low, high, *_) in drawn:
                if low is not None and high is not None:
                    axes.plot([x, x], [float(low), float(high)], color=color, linewidth=1.2)
        axes.set_xticks(range(len(names)), list(names))
        axes.set_xlim(-0.3, len(names) - 0.7)
        axes.set_ylim(0, 1.03)
        axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "25 %", "50 %", "75 %", "100 %"])
        axes.set_xlabel("how many of them make the same claim")
        axes.grid(axis="y")
        axes.set_axisbelow(True)
        legend(axes, tuple((others, color, "o", color) for others, color, _ in series))
        caption = (
            "Share of the claims that is true, with 95\u00a0% intervals. Details recur less from token to token than themes do, "
            "true or not: the table has them alone, and the number of claims."
        )
        return Chart("recurrence", table.title, caption, as_svg(figure, "recurrence", "Share true by recurrence"))


def tasks_chart(table: DataTable) -> Chart:
    """Draw the share of each reading task that is answered right, beside chance and the pair before reinforcement learning."""
    with drawing() as draw:
        figure, axes = draw(56 + 21 * len(table.rows))
        _lines(axes, table.rows)
        for index, (_, right, low, high, before, chance, _) in enumerate(reversed(table.rows)):
            _bar(axes, index, right, (low, high), floor=0.0, color=MAIN)
            if before is not None:
                _mark(axes, index, before, SECOND, PAPER, 6)
            axes.plot(
                [float(chance or 0)] * 2, [index - 0.42, index + 0.42], color=INK, linewidth=1.4, linestyle=(0, (2, 1))
            )
            axes.text(1.14, index, f"{100 * float(right or 0):.0f} %", va="center", ha="right", color=INK)
        _percent(axes, 1.15)
        legend(axes, (("this pair", MAIN, "s", MAIN), ("before RL", SECOND, "o", PAPER), ("at random", INK, "|", INK)))
        caption = "Share answered right, with 95\u00a0% intervals. At the dashed tick an explanation is no better than silence."
        return Chart("tasks", table.title, caption, as_svg(figure, "tasks", "Share right by reading task"))


def baselines_chart(table: DataTable) -> Chart:
    """Draw FVE and the share of claims that is true of each way to read, side by side."""
    with drawing() as draw:
        figure, (left, right) = draw(62 + 19 * len(table.rows), columns=2)
        _lines(left, table.rows)
        _lines(right, table.rows, labelled=False)
        for index, row in enumerate(reversed(table.rows)):
            color = MAIN if index == len(table.rows) - 1 else CONTROL
            _bar(left, index, row[1], (row[2], row[3]), floor=-1.0, color=color)
            if row[4] is None:
                right.text(0.02, index, "no claims", va="center", color=MUTED, fontsize=FONT - 1.5)
            else:
                _bar(right, index, row[4], (row[5], row[6]), floor=0.0, color=color)
            if row[8] is not None:
                right.plot([float(row[8])], [index], marker="|", markersize=9, markeredgewidth=1.6, color=THIRD)
        left.axvline(0, color=MUTED, linewidth=0.8)
        left.set_xlim(-1.05, 1.2)
        left.set_xticks([-1, 0, 1], ["−1", "0", "1"])
        _percent(right, 1.04, few=True)
        left.set_title("FVE", color=MUTED, fontsize=FONT - 0.5)
        right.set_title("claims true", color=MUTED, fontsize=FONT - 0.5)
        caption = (
            "The same rows and reconstructor. Thin lines are 95\u00a0% intervals; the upright mark is the share of held facts that "
            "is mentioned. Probes and teacher know the truth. What each method says stands among the measures."
        )
        return Chart("baselines", table.title, caption, as_svg(figure, "baselines", "FVE and truth by method"))


def _lines(axes: Any, rows: Sequence[Row], *, labelled: bool = True) -> None:
    """Give each row a line from top to bottom, with its first cell as label."""
    labels = [str(row[0]).replace("_", " ") if labelled else "" for row in reversed(rows)]
    axes.set_yticks(range(len(rows)), labels)
    axes.tick_params(axis="y", labelcolor=INK)
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.spines["left"].set_visible(False)


def _bar(axes: Any, index: int, value: Cell, ends: tuple[Cell, Cell], *, floor: float, color: str) -> None:
    """Draw a bar from 0 with its interval, cut at a floor; without ends no interval."""
    axes.barh(index, max(floor, float(value or 0)), height=0.62, color=color, alpha=0.8)
    if None not in ends:
        axes.plot([max(floor, float(end or 0)) for end in ends], [index, index], color=INK, linewidth=1.2)


def _mark(axes: Any, index: int, value: Cell, color: str, fill: str, size: float) -> None:
    axes.plot(
        [float(value or 0)], [index], marker="o", markersize=size, markerfacecolor=fill, markeredgecolor=color,
        markeredgewidth=1.6, linestyle="none",
    )  # fmt: skip


def _percent(axes: Any, end: float, *, few: bool = False) -> None:
    """Let an axis of shares begin at 0."""
    ticks = [0, 0.5, 1] if few else [0, 0.25, 0.5, 0.75, 1]
    axes.set_xlim(0, end)
    axes.set_xticks(ticks, [f"{100 * tick:.0f} %" if tick else "0" for tick in ticks])
    axes.grid(axis="x")
    axes.set_axisbelow(True)


def _written(value: Cell) -> str:
    return f"{float(value or 0):.2f}".replace("-", "−")


CHARTS: Mapping[str, Callable[[DataTable], Chart]] = {
    "tasks": tasks_chart,
    "edits": edits_chart,
    "reliability": reliability_chart,
    "signals": signals_chart,
    "recurrence": recurrence_chart,
    "baselines": baselines_chart,
}
"""The chart of a table, by the table's key."""


def charts_of(tables: Mapping[str, DataTable]) -> list[Chart]:
    """Draw every table that has a chart and a row."""
    return [draw(tables[key]) for key, draw in CHARTS.items() if key in tables and tables[key].rows]
