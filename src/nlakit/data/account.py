"""What an extraction says about itself: how fast it went, and which documents it read otherwise than asked."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping

from nlakit.config import ExtractConfig
from nlakit.data.corpus import Corpus


class Speed:
    """How fast shards come: rows that were made and tokens that the target read for them, since this attempt began."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._tokens = self._rows = 0

    def count(self, rows: int, tokens: int) -> None:
        """Add a shard."""
        self._rows += rows
        self._tokens += tokens

    def record(self, workers: int) -> dict[str, object]:
        """Return it for ``done.json``."""
        seconds = time.monotonic() - self._started
        return {
            "seconds": round(seconds, 3),
            "tokens": self._tokens,
            "rows": self._rows,
            "tokens_per_second": round(self._tokens / seconds, 1),
            "rows_per_second": round(self._rows / seconds, 1),
            "workers": workers,
        }

    def __str__(self) -> str:
        seconds = time.monotonic() - self._started
        return f"{self._tokens / seconds:,.0f} tokens/s, {self._rows / seconds:,.0f} rows/s"


def remarks(counts: Mapping[str, int], config: ExtractConfig) -> Iterator[str]:
    """Say in words which documents were read otherwise than the settings ask for."""
    of = f"of {counts['documents']:,} documents"
    if counts["lowered"]:
        yield (
            f"{counts['lowered']:,} {of} end before extract.min_position ({config.min_position}) "
            "and were read from half of their length on"
        )
    if counts["short"]:
        yield f"{counts['short']:,} {of} are too short to be read and give no row"
    if counts["unplaced"]:
        yield f"{counts['unplaced']:,} {of} are chats that the template changes, so that roles and sections are not known"


def no_rows(counts: Mapping[str, int], corpus: Corpus) -> str:
    """Say why a corpus gave nothing."""
    if not counts["documents"]:
        return f"the corpus {corpus.name!r} holds no document. Check corpus.path and corpus.documents."
    return (
        f"none of the {counts['documents']} documents of the corpus {corpus.name!r} has a word to read behind its first token. "
        "Give longer documents, or name the column that holds their text."
    )
