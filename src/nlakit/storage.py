"""Writing to the disk so that nothing is ever half there: whole files, whole folders, full disks in words.

A file or folder appears under its name only when it is complete, by writing beside it and renaming.
"""

from __future__ import annotations

import errno
import glob
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nlakit.config import plain
from nlakit.errors import InputError, StorageFullError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""A full disk, a used-up quota, and a file that would outgrow what this process may write."""


def is_disk_full(error: BaseException) -> bool:
    """Whether an error, of Python or of a library that gives no error number, means that no more may be written."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in _FULL
    return any(os.strerror(number) in str(error) for number in _FULL)


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn a full disk inside the block into StorageFullError naming ``path``."""
    try:
        yield
    except Exception as error:
        if isinstance(error, StorageFullError) or not is_disk_full(error):
            raise
        raise StorageFullError(
            f"the disk is full while writing {path} ({error}). What was complete before is untouched: "
            "free some space and run the same command again."
        ) from error


def require_free_space(path: Path, needed_bytes: int, remedy: str = "choose another --out") -> None:
    """Raise StorageFullError when the disk of ``path`` has less free space than is about to be written."""
    existing = next(parent for parent in (path, *path.absolute().parents) if parent.exists())
    free = shutil.disk_usage(existing).free
    if free < needed_bytes:
        raise StorageFullError(
            f"{path} needs about {needed_bytes / 1e6:,.0f} MB and its disk has {free / 1e6:,.0f} MB free. "
            f"Free some space or {remedy}."
        )


def require_writable(path: Path) -> None:
    """Raise InputError unless a file can be made at ``path``; asked before the work whose result goes there."""
    if path.is_dir():
        raise InputError(f"{path} is a folder, expected the name of a file to write")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        if is_disk_full(error):
            raise
        raise InputError(f"{path} cannot be written ({error.strerror}); choose another place") from error


def atomic_write_bytes(path: Path, data: bytes) -> None:
    """Write a file so that it either has all of ``data`` or is as it was before, also across a crash."""
    temporary = path.with_name(f".{path.name}.tmp-{os.getpid()}")
    try:
        with storage_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            for leftover in _leftovers(path):
                leftover.unlink(missing_ok=True)
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
    for leftover in _leftovers(path):
        _recover(path, leftover)
    temporary = path.with_name(f".{path.name}.tmp-{os.getpid()}")
    try:
        with storage_errors(path):
            temporary.mkdir(parents=True)
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


def _leftovers(path: Path) -> list[Path]:
    """Return what processes that died while writing ``path`` left beside it."""
    beside = [
        *path.parent.glob(f".{glob.escape(path.name)}.tmp-*"),
        *path.parent.glob(f".{glob.escape(path.name)}.old-*"),
    ]
    return [
        entry for entry in beside if (writer := entry.name.rpartition("-")[2]).isdigit() and not _alive(int(writer))
    ]


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return process != os.getpid()


def _recover(path: Path, leftover: Path) -> None:
    """Put back the folder that was moved aside when a writer died between two renames; remove anything else."""
    if ".old-" in leftover.name and not path.exists():
        leftover.rename(path)
    else:
        shutil.rmtree(leftover, ignore_errors=True)


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
