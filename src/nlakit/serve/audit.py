"""The audit log: who read what, and when, as lines of JSON.

What was read is private data. So a line has the SHA-256 of the texts of a request, enough to find out later whether a known text
was read, or with ``redacted`` the texts themselves with addresses and numbers masked (:mod:`nlakit.redact`).

::

    {"time": "2026-01-31T12:00:00+00:00", "client": "127.0.0.1", "route": "/v1/readings", "sha256": "...", "characters": 41,
     "vectors": 0, "positions": [3, 4]}
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from nlakit.errors import ConfigError
from nlakit.redact import redact

MOST_POSITIONS = 64
"""Positions that stand in a line; of more only the number does."""
MOST_CHARACTERS = 32_768
"""Characters of each text that are looked at: longer ones are refused where texts are read."""
_TEXTS = ("text", "description", "original", "edited")


class AuditLog:
    """Appends lines to a file that its owner alone can read; safe to use from several threads."""

    def __init__(self, path: Path, *, redacted: bool = False) -> None:
        """Open or make the file; raises ``ConfigError`` where it cannot be written."""
        self.redacted = redacted
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600)
            self._file = path.open("a", encoding="utf-8")
        except OSError as error:
            raise ConfigError(
                f"the audit log {path} cannot be written: {error.strerror}; choose another with --audit."
            ) from error

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_raised: object) -> None:
        """Close the file."""
        with self._lock:
            self._file.close()

    def record(self, client: str, route: str, body: Mapping[str, Any]) -> None:
        """Write down one request; on disk before it is answered."""
        texts = [text[:MOST_CHARACTERS] for text in _texts(body)]
        positions = body.get("positions")
        line: dict[str, Any] = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "client": client,
            "route": route,
            "sha256": hashlib.sha256("\0".join(texts).encode("utf-8", "replace")).hexdigest(),
            "characters": sum(map(len, texts)),
            "vectors": len(_list(body.get("activations"))) + sum(name.startswith("activation_") for name in body),
        }
        if isinstance(positions, list):
            line["positions"] = positions if len(positions) <= MOST_POSITIONS else len(positions)
        if self.redacted:
            line["texts"] = [redact(text) for text in texts]
        with self._lock:
            self._file.write(json.dumps(line) + "\n")
            self._file.flush()


def _texts(body: Mapping[str, Any]) -> Iterator[str]:
    """Return every text of a request, those of its messages included."""
    for name in _TEXTS:
        if isinstance(body.get(name), str):
            yield body[name]
    if isinstance(body.get("input"), dict):
        yield from _texts(body["input"])
    for message in _list(body.get("messages")):
        content = message.get("content") if isinstance(message, dict) else None
        if isinstance(content, str):
            yield content
        for part in _list(content):
            if isinstance(part, dict) and isinstance(part.get("text"), str):
                yield part["text"]


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
