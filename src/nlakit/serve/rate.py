"""How many requests a client may send: a bucket that fills with time."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

REMEMBERED = 4_096
"""Clients whose buckets are kept; whoever was not seen longest is forgotten first and finds a full one."""


class RateLimit:
    """One bucket of requests a client, full at first and filled evenly over a minute; for one thread."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        """``per_minute`` is what a bucket holds, and what it gains in a minute."""
        self.per_minute = per_minute
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, client: str) -> float:
        """Take one request out of a client's bucket and return 0, or return the seconds until there is one."""
        now = self._clock()
        left, seen = self._buckets.pop(client, (float(self.per_minute), now))
        left = min(self.per_minute, left + (now - seen) * self.per_minute / 60)
        waits = 0.0 if left >= 1 else (1 - left) * 60 / self.per_minute
        self._buckets[client] = (left - (waits == 0), now)
        while len(self._buckets) > REMEMBERED:
            self._buckets.popitem(last=False)
        return waits
