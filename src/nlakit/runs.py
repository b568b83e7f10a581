"""Run folders: the record of one pipeline, written so that nothing is ever half there.

::

    run/
      .lock             held by the process that works here
      config.json       resolved recipe, versions, commit, hardware, seed; written before the first step
      metrics.jsonl     one line per logged step of any stage
      <stage>/          one folder a stage
        done.json       written last, atomically: settings, finish time, outputs

Files are written through :mod:`nlakit.storage`, so that each is complete or as it was before.
"""

from __future__ import annotations

import fcntl
import importlib.metadata
import json
import os
import platform
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Literal, Self

from nlakit.config import Recipe, plain
from nlakit.errors import RunError, UserError
from nlakit.recipe import recipe_from
from nlakit.storage import atomic_write_bytes, atomic_write_text, storage_errors, write_json

StageState = Literal["done", "partial", "absent"]

_RECORDED_PACKAGES = ("nlakit", "torch", "transformers", "tokenizers", "safetensors", "numpy", "pyarrow")
_TAIL_BYTES = 65_536
"""End of a file in which its last line is looked for; lines of metrics have about a thousand."""
_ABSENT = object()
LOCK = ".lock"
"""Held, by the operating system, by the process that works in a folder."""


class MetricsWriter:
    """Appends lines to ``metrics.jsonl`` for one stage; a resumed stage drops lines past its checkpoint."""

    def __init__(self, path: Path, stage: str) -> None:
        """Open the file for one stage, ending a line that a crash cut short."""
        self.path = path
        self.stage = stage
        self._drop(lambda _: False)
        self._file: IO[str] = path.open("a", encoding="utf-8")

    def write(self, step: int, values: Mapping[str, object]) -> None:
        """Append one line ``{"stage", "step", ...values}``; numbers that are not finite become null."""
        line = {"stage": self.stage, "step": step, **{key: _finite(value) for key, value in values.items()}}
        with storage_errors(self.path):
            self._file.write(json.dumps(line, ensure_ascii=False) + "\n")
            self._file.flush()

    def sync(self) -> None:
        """Force written lines to the disk; call with every checkpoint."""
        with storage_errors(self.path):
            self._file.flush()
            os.fsync(self._file.fileno())

    def truncate_after(self, step: int) -> None:
        """Remove this stage's lines of later steps, so that a resumed run never doubles a line."""
        self._file.close()
        self._drop(lambda line: line["stage"] == self.stage and line["step"] > step)
        self._file = self.path.open("a", encoding="utf-8")

    def close(self) -> None:
        """Sync and close the file."""
        try:
            self.sync()
        finally:
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _drop(self, unwanted: Callable[[dict[str, Any]], bool]) -> None:
        if not self.path.exists():
            return
        text = self.path.read_text(encoding="utf-8", errors="replace")  # a crash may cut a character in two
        kept = "".join(
            line + "\n" for line in text.split("\n") if (parsed := _parsed(line)) is not None and not unwanted(parsed)
        )
        if kept != text:
            atomic_write_text(self.path, kept)


def read_metrics(path: Path, stage: str | None = None) -> list[dict[str, Any]]:
    """Return the lines of a ``metrics.jsonl``, of one stage or of all; a missing file has none."""
    if not path.exists():
        return []
    lines = [_parsed(line) for line in path.read_text(encoding="utf-8", errors="replace").split("\n")]
    return [line for line in lines if line is not None and stage in (None, line.get("stage"))]


def last_metrics(path: Path) -> dict[str, Any] | None:
    """Return the last whole line of a ``metrics.jsonl``, reading no more than its end; None where there is none."""
    if not path.exists():
        return None
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
        lines = file.read().decode("utf-8", errors="replace").split("\n")
    return next((found for line in reversed(lines) if (found := _parsed(line)) is not None), None)


