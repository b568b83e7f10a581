"""Compares two ways to do one thing, in turn, so that whatever else the machine does hits both."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Comparison:
    """Seconds of two ways over the same rounds, and how many times faster the first is."""

    name: str
    ours_s: float
    other_s: float
    ratio: float
    low: float
    high: float
    bar: float
    """The ratio that this project wants."""

    @property
    def reached(self) -> bool:
        """Whether the median ratio is at the bar."""
        return self.ratio >= self.bar


def compare(
    name: str, ours: Callable[[], object], other: Callable[[], object], *, bar: float, rounds: int = 7
) -> Comparison:
    """Runs both once to warm up, then in turn, starting with each as often; medians, and the ratio's range over rounds."""
    ours()
    other()
    ours_s: list[float] = []
    other_s: list[float] = []
    for round_ in range(rounds):
        pair = [(ours, ours_s), (other, other_s)]
        for function, seconds in pair if round_ % 2 == 0 else reversed(pair):
            started = time.perf_counter()
            function()
            seconds.append(time.perf_counter() - started)
    ratios = sorted(o / u for u, o in zip(ours_s, other_s, strict=True))
    return Comparison(
        name,
        statistics.median(ours_s),
        statistics.median(other_s),
        statistics.median(ratios),
        ratios[0],
        ratios[-1],
        bar,
    )
