"""The queue: fair, bounded, and without those who left."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import pytest

from nlakit.errors import BusyError
from nlakit.serve import fair
from nlakit.serve.fair import FairQueue


@dataclass
class Item:
    name: str
    abandoned: bool = False


def names(items):
    return [item.name for item in items]


def test_clients_have_their_turn_one_after_the_other():
    """Who asks for one item gets it with the first of who asked for many before."""
    queue = FairQueue[Item](100)
    queue.put("many", [Item(f"m{n}") for n in range(5)])
    queue.put("one", [Item("o")])
    queue.put("two", [Item("t0"), Item("t1")])

    assert names(queue.take(4)) == ["m0", "o", "t0", "m1"]
    assert names(queue.take(4)) == ["t1", "m2", "m3", "m4"]
    assert len(queue) == 0


def test_a_request_is_taken_whole_or_not_at_all():
    """What does not fit is refused at once, and what was there stays."""
    queue = FairQueue[Item](3)
    queue.put("a", [Item("1"), Item("2")])
    with pytest.raises(BusyError, match=r"2 explanations wait already, .* 2 more .* at most 3"):
        queue.put("b", [Item("3"), Item("4")])
    queue.put("b", [Item("3")])

    assert names(queue.take(10)) == ["1", "3", "2"]


def test_a_request_for_nothing_leaves_nothing():
    """A client whose every answer was known puts nothing in, and the next client has its turn."""
    queue = FairQueue[Item](3)
    queue.put("nothing", [])
    queue.put("one", [Item("o")])

    assert names(queue.take(4)) == ["o"]


def test_those_who_left_take_no_place():
    """An abandoned item is dropped and does not count among the taken."""
    queue = FairQueue[Item](10)
    queue.put("a", [Item("1"), Item("2", abandoned=True), Item("3")])

    assert names(queue.take(2)) == ["1", "3"]


def test_waiting_ends_with_an_item_with_time_or_with_closing():
    """Whoever waits wakes for a new item; after the time given there is none; closing wakes everybody."""
    queue = FairQueue[Item](10)
    assert queue.take(1, timeout=0.01) == []
    threading.Timer(0.05, queue.put, ["a", [Item("late")]]).start()
    assert names(queue.take(1)) == ["late"]
    queue.put("a", [Item("left")])
    assert names(queue.close()) == ["left"]
    assert queue.take(1) == []
    with pytest.raises(BusyError, match="shutting down"):
        queue.put("a", [Item("x")])


def test_no_client_can_take_all_places(monkeypatch):
    """One client gets its share and no more, and another finds room."""
    monkeypatch.setattr(fair, "SMALLEST_SHARE", 1)
    queue = FairQueue[Item](8)
    queue.put("a", [Item("1"), Item("2")])
    with pytest.raises(BusyError, match="2 of one client"):
        queue.put("a", [Item("3")])
    queue.put("b", [Item("4"), Item("5")])
    assert len(queue) == 4


def test_those_who_left_take_no_places():
    """What nobody waits for any more makes room for whoever comes."""
    queue = FairQueue[Item](2)
    gone = [Item("1"), Item("2")]
    queue.put("a", gone)
    for item in gone:
        item.abandoned = True
    queue.put("b", [Item("3"), Item("4")])
    assert [item.name for item in queue.take(9)] == ["3", "4"]
