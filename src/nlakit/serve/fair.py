"""A bounded queue that is fair to its clients: whoever asks for much waits behind whoever asks for little."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

from nlakit.errors import BusyError

SMALLEST_SHARE = 512
"""Items of one client that may wait, however few there may be of all: those of the largest request."""


def share_of(most: int, smallest: int) -> int:
    """Return how many of ``most`` places one client may take: a quarter, so that nobody locks out the others."""
    return min(most, max(most // 4, smallest))


class Waiting(Protocol):
    """Something that a client waits for, or no longer does."""

    @property
    def abandoned(self) -> bool:
        """Whether the client has left."""


Item = TypeVar("Item", bound=Waiting)


class FairQueue(Generic[Item]):
    """Takes one item of each client in turn; safe to use from several threads."""

    def __init__(self, capacity: int) -> None:
        """Make it empty; ``capacity`` counts the items of all clients together."""
        self.capacity = capacity
        self._clients: dict[str, deque[Item]] = {}
        self._length = 0
        self._closed = False
        self._changed = threading.Condition()

    def __len__(self) -> int:
        """How many items wait, those included that nobody waits for any more."""
        return self._length

    @property
    def closed(self) -> bool:
        """Whether it takes nothing any more."""
        return self._closed

    def put(self, client: str, items: Sequence[Item]) -> None:
        """Add all items of a request or none; raises ``BusyError`` when there is no room for them."""
        if not items:
            return
        with self._changed:
            if self._closed:
                raise BusyError("the server is shutting down; ask again when it is back.")
            own, share = len(self._clients.get(client, ())), share_of(self.capacity, SMALLEST_SHARE)
            if self._length + len(items) > self.capacity or own + len(items) > share:
                self._forget_abandoned()
                own = len(self._clients.get(client, ()))
            if self._length + len(items) > self.capacity or own + len(items) > share:
                raise BusyError(
                    f"{self._length} explanations wait already, {own} of them for you, and {len(items)} more were asked for; "
                    f"expected at most {self.capacity} together and {share} of one client. Ask again in a moment, or for fewer "
                    "positions."
                )
            self._clients.setdefault(client, deque()).extend(items)
            self._length += len(items)
            self._changed.notify()

    def take(self, most: int, timeout: float | None = None) -> list[Item]:
        """Wait for items and return up to ``most``, one of each client in turn; none when time is up or it was closed.

        Items that nobody waits for are dropped on the way.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._length > 0 or self._closed, timeout)
            taken: list[Item] = []
            while self._clients and len(taken) < most:
                client = next(iter(self._clients))
                waiting = self._clients.pop(client)
                item = waiting.popleft()
                self._length -= 1
                if waiting:
                    self._clients[client] = waiting  # behind all others
                if not item.abandoned:
                    taken.append(item)
            return taken

    def _forget_abandoned(self) -> None:
        """Drop what nobody waits for any more."""
        kept = {client: deque(item for item in items if not item.abandoned) for client, items in self._clients.items()}
        self._clients = {client: items for client, items in kept.items() if items}
        self._length = sum(map(len, self._clients.values()))

    def close(self) -> list[Item]:
        """Refuse what comes from now on, wake whoever waits, and return what was waiting."""
        with self._changed:
            self._closed = True
            left = [item for waiting in self._clients.values() for item in waiting]
            self._clients.clear()
            self._length = 0
            self._changed.notify_all()
            return left
