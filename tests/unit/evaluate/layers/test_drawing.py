"""The picture of a sweep: three panels in one file that needs nothing else."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree as ET

from tests.unit.evaluate.layers.planted import planted_recipe

from nlakit.evaluate.charts import standalone
from nlakit.evaluate.layers.drawing import draw_sweep
from nlakit.evaluate.layers.sweep import sweep_layers
from nlakit.testing import tiny_target


def test_the_picture_stands_alone(tmp_path: Path) -> None:
    """It is well-formed SVG with colours of its own, names its panels and the recommendation, and loads nothing."""
    found = sweep_layers(planted_recipe(tmp_path), documents=20, target=tiny_target(d=48))
    chart = draw_sweep(found)

    text = standalone(chart)

    root = ET.fromstring(text)  # noqa: S314 - drawn here
    assert "{http://www.w3.org/2000/svg}svg" == root.tag
    assert "var(" not in text
    assert not re.search(r"(?<!xmlns=\")https?:|<script|<image", text.replace('xmlns="http://www.w3.org/2000/svg"', ""))
    for words in ("FVE from text", "What the vector knows", "Norms", "recommended", "around the token", "median norm"):
        assert words in text
    assert "known facts" not in text
    assert str(found.recommendation.layer) in chart.caption
    assert text == standalone(draw_sweep(found))
