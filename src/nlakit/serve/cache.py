"""Explanations that were written before, kept in SQLite by their content.

The key is made of everything that an explanation depends on: the pair's weights, the vector, the temperature, the length and
the seed. So the same question is answered once, after a restart and a kill as well. Bounded: what was not asked for longest
goes first. Texts are private data; the file lies where the server's owner puts it, readable by the owner alone.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import struct
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from torch import Tensor

from nlakit.config import fingerprint
from nlakit.errors import ConfigError
from nlakit.explanations import Outcome
from nlakit.models.pair import Pair
from nlakit.models.readings import Score, ScoredExplanation
from nlakit.models.sampler import Wish
from nlakit.models.target import model_fingerprint

_SCHEMA = """
CREATE TABLE IF NOT EXISTS explanations (key BLOB PRIMARY KEY, found TEXT NOT NULL, used INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_use ON explanations (used);
"""


class ReadingCache:
    """A bounded map from content keys to explanations; safe to use from several threads."""

    def __init__(self, path: Path | None, capacity: int) -> None:
        """Open or make the file; ``None`` keeps everything in memory. A file that is no such database is begun anew."""
        self.capacity = capacity
        self._lock = threading.Lock()
        self._file = _open(path)
        with self._lock, self._file:
            self._used = int(self._file.execute("SELECT COALESCE(MAX(used), 0) FROM explanations").fetchone()[0])

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_raised: object) -> None:
        """Close the file."""
        with self._lock:
            self._file.close()

    def __len__(self) -> int:
        """How many explanations are kept."""
        with self._lock:
            return int(self._file.execute("SELECT COUNT(*) FROM explanations").fetchone()[0])

    def get(self, keys: Sequence[bytes]) -> list[ScoredExplanation | None]:
        """Return what is kept for each key, and remember that it was asked for."""
        with self._lock, self._file:
            rows = [
                self._file.execute("SELECT found FROM explanations WHERE key = ?", (key,)).fetchone() for key in keys
            ]
            self._touch([key for key, row in zip(keys, rows, strict=True) if row])
        return [_read(row[0]) if row else None for row in rows]

    def put(self, found: Mapping[bytes, ScoredExplanation]) -> None:
        """Keep explanations, and drop the least recently used ones over the capacity."""
        with self._lock, self._file:
            for key, explanation in found.items():
                self._used += 1
                self._file.execute(
                    "INSERT OR REPLACE INTO explanations VALUES (?, ?, ?)", (key, _written(explanation), self._used)
                )
            over = int(self._file.execute("SELECT COUNT(*) FROM explanations").fetchone()[0]) - self.capacity
            if over > 0:
                self._file.execute(
                    "DELETE FROM explanations WHERE key IN (SELECT key FROM explanations ORDER BY used LIMIT ?)",
                    (over,),
                )

    def _touch(self, keys: Sequence[bytes]) -> None:
        for key in keys:
            self._used += 1
            self._file.execute("UPDATE explanations SET used = ? WHERE key = ?", (self._used, key))


def pair_fingerprint(pair: Pair) -> str:
    """Return a hash of everything in a pair that an explanation and its score depend on."""
    card = pair.card
    return fingerprint(
        model_fingerprint(pair.verbalizer.model),
        model_fingerprint(pair.reconstructor),
        card.prompts.model_dump(mode="json"),
        [card.injection, card.injection_scale, None if card.stats is None else card.stats.variance],
    )


def content_key(pair: str, vector_D: Tensor, wish: Wish) -> bytes:
    """Return the key of one explanation: a hash of the pair's fingerprint, the raw vector in float32 and the wish."""
    hashed = hashlib.sha256(pair.encode())
    hashed.update(struct.pack("<dqq", wish.temperature, wish.max_new_tokens, wish.seed))
    hashed.update(vector_D.detach().float().cpu().contiguous().numpy().tobytes())
    return hashed.digest()


def _open(path: Path | None) -> sqlite3.Connection:
    if path is None:
        return _prepared(sqlite3.connect(":memory:", check_same_thread=False))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600, exist_ok=True)
        return _prepared(sqlite3.connect(path, check_same_thread=False))
    except (
        OSError,
        sqlite3.OperationalError,
    ) as error:  # a folder, a full or locked file: nothing that may be set aside
        raise ConfigError(f"the cache {path} cannot be used: {error}; choose another file with --cache.") from error
    except sqlite3.DatabaseError:
        # A cache is worth nothing but time: a damaged one is set aside, never a reason not to start.
        path.replace(path.with_name(f"{path.name}.damaged"))
        path.touch(mode=0o600)
        return _prepared(sqlite3.connect(path, check_same_thread=False))


def _prepared(file: sqlite3.Connection) -> sqlite3.Connection:
    # With a write-ahead log a kill loses the last moments at most and never the file.
    file.execute("PRAGMA journal_mode = WAL")
    file.execute("PRAGMA synchronous = NORMAL")
    file.executescript(_SCHEMA)
    return file


def _written(explanation: ScoredExplanation) -> str:
    score = explanation.score
    kept = None if score is None else [score.error, score.cosine, score.explained]
    return json.dumps([explanation.text, explanation.outcome.value, kept], ensure_ascii=False)


def _read(text: str) -> ScoredExplanation:
    said, outcome, score = json.loads(text)
    return ScoredExplanation(said, Outcome(outcome), None if score is None else Score(*score))
