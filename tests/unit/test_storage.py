"""Tests of nlakit.storage."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from safetensors import SafetensorError

from nlakit.errors import InputError, StorageFullError
from nlakit.storage import atomic_folder, atomic_write_text, require_free_space, require_writable

DEAD = 2**31 - 1
"""A process number that no process has."""


FAILING_CALLS = pytest.mark.parametrize("call", ["open", "fsync", "mkdir"])


@contextmanager
def full_disk(call: str) -> Iterator[None]:
    """Let opening, syncing or the making of folders fail as on a full disk."""

    def no_space(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os if call == "fsync" else Path, call, no_space)
        yield


@FAILING_CALLS
def test_a_file_is_whole_or_as_before_on_a_full_disk(tmp_path: Path, call: str) -> None:
    """A full disk leaves the old content, no leftover beside it, and names the file."""
    path = tmp_path / "a.json"
    path.write_text("old")

    with full_disk(call), pytest.raises(StorageFullError, match=r"the disk is full while writing .*a\.json"):
        atomic_write_text(path, "new")

    assert "old" == path.read_text()
    assert [path] == list(tmp_path.iterdir())


@FAILING_CALLS
def test_a_folder_is_whole_or_as_before_on_a_full_disk(tmp_path: Path, call: str) -> None:
    """A full disk in the middle of a folder leaves the old folder and nothing half-written."""
    path = tmp_path / "pair"
    path.mkdir()
    (path / "weights").write_text("old")

    with full_disk(call), pytest.raises(StorageFullError, match="pair"), atomic_folder(path) as folder:
        (folder / "weights").open("w").close()

    assert "old" == (path / "weights").read_text()
    assert [path] == list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
    ],
)
def test_no_space_inside_the_block_is_a_user_error(tmp_path: Path, error: Exception) -> None:
    """Libraries that write inside an atomic folder report a full disk in the same words, with or without a number."""
    with pytest.raises(StorageFullError), atomic_folder(tmp_path / "pair"):
        raise error

    assert [] == list(tmp_path.iterdir())


def test_other_errors_pass_through_an_atomic_folder(tmp_path: Path) -> None:
    """An error inside the block is raised as it is, and the folder does not appear."""
    with pytest.raises(PermissionError), atomic_folder(tmp_path / "pair"):
        raise PermissionError(errno.EACCES, "denied")

    assert [] == list(tmp_path.iterdir())


def test_an_atomic_folder_replaces_the_one_before(tmp_path: Path) -> None:
    """The new folder holds what was written and nothing of the old one."""
    path = tmp_path / "pair"
    path.mkdir()
    (path / "old").touch()

    with atomic_folder(path) as folder:
        (folder / "inner").mkdir()
        (folder / "inner" / "new").touch()

    assert [path / "inner", path / "inner" / "new"] == sorted(path.rglob("*"))
    assert [path] == list(tmp_path.iterdir())


def test_what_a_crash_between_two_renames_left_is_recovered(tmp_path: Path) -> None:
    """The old folder, moved aside by a process that died, comes back before the next write."""
    aside, leftover = tmp_path / f".pair.old-{DEAD}", tmp_path / f".pair.tmp-{DEAD}"
    aside.mkdir()
    (aside / "weights").write_text("old")
    leftover.mkdir()

    with pytest.raises(RuntimeError), atomic_folder(tmp_path / "pair"):
        raise RuntimeError

    assert "old" == (tmp_path / "pair" / "weights").read_text()
    assert [tmp_path / "pair"] == list(tmp_path.iterdir())


def test_too_little_free_space_is_said_before_writing(tmp_path: Path) -> None:
    """The message has the needed and the free amount; the path need not exist yet."""
    require_free_space(tmp_path / "not" / "there", 1)
    with pytest.raises(StorageFullError, match=r"needs about 1,000,000,000,000 MB"):
        require_free_space(tmp_path / "not" / "there", 10**18)


def test_a_place_that_cannot_be_written_is_refused_before_the_work(tmp_path: Path) -> None:
    """A folder, and a path below a file, are no files to write; a new file in a new folder is, and is not made yet."""
    (tmp_path / "file").write_text("kept")
    for path in (tmp_path, tmp_path / "file" / "below.json"):
        with pytest.raises(InputError, match=str(path)):
            require_writable(path)

    require_writable(tmp_path / "new" / "file.json")
    require_writable(tmp_path / "file")

    assert not list((tmp_path / "new").iterdir())
    assert (tmp_path / "file").read_text() == "kept"


def test_a_killed_writer_leaves_the_old_file(tmp_path: Path) -> None:
    """Killing with -9 at any moment of a write leaves the file complete."""
    path = tmp_path / "a.json"
    atomic_write_text(path, "0" * 100_000)
    code = (
        "import sys; from pathlib import Path; from nlakit.storage import atomic_write_text\n"
        "print('ready', flush=True)\n"
        "while True:\n    for digit in '12': atomic_write_text(Path(sys.argv[1]), digit * 100_000)"
    )
    writer = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    writer.stdout.readline()
    time.sleep(0.3)
    writer.send_signal(signal.SIGKILL)
    writer.communicate()

    text = path.read_text()
    assert (100_000, 1) == (len(text), len(set(text)))


def test_what_killed_writers_left_is_removed_by_the_next_write(tmp_path: Path) -> None:
    """Half-written files of dead processes do not fill the disk; those of living ones are left alone."""
    dead, living = tmp_path / f".a.json.tmp-{DEAD}", tmp_path / f".a.json.tmp-{os.getppid()}"
    dead.touch()
    living.touch()

    atomic_write_text(tmp_path / "a.json", "new")

    assert {tmp_path / "a.json", living} == set(tmp_path.iterdir())
