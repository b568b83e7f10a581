"""The page for browsers, under ``/page/``: a table of files that is made once, so no path of a request ever reaches the disk."""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import PurePosixPath

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import RedirectResponse, Response

PREFIX = "/page/"
_TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
}
"""The kinds of files that are served; others beside them are for people who read the source."""

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True, slots=True)
class _File:
    content: bytes
    media_type: str
    tag: str


@router.get(PREFIX.rstrip("/"))
def enter() -> Response:
    """Send a browser to the address under which the page finds its parts."""
    return RedirectResponse(PREFIX.lstrip("/"))


@router.get(PREFIX + "{name:path}")
def serve_file(name: str, request: Request) -> Response:
    """Return one file of the page; a browser asks each time whether the one it keeps is still the same."""
    found = _files().get(name or "index.html")
    if found is None:
        raise HTTPException(404, f"the page has no file {name!r:.100}.")
    headers = {"Cache-Control": "no-cache", "ETag": found.tag}
    if request.headers.get("if-none-match") == found.tag:
        return Response(status_code=304, headers=headers)
    return Response(found.content, media_type=found.media_type, headers=headers)


def wants_page(request: Request) -> bool:
    """Whether a person in a browser asks, and no program."""
    return "text/html" in request.headers.get("accept", "")


@functools.cache
def _files() -> dict[str, _File]:
    """Return every file of the page under its name in addresses."""
    found = {}
    for name, item in _walk(resources.files("nlakit.serve") / "page", PurePosixPath()):
        if (media_type := _TYPES.get(name.suffix)) is not None:
            content = item.read_bytes()
            found[str(name)] = _File(content, media_type, f'"{hashlib.sha256(content).hexdigest()[:32]}"')
    return found


def _walk(folder: Traversable, at: PurePosixPath) -> list[tuple[PurePosixPath, Traversable]]:
    found = []
    for item in folder.iterdir():
        if item.is_dir():
            found += _walk(item, at / item.name)
        else:
            found.append((at / item.name, item))
    return found
