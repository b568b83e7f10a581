"""Running the server: which address it may listen at, who may ask, and until when."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from nlakit.errors import ConfigError, missing_extra
from nlakit.models.pair import Pair
from nlakit.serve.audit import AuditLog
from nlakit.serve.cache import ReadingCache
from nlakit.serve.limits import Limits

if TYPE_CHECKING:
    import uvicorn
    from fastapi import FastAPI

TOKEN_VARIABLE = "NLAKIT_TOKEN"  # noqa: S105 - a variable's name
SHORTEST_TOKEN = 16
LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class Door:
    """Where a server listens and what it asks for."""

    host: str
    port: int
    token: str | None = None

    @property
    def loopback(self) -> bool:
        """Whether only this machine can come in."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def names(self) -> frozenset[str] | None:
        """Names by which the server may be asked for; ``None`` where any will do.

        A page of somebody else can point its own name at this machine and have a browser ask here. On loopback, where no token is
        asked for, such a name is refused.
        """
        return LOCAL_NAMES | {self.host} if self.loopback and self.token is None else None


def door(host: str, port: int) -> Door:
    """Return where to listen, with the token of the environment.

    Raises ``ConfigError`` where others could come in without a token, and for a token that can be guessed.
    """
    token = os.environ.get(TOKEN_VARIABLE) or None
    if token is not None and len(token) < SHORTEST_TOKEN:
        raise ConfigError(
            f"the token in {TOKEN_VARIABLE} has {len(token)} characters; expected at least {SHORTEST_TOKEN}. A good one: "
            'python -c "import secrets; print(secrets.token_urlsafe())"'
        )
    found = Door(host, port, token)
    if not found.loopback and token is None:
        raise ConfigError(
            f"--host {host} lets other machines in, and no token is set; expected one in the variable {TOKEN_VARIABLE}, or an "
            "address of this machine alone, such as 127.0.0.1."
        )
    return found


def require_packages() -> None:
    """Raise ``MissingExtraError`` without the packages of the extra ``serve``: asked before a large pair is loaded."""
    for package in ("fastapi", "uvicorn"):
        if find_spec(package) is None:
            raise missing_extra(package, "serve", "nlakit serve")


@dataclass(frozen=True, slots=True)
class Kept:
    """Which files a server reads and writes; ``None`` for none of that kind."""

    cache: Path | None = None
    """Explanations and shared sessions, so that they survive a restart."""
    audit: Path | None = None
    """Who read what."""
    runs: Path | None = None
    """A folder of runs to list."""
    redact: bool = False
    """Whether addresses and numbers are masked in what is shared, exported or written down."""


def serve(pair: Pair, where: Door, limits: Limits, kept: Kept, announce: Callable[[str], None]) -> None:
    """Serve a pair until the process is asked to stop; ``announce`` is given the address once it can be asked.

    Raises ``ConfigError`` when the address is taken or forbidden.
    """
    import uvicorn

    from nlakit.serve.app import make_app
    from nlakit.serve.v1.sessions import SessionStore

    app = make_app(
        pair,
        limits=limits,
        cache=ReadingCache(kept.cache, limits.cached_readings),
        token=where.token,
        names=where.names,
        audit=None if kept.audit is None else AuditLog(kept.audit, redacted=kept.redact),
        sessions=SessionStore(kept.cache),
        runs=kept.runs,
        redact=kept.redact,
    )
    with _listening(where) as listener:
        name = f"[{where.host}]" if ":" in where.host else where.host
        announce(f"http://{name}:{listener.getsockname()[1]}")
        uvicorn.Server(configured(app)).run([listener])


def configured(app: FastAPI) -> uvicorn.Config:
    """Return how the application is run."""
    import uvicorn

    # Whom a request comes from is its address; a header that anybody can write says nothing.
    return uvicorn.Config(
        app, log_level="warning", access_log=False, server_header=False, proxy_headers=False, timeout_keep_alive=30
    )


def _listening(where: Door) -> socket.socket:
    family = socket.AF_INET6 if ":" in where.host else socket.AF_INET
    try:
        return socket.create_server((where.host, where.port), family=family)
    except OSError as error:
        raise ConfigError(
            f"cannot listen at {where.host}, port {where.port}: {error.strerror or error}; choose another with --port "
            "(0 takes a free one) or --host."
        ) from error
