"""Clients who leave a stream, at the ASGI interface: what is made for them is given up, whenever they leave."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from nlakit.serve.app import make_app
from nlakit.serve.engine import Engine
from nlakit.testing import tiny_pair

TEXT = "The red box is in the park."
REQUESTS: dict[str, dict[str, Any]] = {
    "/explain": {"text": TEXT},
    "/describe": {"activations": [[1.0] * 32]},
    "/completion": {"text": TEXT},
    "/v1/readings": {"text": TEXT},
    "/v1/chat/completions": {"messages": [{"role": "user", "content": TEXT}]},
}


class Making:
    """An answer that never comes, and knows whether it was given up."""

    def __init__(self) -> None:
        self.given_up = False

    def __aiter__(self) -> Making:
        return self

    async def __anext__(self) -> None:
        await asyncio.Event().wait()

    async def aclose(self) -> None:
        self.given_up = True


@pytest.mark.parametrize(
    ("route", "frames"),
    [(route, frames) for route in REQUESTS for frames in (0, 1) if (route, frames) != ("/describe", 1)],
)  # the first frame of /describe is a finished one
def test_who_leaves_before_the_first_frames_is_worked_for_no_longer(
    route: str, frames: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gone before the stream begins, or while its first frame is on the way: nothing is written for them any more."""
    explanations: list[asyncio.Future[Any]] = []
    answers: list[Making] = []

    def describe(_engine: Engine, _client: str, vectors_ND: Any, *_: object) -> list[asyncio.Future[Any]]:
        explanations.extend(asyncio.get_running_loop().create_future() for _ in vectors_ND)
        return explanations

    def stream(*_: object) -> Making:
        answers.append(Making())
        return answers[-1]

    monkeypatch.setattr(Engine, "describe", describe)
    monkeypatch.setattr(Engine, "stream", stream)
    asyncio.run(_ask_and_leave(route, REQUESTS[route] | {"stream": True}, frames))

    assert explanations or answers
    assert all(future.cancelled() for future in explanations)
    assert all(answer.given_up for answer in answers)


async def _ask_and_leave(route: str, body: dict[str, Any], frames: int) -> None:
    """Send a request, and leave when so many frames have been begun."""
    raw, left, sent = json.dumps(body).encode(), asyncio.Event(), 0
    messages = [{"type": "http.request", "body": raw, "more_body": False}]
    headers = [(b"host", b"localhost"), (b"content-length", b"%d" % len(raw)), (b"content-type", b"application/json")]
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "http", "method": "POST", "path": route,
        "raw_path": route.encode(), "query_string": b"", "headers": headers, "client": ("127.0.0.1", 1), "server": ("x", 1),
    }  # fmt: skip

    async def receive() -> dict[str, Any]:
        if messages:
            return messages.pop()
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        nonlocal sent
        sent += message["type"] == "http.response.body"
        if sent >= frames:
            left.set()
        if sent:
            await asyncio.Event().wait()  # nobody takes what is sent

    app = make_app(tiny_pair())
    async with app.router.lifespan_context(app):
        await app(scope, receive, send)
