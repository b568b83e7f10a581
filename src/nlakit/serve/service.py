"""What a server can be asked: reading prompts, putting vectors into words, scoring texts, letting the target go on.

Every route is a few lines around a method of :class:`Service`. Nothing here knows HTTP.

Axes: N vectors or texts, T tokens, D width of a vector.
"""

from __future__ import annotations

import asyncio
import copy
import functools
import threading
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

from nlakit.errors import InputError, UnavailableError
from nlakit.models.pair import Pair
from nlakit.models.readings import Score, ScoredExplanation
from nlakit.models.sampler import Wish
from nlakit.models.sites import Site
from nlakit.models.target import Target
from nlakit.serve.answers import Step, answer, answer_ends
from nlakit.serve.cache import ReadingCache, content_key
from nlakit.serve.engine import Engine, Parts
from nlakit.serve.limits import Limits
from nlakit.serve.owned import Owned
from nlakit.serve.prompted import Prompted, prompted
from nlakit.serve.v1.examples import Examples
from nlakit.serve.wire import Input

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Partial:
    """The text of one row so far."""

    row: int
    text: str


@dataclass(frozen=True, slots=True)
class Written:
    """The explanation of one row."""

    row: int
    explanation: ScoredExplanation


class Service:
    """A pair behind its engine and its cache."""

    def __init__(self, engine: Engine, cache: ReadingCache, fingerprint: str) -> None:
        """``fingerprint`` names the pair's weights: explanations are kept under it."""
        self.engine = engine
        self.cache = cache
        self.fingerprint = fingerprint
        self.examples = Examples(engine.pair.card)
        self.ends = set() if engine.pair.target is None else answer_ends(engine.pair.target)
        """Tokens with which the target ends an answer."""
        self._tokenising = threading.Lock()  # tokenizers are not made for two threads

    @property
    def pair(self) -> Pair:
        """The pair that is served."""
        return self.engine.pair

    @property
    def limits(self) -> Limits:
        """What is taken at most."""
        return self.engine.limits

    @property
    def target(self) -> Target:
        """The pair's target; raises ``UnavailableError`` where it was not loaded."""
        if self.pair.target is None:
            raise UnavailableError("this server was started without the target, so it reads vectors and no texts.")
        return self.pair.target

    def decode(self, ids: Sequence[int], *, controls: bool = False) -> str:
        """Return tokens of the target as text, with its control tokens or without; for the event loop alone."""
        return str(self._decoder.decode(list(ids), skip_special_tokens=not controls))

    @functools.cached_property
    def _decoder(self) -> Any:
        """A tokenizer of its own: the target's is at work in other threads."""
        return copy.deepcopy(self.target.tokenizer)

    @property
    def site(self) -> Site:
        """Where the target is read."""
        return Site.parse(self.pair.card.site)

    async def prompt(self, given: Input) -> Prompted:
        """Tokenise a request's input; raises ``InputError`` where it is too long or cannot be read."""
        said = [given.text or ""] if given.messages is None else [message.content for message in given.messages]
        require_at_most(sum(map(len, said)), self.limits.max_input_chars, "characters of input", "max_input_chars")
        require_at_most(len(said), self.limits.max_messages, "messages", "max_messages")
        target = self.target
        return await self.tokenising(lambda: prompted(target, given))

    async def tokenising(self, function: Callable[[], Result]) -> Result:
        """Run a function that uses the target's tokenizer off the event loop, while nobody else does."""

        def alone() -> Result:
            with self._tokenising:  # held by the thread itself: a request that is given up does not end it
                return function()

        return await asyncio.to_thread(alone)

    async def vectors(self, client: str, ids: Sequence[int]) -> Tensor:
        """Read the raw vectors of a prompt at the pair's site; (T, D), float32."""
        target, site = self.target, self.site

        def read() -> Tensor:
            with torch.inference_mode():
                tokens_1T = torch.tensor([list(ids)], device=target.device)
                return site.read(target, tokens_1T)[0].float().cpu()

        return await self.engine.call(client, read)

    async def write(
        self, client: str, vectors_ND: Tensor, wishes: Sequence[Wish], *, partial: bool = False
    ) -> Owned[Partial | Written]:
        """Queue vectors to be put into words, and return what yields every explanation as it is done.

        With ``partial`` it yields texts as they grow, too. What was written before is taken from the cache. Closing it, begun or
        not, gives up what is still to be written. Raises ``BusyError`` at once when there is no room for all of them.
        """
        keys = [
            content_key(self.fingerprint, vector_D, wish) for vector_D, wish in zip(vectors_ND, wishes, strict=True)
        ]
        known = await asyncio.to_thread(self.cache.get, keys)
        missing = [row for row, found in enumerate(known) if found is None]
        made: asyncio.Queue[int | tuple[int, asyncio.Future[ScoredExplanation]]] = asyncio.Queue()
        latest: dict[int, str] = {}
        """The text so far of each row that has grown since it was last looked at: a slow reader misses some, and keeps none."""

        def grows(place: int, text: str) -> None:
            row = missing[place]
            if row not in latest:
                made.put_nowait(row)
            latest[row] = text

        def ends(row: int, done: asyncio.Future[ScoredExplanation]) -> None:
            made.put_nowait((row, done))

        futures = self.engine.describe(
            client, vectors_ND[missing], [wishes[row] for row in missing], grows if partial else None
        )
        for row, future in zip(missing, futures, strict=True):
            future.add_done_callback(functools.partial(ends, row))

        async def items() -> AsyncGenerator[Partial | Written]:
            for row, found in enumerate(known):
                if found is not None:
                    yield Written(row, found)
            left = len(missing)
            while left:
                item = await made.get()
                if isinstance(item, int):
                    yield Partial(item, latest.pop(item))
                    continue
                row, done = item
                explanation = done.result()
                await asyncio.to_thread(self.cache.put, {keys[row]: explanation})
                left -= 1
                yield Written(row, explanation)

        async def let_go() -> None:
            for future in futures:
                future.cancel()

        return Owned(items(), let_go)

    async def score(self, client: str, text: str, vector_D: Tensor) -> Score:
        """Score how well a text rebuilds a vector."""
        require_at_most(len(text), self.limits.max_description_chars, "characters", "max_description_chars")
        (score,) = await self.engine.call(client, lambda: self.pair.score([text], vector_D[None]))
        return score

    def answer(
        self,
        client: str,
        ids: Sequence[int],
        *,
        max_new_tokens: int,
        temperature: float,
        seed: int = 0,
        site: Site | None = None,
        changed: AbstractContextManager[None] | None = None,
    ) -> Parts[Step]:
        """Yield what the target writes after a prompt, token by token; ``site`` and ``changed`` are those of ``answer``."""
        parts = answer(
            self.target,
            ids,
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            seed=seed,
            site=site,
            changed=changed,
            ends=self.ends,
        )
        return self.engine.stream(client, parts)


def require_at_most(came: int, most: int, what: str, limit: str) -> None:
    """Raise ``InputError`` where a request has more of something than this server takes."""
    if came > most:
        raise InputError(f"{came:,} {what} came; expected at most {most:,} ({limit}). Send less.")
