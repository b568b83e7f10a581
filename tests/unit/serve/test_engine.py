"""The engine: many clients, one thread, nothing lost and nothing mixed up."""

from __future__ import annotations

import asyncio
import threading
from itertools import pairwise

import pytest
import torch

from nlakit.errors import BusyError, InputError
from nlakit.explanations import Outcome
from nlakit.models.readings import ScoredExplanation
from nlakit.models.sampler import Sample, Wish
from nlakit.serve import engine
from nlakit.serve.engine import TURN, Engine
from nlakit.serve.limits import Limits
from nlakit.testing import tiny_pair


@pytest.fixture(scope="module")
def pair():
    return tiny_pair()


def vectors(n, seed=0):
    return torch.randn((n, 32), generator=torch.Generator().manual_seed(seed))


def test_clients_at_once_get_what_each_would_get_alone(pair):
    """Eight clients asking together are answered as eight asking one after the other."""

    async def ask(engine, client):
        wishes = [Wish(1.0, 12, 10 * client + row) for row in range(3)]
        return await asyncio.gather(*engine.describe(str(client), vectors(3, client), wishes))

    async def together(engine):
        return await asyncio.gather(*(ask(engine, client) for client in range(8)))

    async def in_turn(engine):
        return [await ask(engine, client) for client in range(8)]

    with Engine(pair) as running:
        assert [[item.text for item in found] for found in asyncio.run(together(running))] == [
            [item.text for item in found] for found in asyncio.run(in_turn(running))
        ]


def test_the_text_is_shown_as_it_grows(pair):
    """What is shown of a row is a beginning of what the row ends with, and comes more than once."""
    shown: dict[int, list[str]] = {}

    async def ask(engine):
        futures = engine.describe(
            "a",
            vectors(2),
            [Wish(1.0, 24, row) for row in range(2)],
            lambda row, text: shown.setdefault(row, []).append(text),
        )
        return await asyncio.gather(*futures)

    with Engine(pair) as running:
        found = asyncio.run(ask(running))
    for row, item in enumerate(found):
        assert len(shown[row]) >= 2
        for text in shown[row]:
            assert item.text.startswith(text.rstrip("�").strip())


def test_a_full_queue_refuses_at_once(pair):
    """More than may wait is refused with a sentence, and what waits is answered all the same."""

    async def ask(engine, gate):
        held = asyncio.create_task(engine.call("slow", gate.wait))
        await asyncio.sleep(0.05)
        futures = engine.describe("a", vectors(2), [Wish(0.0, 4, 0)] * 2)
        with pytest.raises(BusyError, match="2 explanations wait already"):
            engine.describe("b", vectors(1), [Wish(0.0, 4, 0)])
        gate.set()
        await held
        return await asyncio.gather(*futures)

    with Engine(pair, Limits(waiting=2)) as running:
        assert len(asyncio.run(ask(running, threading.Event()))) == 2


def test_a_client_who_leaves_frees_the_engine(pair, monkeypatch):
    """A cancelled request ends within a step, however many tokens it asked for, and the others are not disturbed."""
    left, written = threading.Event(), []
    real = engine.sample_rows

    def waiting(verbalizer, vectors_ND, wishes, *, watch):
        def held(ids, ended):
            if max(map(len, ids)) == 5:  # both are at work; now one of them leaves
                assert left.wait(20)
            return watch(ids, ended)

        samples = real(verbalizer, vectors_ND, wishes, watch=held)
        written.extend(len(sample.ids) for sample in samples)
        return samples

    monkeypatch.setattr(engine, "sample_rows", waiting)

    async def ask(running):
        begun = asyncio.Event()
        leaving = running.describe("a", vectors(1), [Wish(1.0, 60, 1)], lambda _row, _text: begun.set())
        staying = running.describe("b", vectors(1), [Wish(0.0, 8, 1)])
        await begun.wait()
        leaving[0].cancel()
        left.set()
        found = await asyncio.gather(*staying)
        with pytest.raises(asyncio.CancelledError):
            await leaving[0]
        return found

    with Engine(pair) as running:
        assert len(asyncio.run(ask(running))) == 1
    assert sorted(written)[-1] == 8


def test_a_text_too_long_for_the_reconstructor_harms_nobody(pair, monkeypatch):
    """It comes back without a score; whoever shares the batch has theirs."""
    short, long = Sample([1], "a red box", Outcome.OK), Sample([1], "a red box " * 200, Outcome.OK)
    monkeypatch.setattr(engine, "sample_rows", lambda *_given, **_options: [short, long])

    async def ask(running):
        return await asyncio.gather(*running.describe("a", vectors(2), [Wish(0.0, 4, 0)] * 2))

    with Engine(pair) as running:
        found = asyncio.run(ask(running))
    assert [item.score is None for item in found] == [False, True]


