"""A stage stopped in the middle, without a process to kill."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from nlakit.progress import Progress, Task


class Cut(Progress):
    """Stops the loop after some steps, as a kill between two checkpoints would."""

    def __init__(self, after: int) -> None:
        super().__init__(silent=True)
        self._left = after

    @contextmanager
    def task(self, label: str, total: int) -> Iterator[Task]:
        with super().task(label, total) as task:
            advance = task.advance

            def counted(steps: int = 1, text: str = "") -> None:
                self._left -= 1
                if self._left < 0:
                    raise KeyboardInterrupt
                advance(steps, text)

            task.advance = counted  # type: ignore[method-assign]
            yield task
