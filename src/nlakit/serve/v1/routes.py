"""The project's own routes. Frames of streams are lines ``data: {json}``, closed by ``data: [DONE]``."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import HTMLResponse
from pydantic import BaseModel

from nlakit.errors import InputError
from nlakit.models.pair import resolve_positions
from nlakit.models.readings import Reading
from nlakit.serve.http import Client, Served, events
from nlakit.serve.service import Service
from nlakit.serve.v1 import library, readings
from nlakit.serve.v1.examples import MOST
from nlakit.serve.v1.live import Answering, Ended, Failed, LiveAnswer, Word
from nlakit.serve.v1.readings import Growing, Norms, Supported, Wanted
from nlakit.serve.v1.sessions import ID, Session, SessionStore, as_page
from nlakit.serve.v1.steering import steer as steered
from nlakit.serve.v1.wire import (
    ChatRequest,
    Listed,
    ReadingsRequest,
    ReadingsResponse,
    Shared,
    SteerRequest,
    SteerResponse,
    TruthRequest,
    TruthResponse,
)
from nlakit.serve.wire import ChatMessage, Input

router = APIRouter(prefix="/v1")


def sessions_of(request: Request) -> SessionStore:
    """Where sessions are shared."""
    found: SessionStore = request.app.state.sessions
    return found


def redacted_of(request: Request) -> bool:
    """Whether what leaves as a share or an export has addresses and numbers masked."""
    return bool(request.app.state.redact)


Sessions = Annotated[SessionStore, Depends(sessions_of)]
Redacted = Annotated[bool, Depends(redacted_of)]


@router.post("/readings", response_model=ReadingsResponse)
async def read(given: ReadingsRequest, service: Served, client: Client) -> Any:
    """Read some tokens of a prompt, or all, with several samples and with support."""
    prompt = await service.prompt(given)
    wanted = Wanted(
        sorted(set(resolve_positions(given.positions, len(prompt)))),
        given.samples,
        given.temperature,
        given.max_new_tokens,
        given.seed,
        given.support,
    )
    found = await readings.read(service, client, prompt, wanted, partial=given.stream)

    async def frames() -> AsyncIterator[dict[str, Any]]:
        yield {
            "type": "prompt",
            "layer": service.site.layer,
            "tokens": [row.model_dump() for row in prompt.rows],
            "positions": list(wanted.positions),
        }
        async for item in found:
            if isinstance(item, Growing):
                yield {"type": "partial", "position": item.position, "sample": item.sample, "text": item.text}
            elif isinstance(item, Norms):
                yield {"type": "norms", "norms": item.norms}
            elif isinstance(item, Supported):
                yield {"type": "support", "reading": item.reading.to_json()}
            else:
                yield {"type": "reading", "reading": item.to_json()}

    if given.stream:
        return events(frames(), found)
    made: dict[int, Reading] = {}
    norms: list[float] = []
    async with aclosing(found) as items:
        async for item in items:
            if isinstance(item, Norms):
                norms = item.norms
            elif not isinstance(item, Growing):
                reading = item.reading if isinstance(item, Supported) else item
                made[reading.position] = reading
    return ReadingsResponse(
        layer=service.site.layer,
        tokens=prompt.rows,
        norms=norms,
        readings=[made[position] for position in sorted(made)],
    )


@router.post("/steer")
async def steer(given: SteerRequest, service: Served, client: Client) -> SteerResponse:
    """Go on with a prompt as it is, with a reading's words changed, and with a random push of the same size."""
    return await steered(service, client, await service.prompt(given), given)


@router.get("/models")
def models(service: Served) -> dict[str, Any]:
    """List the one model that answers, as OpenAI's clients ask for it."""
    return {"object": "list", "data": [{"id": _model(service), "object": "model", "owned_by": "nlakit"}]}


