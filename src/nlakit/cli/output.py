"""What commands print: JSON for programs, plain tables for people."""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from nlakit.config import plain
from nlakit.storage import atomic_write_text

if TYPE_CHECKING:
    from rich.console import RenderableType


def strict(value: object) -> object:
    """Return JSON-ready data in which a number that is not finite is null, as JSON has no NaN."""
    value = plain(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: strict(item) for key, item in value.items()}
    return [strict(item) for item in value] if isinstance(value, list) else value


def print_json(value: object) -> None:
    """Print one JSON value."""
    typer.echo(json.dumps(strict(value), indent=2, ensure_ascii=False, allow_nan=False))


def write_lines(path: Path, values: Iterable[object]) -> None:
    """Write JSON lines so that the file is complete or not there."""
    lines = (json.dumps(strict(value), ensure_ascii=False, allow_nan=False) for value in values)
    atomic_write_text(path, "".join(line + "\n" for line in lines))
    typer.echo(f"wrote {path}", err=True)


def save_picture(path: Path, table: RenderableType, title: str) -> None:
    """Draw a table into an SVG file, as it looks in a terminal of 110 columns; complete or not there."""
    from rich.console import Console

    console = Console(record=True, width=110, file=io.StringIO(), force_terminal=True)
    console.print(table)
    drawn = console.export_svg(title=title)
    # Rich names fonts on another host; any fixed-width font of the reader's machine does.
    atomic_write_text(path, re.sub(r"@font-face \{.*?\}", "", drawn, flags=re.DOTALL))
    typer.echo(f"wrote {path}", err=True)


def print_table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print left-aligned columns, two spaces apart; the last one is not padded."""
    cells = [list(headings), *[[str(cell) for cell in row] for row in rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(headings))]
    for row in cells:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def print_measures(measures: Mapping[str, Mapping[str, object]]) -> None:
    """Print measures with their intervals; a value that could not be measured shows as a dash."""
    print_table(
        ("measure", "value", "95 % interval", "n", "split"),
        [(name, _number(m["value"]), _interval(m), m["n"], m["split"]) for name, m in measures.items()],
    )


def _number(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, (int, float)) and math.isfinite(value) else "-"


def _interval(measure: Mapping[str, object]) -> str:
    low, high = _number(measure["low"]), _number(measure["high"])
    return "-" if "-" in (low, high) else f"{low} to {high}"
