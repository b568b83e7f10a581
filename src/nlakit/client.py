"""A client of ``nlakit serve`` for Python programs: what :class:`~nlakit.models.pair.Pair` does, on another process or machine.

::

    from nlakit.client import Client

    with Client() as client:
        for reading in client.read("One morning, Mia put the key in the box.", positions=[-1], support=True):
            print(reading)
        for item in client.chat_stream([{"role": "user", "content": "Where is the key?"}], where={"sentence_ends": True}):
            print(item if isinstance(item, str) else f"[{item}]", end="")

Axes: N vectors, T tokens, D width of a vector.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor

from nlakit.errors import (
    BusyError,
    ConfigError,
    EndpointError,
    InputError,
    UnavailableError,
    UserError,
    missing_extra,
)
from nlakit.models.readings import Reading, Score

if TYPE_CHECKING:
    from httpx2 import Response

ADDRESS = "http://127.0.0.1:8321"
TOKEN_HEADER, TOKEN_VARIABLE = "X-SECRET-KEY", "NLAKIT_TOKEN"
_ERRORS: dict[int, type[UserError]] = {
    400: InputError,
    401: ConfigError,
    413: InputError,
    422: InputError,
    429: BusyError,
    503: UnavailableError,
    504: BusyError,
}

Content = str | Sequence[Mapping[str, str]]
"""A text, or chat messages with ``role`` and ``content``."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the target answered, and what it held while it wrote."""

    text: str
    readings: list[Reading]
    reason: str
    """``stop`` or ``length``."""


@dataclass(frozen=True, slots=True)
class Steered:
    """Three continuations of one prompt."""

    unsteered: str
    steered: str
    random: str
    """With a random push of the same size."""
    norm: float
    """Of the vector that was there."""
    added: float
    """Norm of what was added to it."""