def test_a_vector_that_cannot_be_read_fails_alone(pair):
    """One client's broken vector is that client's error; whoever shares the batch has theirs."""

    async def ask(running):
        broken = vectors(2)
        broken[0] = float("nan")
        futures = running.describe("a", broken, [Wish(0.0, 4, 0)] * 2)
        return await asyncio.gather(*futures, return_exceptions=True)

    with Engine(pair) as running:
        first, second = asyncio.run(ask(running))
    assert isinstance(first, InputError)
    assert isinstance(second, ScoredExplanation)


def test_an_error_reaches_the_one_who_asked_and_nobody_else(pair):
    """A call that fails raises where it is awaited; the engine goes on."""

    async def ask(engine):
        with pytest.raises(ZeroDivisionError):
            await engine.call("a", lambda: 1 / 0)
        return await engine.call("a", lambda: 7)

    with Engine(pair) as running:
        assert asyncio.run(ask(running)) == 7


def test_a_stream_yields_all_its_parts_in_order_and_lets_others_in(pair):
    """A call that comes while a long stream is made has its turn after those parts that are being made."""
    made, asked = [], threading.Event()

    def parts():
        for number in range(5 * TURN + 3):
            made.append(number)
            yield number
            if number == 0:
                assert asked.wait(20)

    async def ask(engine):
        found, call = [], None
        async for part in engine.stream("a", parts()):
            found.append(part)
            if part == 0:
                call = asyncio.create_task(engine.call("b", lambda: len(made)))
                await asyncio.sleep(0)
                asked.set()
        return found, await call

    with Engine(pair) as running:
        found, at_call = asyncio.run(ask(running))
    assert found == list(range(5 * TURN + 3))
    assert at_call == TURN


def test_an_answer_has_as_much_time_as_the_explanations_beside_it(pair, monkeypatch):
    """Behind a batch that took a second, the target writes for a second, however many explanations wait."""
    clock, batches, made = Clock(), [], []
    monkeypatch.setattr(engine, "time", clock)

    def batch(_verbalizer, vectors_ND, _wishes, **_options):
        clock.now += 1
        batches.append(len(made))
        return [Sample([1], "a red box", Outcome.OK)] * len(vectors_ND)

    monkeypatch.setattr(engine, "sample_rows", batch)

    def parts():
        for number in range(20 * TURN):
            clock.now += 0.1
            made.append(number)
            yield number

    async def ask(running):
        gate = threading.Event()
        held = asyncio.create_task(running.call("c", gate.wait))
        await asyncio.sleep(0.05)
        answer = running.stream("a", parts())
        futures = running.describe("b", vectors(6), [Wish(0.0, 4, 0)] * 6)
        gate.set()
        await asyncio.gather(held, *futures)
        return [part async for part in answer]

    with Engine(pair, Limits(batch_rows=2)) as running:
        assert asyncio.run(ask(running)) == list(range(20 * TURN))
    assert len(batches) >= 3
    written = [after - before for before, after in pairwise(batches)]
    assert all(10 <= parts <= 10 + TURN for parts in written), written


class Clock:
    """Time that passes only when somebody says so."""

    now = 0.0

    def monotonic(self):
        return self.now


def test_a_stream_whose_reader_leaves_is_closed(pair):
    """The iterator is closed on the engine's thread, and its error, if it has one, reaches the reader."""
    closed = threading.Event()

    def endless():
        try:
            while True:
                yield 1
        finally:
            closed.set()

    def broken():
        yield 1
        raise KeyError("broken")

    async def ask(engine):
        reader = engine.stream("a", endless())
        assert await anext(reader) == 1
        await reader.aclose()
        assert await asyncio.to_thread(closed.wait, 10)
        with pytest.raises(KeyError, match="broken"):
            async for _ in engine.stream("a", broken()):
                pass

    with Engine(pair) as running:
        asyncio.run(ask(running))


def test_what_waits_when_the_engine_ends_is_cancelled(pair):
    """Nobody waits for ever: closing cancels what is in the queue, and later requests are refused."""

    async def ask():
        gate, engine = threading.Event(), Engine(pair)
        engine.__enter__()
        held = asyncio.create_task(engine.call("a", gate.wait))
        await asyncio.sleep(0.05)
        (waiting,) = engine.describe("a", vectors(1), [Wish(0.0, 4, 0)])
        ending = asyncio.create_task(asyncio.to_thread(engine.__exit__))
        with pytest.raises(asyncio.CancelledError):
            await waiting
        gate.set()
        await asyncio.gather(held, ending)
        with pytest.raises(BusyError, match="shutting down"):
            engine.describe("a", vectors(1), [Wish(0.0, 4, 0)])

    asyncio.run(ask())


def test_a_stream_that_nobody_began_to_read_is_ended_by_closing_it(pair):
    """Whoever leaves before the first part costs no more than the parts that are being made."""
    made, closed = [], threading.Event()

    def parts():
        for number in range(5 * TURN):
            made.append(number)
            yield number
            assert closed.wait(20)

    async def ask(engine):
        stream = engine.stream("a", parts())
        await stream.aclose()
        closed.set()
        await engine.call("b", lambda: None)
        await engine.call("b", lambda: None)

    with Engine(pair) as running:
        asyncio.run(ask(running))
    assert len(made) <= TURN
