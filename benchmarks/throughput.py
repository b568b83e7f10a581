"""How many tokens and rows a second the stage `extract` reads, with one process and with two."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

from nlakit.pipeline import run_stages
from nlakit.progress import Progress
from nlakit.recipe import load_recipe
from nlakit.runs import RunFolder

DOCUMENTS = 20_000


@dataclass(frozen=True)
class Throughput:
    """One extraction from start to end, reading, tokenising and writing included."""

    workers: int
    rows: int
    seconds: float
    tokens_per_second: float
    rows_per_second: float


def all_throughputs() -> list[Throughput]:
    """Extract the same documents of Terrarium into a store, with one worker and with two."""
    return [_extract(workers) for workers in (1, 2)]


def _extract(workers: int) -> Throughput:
    settings = [f"corpus.documents={DOCUMENTS}", f"extract.workers={workers}", "extract.shard_rows=8192"]
    with tempfile.TemporaryDirectory() as folder:
        run = RunFolder(Path(folder) / "run")
        run_stages(load_recipe("terrarium-full", settings), run, Progress(silent=True), ["extract"])
        done = json.loads((run.path / "extract" / "done.json").read_text(encoding="utf-8"))
    found = done["measured"]
    return Throughput(workers, found["rows"], found["seconds"], found["tokens_per_second"], found["rows_per_second"])