class Client:
    """Asks one server; a context manager that closes its connections."""

    def __init__(self, address: str = ADDRESS, *, token: str | None = None, timeout: float = 180.0) -> None:
        """``token`` is the server's, or else the one in the variable ``NLAKIT_TOKEN``; ``timeout`` is in seconds.

        Raises ``MissingExtraError`` without the packages of the extra ``serve``.
        """
        try:
            import httpx2
        except ImportError as error:
            raise missing_extra("httpx2", "serve", "asking a server") from error
        token = token or os.environ.get(TOKEN_VARIABLE)
        self.address = address.rstrip("/")
        self._unreached = httpx2.TransportError
        self._http = httpx2.Client(
            base_url=self.address, headers={TOKEN_HEADER: token} if token else {}, timeout=timeout
        )

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_raised: object) -> None:
        """Close the connections."""
        self._http.close()

    def status(self) -> dict[str, Any]:
        """Return what is served, and the limits."""
        with self._answered("GET", "/") as response:
            return dict(_whole(response))

    def read(
        self,
        content: Content,
        *,
        positions: Sequence[int] | None = None,
        samples: int = 1,
        temperature: float = 1.0,
        seed: int = 0,
        support: bool = False,
    ) -> list[Reading]:
        """Read a text or chat as ``Pair.read`` does; the draws of a server are others than those of ``Pair.read``."""
        body = _given(content) | _how(positions, samples, temperature, seed, support)
        return [Reading.from_json(record) for record in self._post("/v1/readings", body)["readings"]]

    def read_stream(
        self,
        content: Content,
        *,
        positions: Sequence[int] | None = None,
        samples: int = 1,
        temperature: float = 1.0,
        seed: int = 0,
        support: bool = False,
    ) -> Iterator[Reading]:
        """As :meth:`read`, each reading as it is done; with ``support`` once more when its claims are."""
        body = _given(content) | _how(positions, samples, temperature, seed, support)
        for frame in self._frames("/v1/readings", body):
            if frame["type"] in ("reading", "support"):
                yield Reading.from_json(frame["reading"])

    def chat(
        self, messages: Sequence[Mapping[str, str]], *, where: Mapping[str, Any] | None = None, **settings: Any
    ) -> Answer:
        """Have the target answer a chat; the tokens that ``where`` names are read.

        ``where`` has any of ``every`` (a number), ``sentence_ends`` (a truth value), ``watch`` (words), ``most``, ``samples`` and
        ``support``; ``settings`` are those of OpenAI's chat completions, such as ``temperature`` and ``max_tokens``.
        """
        found = self._post("/v1/chat/completions", {**settings, **_asked(messages, where)})
        choice = found["choices"][0]
        return Answer(choice["message"]["content"], list(_readings(found.get("nlakit", ()))), choice["finish_reason"])

    def chat_stream(
        self, messages: Sequence[Mapping[str, str]], *, where: Mapping[str, Any] | None = None, **settings: Any
    ) -> Iterator[str | Reading]:
        """As :meth:`chat`: the pieces of the answer as they are written and, between them, readings as they are done."""
        for frame in self._frames("/v1/chat/completions", {**settings, **_asked(messages, where)}):
            for choice in frame["choices"]:
                if said := choice["delta"].get("content"):
                    yield said
            if "nlakit" in frame:
                yield from _readings([frame["nlakit"]])

    def steer(
        self, content: Content, position: int, original: str, edited: str, *, strength: float = 1.0, **settings: Any
    ) -> Steered:
        """Let the target go on from a vector that says ``edited`` instead of ``original``.

        ``settings`` may have ``completion_tokens``, ``temperature`` and ``seed``.
        """
        body = {"position": position, "original": original, "edited": edited, "strength": strength}
        found = self._post("/v1/steer", {**settings, **_given(content), **body})
        return Steered(*(found[name] for name in ("unsteered", "steered", "random", "norm", "added")))

    def vectors(self, content: Content) -> Tensor:
        """Return the raw vectors (T, D) of a text or chat, in float32."""
        return torch.tensor([row["activation"] for row in self._post("/extract", _given(content))["tokens"]])

    def describe(self, vectors_ND: Tensor, *, temperature: float = 0.7) -> list[str]:
        """Put raw vectors into words."""
        body = {"activations": vectors_ND.tolist(), "temperature": temperature}
        return [row["description"] for row in self._post("/describe", body)["results"]]

    def score(self, text: str, vector_D: Tensor) -> Score:
        """Score how well a text rebuilds a vector."""
        found = self._post("/score", {"description": text, "activation": vector_D.tolist()})
        return Score(found["mse"], found["cosine_similarity"], None)

    def _post(self, route: str, body: Mapping[str, Any]) -> dict[str, Any]:
        with self._answered("POST", route, json=body) as response:
            return dict(_whole(response))

    def _frames(self, route: str, body: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        with self._answered("POST", route, json={**body, "stream": True}) as response:
            for line in response.iter_lines():
                said = line.removeprefix("data: ")
                if not said or said == "[DONE]":
                    continue
                frame: dict[str, Any] = json.loads(said)
                if set(frame) == {"error"}:
                    raise EndpointError(f"{self.address}{route} gave up: {frame['error']}")
                yield frame

    @contextmanager
    def _answered(self, method: str, route: str, **content: Any) -> Iterator[Response]:
        """Send a request; raises an error of the kind that the status means where it is refused."""
        try:
            with self._http.stream(method, route, **content) as response:
                if response.status_code != 200:
                    kind = _ERRORS.get(response.status_code, EndpointError)
                    raise kind(f"{self.address}{route} refused with {response.status_code}: {_refusal(response)}")
                yield response
        except self._unreached as error:
            raise EndpointError(
                f"{self.address} gives no answer ({type(error).__name__}); start a server with: nlakit serve"
            ) from error


def _given(content: Content) -> dict[str, Any]:
    if isinstance(content, str):
        return {"text": content}
    return {"messages": [dict(message) for message in content], "add_generation_prompt": False}


def _asked(messages: Sequence[Mapping[str, str]], where: Mapping[str, Any] | None) -> dict[str, Any]:
    asked = {"messages": [dict(message) for message in messages]}
    return asked if where is None else {**asked, "nlakit": dict(where)}


def _how(positions: Sequence[int] | None, samples: int, temperature: float, seed: int, support: bool) -> dict[str, Any]:
    found = {"samples": samples, "temperature": temperature, "seed": seed, "support": support}
    return found if positions is None else {**found, "positions": list(positions)}


def _readings(items: Sequence[Mapping[str, Any]]) -> Iterator[Reading]:
    """Return the readings among what was read of an answer; those that failed are left out."""
    return (Reading.from_json(item["reading"]) for item in items if "reading" in item)


def _whole(response: Response) -> Any:
    return json.loads(response.read())


def _refusal(response: Response) -> str:
    """Return the reason of a refusal, in words."""
    try:
        detail = json.loads(response.read())["detail"]
    except (ValueError, KeyError, TypeError):
        return response.reason_phrase
    if isinstance(detail, str):
        return detail
    return "; ".join(f"{'.'.join(map(str, item['loc'][1:]))}: {item['msg']}" for item in detail)
