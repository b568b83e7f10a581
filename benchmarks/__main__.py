"""Runs the benchmarks: `python -m benchmarks [--pair PAIR] [--write FILE] [--json]`."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.growth import Point, all_points
from benchmarks.ratios import all_comparisons
from benchmarks.throughput import Throughput, all_throughputs
from benchmarks.timing import Comparison


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures, prints, and writes the page if asked to; 1 when a ratio is below its bar."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--pair", default="terrarium", help="name or folder of the pair to measure with")
    parser.add_argument("--write", type=Path, help="write the tables to this Markdown file")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(arguments)

    from nlakit import Pair

    comparisons = [_announced(comparison) for comparison in all_comparisons(Pair.from_pretrained(options.pair))]
    points = all_points(options.pair)
    throughputs = all_throughputs()
    page = _page(comparisons, points, throughputs)
    if options.write:
        options.write.write_text(page, encoding="utf-8")
    if options.json:
        found = {
            "ratios": [dataclasses.asdict(comparison) for comparison in comparisons],
            "growth": [dataclasses.asdict(point) for point in points],
            "throughput": [dataclasses.asdict(throughput) for throughput in throughputs],
        }
        print(json.dumps(found, indent=2))
    else:
        print(page)
    return 0 if all(comparison.reached for comparison in comparisons) else 1


def _announced(comparison: Comparison) -> Comparison:
    print(f"{comparison.ratio:6.2f}x  {comparison.name}", file=sys.stderr)
    return comparison


def _page(comparisons: Sequence[Comparison], points: Sequence[Point], throughputs: Sequence[Throughput]) -> str:
    import torch

    lines = [
        "# Benchmarks",
        "",
        "Made by `make bench`. Each row compares two ways to one result, run in turn in one process: medians, the ratio of the",
        "other way's time to ours (median of the rounds, then the lowest and highest round), and the ratio this project wants.",
        "",
        f"{os.cpu_count()} cores, {platform.machine()}, torch {torch.__version__}, {torch.get_num_threads()} threads.",
        "",
        "| what | ours, s | other, s | times faster | range | wanted |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {c.name} | {c.ours_s:.3f} | {c.other_s:.3f} | {c.ratio:.2f} | {c.low:.2f} to {c.high:.2f} "
        f"| {f'{c.bar:.2f}' if c.bar else 'no bar'} |"
        for c in comparisons
    ]
    lines += [
        "",
        "## Growth",
        "",
        "Each point in a process of its own; memory is the peak above what loading the pair took.",
        "",
        "| what | size | s | peak, MiB |",
        "|---|---|---|---|",
    ]
    lines += [f"| {p.what} | {p.size} | {p.seconds:.2f} | {p.peak_mib:.0f} |" for p in points]
    lines += [
        "",
        "## Throughput",
        "",
        "The stage `extract` of `terrarium-full` on fewer documents, all threads shared by its workers.",
        "",
        "| workers | rows | s | tokens a second | rows a second |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {t.workers} | {t.rows:,} | {t.seconds:.1f} | {t.tokens_per_second:,.0f} | {t.rows_per_second:,.0f} |"
        for t in throughputs
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
