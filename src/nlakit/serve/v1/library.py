"""What there is to read with and to look at: the pair that is served, the pairs that are installed, and runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from nlakit import plugins
from nlakit.models.pair import load_card
from nlakit.runs import RunFolder, last_metrics
from nlakit.serve.service import Service

MOST_RUNS = 200


def described(service: Service) -> dict[str, Any]:
    """Return what is known of the pair that is served."""
    card = service.pair.card
    fve = card.results.get("fve")
    return {
        "name": card.name,
        "target": card.target.model if service.pair.target is None else service.pair.target.name,
        "site": card.site,
        "layer": service.site.layer,
        "fve": None if fve is None else {"value": fve.value, "low": fve.low, "high": fve.high},
        "errors": list(card.errors),
        "variance": None if card.stats is None else card.stats.variance,
        "min_position": card.min_position,
    }


def pairs() -> list[dict[str, Any]]:
    """Return the pairs that are installed under a name."""
    found = []
    for name in plugins.names(plugins.PAIRS):
        card = load_card(name)
        found.append({"id": name, "name": card.name, "target": card.target.model, "site": card.site})
    return found


def runs(folder: Path | None) -> list[dict[str, Any]]:
    """Return the runs below a folder, newest first: name, the stages that are done, and the last line of their metrics."""
    if folder is None or not folder.is_dir():
        return []
    configs = sorted(folder.glob("*/config.json"), key=lambda path: path.stat().st_mtime, reverse=True)
    return [found for path in configs[:MOST_RUNS] if (found := _run(path.parent)) is not None]


def _run(path: Path) -> dict[str, Any] | None:
    stages = sorted(RunFolder(path).done_markers(), key=lambda marker: marker.stat().st_mtime)
    try:
        recipe = json.loads((path / "config.json").read_text(encoding="utf-8"))["recipe"]
    except (OSError, ValueError, KeyError, TypeError):
        return None  # being written, or no run's
    return {
        "id": path.name,
        "name": recipe.get("name", path.name),
        "done": [marker.parent.name for marker in stages],
        "last": last_metrics(path / "metrics.jsonl"),
    }
