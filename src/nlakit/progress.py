"""Progress on the terminal: a bar with the time left and one free text, or plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

LINE_EVERY_S = 10.0


class Task:
    """One piece of work with a known number of steps."""

    def __init__(self, label: str, total: int, bars: Bars | None, silent: bool) -> None:
        """Start at step 0; made by :meth:`Progress.task`."""
        self.label = label
        self.total = total
        self.completed = 0
        self._text = ""
        self._bars = bars
        self._silent = silent
        self._started = self._last_line = time.monotonic()
        self._resumed_at: int | None = None
        self._id: TaskID | None = bars.add_task(label, total=total, text="") if bars else None

    def advance(self, steps: int = 1, text: str = "") -> None:
        """Count steps as done and show ``text``, for example "FVE 0.61"; an empty text keeps the last one."""
        self.update(self.completed + steps, text)

    def update(self, completed: int, text: str = "") -> None:
        """Set the number of steps done, for example to where a resumed stage starts."""
        if self._resumed_at is None:
            self._resumed_at = completed
        self.completed = completed
        self._text = text or self._text
        if self._bars and self._id is not None:
            self._bars.update(self._id, completed=completed, text=self._text)
        elif not self._silent and (time.monotonic() - self._last_line >= LINE_EVERY_S or completed >= self.total):
            self._last_line = time.monotonic()
            said = f", {self._text}" if self._text else ""
            sys.stderr.write(f"{self.label}: {completed}/{self.total}{said} ({self._times()})\n")

    def _times(self) -> str:
        """Say how long the task has run and, from the steps of this attempt, how long it still needs."""
        elapsed, done = self._last_line - self._started, self.completed - (self._resumed_at or 0)
        if done <= 0 or self.completed >= self.total:
            return f"{elapsed:.0f} s"
        left = elapsed / done * (self.total - self.completed)
        return f"{elapsed:.0f} s, {left / 60:.0f} min left" if left >= 90 else f"{elapsed:.0f} s, {left:.0f} s left"


class Progress:
    """What stages report to; shows bars on a terminal and a line every ten seconds elsewhere.

    Everything goes to standard error; standard output is for results. ``silent`` shows nothing. ``yes``
    approves without a question what costs money or is published.
    """

    def __init__(self, *, silent: bool = False, yes: bool = False) -> None:
        """Look at standard error once to choose between bars and lines."""
        self.silent = silent
        self.yes = yes
        self._console = Console(stderr=True)
        self._bars: Bars | None = None

    @contextmanager
    def task(self, label: str, total: int) -> Iterator[Task]:
        """Show one piece of work for the length of the block."""
        if self.silent or not self._console.is_terminal:
            yield Task(label, total, None, self.silent)
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[text]}"),
        )
        with Bars(*columns, console=self._console) as bars:
            yield Task(label, total, bars, self.silent)

    def confirm(self, plan: str) -> bool:
        """Show what is about to be done that cannot be undone, paid for or published, and return whether it may start.

        People are asked where standard input and standard error are a terminal; elsewhere only ``yes`` approves.
        """
        if self.yes:
            self.say(plan)
            return True
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            return False
        sys.stderr.write(f"{plan}\nStart? [y/N] ")
        sys.stderr.flush()
        return sys.stdin.readline().strip().lower() in ("y", "yes")

    def say(self, line: str) -> None:
        """Print one line for people."""
        if not self.silent:
            self._console.print(line, highlight=False, markup=False)
