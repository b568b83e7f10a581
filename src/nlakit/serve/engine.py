"""The engine: one thread that owns the models, and one fair queue in front of it.

Requests of all clients are decoded together. The event loop never runs a model: it puts work into the queue and awaits a
future. Explanations of a batch are written token by token, so that a client can see the text grow, and one who leaves frees
its rows within a step. Between two batches the engine does what is not an explanation (reading vectors, scoring texts), and
moves each answer of the target that is being written on by some tokens, for as long as the explanations before took.

Axes: N vectors or texts, D width of a vector.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any, Generic, Self, TypeVar

import torch
from torch import Tensor

from nlakit.errors import BusyError
from nlakit.models.pair import Pair
from nlakit.models.readings import ScoredExplanation
from nlakit.models.sampler import Watch, Wish, sample_rows
from nlakit.serve.fair import SMALLEST_SHARE, FairQueue, share_of
from nlakit.serve.limits import Limits

SHOW_EVERY = 4
"""Tokens between two looks at a text that is being written; each look reads all of it again."""
SMALLEST_STREAMS = 4
"""Answers that one client may have written at a time, however few there may be of all."""
TURN = 8
"""Parts that a stream is moved on by before others have their turn."""

Result = TypeVar("Result")
Part = TypeVar("Part")


@dataclass(eq=False)
class Work(Generic[Result]):
    """One item in the queue, with what somebody waits for."""

    future: Future[Result] = field(default_factory=Future, init=False)

    @property
    def abandoned(self) -> bool:
        """Whether nobody waits for it any more."""
        return self.future.cancelled()

    def settle(self, result: Result) -> None:
        """Hand the result over, unless whoever wanted it has just left."""
        try:
            self.future.set_result(result)
        except InvalidStateError:
            return

    def fail(self, error: BaseException) -> None:
        """Say that there will be no result."""
        try:
            self.future.set_exception(error)
        except InvalidStateError:
            return


@dataclass(eq=False)
class Describe(Work[ScoredExplanation]):
    """One vector to be put into words, and scored."""

    vector_D: Tensor
    wish: Wish
    on_text: Callable[[str], object] | None = None
    """Is given the text so far, now and then, on the engine's thread."""


@dataclass(eq=False)
class Call(Work[Any]):
    """Anything else that needs a model and is done in one go."""

    function: Callable[[], Any]


@dataclass(eq=False)
class Stream(Work[None]):
    """Something that is made part by part, such as an answer of the target, and takes turns with all other work."""

    parts: Iterator[Any]
    on_part: Callable[[Any], object]
    """Is given each part on the engine's thread."""


class Parts(Generic[Part]):
    """What is made of a stream, part by part; closing it, begun or not, ends the making."""

    def __init__(self, future: Future[None], made: asyncio.Queue[tuple[Part] | None]) -> None:
        self._future, self._made = future, made

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Part:
        found = await self._made.get()
        if found is None:
            self._made.put_nowait(None)  # whoever asks once more is told the same
            self._future.result()
            raise StopAsyncIteration
        return found[0]

    async def aclose(self) -> None:
        """Make no more of it."""
        self._future.cancel()


def _on_loop(loop: asyncio.AbstractEventLoop, on_text: Callable[[int, str], None], row: int, text: str) -> None:
    """Show the text of a row where the client is waiting."""
    loop.call_soon_threadsafe(on_text, row, text)


