"""Sessions: what somebody read, to be sent to others as a link, as JSON or as one page that needs no server."""

from __future__ import annotations

import json
import secrets
import sqlite3
import threading
from collections.abc import Sequence
from importlib import resources
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup
from pydantic import BaseModel, Field, ValidationError

from nlakit.errors import InputError, NotFoundError
from nlakit.models.readings import BANDS, FLAGGED, Reading, ScoredExplanation, band_of
from nlakit.redact import redact, redact_pieces
from nlakit.serve.wire import Input, TokenRow

MOST_SHARES = 1_000
MOST_CHARACTERS = 256 * 2**20
"""Sessions that are kept, and the length of all of them together; the oldest go first."""
ID = r"[A-Za-z0-9_-]{22}"
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS sessions (number INTEGER PRIMARY KEY, id TEXT UNIQUE NOT NULL, session TEXT NOT NULL);"
)


_SHORT = ("pair", "title", "role", "channel")
"""Fields with a longest length, which a label would exceed."""


class TrueAt(BaseModel):
    """What is so at one token, where the corpus knows."""

    position: int
    facts: dict[str, str]


class Session(BaseModel):
    """What was read of one prompt."""

    kind: Literal["nlakit-session"] = "nlakit-session"
    version: Literal[1] = 1
    pair: Annotated[str, Field(max_length=256)]
    title: Annotated[str, Field(max_length=256)] = ""
    input: Input
    tokens: Annotated[list[TokenRow], Field(max_length=100_000)]
    readings: Annotated[list[Reading], Field(max_length=10_000)]
    truth: Annotated[list[TrueAt], Field(max_length=100_000)] = Field(default_factory=list)

    def redacted(self) -> Session:
        """Return it with addresses and numbers masked in everything that was read or written."""
        masked = redact_pieces([row.token for row in self.tokens])
        tokens = [row.model_copy(update={"token": text}) for row, text in zip(self.tokens, masked, strict=True)]
        said = dict(enumerate(masked))
        found = _masked(self.model_dump(mode="json", exclude={"tokens"}))
        for reading, was in zip(found["readings"], self.readings, strict=True):
            reading["token"] = said.get(reading["position"], redact(reading["token"]))
            for item, before in zip(reading["explanations"], was.explanations, strict=True):
                if item["text"] != before.text:
                    item["claims"] = None  # they say where their words are, and these have moved
        return Session.model_validate({**found, "tokens": tokens})


def _masked(value: Any, name: str = "") -> Any:
    """Mask every text inside a JSON value; names of fields stay, and what is short has to stay as short."""
    if isinstance(value, str):
        return redact(value)[: len(value)] if name in _SHORT else redact(value)
    if isinstance(value, list):
        return [_masked(item, name) for item in value]
    if isinstance(value, dict):
        return {name: _masked(item, name) for name, item in value.items()}
    return value


class SessionStore:
    """Shared sessions, in SQLite; safe to use from several threads. Whoever knows the id of one can read it."""

    def __init__(self, path: Path | None) -> None:
        """Open or make the file; ``None`` keeps everything in memory."""
        self._lock = threading.Lock()
        self._file = sqlite3.connect(":memory:" if path is None else path, check_same_thread=False)
        with self._lock, self._file:
            self._file.executescript(_SCHEMA)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_raised: object) -> None:
        """Close the file."""
        with self._lock:
            self._file.close()

    def put(self, session: Session) -> str:
        """Keep a session and return its id, which cannot be guessed; raises ``InputError`` for numbers that JSON cannot hold."""
        name, text = secrets.token_urlsafe(16), session.model_dump_json()
        try:
            Session.model_validate_json(text)
        except ValidationError as error:
            raise InputError(
                "the session has a number that is not finite; expected numbers that JSON can hold."
            ) from error
        with self._lock, self._file:
            self._file.execute("INSERT INTO sessions (id, session) VALUES (?, ?)", (name, text))
            self._file.execute(
                "DELETE FROM sessions WHERE number IN (SELECT number FROM (SELECT number, "
                "ROW_NUMBER() OVER (ORDER BY number DESC) AS place, SUM(LENGTH(session)) OVER (ORDER BY number DESC) AS size "
                "FROM sessions) WHERE place > ? OR (size > ? AND place > 1))",
                (MOST_SHARES, MOST_CHARACTERS),
            )
        return name

    def get(self, name: str) -> dict[str, Any]:
        """Return a session as JSON-ready types; raises ``NotFoundError`` for an id that is not there."""
        with self._lock:
            row = self._file.execute("SELECT session FROM sessions WHERE id = ?", (name,)).fetchone()
        if row is None:
            raise NotFoundError(
                f"no session {name!r:.40} is shared here; it may have been one of too many, or of another server."
            )
        return dict(json.loads(row[0]))


def as_page(session: Session) -> str:
    """Return a session as one HTML file that loads nothing from elsewhere and runs no script."""
    folder = resources.files("nlakit.serve.v1") / "templates"
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string((folder / "session.html.j2").read_text(encoding="utf-8"))
    css = (folder / "session.css").read_text(encoding="utf-8")
    truth = {item.position: item.facts for item in session.truth}
    readings = sorted(session.readings, key=lambda reading: reading.position)
    return template.render(
        css=Markup(css),  # noqa: S704 - our own style sheet
        version=version("nlakit"),
        session=session,
        readings=readings,
        read={reading.position for reading in readings},
        truth=truth,
        pieces=_pieces,
        advice=[name for _, _, name in BANDS] + [FLAGGED],
    )


def _pieces(item: ScoredExplanation, flags: Sequence[str]) -> list[tuple[str, float | None, str]]:
    """Return an explanation cut into pieces: the words, the support of those that are a claim, and its band."""
    pieces: list[tuple[str, float | None, str]] = []
    at = 0
    for claim in sorted(item.claims or (), key=lambda claim: claim.start):
        if not at <= claim.start <= claim.end:
            continue  # a session comes from whoever sends it, and claims may be anywhere
        band, _ = band_of(claim.support, flags)
        pieces += [(item.text[at : claim.start], None, ""), (item.text[claim.start : claim.end], claim.support, band)]
        at = claim.end
    return [piece for piece in [*pieces, (item.text[at:], None, "")] if piece[0]]
