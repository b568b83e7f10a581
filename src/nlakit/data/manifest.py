"""The manifest of a store: its settings, its counts, and the hash of every file in it.

A shard exists once the manifest names it; whatever else lies in the folder is left over from an
interrupted write.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from nlakit.errors import DamagedShardError, StoreError
from nlakit.runs import differences

SCHEMA_VERSION = 2
READABLE_VERSIONS = (1, 2)
"""Version 1 has no columns ``role`` and ``section``; they are read as null, which is: not known."""
MANIFEST = "manifest.json"


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class FileRecord(_Model):
    """Length in bytes and SHA-256 of one file."""

    size: int
    sha256: str

    @classmethod
    def of(cls, data: bytes) -> FileRecord:
        """Describe a file with this content."""
        return cls(size=len(data), sha256=hashlib.sha256(data).hexdigest())


class ShardRecord(_Model):
    """One shard: its file names without suffix, number of rows, files and counts."""

    name: str
    rows: int
    vectors: FileRecord
    table: FileRecord
    counts: dict[str, int]


class Manifest(_Model):
    """Everything about a store that is not a row."""

    schema_version: int = SCHEMA_VERSION
    width: int
    dtype: Literal["float32", "bfloat16"]
    settings: dict[str, Any]
    """What decides the rows: fingerprints of target, tokenizer and corpus, and the options of the extraction."""
    complete: bool = False
    shards: tuple[ShardRecord, ...] = ()
    corpus_counts: dict[str, int] = {}
    """What the corpus as a whole was counted for, once the store is complete."""

    @property
    def rows(self) -> int:
        """Number of rows in all shards."""
        return sum(shard.rows for shard in self.shards)

    @property
    def counts(self) -> dict[str, int]:
        """Documents, those left out and why, and rows by split, over all shards."""
        total: Counter[str] = Counter(self.corpus_counts)
        for shard in self.shards:
            total.update(shard.counts)
        return dict(sorted(total.items()))


def file_names(shard: ShardRecord) -> tuple[str, str]:
    """Return the names of a shard's two files: vectors, table."""
    return f"{shard.name}.safetensors", f"{shard.name}.parquet"


def shard_problems(folder: Path, shard: ShardRecord, *, contents: bool = True) -> list[str]:
    """Compare the files of one shard with the manifest: there, of the right length and, with ``contents``, the right hash."""
    problems = []
    for name, record in zip(file_names(shard), (shard.vectors, shard.table), strict=True):
        path = folder / name
        if not path.is_file():
            problems.append(f"{name} is missing")
        elif path.stat().st_size != record.size:
            problems.append(f"{name} has {path.stat().st_size} bytes, not {record.size}")
        elif contents:
            with path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
            if found != record.sha256:
                problems.append(f"{name} has the SHA-256 {found[:12]}..., not {record.sha256[:12]}...")
    return problems


def damaged_error(folder: Path, problems: Sequence[str]) -> DamagedShardError:
    """Build the error for files that are not as they were written, with the ways to mend it."""
    return DamagedShardError(
        f"the store {folder} is damaged: {'; '.join(problems)}. Restore the files from a copy, or delete "
        f"{folder / 'done.json'} and run the extraction again: only damaged shards are made anew."
    )


def check_dtype(dtype: str, what: str) -> None:
    """Raise StoreError for a number type that ``what`` cannot hold."""
    if dtype in ("float16", "fp16", "half"):
        raise StoreError(
            f"{what} cannot hold float16: activations of current models exceed its largest number, 65504. "
            "Set extract.dtype to bfloat16 (same size) or float32."
        )
    if dtype not in ("float32", "bfloat16"):
        raise StoreError(f"{what} cannot hold {dtype!r}. Set extract.dtype to bfloat16 or float32.")


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of a store; StoreError where there is none, a damaged one, or one of another version."""
    path = folder / MANIFEST
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise StoreError(
            f"{folder} holds no store: {MANIFEST} is missing. Extract one, or name another folder."
        ) from error
    except (OSError, ValueError) as error:
        raise StoreError(
            f"{path} cannot be read: {error}. Restore it, or delete the store and extract it again."
        ) from error
    version = data.get("schema_version") if isinstance(data, dict) else None
    if version not in READABLE_VERSIONS:
        raise StoreError(
            f"{path} has schema_version {version!r}; this nlakit reads {' and '.join(map(str, READABLE_VERSIONS))}. "
            "Use the nlakit that wrote it, or extract the store again."
        )
    check_dtype(str(data.get("dtype")), f"the store {folder}")
    try:
        return Manifest.model_validate(data)
    except ValidationError as error:
        raise StoreError(f"{path} is no manifest of a store: {error}") from error


def require_same(folder: Path, found: Manifest, wanted: Manifest) -> None:
    """Raise StoreError naming what differs when a store was begun with other settings, or columns, than those wanted now."""
    if found.schema_version != wanted.schema_version:
        raise StoreError(
            f"the store {folder} was begun with schema_version {found.schema_version}, and this nlakit writes "
            f"{wanted.schema_version}. Go on with the nlakit that began it, or delete the store and extract it again."
        )
    fields = {"width", "dtype", "settings"}
    differing = differences(
        found.model_dump(mode="json", include=fields), wanted.model_dump(mode="json", include=fields)
    )
    if differing:
        raise StoreError(
            f"the store {folder} was begun with other settings:\n"
            + "\n".join(f"  {line}" for line in differing)
            + "\nWrite to another folder, or delete this one."
        )