@router.post("/chat/completions")
async def chat(given: ChatRequest, service: Served, client: Client) -> Any:
    """Answer a chat as OpenAI's servers do; with ``nlakit`` in the request, chosen tokens of the answer are read."""
    if given.model not in ("", _model(service)):
        raise InputError(f"model {given.model!r:.100} is not served here; expected {_model(service)!r}, or none.")
    messages = [ChatMessage(role=message.role, content=message.said) for message in given.messages]
    prompt = await service.prompt(Input(messages=messages))
    room = service.target.max_positions - len(prompt)
    if room < 1:
        raise InputError(f"the chat has {len(prompt)} tokens and leaves no room for an answer; send less.")
    most = min(given.max_completion_tokens or given.max_tokens or room, room, service.limits.max_completion_tokens)
    how = Answering(most, given.temperature, given.seed, given.stops)
    found = LiveAnswer(service, client, prompt, how, given.nlakit)
    head = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time()), "model": _model(service)}

    async def frames() -> AsyncIterator[BaseModel | dict[str, Any]]:
        chunk = {**head, "object": "chat.completion.chunk"}
        yield {**chunk, "choices": [_choice({"role": "assistant", "content": ""})]}
        async for item in found:
            if isinstance(item, Word):
                if item.text:
                    yield {**chunk, "choices": [_choice({"content": item.text})]}
            elif isinstance(item, Ended):
                yield {**chunk, "choices": [_choice({}, item.reason)], "usage": _usage(len(prompt), item)}
            else:
                yield {**chunk, "choices": [], "nlakit": _read(item)}

    if given.stream:
        return events(frames(), found)
    said, read, end = "", list[dict[str, Any]](), Ended("stop", 0)
    async with aclosing(found) as items:
        async for item in items:
            if isinstance(item, Word):
                said += item.text
            elif isinstance(item, Ended):
                end = item
            else:
                read.append(_read(item))
    message = {"role": "assistant", "content": said}
    answer: dict[str, Any] = {
        **head,
        "object": "chat.completion",
        "choices": [{"index": 0, "message": message, "finish_reason": end.reason, "logprobs": None}],
        "usage": _usage(len(prompt), end),
    }
    return answer if given.nlakit is None else {**answer, "nlakit": read}


@router.get("/pair")
def pair(service: Served) -> dict[str, Any]:
    """Say which pair is served, and how well it was measured to rebuild vectors."""
    return library.described(service)


@router.get("/pairs")
def pairs() -> Listed:
    """List the pairs that are installed under a name."""
    return Listed(data=library.pairs())


@router.get("/runs")
def runs(request: Request) -> Listed:
    """List the runs in the folder that the server was told of, newest first; none without one."""
    return Listed(data=library.runs(request.app.state.runs))


@router.get("/examples")
async def examples(service: Served, count: Annotated[int, Query(ge=1, le=MOST)] = 12) -> Listed:
    """List held-out documents to begin with; none where the pair's corpus does not know its truth."""
    return Listed(data=await service.tokenising(lambda: service.examples.listed(count)))


@router.post("/truth")
async def truth(given: TruthRequest, service: Served) -> TruthResponse:
    """Say what is so at each token of an example, as ``tokenize`` cuts it without words that open an answer."""
    target = service.target
    return TruthResponse(truth=await service.tokenising(lambda: service.examples.truth(target, given.id)))


@router.post("/shares")
async def share(session: Session, sessions: Sessions, redacted: Redacted) -> Shared:
    """Keep a session under an id that cannot be guessed."""
    return Shared(id=await asyncio.to_thread(lambda: sessions.put(session.redacted() if redacted else session)))


@router.get("/shares/{name}", response_model=Session)
async def shared(name: Annotated[str, Path(pattern=f"^{ID}$")], sessions: Sessions) -> Any:
    """Return a session that was shared."""
    return await asyncio.to_thread(sessions.get, name)


@router.post("/export", response_class=HTMLResponse)
async def export(session: Session, redacted: Redacted) -> HTMLResponse:
    """Return a session as one HTML file that needs no server."""
    return HTMLResponse(await asyncio.to_thread(lambda: as_page(session.redacted() if redacted else session)))


def _model(service: Service) -> str:
    return service.pair.card.name


def _choice(delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "finish_reason": reason}


def _usage(prompt: int, end: Ended) -> dict[str, int]:
    return {"prompt_tokens": prompt, "completion_tokens": end.tokens, "total_tokens": prompt + end.tokens}


def _read(item: Reading | Failed) -> dict[str, Any]:
    if isinstance(item, Failed):
        return {"position": item.position, "error": item.error}
    return {"reading": item.to_json()}