class StageFolder:
    """The folder of one stage inside a run."""

    def __init__(self, run: RunFolder, name: str) -> None:
        """Point to the stage's folder; nothing is created until :meth:`create`."""
        self.run = run
        self.name = name
        self.path = run.path / name

    def create(self) -> Path:
        """Make the folder if it is missing, and return it."""
        self._is_new = not self.path.exists()
        with storage_errors(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        return self.path

    def begin(self, settings: Mapping[str, object]) -> Path:
        """Make the folder and record the settings it is being filled with, before any output."""
        self.create()
        write_json(self.path / "settings.json", settings)
        return self.path

    def finish(
        self,
        settings: Mapping[str, object],
        outputs: Mapping[str, object] | None = None,
        measured: Mapping[str, object] | None = None,
    ) -> None:
        """Mark the stage done; call last, after every output is on the disk.

        ``measured`` is how fast it went: unlike the outputs it differs each time.
        """
        record: dict[str, object] = {"settings": settings, "finished_at": now(), "outputs": outputs or {}}
        if measured is not None:
            record["measured"] = measured
        write_json(self.path / "done.json", record)

    @property
    def outputs(self) -> dict[str, Any]:
        """What the finished stage recorded as its outputs; RunError when it is not finished."""
        outputs: dict[str, Any] = self._done()["outputs"]
        return outputs

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that the finished stage was made with; RunError when it is not finished."""
        settings: dict[str, Any] = self._done()["settings"]
        return settings

    def _done(self) -> dict[str, Any]:
        done = _read_json(self.path / "done.json", "settings", "outputs")
        if done is None:
            raise RunError(
                f"{self.run.path} has no finished stage {self.name!r}; run that stage first (nlakit run does all)"
            )
        return done


class RunFolder:
    """One run: opened if it exists, created if it does not."""

    def __init__(self, path: str | Path) -> None:
        """Open or create the folder; RunError when the path is a file or holds something else."""
        self.path = Path(path)
        self._lock_depth = 0
        if self.path.exists() and not self.path.is_dir():
            raise RunError(f"{self.path} is a file, expected a folder for the run; choose another --out")
        if self.path.exists() and not (self.path / "config.json").exists() and self._foreign():
            raise RunError(
                f"{self.path} is not empty and is no run folder (it has no config.json); choose another --out or empty it"
            )
        self._is_new = not self.path.exists()
        with storage_errors(self.path):
            self.path.mkdir(parents=True, exist_ok=True)

    @classmethod
    def existing(cls, path: str | Path) -> RunFolder:
        """Open a folder that must already be a run; RunError, and nothing created, when it is none."""
        if not (Path(path) / "config.json").is_file():
            raise RunError(
                f"{path} is no run folder: it has no config.json; start one with: nlakit run RECIPE --out {path}"
            )
        return cls(path)

    def _foreign(self) -> bool:
        return any(not entry.name.startswith(".") for entry in self.path.iterdir())

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder by :func:`folder_lock` for this object; may be nested."""
        self._lock_depth += 1
        try:
            if self._lock_depth > 1:
                yield
            else:
                with folder_lock(self.path):
                    yield
        finally:
            self._lock_depth -= 1

    def write_config(self, recipe: Recipe) -> None:
        """Record the resolved recipe and where it runs; call before the first step.

        The first call fixes ``config.json``. A later call with other settings is accepted here and
        judged stage by stage by :meth:`check_stage`, because a change to ``train`` must not throw
        away a store; the file then shows the settings of the latest call.
        """
        record = {
            "recipe": plain(recipe),
            "seed": recipe.seed,
            "versions": versions(),
            "commit": commit(),
            "hardware": hardware(),
            "written_at": now(),
        }
        before = _read_json(self.path / "config.json", "recipe")
        if before is None or before["recipe"] != record["recipe"]:
            write_json(self.path / "config.json", record)

    @contextmanager
    def recording(self, recipe: Recipe) -> Iterator[None]:
        """Record the recipe for the stages inside; refused before any of them began, it leaves the folder as it was."""
        path = self.path / "config.json"
        before, stages = path.read_bytes() if path.exists() else None, self._marks("settings", "done")
        self.write_config(recipe)
        try:
            yield
        except UserError:
            if stages == self._marks("settings", "done"):
                self._restore(before)
            raise

    def _restore(self, config: bytes | None) -> None:
        """Put ``config.json`` back as it was; a folder that was made for nothing goes."""
        path, lock = self.path / "config.json", self.path / LOCK
        if config is not None:
            atomic_write_bytes(path, config)
            return
        path.unlink(missing_ok=True)
        if self._is_new and list(self.path.iterdir()) == [lock]:
            lock.unlink()
            self.path.rmdir()

    def done_markers(self) -> dict[Path, bytes]:
        """Return the finish marks of all stages; a stage that skips itself changes none."""
        return self._marks("done")

    def _marks(self, *names: str) -> dict[Path, bytes]:
        return {path: path.read_bytes() for name in names for path in self.path.glob(f"*/{name}.json")}

    def recipe(self) -> Recipe:
        """Return the recipe this folder was last run with; RunError when it has none."""
        record = _read_json(self.path / "config.json", "recipe")
        if record is None:
            raise RunError(
                f"{self.path} has no config.json, so it is no run folder; start one with: nlakit run RECIPE --out DIR"
            )
        return recipe_from(record["recipe"], str(self.path / "config.json"))

    def stage(self, name: str) -> StageFolder:
        """Return the folder of a stage."""
        return StageFolder(self, name)

    def metrics(self, stage: str) -> MetricsWriter:
        """Open ``metrics.jsonl`` for one stage."""
        return MetricsWriter(self.path / "metrics.jsonl", stage)

    def check_stage(self, name: str, settings: Mapping[str, object], output: Path) -> StageState:
        """Say whether a stage is done, partly done, or absent, with these very settings.

        ``settings`` holds everything that decides the stage's output, as a mapping of mappings; ``output`` is what a
        finished stage has written. RunError when what is there was made with other settings, naming each that differs,
        or when a finished stage's output is gone.
        """
        folder = self.path / name
        done = _read_json(folder / "done.json", "settings", "outputs")
        began = _read_json(folder / "settings.json")
        recorded = done["settings"] if done is not None else began
        if recorded is None:
            return "absent"
        remedy = f"Choose another --out, or delete {folder} and the stages that follow it."
        require_same(recorded, settings, folder, remedy)
        if done is not None and not output.exists():
            raise RunError(
                f"the stage {name!r} is finished, and what it wrote is gone: {output}. Put it back, or delete {folder} to "
                "make it again"
            )
        return "done" if done is not None else "partial"


@contextmanager
def folder_lock(path: Path) -> Iterator[None]:
    """Hold a folder for this process; RunError naming the process that has it when another one does.

    The operating system drops the lock with the process, so that kill -9 never leaves one behind.
    """
    with (path / LOCK).open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise RunError(
                f"{path} is in use by process {holder}; wait for it, stop it, or choose another --out"
            ) from error
        with storage_errors(path):
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
        yield


def require_same(recorded: object, settings: object, folder: Path, remedy: str) -> None:
    """Raise RunError naming each setting in which what is in a folder differs from what is wanted now."""
    differing = differences(recorded, plain(settings))
    if differing:
        listed = "\n".join(f"  {line}" for line in differing)
        raise RunError(f"{folder} was made with other settings:\n{listed}\n{remedy}")


def differences(before: object, now: object, prefix: str = "") -> list[str]:
    """List the settings in which two JSON values differ, as "key: was x, now y"."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        keys = [*before, *(key for key in now if key not in before)]
        return [
            line
            for key in keys
            for line in differences(
                before.get(key, _ABSENT), now.get(key, _ABSENT), f"{prefix}.{key}" if prefix else str(key)
            )
        ]
    return [] if before == now else [f"{prefix}: was {_shown(before)}, now {_shown(now)}"]


def now() -> str:
    """Return the time, UTC, to the second, as records hold it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def versions() -> dict[str, str]:
    """Return the installed versions that can change a result."""
    found = {"python": platform.python_version()}
    for package in _RECORDED_PACKAGES:
        with suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found


def commit() -> str | None:
    """Return the git commit nlakit runs from, "-dirty" when files differ from it; None outside a checkout."""
    folder = Path(__file__).resolve().parent
    try:
        shown = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
            cwd=folder, capture_output=True, text=True, timeout=10, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return shown.stdout.strip() or None


def hardware() -> dict[str, object]:
    """Return what the run computes on, as far as it can be told without torch."""
    return {"platform": platform.platform(), "machine": platform.machine(), "cores": os.cpu_count()}


def _finite(value: object) -> object:
    # JSON has no NaN; null keeps the line readable by every parser.
    return None if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))) else value


def _shown(value: object) -> str:
    return "not set" if value is _ABSENT else json.dumps(value, ensure_ascii=False)


def _parsed(line: str) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except json.JSONDecodeError:
        return None
    return value if isinstance(value, dict) and {"stage", "step"} <= value.keys() else None


def _read_json(path: Path, *keys: str) -> dict[str, Any] | None:
    """Read a record that holds these keys, None when there is none; RunError for a damaged one."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read: {error}. {_remedy(path)}") from error
    if not isinstance(value, dict) or not set(keys) <= value.keys():
        raise RunError(f"{path} does not hold a mapping with {', '.join(keys) or 'settings'}. {_remedy(path)}")
    return value


def _remedy(path: Path) -> str:
    if path.name == "config.json":
        return "Put back the file that was there, or choose another --out."
    return f"Delete {path.parent} and the stages that follow it, or choose another --out."
