"""A server of a pair on 127.0.0.1, run as the command runs it, and its streams."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx2 as httpx
import uvicorn
from fastapi import FastAPI

from nlakit.models.pair import Pair
from nlakit.serve.app import make_app
from nlakit.serve.running import configured


@contextmanager
def served(pair: Pair, *, port: int = 0, **options: object) -> Iterator[str]:
    """Serve a pair on a port, or on a free one; yields the address."""
    with running(make_app(pair, **options), port) as address:  # type: ignore[arg-type]
        yield address


@contextmanager
def running(app: FastAPI, port: int = 0) -> Iterator[str]:
    """Serve an application on a port, or on a free one; yields the address."""
    with socket.create_server(("127.0.0.1", port)) as door:
        server = uvicorn.Server(configured(app))
        thread = threading.Thread(target=server.run, args=([door],), daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{door.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(10)


def events(address: str, route: str, body: dict[str, object]) -> list[dict[str, object]]:
    """Read a whole stream of frames, whose last line says that it is done."""
    with httpx.stream("POST", f"{address}{route}", json=body, timeout=60) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        lines = [line.removeprefix("data: ") for line in response.iter_lines() if line]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]
