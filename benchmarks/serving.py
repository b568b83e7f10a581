"""How a server holds up: readings a second for 1, 8 and 64 clients, and its memory while clients come, vanish and misbehave.

::

    python -m benchmarks.serving                              the table, in about two minutes
    python -m benchmarks.serving --soak 10 --write docs/load.md    and ten minutes of it, written to a page

Every request reads one token of a text of its own with a seed of its own, so that nothing comes from the cache, and every answer is
held against its request: the tokens have to spell the text that was sent. One client that asks for one reading after the other is
what serving one by one would do for any number of clients.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx2 as httpx

CLIENTS = (1, 8, 64)
BAR = 4.0
"""Times the throughput of one by one that 64 clients together are to get."""
SOAKING = 16
"""Clients of the soak; a quarter of them misbehave."""
NAMES = ("Mia", "Tom", "Ada", "Ben", "Zoe", "Leo", "Ivy", "Max")
THINGS = ("key", "coin", "ring", "map", "cup", "book", "ball", "lamp")
PLACES = ("box", "bag", "jar", "drawer", "basket", "pot")


@dataclass
class Load:
    """What a number of clients saw."""

    clients: int
    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    lost: int = 0
    """Requests without an answer, or with a refusal that they should not have got."""
    mixed_up: int = 0
    """Answers that were another request's."""

    @property
    def rate(self) -> float:
        """Readings a second."""
        return len(self.latencies) / self.seconds

    def quantile(self, share: float) -> float:
        """Seconds within which that share of the requests was answered."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


@dataclass
class Soak:
    """What became of the server's memory."""

    minutes: float
    load: Load
    mebibytes: list[float]
    """Resident memory, every few seconds."""
    vanished: int
    malformed: int


