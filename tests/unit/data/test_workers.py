from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from nlakit.data.workers import in_order
from nlakit.errors import InputError, InternalError, RunError


def double(folder: Path) -> Callable[[int], tuple[int, int]]:
    """Prepare what answers (twice the number, own process); negative numbers are trouble of several kinds."""

    def work(number: int) -> tuple[int, int]:
        if number == -1:
            raise InputError("the number is -1; give another one.")
        if number == -2:
            raise KeyError("a bug")
        if number == -3:
            os.kill(os.getpid(), signal.SIGKILL)
        (folder / str(number)).touch()
        time.sleep(0.3 if number == 0 else 0)
        return 2 * number, os.getpid()

    return work


def numbers(*found: int | None) -> Iterator[tuple[str, int | None]]:
    return ((f"item {index}", number) for index, number in enumerate(found))


def test_results_come_in_order(tmp_path: Path) -> None:
    """Results have the order of the items although the first takes longest; items that are None come back as they are."""
    found = list(in_order(partial(double, tmp_path), numbers(0, None, 1, 2, None, 3), 2))

    assert [f"item {index}" for index in range(6)] == [key for key, _ in found]
    assert [0, None, 2, 4, None, 6] == [result and result[0] for _, result in found]
    processes = {result[1] for _, result in found if result}
    assert os.getpid() not in processes
    assert len(processes) <= 2


@pytest.mark.parametrize(
    ("number", "kind", "message"),
    [
        (-1, InputError, "the number is -1; give another one."),
        (-2, InternalError, "KeyError: 'a bug'"),
        (-3, RunError, "ended without an answer .exit code -9.*give the same command again"),
    ],
)
def test_an_error_waits_for_its_turn(tmp_path: Path, number: int, kind: type[Exception], message: str) -> None:
    """Results before an error are handed over, then it comes with its own class and words, also when a process was killed."""
    found = in_order(partial(double, tmp_path), numbers(0, number, 2), 2)

    assert ("item 0", 0) == (lambda key, result: (key, result[0] if result else None))(*next(found))
    with pytest.raises(kind, match=message):
        list(found)


def test_an_error_of_the_items_waits_too(tmp_path: Path) -> None:
    """When the items themselves end in an error, those before it are still answered."""

    def broken() -> Iterator[tuple[str, int]]:
        yield "a", 0
        yield "b", 1
        raise InputError("line 3 is bad.")

    found = in_order(partial(double, tmp_path), broken(), 2)

    assert ["a", "b"] == [next(found)[0], next(found)[0]]
    with pytest.raises(InputError, match=r"line 3 is bad\."):
        next(found)


def test_not_everything_is_taken_at_once(tmp_path: Path) -> None:
    """At most twice as many items as processes are taken ahead of the result that is waited for."""
    taken: list[int] = []

    def counted() -> Iterator[tuple[int, int]]:
        for number in range(20):
            taken.append(number)
            yield number, number

    found = in_order(partial(double, tmp_path), counted(), 1)
    next(found)

    assert len(taken) <= 3
    found.close()  # type: ignore[attr-defined]
