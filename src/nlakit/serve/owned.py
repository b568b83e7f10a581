"""What is made for a client item by item, and what has to be let go when the client leaves."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Generic, Self, TypeVar

Item = TypeVar("Item")


class Owned(Generic[Item]):
    """Items with what has to be let go: closing it, begun or not, lets it go.

    A generator alone cannot promise that, since closing one that has not begun runs none of its code.
    """

    def __init__(self, items: AsyncGenerator[Item], let_go: Callable[[], Awaitable[None]]) -> None:
        self._items, self._let_go = items, let_go

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Item:
        return await anext(self._items)

    async def aclose(self) -> None:
        """Make no more of it; may be called again."""
        try:
            await self._items.aclose()
        finally:
            await self._let_go()