@contextmanager
def server(pair: str) -> Iterator[tuple[str, int]]:
    """Run ``nlakit serve`` as a process of its own; yields its address and process id."""
    command = [sys.executable, "-m", "nlakit", "serve", pair, "--port", "0", "--rate", "1000000", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            said = "".join(iter(process.stdout.readline, "}\n")) if process.stdout else ""
            if not said:
                raise SystemExit("the server did not start")
            yield json.loads(said + "}")["address"], process.pid
        finally:
            process.terminate()


def text_of(rng: random.Random) -> str:
    """Write a text that nobody else sends."""
    name, other = rng.sample(NAMES, 2)
    return (
        f"{name} put the {rng.choice(THINGS)} in the {rng.choice(PLACES)}. {other} felt sad. {name} had {rng.randrange(10**6)} "
        f"of them and gave {rng.randrange(10**6)} to {other}."
    )


async def ask(http: httpx.AsyncClient, rng: random.Random, load: Load) -> None:
    """Send one request and hold its answer against it."""
    text = text_of(rng)
    body = {"text": text, "positions": [-1], "seed": rng.randrange(2**40)}
    started = time.perf_counter()
    try:
        response = await http.post("/v1/readings", json=body)
        found = response.json()
        said = "".join(row["token"] for row in found["tokens"])
        load.mixed_up += text not in said or found["readings"][0]["position"] != len(found["tokens"]) - 1
    except (httpx.HTTPError, KeyError, ValueError):
        load.lost += 1
        return
    load.latencies.append(time.perf_counter() - started)


async def loaded(address: str, clients: int, seconds: float) -> Load:
    """Let clients ask for some time, each again as soon as it is answered."""
    load, end = Load(clients), time.perf_counter() + seconds

    async def client(number: int) -> None:
        rng = random.Random(f"{clients} {number}")
        async with httpx.AsyncClient(base_url=address, timeout=120) as http:
            while time.perf_counter() < end:
                await ask(http, rng, load)

    started = time.perf_counter()
    await asyncio.gather(*(client(number) for number in range(clients)))
    load.seconds = time.perf_counter() - started
    return load


async def soaked(address: str, process: int, minutes: float) -> Soak:
    """Let clients ask for minutes while others leave in the middle of streams, or send what is no request."""
    load, end = Load(SOAKING), time.perf_counter() + 60 * minutes
    found = Soak(minutes, load, [], 0, 0)

    async def client(number: int) -> None:
        rng = random.Random(f"soak {number}")
        async with httpx.AsyncClient(base_url=address, timeout=120) as http:
            while time.perf_counter() < end:
                if number % 4:
                    await ask(http, rng, load)
                elif number % 8:
                    await leave(http, rng)
                    found.vanished += 1
                else:
                    await misbehave(http, rng)
                    found.malformed += 1

    async def watch() -> None:
        while time.perf_counter() < end:
            found.mebibytes.append(resident(process))
            await asyncio.sleep(min(5.0, 6 * minutes))

    started = time.perf_counter()
    await asyncio.gather(watch(), *(client(number) for number in range(SOAKING)))
    load.seconds = time.perf_counter() - started
    return found


async def leave(http: httpx.AsyncClient, rng: random.Random) -> None:
    """Begin a stream of many readings, and go after its first lines."""
    body = {"text": text_of(rng), "stream": True, "support": True, "seed": rng.randrange(2**40)}
    with suppress(httpx.HTTPError):
        async with http.stream("POST", "/v1/readings", json=body) as response:
            async for _ in response.aiter_lines():
                if rng.random() < 0.1:
                    return


async def misbehave(http: httpx.AsyncClient, rng: random.Random) -> None:
    """Send something that has to be refused; raises SystemExit for a failure of the server's own."""
    content = rng.choice(
        [b"", b"{", b'{"text": 5}', b'{"text": "a", "positions": [99999]}', b"\xff" * 1000, b"[" * 5000]
    )
    with suppress(httpx.HTTPError):
        response = await http.post("/v1/readings", content=content, headers={"content-type": "application/json"})
        if response.status_code >= 500:
            raise SystemExit(f"{content[:40]!r} was answered with {response.status_code}")
    await asyncio.sleep(0.02)


def resident(process: int) -> float:
    """Return the resident memory of a process in MiB."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) / 1024


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and write the page if asked to; 1 when the bar is missed or an answer is lost or mixed up."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.serving", description=__doc__.split("\n")[0] if __doc__ else ""
    )
    parser.add_argument("--pair", default="terrarium", help="name or folder of the pair to serve")
    parser.add_argument("--seconds", type=float, default=30, help="how long each number of clients asks")
    parser.add_argument("--soak", type=float, default=0, metavar="MINUTES", help="watch the memory for so long")
    parser.add_argument("--write", type=Path, help="write the tables to this Markdown file")
    options = parser.parse_args(arguments)
    with server(options.pair) as (address, process):
        asyncio.run(loaded(address, 4, 3))  # threads and caches are made
        loads = [asyncio.run(loaded(address, clients, options.seconds)) for clients in CLIENTS]
        soak = asyncio.run(soaked(address, process, options.soak)) if options.soak else None
    page = _page(loads, soak, options.pair)
    print(page)
    if options.write:
        options.write.write_text(page, encoding="utf-8")
    every = [*loads, *([soak.load] if soak else [])]
    fine = all(load.lost == load.mixed_up == 0 for load in every) and loads[-1].rate >= BAR * loads[0].rate
    return 0 if fine else 1


def _page(loads: Sequence[Load], soak: Soak | None, pair: str) -> str:
    lines = [
        "# Load",
        "",
        f"Made by `python -m benchmarks.serving --soak 10 --write docs/load.md` with the pair `{pair}`, server and clients on",
        f"the same {os.cpu_count()} cores. Each request reads one token of a text that nobody sent before; each answer is held",
        "against its request.",
        "",
        "| clients | readings a second | times one by one | p50, s | p99, s | lost | mixed up |",
        "|---|---|---|---|---|---|---|",
    ]
    for load in loads:
        cells = [
            f"{load.rate:.1f}",
            f"{load.rate / loads[0].rate:.1f}",
            f"{load.quantile(0.5):.3f}",
            f"{load.quantile(0.99):.3f}",
        ]
        lines.append(f"| {load.clients} | {' | '.join(cells)} | {load.lost} | {load.mixed_up} |")
    if soak is not None:
        lines += ["", *_soak_lines(soak)]
    return "\n".join(lines) + "\n"


def _soak_lines(soak: Soak) -> list[str]:
    tenth = max(1, len(soak.mebibytes) // 10)
    early, late = (statistics.median(part) for part in (soak.mebibytes[tenth : 2 * tenth], soak.mebibytes[-tenth:]))
    load = soak.load
    return [
        f"{soak.minutes:g} minutes of {load.clients} clients, of whom a quarter leave in the middle of streams or send what is no",
        f"request: {len(load.latencies):,} readings, {load.lost} lost, {load.mixed_up} mixed up, {soak.vanished:,} streams left,",
        f"{soak.malformed:,} wrong requests, none answered with a failure. Resident memory of the server: {early:.0f} MiB in the",
        f"second tenth of the time, {late:.0f} MiB in the last.",
    ]


if __name__ == "__main__":
    sys.exit(main())
