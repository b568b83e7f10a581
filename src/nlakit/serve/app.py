"""The HTTP application: routes, and what stands in front of them all.

A token is asked for as soon as one is set, compared in constant time; bodies are bounded before they are read; every error of a
user is a sentence under ``detail`` with the status that fits it, and none of ours shows its inside.
"""

from __future__ import annotations

import hmac
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from nlakit.errors import BusyError, InputError, UnavailableError, UserError
from nlakit.models.pair import Pair
from nlakit.models.target import model_fingerprint
from nlakit.serve import reference
from nlakit.serve.cache import ReadingCache
from nlakit.serve.engine import Engine
from nlakit.serve.limits import Limits
from nlakit.serve.service import Service

SECRET_HEADER = "X-SECRET-KEY"  # noqa: S105 - a header's name
STATUS = ((BusyError, 429), (UnavailableError, 503), (InputError, 400), (UserError, 400))
"""The status of each kind of error; the first that fits."""
_SECURITY = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
log = logging.getLogger("nlakit.serve")


def make_app(
    pair: Pair,
    *,
    limits: Limits | None = None,
    cache: ReadingCache | None = None,
    token: str | None = None,
    names: Collection[str] | None = None,
) -> FastAPI:
    """Make the application around a pair; its engine runs from start-up to shut-down.

    ``token`` is what every request has to send, if there is one; ``names`` are the hosts by which the server may be asked for.
    """
    limits = limits or Limits()
    kept = cache or ReadingCache(None, limits.cached_readings)
    fingerprint = f"{model_fingerprint(pair.verbalizer.model)} {model_fingerprint(pair.reconstructor.backbone)}"

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        with kept, Engine(pair, limits) as engine:
            app.state.service = Service(engine, kept, fingerprint)
            yield

    app = FastAPI(title="nlakit", lifespan=lifespan, docs_url=None, redoc_url=None)
    app.include_router(reference.router)

    @app.middleware("http")
    async def guard(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        refused = _refusal(request, token, names, limits)
        response = refused or await call_next(request)
        response.headers.update(_SECURITY)
        return response

    @app.exception_handler(UserError)
    async def say(_request: Request, error: UserError) -> JSONResponse:
        status = next(code for kind, code in STATUS if isinstance(error, kind))
        return JSONResponse({"detail": str(error)}, status, headers={"Retry-After": "1"} if status == 429 else None)

    @app.exception_handler(Exception)
    async def hide(request: Request, error: Exception) -> JSONResponse:
        log.error("%s %s failed", request.method, request.url.path, exc_info=error)
        return JSONResponse({"detail": "the server failed; its log says why."}, 500)

    return app


def _refusal(request: Request, token: str | None, names: Collection[str] | None, limits: Limits) -> Response | None:
    """Return the answer to a request that is not looked at: for another host, without the token, with an unbounded body."""
    host = request.headers.get("host", "").rsplit(":", 1)[0] if names is not None else ""
    if names is not None and host not in names:
        return JSONResponse(
            {"detail": f"this server is not {host!r:.100}; ask for it as {', '.join(sorted(names))}."}, 421
        )
    if token is not None and not hmac.compare_digest(request.headers.get(SECRET_HEADER, "").encode(), token.encode()):
        return JSONResponse({"detail": f"this server wants its token in the header {SECRET_HEADER}."}, 401)
    if request.method in ("GET", "HEAD", "OPTIONS"):
        return None
    length = request.headers.get("content-length", "")
    if not length.isdigit():
        return JSONResponse({"detail": "the request has no Content-Length; send the body in one piece."}, 411)
    if int(length) > limits.max_body_bytes:
        return JSONResponse({"detail": f"the body has {length} bytes; expected at most {limits.max_body_bytes}."}, 413)
    return None
