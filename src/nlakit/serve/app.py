"""The HTTP application: the routes, the guard in front of them, and what an error becomes.

Every error of a user is a sentence under ``detail`` with the status that fits it; for ours the guard answers.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from nlakit.errors import BusyError, NotFoundError, UnavailableError, UserError
from nlakit.models.pair import Pair
from nlakit.serve import reference, static
from nlakit.serve.audit import AuditLog
from nlakit.serve.cache import ReadingCache, pair_fingerprint
from nlakit.serve.engine import Engine
from nlakit.serve.guard import Guard
from nlakit.serve.http import audited
from nlakit.serve.limits import Limits
from nlakit.serve.service import Service
from nlakit.serve.v1 import routes
from nlakit.serve.v1.sessions import SessionStore

STATUS = ((BusyError, 429), (UnavailableError, 503), (NotFoundError, 404), (UserError, 400))
"""The status of each kind of error; the first that fits."""


def make_app(
    pair: Pair,
    *,
    limits: Limits | None = None,
    cache: ReadingCache | None = None,
    token: str | None = None,
    names: Collection[str] | None = None,
    audit: AuditLog | None = None,
    sessions: SessionStore | None = None,
    runs: Path | None = None,
    redact: bool = False,
) -> FastAPI:
    """Make the application around a pair; its engine runs from start-up to shut-down.

    ``token`` is what every request has to send, if there is one; ``names`` are the hosts by which the server may be asked for;
    ``audit`` is where requests are written down, if anywhere; ``sessions`` is where they are shared, in memory if it is not said;
    ``runs`` is a folder of runs to list; with ``redact`` addresses and numbers are masked in what is shared or exported.
    """
    limits = limits or Limits()
    kept = cache or ReadingCache(None, limits.cached_readings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        with audit or nullcontext(), kept, sessions or SessionStore(None) as shared, Engine(pair, limits) as engine:
            app.state.audit, app.state.sessions, app.state.runs, app.state.redact = audit, shared, runs, redact
            app.state.service = Service(engine, kept, pair_fingerprint(pair))
            yield

    app = FastAPI(title="nlakit", lifespan=lifespan, docs_url=None, redoc_url=None)
    for router in (reference.router, routes.router):
        app.include_router(router, dependencies=[Depends(audited)])
    app.include_router(static.router)
    app.add_middleware(Guard, token=token, names=names, limits=limits)

    @app.exception_handler(RequestValidationError)
    async def point(_request: Request, error: RequestValidationError) -> JSONResponse:
        # Without what came: it may be long, private, or a number that JSON cannot write.
        found = [{"loc": item["loc"], "msg": item["msg"], "type": item["type"]} for item in error.errors()]
        return JSONResponse({"detail": found}, 422)

    @app.exception_handler(UserError)
    async def say(_request: Request, error: UserError) -> JSONResponse:
        status = next(code for kind, code in STATUS if isinstance(error, kind))
        return JSONResponse({"detail": str(error)}, status, headers={"Retry-After": "1"} if status == 429 else None)

    return app