class Engine:
    """Runs a pair for many clients at once; a context manager that starts and ends its thread."""

    def __init__(self, pair: Pair, limits: Limits | None = None) -> None:
        """Take a pair, whose models nobody else may run while the engine is started."""
        self.pair = pair
        self.limits = limits or Limits()
        self._queue: FairQueue[Work[Any]] = FairQueue(self.limits.waiting)
        self._streams: list[Stream] = []
        self._open: dict[Stream, str] = {}
        """Streams that somebody still reads, with their clients; changed on the event loop and on the engine's thread."""
        self._thread = threading.Thread(target=self._run, name="nlakit-engine", daemon=True)

    def __enter__(self) -> Self:
        """Start the thread."""
        self._thread.start()
        return self

    def __exit__(self, *_raised: object) -> None:
        """Refuse new work, give up what waits, and end the thread after the batch that it is at."""
        for work in self._queue.close():
            work.future.cancel()
        self._thread.join()

    @property
    def waiting(self) -> int:
        """Items in the queue."""
        return len(self._queue)

    @property
    def share(self) -> int:
        """Items of one client that may wait."""
        return share_of(self.limits.waiting, SMALLEST_SHARE)

    @property
    def closed(self) -> bool:
        """Whether it takes no work any more."""
        return self._queue.closed

    def describe(
        self,
        client: str,
        vectors_ND: Tensor,
        wishes: Sequence[Wish],
        on_text: Callable[[int, str], None] | None = None,
    ) -> list[asyncio.Future[ScoredExplanation]]:
        """Queue vectors to be put into words and scored; returns a future for each, on the running event loop.

        ``on_text`` is given (row, text so far) on the event loop. A future that is cancelled frees its row.
        Raises ``BusyError`` at once when the queue has no room for all of them.
        """
        loop = asyncio.get_running_loop()
        items = [
            Describe(vector_D, wish, on_text and partial(_on_loop, loop, on_text, row))
            for row, (vector_D, wish) in enumerate(zip(vectors_ND, wishes, strict=True))
        ]
        self._queue.put(client, items)
        return [asyncio.wrap_future(item.future) for item in items]

    async def call(self, client: str, function: Callable[[], Result]) -> Result:
        """Run a function on the engine's thread, in turn with everything else."""
        item = Call(function)
        self._queue.put(client, [item])
        found: Result = await asyncio.wrap_future(item.future)
        return found

    def stream(self, client: str, parts: Iterator[Part]) -> Parts[Part]:
        """Queue an iterator to run on the engine's thread, and return its parts; it is closed when the reader leaves.

        Raises ``BusyError`` at once when the queue has no room, and when too many others are being read.
        """
        own, all_most = sum(by == client for by in list(self._open.values())), self.limits.streams
        if len(self._open) >= all_most or own >= share_of(all_most, SMALLEST_STREAMS):
            raise BusyError(
                f"{len(self._open)} answers are being written already, {own} of them for you; expected at most {all_most} at a "
                f"time, {share_of(all_most, SMALLEST_STREAMS)} for one client. Ask again in a moment."
            )
        loop, made = asyncio.get_running_loop(), asyncio.Queue[tuple[Part] | None]()
        item = Stream(parts, lambda part: loop.call_soon_threadsafe(made.put_nowait, (part,)))
        # The end comes through the same door as the parts, so that none is overtaken.
        item.future.add_done_callback(lambda _: loop.call_soon_threadsafe(made.put_nowait, None))
        self._queue.put(client, [item])
        self._open[item] = client
        item.future.add_done_callback(lambda _: self._open.pop(item, None))
        return Parts(item.future, made)

    def _run(self) -> None:
        """Take work until the queue is closed."""
        while not (self._queue.closed and not len(self._queue)):
            items = self._queue.take(self.limits.batch_rows, timeout=0.0 if self._streams else None)
            for item in items:
                if isinstance(item, Call):
                    self._answer(item)
            self._streams += [item for item in items if isinstance(item, Stream)]
            began = time.monotonic()
            self._write([item for item in items if isinstance(item, Describe)])
            self._move_all(time.monotonic() - began)
        for stream in self._streams:
            stream.future.cancel()

    def _answer(self, call: Call) -> None:
        try:
            call.settle(call.function())
        except BaseException as error:  # noqa: BLE001 - whoever waits has to hear of it, and the engine goes on
            call.fail(error)

    def _write(self, items: Sequence[Describe]) -> None:
        """Decode a batch, score what came out, and hand every explanation over."""
        if not items:
            return
        try:
            vectors_ND = torch.stack([item.vector_D for item in items])
            wishes = [item.wish for item in items]
            samples = sample_rows(self.pair.verbalizer, vectors_ND, wishes, watch=self._watch(items))
            scored = self.pair.scored([sample.explanation for sample in samples], vectors_ND)
        except BaseException as error:  # noqa: BLE001 - as above
            if len(items) == 1:
                items[0].fail(error)
            else:  # one that cannot be done must not take those of other clients with it
                for item in items:
                    self._write([item])
            return
        for item, explanation in zip(items, scored, strict=True):
            item.settle(explanation)

    def _watch(self, items: Sequence[Describe]) -> Watch:
        """Show texts as they grow, and give up rows whose clients have left."""
        steps = 0

        def watch(ids: list[list[int]], ended: list[bool]) -> list[int]:
            nonlocal steps
            steps += 1
            shown = [
                row
                for row, item in enumerate(items)
                if item.on_text and ids[row] and not ended[row] and not item.abandoned
            ]
            if steps % SHOW_EVERY == 0 and shown:
                texts = self.pair.verbalizer.parse_batch([ids[row] for row in shown], [False] * len(shown))
                for row, explanation in zip(shown, texts, strict=True):
                    if on_text := items[row].on_text:
                        on_text(explanation.text)
            return [row for row, item in enumerate(items) if item.abandoned]

        return watch

    def _move_all(self, seconds: float) -> None:
        """Move every stream by a turn, and again for as long as explanations have just had the models to themselves."""
        ends = time.monotonic() + seconds
        while True:
            self._streams = [stream for stream in self._streams if self._move(stream)]
            if not self._streams or time.monotonic() >= ends:
                return

    def _move(self, stream: Stream) -> bool:
        """Make the next parts of a stream; return whether there may be more."""
        if stream.abandoned:
            getattr(stream.parts, "close", lambda: None)()
            return False
        try:
            made = 0
            for part in islice(stream.parts, TURN):
                made += 1
                stream.on_part(part)
        except BaseException as error:  # noqa: BLE001 - as above
            stream.fail(error)
            return False
        if made < TURN:
            stream.settle(None)
        return made == TURN
