"""Writing to the disk so that nothing is ever half there: whole files, whole folders, full disks in words.

A file or folder appears under its name only when it is complete, by writing beside it and renaming.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

from nlakit.config import plain
from nlakit.errors import StorageFullError

P = ParamSpec("P")
T = TypeVar("T")


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn "no space left" and "quota exceeded" inside the block into StorageFullError naming ``path``."""
    try:
        yield
    except OSError as error:
        if isinstance(error, StorageFullError) or error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise StorageFullError(
            f"the disk is full while writing {path}. What was complete before is untouched: "
            "free some space and run the same command again."
        ) from error


def _reports_full_disk(function: Callable[P, T]) -> Callable[P, T]:
    """Apply :func:`storage_errors` to a function whose first argument is the path it writes."""

    @wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        with storage_errors(Path(str(args[0]))):
            return function(*args, **kwargs)

    return wrapped


def require_free_space(path: Path, needed_bytes: int) -> None:
    """Raise StorageFullError when the disk of ``path`` has less free space than is about to be written."""
    existing = next(parent for parent in (path, *path.absolute().parents) if parent.exists())
    free = shutil.disk_usage(existing).free
    if free < needed_bytes:
        raise StorageFullError(
            f"{path} needs about {needed_bytes / 1e6:,.0f} MB and its disk has {free / 1e6:,.0f} MB free. "
            "Free some space or choose another --out."
        )


@_reports_full_disk
def atomic_write_bytes(path: Path, data: bytes) -> None:
    """Write a file so that it either has all of ``data`` or is as it was before, also across a crash."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp-{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def atomic_write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8 by :func:`atomic_write_bytes`."""
    atomic_write_bytes(path, text.encode())


def write_json(path: Path, value: object) -> None:
    """Write indented JSON by :func:`atomic_write_bytes`; models become mappings."""
    atomic_write_text(path, json.dumps(plain(value), indent=2, ensure_ascii=False) + "\n")


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder that becomes ``path`` when the block ends well, and vanishes when it does not.

    A folder that was at ``path`` is replaced; a crash between the two renames leaves it as
    ``.<name>.old-<pid>``, which the next write removes.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for stale in path.parent.glob(f".{path.name}.*-*"):
        _recover(path, stale)
    temporary = path.with_name(f".{path.name}.tmp-{os.getpid()}")
    try:
        with storage_errors(path):
            temporary.mkdir()
            yield temporary
            for file in temporary.rglob("*"):
                _sync(file)
            _sync(temporary)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    old = path.with_name(f".{path.name}.old-{os.getpid()}")
    if path.exists():
        path.rename(old)
    temporary.rename(path)
    _sync_folder(path.parent)
    shutil.rmtree(old, ignore_errors=True)


def _recover(path: Path, stale: Path) -> None:
    """Put back or remove what an interrupted :func:`atomic_folder` left beside ``path``."""
    if ".old-" in stale.name and not path.exists():
        stale.rename(path)
    else:
        shutil.rmtree(stale, ignore_errors=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_folder(path: Path) -> None:
    # Some file systems refuse to sync a folder; the rename itself has happened by then.
    with suppress(OSError):
        _sync(path)
