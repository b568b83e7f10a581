"""How time and memory grow with rows, batch and explanation length; each point in a process of its own."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

STATUS = Path("/proc/self/status")
ROWS = (250, 500, 1000, 2000)
BATCHES = (32, 64, 128, 256)
TOKENS = (10, 20, 40, 80)


@dataclass(frozen=True)
class Point:
    """One measurement."""

    what: str
    size: int
    seconds: float
    peak_mib: float
    """Peak resident memory above what the process had once the pair was loaded."""


def measure(kind: str, size: int, pair: str) -> Point:
    """One point, in a fresh process, because peak memory never falls."""
    command = [sys.executable, "-m", "benchmarks.growth", kind, str(size), pair]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return Point(**json.loads(done.stdout.splitlines()[-1]))


def all_points(pair: str) -> list[Point]:
    """Every curve, in order of size."""
    curves = (("rows", ROWS), ("batch", BATCHES), ("tokens", TOKENS))
    return [measure(kind, size, pair) for kind, sizes in curves for size in sizes]


def _memory_mib(field: str) -> float:
    """Resident memory now (``VmRSS``) or at its highest (``VmHWM``); only the highest is known outside Linux."""
    if not STATUS.exists():
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / 1024**2 if sys.platform == "darwin" else peak / 1024
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) / 1024


def _forget_peak() -> None:
    """Let the highest be counted from now on, where the kernel can: loading a pair takes more than small batches do."""
    with suppress(OSError):  # other systems have no such file, and some containers forbid it
        (STATUS.parent / "clear_refs").write_text("5")


def _point(kind: str, size: int, name: str) -> Point:
    import torch

    from nlakit import Pair
    from nlakit.config import CorpusConfig, ExtractConfig
    from nlakit.data.corpus import load_corpus
    from nlakit.data.extract import extract_rows
    from nlakit.models.sampler import sample
    from nlakit.models.sites import Site

    pair = Pair.from_pretrained(name)
    vectors_ND = torch.randn(max(BATCHES), pair.card.target.d_model, generator=torch.Generator().manual_seed(0))
    sample(pair.verbalizer, vectors_ND[:2], max_new_tokens=4)
    _forget_peak()
    before, started = _memory_mib("VmRSS"), time.perf_counter()
    if kind == "rows":
        what = "extract rows"
        config = ExtractConfig(min_position=8, rows_per_document=5)
        documents = load_corpus(CorpusConfig(documents=size // 5))
        extract_rows(pair.target, Site.parse(pair.card.site), documents, config, 0)  # type: ignore[arg-type]
    elif kind == "batch":
        what = "verbalize a batch, 40 tokens"
        sample(pair.verbalizer, vectors_ND[:size], max_new_tokens=40)
    else:
        what = "verbalize 128 vectors, tokens"
        sample(pair.verbalizer, vectors_ND[:128], max_new_tokens=size)
    return Point(what, size, time.perf_counter() - started, _memory_mib("VmHWM") - before)


if __name__ == "__main__":
    print(json.dumps(_point(sys.argv[1], int(sys.argv[2]), sys.argv[3]).__dict__))
