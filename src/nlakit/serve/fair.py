"""A bounded queue that is fair to its clients: whoever asks for much waits behind whoever asks for little."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

from nlakit.errors import BusyError


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
            if self._length + len(items) > self.capacity:
                raise BusyError(
                    f"{self._length} explanations wait already and {len(items)} more were asked for; expected at most "
                    f"{self.capacity} together. Ask again in a moment, or for fewer positions."
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

    def close(self) -> list[Item]:
        """Refuse what comes from now on, wake whoever waits, and return what was waiting."""
        with self._changed:
            self._closed = True
            left = [item for waiting in self._clients.values() for item in waiting]
            self._clients.clear()
            self._length = 0
            self._changed.notify_all()
            return left
