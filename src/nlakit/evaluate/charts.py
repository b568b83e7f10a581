"""Charts of the report: matplotlib figures turned into SVG that takes its colours from the page.

Every colour is a stand-in that is replaced by a CSS variable, so that one drawing serves the light and the
dark page; text stays text and takes the page's font. Figures are small on purpose (``WIDTH`` points):
the page scales them up on a desktop and keeps them readable on a phone.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

from nlakit.errors import missing_extra
from nlakit.evaluate.evaluation import LevelRow, Number, SlotRow
from nlakit.evaluate.measures import REGISTRY

WIDTH = 360
"""Width of a chart in points, which are CSS pixels before scaling; two stand side by side."""
NARROW = 270
"""Width of a chart of which three stand side by side."""
FONT = 9.5

# Stand-ins: no figure uses these hues for anything else.
INK, MUTED, GRID, PAPER = "#010101", "#020202", "#030303", "#040404"
MAIN, SECOND, THIRD, CONTROL = "#050505", "#060606", "#070707", "#080808"
TRUE, RELATED, UNRELATED = "#090909", "#0a0a0a", "#0b0b0b"
_VARIABLES = {
    INK: "--ink", MUTED: "--muted", GRID: "--grid", PAPER: "--panel",
    MAIN: "--main", SECOND: "--second", THIRD: "--third", CONTROL: "--control",
    TRUE: "--true", RELATED: "--related", UNRELATED: "--unrelated",
}  # fmt: skip

_STYLE: Any = {
    "svg.fonttype": "none", "font.size": FONT, "axes.titlesize": FONT, "axes.labelsize": FONT - 0.5,
    "xtick.labelsize": FONT - 0.5, "ytick.labelsize": FONT - 0.5, "text.color": INK, "axes.labelcolor": MUTED,
    "xtick.color": MUTED, "ytick.color": MUTED, "axes.edgecolor": GRID, "grid.color": GRID, "grid.linewidth": 0.6,
    "axes.linewidth": 0.8, "lines.linewidth": 1.6, "axes.spines.top": False, "axes.spines.right": False,
    "xtick.major.size": 0, "ytick.major.size": 0, "legend.frameon": False, "legend.fontsize": FONT - 0.5,
    "figure.facecolor": "none", "axes.facecolor": "none",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Chart:
    """One drawing for the page."""

    name: str
    title: str
    caption: str
    svg: str
    narrow: bool = False

    @property
    def height(self) -> float:
        """Height of the drawing in points."""
        found = re.search(r'viewBox="0 0 [\d.]+ ([\d.]+)"', self.svg)
        return float(found[1]) if found else 0.0


@dataclass(frozen=True, slots=True)
class Series:
    """One line of a curve chart: steps and values, ``None`` where nothing was measured."""

    label: str
    color: str
    points: Sequence[tuple[float, float]]
    dashed: bool = False
    faint: bool = False
    """Drawn thin and light behind a smoothed line of the same colour."""


@dataclass(frozen=True, slots=True)
class Band:
    """One line of a panel: points of (x, value, low end, high end) with the ends None where there is no interval."""

    label: str
    color: str
    points: Sequence[tuple[float, float, float | None, float | None]]
    dashed: bool = False
    thin: bool = False


@dataclass(frozen=True, slots=True)
class Panel:
    """One of several drawings side by side that share what x means."""

    title: str
    lines: Sequence[Band]
    logarithmic: bool = False


def fve_bars(measures: Mapping[str, Number]) -> Chart | None:
    """Draw every FVE as a bar from 0 with its interval: what the pair does above, the controls below; no difference of two."""
    names = [
        name
        for name, definition in REGISTRY.items()
        if definition.group in ("Reconstruction", "Controls") and name in measures and name != "fve_gain"
    ]
    if not names:
        return None
    with drawing() as draw:
        figure, axes = draw(26 + 21 * len(names))
        floor = min(0.0, max(-1.3, min(measures[name].low for name in names)))
        for row, name in enumerate(reversed(names)):
            measure, control = measures[name], REGISTRY[name].group == "Controls"
            color = MAIN if name == "fve" else CONTROL if control else SECOND
            shown = max(measure.value, floor)
            axes.barh(row, shown, height=0.62, color=color, alpha=1.0 if name == "fve" else 0.75)
            axes.plot([max(measure.low, floor), max(measure.high, floor)], [row, row], color=INK, linewidth=1.2)
            axes.text(1.32, row, f"{measure.value:.2f}".replace("-", "−"), va="center", ha="right", color=INK)
        axes.set_yticks(range(len(names)), [REGISTRY[name].title for name in reversed(names)])
        axes.tick_params(axis="y", labelcolor=INK)
        axes.axvline(0, color=MUTED, linewidth=0.8)
        axes.set_xlim(floor - 0.03, 1.33)
        ticks = [tick for tick in (-1.0, -0.5, 0.0, 0.5, 1.0) if tick >= floor - 0.02]
        axes.set_xticks(ticks, [f"{tick:g}".replace("-", "−") for tick in ticks])
        axes.grid(axis="x")
        axes.set_axisbelow(True)
        axes.spines["left"].set_visible(False)
        caption = "Bars start at 0, the mean vector's score; 1 is perfect. Thin lines are 95\u00a0% intervals."
        if floor == -1.3:
            caption += " Bars that go below −1.3 are cut there."
        return Chart("fve", "Reconstruction and controls", caption, as_svg(figure, "fve", "Bars of FVE with controls"))


def slot_dots(slots: Sequence[SlotRow]) -> Chart | None:
    """Draw for each slot how often its claims are true, beside what probes and guessing reach."""
    rows = [row for row in slots if row.claims > 0 and row.claims_true is not None]
    if not rows:
        return None
    order = {"theme": 0, "entity": 1, "detail": 2}
    rows = sorted(rows, key=lambda row: (order[row.level], -(row.claims_true or 0.0), row.slot))
    with drawing() as draw:
        figure, axes = draw(64 + 17 * len(rows))
        for index, row in enumerate(reversed(rows)):
            ends = [value for value in (row.claims_true, row.claims_decodable) if value is not None]
            axes.plot([min(ends), max(ends)], [index, index], color=GRID, linewidth=3, solid_capstyle="round", zorder=1)
            if row.majority is not None:
                axes.plot([row.majority], [index], marker="|", markersize=9, markeredgewidth=1.4, color=MUTED, zorder=2)
            if row.claims_decodable is not None:
                axes.plot(
                    [row.claims_decodable], [index], marker="o", markersize=7, markerfacecolor=PAPER,
                    markeredgecolor=SECOND, markeredgewidth=1.6, zorder=3, linestyle="none",
                )  # fmt: skip
            axes.plot([row.claims_true], [index], marker="o", markersize=5, color=MAIN, zorder=4, linestyle="none")
        axes.set_yticks(range(len(rows)), [f"{row.slot} ({row.claims:,})" for row in reversed(rows)])
        axes.tick_params(axis="y", labelcolor=INK)
        _level_lines(axes, [row.level for row in reversed(rows)])
        axes.set_xlim(-0.03, 1.18)
        axes.set_ylim(-0.7, len(rows) - 0.3)
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "25 %", "50 %", "75 %", "100 %"])
        axes.grid(axis="x")
        axes.set_axisbelow(True)
        axes.spines["left"].set_visible(False)
        legend(axes, (("claims true", MAIN, "o", MAIN), ("probe", SECOND, "o", PAPER), ("guessing", MUTED, "|", MUTED)))
        caption = (
            "The ring is a linear probe that answers in place of each claim. A dot left of it wastes what is there; right of it, "
            "the words know more than a probe of some thousand rows, or stay silent where it has to guess. A ring at the tick "
            "means that the vector does not hold the fact. In brackets: claims."
        )
        return Chart(
            "slots", "Claims against what the vectors hold", caption, as_svg(figure, "slots", "Claims true by slot")
        )


def level_bars(levels: Sequence[LevelRow]) -> Chart | None:
    """Draw how claims were judged, one bar of shares a level."""
    rows = [row for row in levels if row.claims > 0]
    if not rows:
        return None
    with drawing() as draw:
        figure, axes = draw(52 + 30 * len(rows))
        for index, row in enumerate(reversed(rows)):
            left = 0.0
            for share, color in ((row.true, TRUE), (row.related, RELATED), (row.unrelated, UNRELATED)):
                width = share or 0.0
                axes.barh(index, width, left=left, height=0.66, color=color, edgecolor=PAPER, linewidth=1)
                if width >= 0.08:
                    axes.text(left + width / 2, index, f"{100 * width:.0f} %", ha="center", va="center", color=PAPER)
                left += width
        axes.set_yticks(range(len(rows)), [f"{row.level} ({row.claims:,})" for row in reversed(rows)])
        axes.tick_params(axis="y", labelcolor=INK)
        axes.set_xlim(0, 1)
        axes.set_xticks([])
        for side in ("left", "bottom"):
            axes.spines[side].set_visible(False)
        words = (("true", TRUE), ("false, related", RELATED), ("false, unrelated", UNRELATED))
        legend(axes, tuple((label, color, "s", color) for label, color in words))
        caption = "Theme is what the text is about, entity who or what is in it, detail a particular of them. In brackets: claims."
        return Chart("levels", "How the claims were judged", caption, as_svg(figure, "levels", "Shares of verdicts"))


def curves(
    name: str, title: str, caption: str, series: Sequence[Series], *, narrow: bool = False, zero: bool = False
) -> Chart | None:
    """Draw lines over steps; None when no line has a point. ``zero`` marks the level 0."""
    drawn = [line for line in series if line.points]
    if not drawn:
        return None
    with drawing() as draw:
        figure, axes = draw(140 if narrow else 190, NARROW if narrow else WIDTH)
        for line in drawn:
            steps, values = zip(*line.points, strict=True)
            axes.plot(
                steps, values, color=line.color, linestyle=(0, (4, 2)) if line.dashed else "-",
                linewidth=0.9 if line.faint else 1.7, alpha=0.3 if line.faint else 1.0,
                label="_" if line.faint else line.label, marker="o" if len(line.points) == 1 else "", markersize=4,
            )  # fmt: skip
        if zero:
            axes.axhline(0, color=MUTED, linewidth=0.8)
        axes.locator_params(axis="y", nbins=5)
        axes.locator_params(axis="x", nbins=5, integer=True)
        axes.grid(axis="y")
        axes.set_axisbelow(True)
        axes.set_xlabel("step")
        axes.margins(x=0.01)
        if len({line.label for line in drawn}) > 1:
            axes.legend(
                loc="lower left", bbox_to_anchor=(0, 1), ncols=3, borderaxespad=0.2, handlelength=1.4, columnspacing=1.2
            )
        return Chart(name, title, caption, as_svg(figure, name, title), narrow)


def panels(
    name: str, title: str, caption: str, drawn: Sequence[Panel], *, x_label: str, mark: float, mark_label: str
) -> Chart:
    """Draw panels of lines with their intervals side by side; ``mark`` is the x that each of them points out."""
    with drawing() as draw:
        from matplotlib.ticker import LogLocator

        figure, all_axes = draw(225, 2 * WIDTH, columns=len(drawn))
        for axes, panel in zip(all_axes, drawn, strict=True):
            axes.axvline(mark, color=GRID, linewidth=7, solid_capstyle="butt", zorder=0)
            for line in panel.lines:
                _band(axes, line)
            if panel.logarithmic:
                axes.set_yscale("log")
                axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
                axes.yaxis.set_major_formatter("{x:g}")
                axes.minorticks_off()
            axes.set_title(panel.title, loc="left", color=INK, pad=16)
            at_top = {"transform": axes.get_xaxis_transform(), "ha": "center"}
            axes.text(mark, 1.02, mark_label, color=MUTED, fontsize=FONT - 1.5, **at_top)
            axes.locator_params(axis="x", nbins=7, integer=True)
            axes.grid(axis="y")
            axes.set_axisbelow(True)
            axes.set_xlabel(x_label)
            axes.legend(
                loc="upper left", bbox_to_anchor=(0, -0.24), ncols=1 if len(panel.lines) < 4 else 2, borderaxespad=0,
                handlelength=2.2, columnspacing=1.0, fontsize=FONT - 1,
            )  # fmt: skip
        return Chart(name, title, caption, as_svg(figure, name, title))


def _band(axes: Any, line: Band) -> None:
    """Draw one line, and its interval behind it where there is one."""
    x = [point[0] for point in line.points]
    axes.plot(
        x, [point[1] for point in line.points], color=line.color, label=line.label, marker="o",
        linestyle=(0, (4, 2)) if line.dashed else "-", linewidth=1.0 if line.thin else 1.9,
        markersize=2.5 if line.thin else 4,
    )  # fmt: skip
    ends = [(place, low, high) for place, _, low, high in line.points if low is not None and high is not None]
    if ends and not line.thin:
        axes.fill_between(*zip(*ends, strict=True), color=line.color, alpha=0.18, linewidth=0)


def standalone(chart: Chart) -> str:
    """Return a drawing as an SVG file of its own, with the colours that the report has on light paper."""
    style = (resources.files("nlakit.evaluate") / "templates" / "report.css").read_text(encoding="utf-8")
    light = style[style.index(":root") : style.index("}")]
    drawn = chart.svg
    for variable, color in re.findall(r"(--[a-z-]+): (#[0-9a-f]+)", light):
        drawn = drawn.replace(f"var({variable})", color)
    width, height = re.findall(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', drawn)[0]
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}pt" height="{height}pt" stroke-linejoin="round" '
        'font-family="Helvetica, Arial, sans-serif"'
    )
    paper = f'<rect width="{width}" height="{height}" fill="#ffffff"/>'
    return drawn.replace("<svg", opening, 1).replace(">", f">\n{paper}", 1) + "\n"


def smooth(points: Sequence[tuple[float, float]], window: int) -> list[tuple[float, float]]:
    """Return the mean over ``window`` points around each, over fewer at both ends."""
    values = [value for _, value in points]
    half = window // 2
    smoothed = []
    for index, (step, _) in enumerate(points):
        near = values[max(0, index - half) : index + half + 1]
        smoothed.append((step, sum(near) / len(near)))
    return smoothed


def require_matplotlib(purpose: str) -> None:
    """Raise MissingExtraError when matplotlib is not installed: asked before the work that is to be drawn."""
    try:
        import matplotlib as mpl  # noqa: F401 - only whether it is there
    except ImportError as error:
        raise missing_extra("matplotlib", "eval", purpose) from error


def _level_lines(axes: Any, levels: Sequence[str]) -> None:
    """Rule a line between levels and name each at the right."""
    start = 0
    for index in range(1, len(levels) + 1):
        if index == len(levels) or levels[index] != levels[start]:
            middle = (start + index - 1) / 2
            axes.text(1.17, middle, levels[start], ha="right", va="center", color=MUTED, fontsize=FONT - 0.5)
            if index < len(levels):
                axes.axhline(index - 0.5, color=GRID, linewidth=0.8)
            start = index


def legend(axes: Any, entries: Sequence[tuple[str, str, str, str]]) -> None:
    """Put a legend of (label, colour, marker, fill) above the axes."""
    for label, color, marker, fill in entries:
        axes.plot(
            [], [], label=label, color=color, marker=marker, markerfacecolor=fill, markersize=6,
            markeredgewidth=1.4, linestyle="none",
        )  # fmt: skip
    axes.legend(
        loc="lower left", bbox_to_anchor=(0, 1), ncols=3, borderaxespad=0.2, handletextpad=0.2, columnspacing=1.4
    )


class drawing:  # noqa: N801 - reads as a verb in "with drawing() as draw"
    """Apply the style for the length of a block and yield a function that makes a figure of a height in points."""

    def __enter__(self) -> Any:
        require_matplotlib("drawing the report")
        import matplotlib as mpl
        from matplotlib.figure import Figure
        from matplotlib.layout_engine import ConstrainedLayoutEngine

        self._context = mpl.rc_context(_STYLE)
        self._context.__enter__()

        def draw(height: float, width: float = WIDTH, columns: int = 1) -> tuple[Any, Any]:
            layout = ConstrainedLayoutEngine(w_pad=2 / 72, h_pad=2 / 72)
            figure = Figure(figsize=(width / 72, height / 72), layout=layout)
            return figure, figure.subplots(1, columns)

        return draw

    def __exit__(self, *failure: object) -> None:
        self._context.__exit__(*failure)  # type: ignore[arg-type]


def as_svg(figure: Any, name: str, label: str) -> str:
    """Return a figure as an SVG element for an HTML page: page colours, page font, ids of its own."""
    import matplotlib as mpl

    buffer = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Type": None, "Format": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    # The style element would reach the whole page; the page's own style sheet says the same for its charts.
    text = re.sub(r"<style.*?</style>", "", text, flags=re.DOTALL)
    text = re.sub(
        r'<svg [^>]*viewBox="([^"]+)"[^>]*>', rf'<svg viewBox="\1" role="img" aria-label="{label}">', text, count=1
    )
    text = re.sub(r" font-family: [^;\"]+;?", "", text)
    text = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', text)
    text = re.sub(r'xlink:href="#([^"]+)"', rf'href="#{name}-\1"', text)
    text = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", text)
    for color, variable in _VARIABLES.items():
        text = text.replace(color, f"var({variable})")
    return re.sub(r"\s*\n\s*", "\n", text)
