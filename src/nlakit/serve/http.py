"""What routes have in common: who serves, who asks, and streams of frames."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Annotated, Any, Protocol

from fastapi import Depends, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel
from starlette.types import Receive, Scope, Send

from nlakit.errors import UserError
from nlakit.serve.audit import AuditLog
from nlakit.serve.service import Service


def service_of(request: Request) -> Service:
    """The service that the application was made with."""
    found: Service = request.app.state.service
    return found


def client_of(request: Request) -> str:
    """Who asks, for fairness: the address that the request came from, and on this machine the connection."""
    if request.client is None:
        return "unknown"
    host, port = request.client
    return f"{host} {port}" if host in ("127.0.0.1", "::1") else host


async def audited(request: Request) -> None:
    """Write the request into the audit log, if one is kept, before it is answered."""
    log: AuditLog | None = request.app.state.audit
    if log is None or not (request.method == "POST" or request.path_params):
        return
    try:
        body = await request.json() if request.method == "POST" else {}
    except (ValueError, RecursionError):
        return  # refused as no JSON
    if isinstance(body, dict):
        client = request.client.host if request.client else "unknown"
        # The pattern of the route and not its path: the id of a shared session opens it.
        await asyncio.to_thread(log.record, client, request.scope["route"].path, body)


Served = Annotated[Service, Depends(service_of)]
Client = Annotated[str, Depends(client_of)]


class Closing(Protocol):
    """What is made for a client, and can be given up."""

    async def aclose(self) -> None:
        """Give it up, begun or not."""


class _Events(StreamingResponse):
    """A stream that gives up what it is made from when it ends, by itself or because the client left."""

    def __init__(self, lines: AsyncIterator[str], source: Closing) -> None:
        super().__init__(lines, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})
        self._source = source

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._source.aclose()


def events(frames: AsyncIterator[BaseModel | dict[str, Any]], source: Closing) -> StreamingResponse:
    """Send frames as server-sent events; an error that comes up in the middle is a last frame ``{"error": sentence}``.

    ``source`` is what the frames are made from. It is closed when the client leaves, even before the first frame was made.
    """

    async def lines() -> AsyncIterator[str]:
        try:
            async for frame in frames:
                written = frame.model_dump_json() if isinstance(frame, BaseModel) else json.dumps(frame)
                yield f"data: {written}\n\n"
                # Frames that are there already come without a pause; the loop has to hear in between of clients who left.
                await asyncio.sleep(0)
        except UserError as error:
            yield f"data: {json.dumps({'error': str(error)})}\n\n"
        yield "data: [DONE]\n\n"

    return _Events(lines(), source)
