"""What stands in front of every route: who may ask, how much, for how long, and that nobody works for a client who has left."""

from __future__ import annotations

import asyncio
import hmac
import logging
import math
from collections.abc import Collection
from typing import Any
from urllib.parse import urlsplit

from fastapi.responses import JSONResponse
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nlakit.serve.limits import Limits
from nlakit.serve.rate import RateLimit
from nlakit.serve.static import PREFIX

TOKEN_HEADER = "X-SECRET-KEY"  # noqa: S105 - a header's name
log = logging.getLogger("nlakit.serve")
_POLICY = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Guard:
    """ASGI middleware; a request that it refuses reaches no route, and its body is not read."""

    def __init__(self, app: ASGIApp, *, token: str | None, names: Collection[str] | None, limits: Limits) -> None:
        """``token`` is what every request has to send, if there is one; ``names`` are the hosts the server may be asked for as."""
        self.app = app
        self.token = token
        self.names = names
        self.limits = limits
        self._rate = RateLimit(limits.requests_per_minute)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or pass on, and end with the client or with the time that a request has."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = asyncio.Event()

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_POLICY)
                started.set()
            await send(message)

        refused = self._too_many(scope) or self._refusal(Headers(scope=scope), scope["method"], scope["path"])
        if refused is not None:
            await refused(scope, receive, answer)
            return
        visit = _Visit(receive)
        work = asyncio.ensure_future(self.app(scope, visit.receive, answer))
        begun, left = asyncio.ensure_future(started.wait()), asyncio.ensure_future(visit.left.wait())
        try:
            await asyncio.wait(
                {work, begun, left}, timeout=self.limits.request_seconds, return_when=asyncio.FIRST_COMPLETED
            )
            if begun.done():  # an answer that has begun ends by itself, or with its reader
                await asyncio.wait({work, left}, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                await self._end(work, scope, receive, answer, begun=started.is_set())
                return
            late = not visit.left.is_set() and not started.is_set()
            work.cancel()
            await asyncio.wait({work})
            if late:
                await self._late(scope, receive, answer)
        finally:
            for task in (work, begun, left):
                task.cancel()
            visit.end()

    def _too_many(self, scope: Scope) -> JSONResponse | None:
        """Return the answer to a client that asks too often; how large its requests are is the queue's matter."""
        waits = self._rate.wait(scope["client"][0] if scope.get("client") else "unknown")
        if not waits:
            return None
        said = f"more than {self._rate.per_minute} requests a minute came from this address; ask again in {waits:.1f} seconds."
        return _detail(429, said, **{"Retry-After": str(math.ceil(waits))})

    async def _end(
        self, work: asyncio.Future[None], scope: Scope, receive: Receive, answer: Send, *, begun: bool
    ) -> None:
        """Answer for a route that failed, without showing why; one that has begun to answer is cut off."""
        error = work.exception()
        if error is None:
            return
        if begun:
            raise error
        log.error("%s %s failed", scope["method"], scope["path"], exc_info=error)
        await _detail(500, "the server failed; its log says why.")(scope, receive, answer)

    async def _late(self, scope: Scope, receive: Receive, answer: Send) -> None:
        said = f"this took longer than {self.limits.request_seconds:g} seconds and was given up; ask for fewer positions or tokens."
        await JSONResponse({"detail": said}, 504)(scope, receive, answer)

    def _refusal(self, headers: Headers, method: str, path: str) -> JSONResponse | None:
        """Return the answer to a request for another host, without the token, or with a body that is too long or does not say.

        The files of the page need no token: a browser has none to send before the page has asked for it, and they tell nothing.
        """
        host = _host(headers.get("host", ""))
        if self.names is not None and host not in self.names:
            return _detail(421, f"this server is not {host!r:.100}; ask for it as {', '.join(sorted(self.names))}.")
        came = headers.get(TOKEN_HEADER, "")
        public = method == "GET" and path.startswith(PREFIX)
        if self.token is not None and not public and not hmac.compare_digest(came.encode(), self.token.encode()):
            return _detail(401, f"this server wants its token in the header {TOKEN_HEADER}.")
        if method in ("GET", "HEAD", "OPTIONS"):
            return None
        length = headers.get("content-length", "")
        if not (length.isascii() and length.isdigit()):
            return _detail(411, "the request has no Content-Length; send the body in one piece.")
        if int(length) > self.limits.max_body_bytes:
            return _detail(413, f"the body has {length} bytes; expected at most {self.limits.max_body_bytes}.")
        return None


class _Visit:
    """Passes the body on, and afterwards waits for the client to leave."""

    def __init__(self, receive: Receive) -> None:
        self.left = asyncio.Event()
        self._receive = receive
        self._watch: asyncio.Task[None] | None = None

    async def receive(self) -> Message:
        """Return the next piece of the body; after the last one, only that the client has left."""
        if self._watch is not None:
            await self.left.wait()
            return {"type": "http.disconnect"}
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self.left.set()
        elif not message.get("more_body"):
            self._watch = asyncio.create_task(self._until_left())
        return message

    def end(self) -> None:
        """Stop waiting."""
        if self._watch is not None:
            self._watch.cancel()

    async def _until_left(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.left.set()


def _host(header: str) -> str:
    """Return the host that a header names, without port and brackets; what cannot be read is the name of nobody."""
    try:
        return urlsplit(f"//{header}").hostname or ""
    except ValueError:
        return ""


def _detail(status: int, said: str, **headers: Any) -> JSONResponse:
    return JSONResponse({"detail": said}, status, headers=headers or None)
