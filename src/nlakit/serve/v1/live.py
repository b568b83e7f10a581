"""Live readings: the target answers, and while it writes, chosen tokens of its answer are read.

The vector at a token is known when the token has been read, that is, one step after it was written; then its reading is
queued like everybody's, and comes as soon as it is done, between the words of the answer.

Axes: T tokens, D width of a vector.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Self

import torch
from torch import Tensor

from nlakit.errors import UserError
from nlakit.models.readings import Reading
from nlakit.serve.prompted import Prompted
from nlakit.serve.service import Service
from nlakit.serve.v1.readings import Supported, Wanted, read_vectors
from nlakit.serve.v1.wire import ReadWhere
from nlakit.serve.wire import TokenRow

LONGEST_WORD = 64
"""Characters before the end of an answer in which a watched word may begin."""
SENTENCE_ENDS = (".", "!", "?", "…", "。", "！", "？")


@dataclass(frozen=True, slots=True)
class Word:
    """A piece of the answer; empty where a character is not whole yet, or a stop text may have begun."""

    text: str
    token_id: int


@dataclass(frozen=True, slots=True)
class Ended:
    """The end of an answer."""

    reason: str
    """``stop``, or ``length`` where there was no room for more."""
    tokens: int


@dataclass(frozen=True, slots=True)
class Failed:
    """A reading that could not be had; the answer goes on."""

    position: int
    error: str


@dataclass
class Rule:
    """Says which tokens of an answer are read."""

    where: ReadWhere
    fired: int = 0
    _words: re.Pattern[str] | None = field(init=False)
    _seen: int = 0
    """Characters of the answer, white space at its end left out, that were looked at before."""

    def __post_init__(self) -> None:
        words = "|".join(re.escape(word.strip()) for word in self.where.watch if word.strip())
        self._words = re.compile(rf"(?<!\w)(?:{words})(?!\w)", re.IGNORECASE) if words else None

    def fires(self, index: int, text: str) -> bool:
        """Whether the token is read with which ``text``, the answer so far, ends; ``index`` counts its tokens from 0."""
        where, said = self.where, text.rstrip()
        seen, self._seen = self._seen, len(said)
        if self.fired >= where.most:
            return False
        wanted = where.every is not None and (index + 1) % where.every == 0
        if len(said) > seen:
            wanted |= where.sentence_ends and said.endswith(SENTENCE_ENDS)
            wanted |= self._words is not None and any(
                match.end() > seen for match in self._words.finditer(said, max(0, seen - LONGEST_WORD))
            )
        self.fired += wanted
        return wanted


@dataclass(frozen=True, slots=True)
class Answering:
    """How an answer is written."""

    max_new_tokens: int
    temperature: float
    seed: int
    stops: Sequence[str] = ()


Item = Word | Reading | Failed | Ended


class LiveAnswer:
    """The words of an answer and, between them, the readings of its tokens; the last item says how it ended.

    Readings for which the queue has no room are told of and left out. Closing it, begun or not, ends everything that is
    still being made.
    """

    def __init__(
        self, service: Service, client: str, prompt: Prompted, how: Answering, where: ReadWhere | None
    ) -> None:
        """Queue the answer; raises ``BusyError`` at once when there is no room for it."""
        self._service, self._client, self._prompt = service, client, prompt
        self._rule = None if where is None else Rule(where)
        self._steps = service.answer(
            client,
            prompt.ids,
            max_new_tokens=how.max_new_tokens,
            temperature=how.temperature,
            seed=how.seed,
            site=None if where is None else service.site,
        )
        self._grown = _Grown(service, prompt, how.stops)
        self._vectors: list[Tensor] = []
        self._made: asyncio.Queue[Item | BaseException] = asyncio.Queue()
        self._tasks = [asyncio.create_task(self._writing())]

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Item:
        item = await self._made.get()
        if isinstance(item, BaseException):
            raise item
        if isinstance(item, Ended):
            self._made.put_nowait(StopAsyncIteration())  # nothing comes after the end
        return item

    async def aclose(self) -> None:
        """Write and read no more of it."""
        for task in self._tasks:
            task.cancel()
        await self._steps.aclose()

    async def _writing(self) -> None:
        try:
            await self._write()
        except BaseException as error:  # noqa: BLE001 - whoever reads the answer has to hear of it
            self._made.put_nowait(error)

    async def _write(self) -> None:
        """Pass every word on, and have those tokens read that the rule names."""
        due: int | None = None
        reason = "length"
        grown = self._grown
        async for step in self._steps:
            if step.read_TD is not None:
                self._vectors.append(step.read_TD)
            if due is not None:  # now the vector of the token before is there
                self._tasks.append(asyncio.create_task(self._read(due)))
                due = None
            self._made.put_nowait(Word(grown.add(step.token_id), step.token_id))
            if self._rule is not None and self._rule.fires(len(grown.ids) - 1, grown.text):
                due = len(self._prompt) + len(grown.ids) - 1
            if grown.stopped or step.token_id in self._service.ends:
                reason = "stop"
                break
        await self._steps.aclose()
        if rest := grown.rest():
            self._made.put_nowait(Word(rest, grown.ids[-1]))
        await asyncio.gather(*self._tasks[1:])
        self._made.put_nowait(Ended(reason, len(grown.ids)))

    async def _read(self, position: int) -> None:
        """Read one token of the answer, and pass its reading on, or why there is none."""
        where = self._rule.where if self._rule is not None else ReadWhere()
        try:
            wanted = Wanted([position], where.samples, where.temperature, support=where.support)
            vectors_TD = torch.cat(self._vectors)[: position + 1]  # whatever has been written since
            prompt = self._grown.prompt(position)
            async with aclosing(
                await read_vectors(self._service, self._client, prompt, vectors_TD, wanted)
            ) as readings:
                async for item in readings:
                    if isinstance(item, Supported):
                        self._made.put_nowait(item.reading)
                    elif isinstance(item, Reading) and not where.support:
                        self._made.put_nowait(item)
        except UserError as error:
            self._made.put_nowait(Failed(position, str(error)))


class _Grown:
    """An answer so far, behind its prompt."""

    def __init__(self, service: Service, prompt: Prompted, stops: Sequence[str]) -> None:
        self.ids: list[int] = []
        self.text = ""
        self.stopped = False
        """Whether a stop text has come."""
        self._stops, self._shown = stops, 0
        self._service, self._prompt = service, prompt
        self._pieces: list[str] = []

    def add(self, token_id: int) -> str:
        """Take the next token; returns what can be shown now: nothing while a character is not whole, or a stop text begins."""
        self.ids.append(token_id)
        whole = self._service.decode(self.ids)
        piece = "" if whole.endswith("�") else whole[len(self.text) :]
        self.text += piece
        self._pieces.append(piece or self._service.decode([token_id], controls=True))
        found = [at for stop in self._stops if (at := self.text.find(stop)) >= 0]
        self.stopped = bool(found)
        begun = [
            length
            for stop in self._stops
            for length in range(1, min(len(stop), len(self.text)) + 1)
            if self.text.endswith(stop[:length])
        ]
        return self._show(min(found) if found else len(self.text) - max(begun, default=0))

    def rest(self) -> str:
        """Return what was held back, now that nothing more comes, and what is left of a character that never became whole."""
        if self.stopped:
            return ""
        self.text = self._service.decode(self.ids)
        return self._show(len(self.text))

    def _show(self, end: int) -> str:
        shown, self._shown = self.text[self._shown : end], max(self._shown, end)
        return shown

    def prompt(self, position: int) -> Prompted:
        """Return prompt and answer up to a position, as one that can be read."""
        rows = list(self._prompt.rows)
        for number, (token_id, piece) in enumerate(zip(self.ids, self._pieces, strict=True)):
            place = len(self._prompt) + number
            if place <= position:
                rows.append(
                    TokenRow(
                        token=piece,
                        token_id=token_id,
                        position=place,
                        fragment_index=0,
                        fragment_count=1,
                        role="assistant",
                        section="content",
                    )
                )
        return Prompted(self._prompt.text + self.text, [row.token_id for row in rows], rows)
