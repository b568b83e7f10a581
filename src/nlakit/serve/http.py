"""What routes have in common: who serves, who asks, and streams of frames."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

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


def events(frames: AsyncIterator[BaseModel | dict[str, Any]]) -> StreamingResponse:
    """Send frames as server-sent events; an error that comes up in the middle is a last frame ``{"error": sentence}``."""

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

    return StreamingResponse(lines(), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})
