"""Work on one machine in several processes, with the results in the order of the items.

Each process prepares itself once (loads a model) and then answers one item after the other. Nobody but the
caller writes to the disk, so that a process may be killed at any moment: when the caller dies the others end
by themselves, and when one of them dies the caller is told.
"""

from __future__ import annotations

import multiprocessing
import signal
import traceback
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnContext
from typing import Any, TypeVar

from nlakit.errors import InternalError, RunError, UserError

K = TypeVar("K")
I = TypeVar("I")  # noqa: E741 - items
R = TypeVar("R")

Prepare = Callable[[], Callable[[I], R]]


def in_order(
    prepare: Prepare[I, R], items: Iterable[tuple[K, I | None]], processes: int
) -> Iterator[tuple[K, R | None]]:
    """Yield ``(key, result)`` for each ``(key, item)``, in their order; an item None is handed back at once.

    ``prepare`` is called once in each process and returns the function that is given the items; it, the items
    and the results must survive pickling. At most twice as many items as processes are taken ahead. An error
    is raised when its turn has come: a :class:`~nlakit.errors.UserError` as it was, anything else as
    :class:`~nlakit.errors.InternalError` with its traceback, and :class:`~nlakit.errors.RunError` for a
    process that died.
    """
    # Not fork: a forked process inherits the locks of threads that it does not have.
    context = multiprocessing.get_context("spawn")
    workers = [_Worker(context, prepare) for _ in range(processes)]
    idle = list(workers)
    busy: dict[Any, tuple[int, _Worker]] = {}
    remaining = iter(items)
    keys: dict[int, K] = {}
    done: dict[int, Any] = {}
    given, taken, more = 0, 0, True
    try:
        while True:
            while more and idle and given - taken < 2 * processes:
                try:
                    found = next(remaining, None)
                except UserError as error:  # what came before it is still to be handed over
                    found, done[given] = None, error
                if found is None:
                    more = False
                    break
                keys[given], item = found
                if item is None:
                    done[given] = None
                else:
                    worker = idle.pop(0)
                    worker.give(item)
                    busy[worker.connection] = (given, worker)
                given += 1
            if taken in done:
                result = done.pop(taken)
                if isinstance(result, Exception):
                    raise result
                yield keys.pop(taken), result
                taken += 1
                continue
            if not busy:
                return
            for connection in wait(list(busy)):
                number, worker = busy.pop(connection)
                done[number] = worker.take()
                if not isinstance(done[number], Exception):
                    idle.append(worker)
    finally:
        for worker in workers:
            worker.stop()


class _Worker:
    """One process, as its caller sees it."""

    def __init__(self, context: SpawnContext, prepare: Prepare[Any, Any]) -> None:
        self.connection, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(other, prepare), daemon=True)
        self._process.start()
        other.close()  # so that the end of the process is the end of the connection

    def give(self, item: Any) -> None:
        """Send an item; that the process is dead comes out when its answer is taken."""
        try:
            self.connection.send(item)
        except (BrokenPipeError, ConnectionResetError):
            return

    def take(self) -> Any:
        """Return the answer to the item, or the error that came instead."""
        try:
            return self.connection.recv()
        except (EOFError, ConnectionResetError):
            self._process.join()
            return RunError(
                f"a worker process ended without an answer (exit code {self._process.exitcode}; -9 is a kill, often for "
                "want of memory). What was complete is kept: give the same command again, with fewer extract.workers "
                "if memory is short. A Python script must start its work under: if __name__ == '__main__'."
            )

    def stop(self) -> None:
        """End the process, whatever it is doing."""
        self.connection.close()
        self._process.kill()
        self._process.join()
        self._process.close()


def _serve(connection: Connection, prepare: Prepare[Any, Any]) -> None:
    """Answer items until the caller is gone; the body of a worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the caller is interrupted too, and ends its workers
    work: Callable[[Any], Any] | None = None
    while True:
        try:
            item = connection.recv()
        except EOFError:
            return
        answer: Any
        try:
            work = work or prepare()
            answer = work(item)
        except UserError as error:
            answer = error
        except Exception:  # noqa: BLE001 - raised by the caller, who cannot be sent every exception there is
            answer = InternalError(f"a worker process failed:\n{traceback.format_exc()}")
        try:
            connection.send(answer)
        except (BrokenPipeError, ConnectionResetError):
            return
