"""Requests that a client may send."""

from __future__ import annotations

import pytest

from nlakit.serve import rate
from nlakit.serve.rate import RateLimit


def test_a_bucket_empties_and_fills_with_time() -> None:
    """As many as it holds at once, then one every share of a minute; another client has a bucket of its own."""
    now = [0.0]
    limit = RateLimit(6, lambda: now[0])
    assert [limit.wait("a") for _ in range(7)] == [0.0] * 6 + [10.0]
    assert limit.wait("b") == 0.0
    now[0] = 9.0
    assert limit.wait("a") == pytest.approx(1.0)
    now[0] = 10.01
    assert limit.wait("a") == 0.0
    assert limit.wait("a") == pytest.approx(9.99)
    now[0] = 10_000.0
    assert [limit.wait("a") for _ in range(7)].count(0.0) == 6


def test_clients_are_forgotten(monkeypatch) -> None:
    """What is kept is bounded, however many clients come."""
    monkeypatch.setattr(rate, "REMEMBERED", 3)
    limit = RateLimit(1, lambda: 0.0)
    assert [limit.wait(name) for name in "abcd"] == [0.0] * 4
    assert len(limit._buckets) == 3
    assert limit.wait("d") > 0
    assert limit.wait("a") == 0.0
