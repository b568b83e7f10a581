"""The picture of a sweep: what text carries, what the vectors know, and how large they are, by layer."""

from __future__ import annotations

from collections.abc import Sequence

from nlakit.evaluate.charts import CONTROL, MAIN, MUTED, SECOND, THIRD, TRUE, UNRELATED, Band, Chart, Panel, panels
from nlakit.evaluate.layers.choice import LayerLine
from nlakit.evaluate.layers.sweep import Sweep


def draw_sweep(sweep: Sweep) -> Chart:
    """Draw three panels by layer; the recommended layer is marked in each. MissingExtraError without matplotlib."""
    lines = sweep.lines
    known = [
        _band(lines, "context", "around the token", MAIN),
        _band(lines, "earlier", "earlier word", SECOND, thin=True),
        _band(lines, "later", "later word", THIRD, thin=True),
        _band(lines, "next", "next token", UNRELATED, thin=True),
        _band(lines, "topic", "topic", CONTROL, thin=True),
    ]
    if sweep.truth is not None:
        known.insert(1, _band(lines, "facts", "known facts", TRUE, dashed=True))
    shown = [
        Panel(
            "FVE from text",
            [
                _band(lines, "fve_text", f"text ({sweep.teacher})", MAIN),
                _band(lines, "fve_token", "the token alone", THIRD, dashed=True),
                _band(lines, "mean_share", "shared direction", MUTED, thin=True),
            ],
        ),
        Panel("What the vector knows", known),
        Panel(
            "Norms",
            [
                _band(lines, "norm", "median norm", MAIN),
                _band(lines, "norm_spread", "95th / 5th percentile", THIRD, dashed=True),
            ],
            logarithmic=True,
        ),
    ]
    caption = (
        f"{sweep.target}, {sweep.documents['asked']} documents asked; bands are 95\u00a0% intervals. The grey bar marks the "
        f"recommended layer, {sweep.recommendation.layer}."
    )
    return panels(
        "layers", "Layers", caption, shown, x_label="layer", mark=sweep.recommendation.layer, mark_label="recommended"
    )


def _band(
    lines: Sequence[LayerLine], name: str, label: str, color: str, *, dashed: bool = False, thin: bool = False
) -> Band:
    measures = [(float(line.layer), line.measures[name]) for line in lines]
    points = [(x, found.value, found.low, found.high) for x, found in measures if found.value is not None]
    return Band(label, color, points, dashed, thin)
