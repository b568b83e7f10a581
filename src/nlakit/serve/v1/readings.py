"""Readings of a prompt on a server: what ``Pair.read`` does, in turn with all other work, and kept by content.

Axes: T tokens of a prompt, N positions read, D width of a vector.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import TypeVar

from torch import Tensor

from nlakit.claims.reading import Around, supported, unread_neighbours
from nlakit.config import derive_seed
from nlakit.errors import BusyError
from nlakit.explanations import Explanation
from nlakit.models.readings import NEIGHBOURS, SUPPORT_SAMPLES, Reading, ScoredExplanation, flags_for
from nlakit.models.sampler import Wish
from nlakit.serve.owned import Owned
from nlakit.serve.prompted import Prompted
from nlakit.serve.service import Partial, Service, require_at_most

Result = TypeVar("Result")

SUPPORTED_TOGETHER = 16
"""Readings whose surroundings are sampled together at most; answers come as they are done."""

SURROUNDINGS = SUPPORT_SAMPLES + 2 * NEIGHBOURS
"""Explanations that the support of one reading takes at most."""

AGAIN_SECONDS = 0.05
"""Between two tries to put the surroundings of a reading into a full queue."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """How tokens are to be read."""

    positions: Sequence[int]
    samples: int = 1
    temperature: float = 1.0
    max_new_tokens: int | None = None
    """``None`` for as many as the pair was trained with."""
    seed: int = 0
    support: bool = False


@dataclass(frozen=True, slots=True)
class Norms:
    """How long the vectors of all tokens are, those that are not read included."""

    norms: list[float]


@dataclass(frozen=True, slots=True)
class Growing:
    """The text of one sample so far."""

    position: int
    sample: int
    text: str


@dataclass(frozen=True, slots=True)
class Supported:
    """A reading that was yielded before, now with its claims."""

    reading: Reading


Item = Norms | Growing | Reading | Supported


async def read(
    service: Service, client: str, prompt: Prompted, wanted: Wanted, *, partial: bool = False
) -> Owned[Item]:
    """Queue the readings of a prompt, and return what yields the norms of its vectors and then each reading as it is done.

    With ``partial`` it yields texts as they grow, too, and with ``support`` each reading once more with its claims. Raises
    ``InputError`` for more readings than the server takes, ``CardError`` where support needs statistics that the card does
    not have, and ``BusyError`` when there is no room in the queue.
    """
    if wanted.support:
        service.pair.card.require_stats()
    explained = len(wanted.positions) * wanted.samples
    require_at_most(explained, service.limits.max_positions_per_request, "explanations", "max_positions_per_request")
    vectors_TD = await service.vectors(client, prompt.ids)
    return await read_vectors(service, client, prompt, vectors_TD, wanted, partial=partial)


async def read_vectors(
    service: Service, client: str, prompt: Prompted, vectors_TD: Tensor, wanted: Wanted, *, partial: bool = False
) -> Owned[Item]:
    """As :func:`read`, with vectors that are known already."""
    rows = [(position, sample) for position in wanted.positions for sample in range(wanted.samples)]
    wishes = [_wish(service, wanted, wanted.temperature, "sample", sample) for _, sample in rows]
    written = await service.write(client, vectors_TD[[position for position, _ in rows]], wishes, partial=partial)

    async def frames() -> AsyncGenerator[Item]:
        made: dict[int, dict[int, ScoredExplanation]] = {}
        readings: list[Reading] = []
        yield Norms(vectors_TD.norm(dim=-1).tolist())
        async for item in written:
            position, sample = rows[item.row]
            if isinstance(item, Partial):
                yield Growing(position, sample, item.text)
                continue
            samples = made.setdefault(position, {})
            samples[sample] = item.explanation
            if len(samples) == wanted.samples:
                in_order = [samples[number] for number in range(wanted.samples)]
                readings.append(_reading(service, prompt, vectors_TD, position, in_order))
                yield readings[-1]
        if wanted.support:
            # What is sampled together does not depend on who was first.
            readings.sort(key=lambda reading: reading.position)
            together = max(1, min(SUPPORTED_TOGETHER, service.engine.share // SURROUNDINGS))
            for start in range(0, len(readings), together):
                some = readings[start : start + together]
                for reading in await _with_support(service, client, prompt, vectors_TD, some, readings, wanted):
                    yield Supported(reading)

    return Owned(frames(), written.aclose)


async def _with_support(
    service: Service,
    client: str,
    prompt: Prompted,
    vectors_TD: Tensor,
    some: Sequence[Reading],
    known: Sequence[Reading],
    wanted: Wanted,
) -> list[Reading]:
    """Sample around some readings and return them with their claims; ``known`` are all that were read of the prompt."""
    special = set(service.target.tokenizer.all_special_ids)
    near = {reading.position: reading.explanations[0].explanation for reading in known}
    missing = [place for place in unread_neighbours(some, prompt.ids, special) if place not in near]
    positions = [reading.position for reading in some]
    places = [*(position for position in positions for _ in range(SUPPORT_SAMPLES)), *missing]
    around = [_wish(service, wanted, 1.0, "support", sample) for sample in range(SUPPORT_SAMPLES)]
    wishes = [*around * len(positions), *[_wish(service, wanted, 1.0, "neighbour", 0)] * len(missing)]
    found: dict[int, Explanation] = {}
    written = await _when_there_is_room(service, lambda: service.write(client, vectors_TD[places], wishes))
    async with aclosing(written) as items:
        async for item in items:
            if not isinstance(item, Partial):
                found[item.row] = item.explanation.explanation
    samples_N = [
        [found[row * SUPPORT_SAMPLES + sample] for sample in range(SUPPORT_SAMPLES)] for row in range(len(positions))
    ]
    first = len(positions) * SUPPORT_SAMPLES
    near |= {place: found[first + number] for number, place in enumerate(missing)}
    around_them = Around(samples_N, near)
    return await _when_there_is_room(
        service,
        lambda: service.engine.call(
            client,
            lambda: supported(service.pair, some, prompt.ids, special, vectors_TD[positions], around_them, wanted.seed),
        ),
    )


async def _when_there_is_room(service: Service, ask: Callable[[], Awaitable[Result]]) -> Result:
    """Ask until the queue has room: readings of the same request are handed out already, so that a refusal comes too late."""
    while True:
        try:
            return await ask()
        except BusyError:
            if service.engine.closed:
                raise
            await asyncio.sleep(AGAIN_SECONDS)


def _wish(service: Service, wanted: Wanted, temperature: float, what: str, sample: int) -> Wish:
    verbalizer = service.pair.verbalizer
    most = min(wanted.max_new_tokens or verbalizer.max_new_tokens, service.limits.max_new_tokens, verbalizer.room)
    return Wish(temperature, most, derive_seed(wanted.seed, what, sample))


def _reading(
    service: Service, prompt: Prompted, vectors_TD: Tensor, position: int, explanations: list[ScoredExplanation]
) -> Reading:
    norms_T = vectors_TD.norm(dim=-1)
    special = set(service.target.tokenizer.all_special_ids)
    row = prompt.rows[position]
    return Reading(
        position=position,
        token_id=row.token_id,
        token=row.token,
        norm=float(norms_T[position]),
        explanations=explanations,
        flags=flags_for(prompt.ids, norms_T, position, special, service.pair.card.min_position),
    )
