"""What was answered and paid for, on the disk, so that nothing is paid for twice.

::

    answers/
      answers.jsonl    one line an answer, by the hash of its request; also what was spent in vain
      batch-*.json     batches that were sent and not yet fetched

Lines are appended and forced to the disk one by one: kill -9 loses the requests under way and nothing else. An answer
belongs to the content of its request, so that it serves whatever else changes.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nlakit.config import fingerprint
from nlakit.data.instruction import Reply
from nlakit.data.providers.spending import Tokens
from nlakit.storage import storage_errors, write_json

FILE = "answers.jsonl"


@dataclass(frozen=True, slots=True)
class Job:
    """A batch that was sent: its name at the endpoint, and the requests in it."""

    id: str
    keys: tuple[str, ...]


class Answers:
    """The answers of one teacher; without a folder they live as long as this object.

    ``teacher`` is the teacher's fingerprint: answers of others in the same file stay there and are not counted.
    """

    def __init__(self, folder: Path | None, teacher: str) -> None:
        self._folder, self._teacher = folder, teacher
        self._lock = threading.Lock()
        self._places: dict[str, int] = {}
        """Where in the file an answer stands: hundreds of thousands of texts need not be in memory."""
        self._texts: dict[str, Reply] = {}
        self.spent = Tokens()
        """What this teacher's answers used, those in vain too."""
        self.calls = 0
        """Answers of this teacher."""
        if folder is not None and (folder / FILE).exists():
            self._index(folder / FILE)

    def __contains__(self, key: str) -> bool:
        return key in self._places or key in self._texts

    def __getitem__(self, key: str) -> Reply:
        if key in self._texts:
            return self._texts[key]
        if self._folder is None:
            raise KeyError(key)
        with (self._folder / FILE).open("rb") as file:
            file.seek(self._places[key])
            line = json.loads(file.readline())
        return Reply(line["text"], line["end"], line["input_tokens"], line["output_tokens"])

    def add(self, key: str, reply: Reply) -> None:
        """Keep an answer; it is on the disk when this returns."""
        used = Tokens(reply.input_tokens or 0, reply.output_tokens or 0)
        line = {"key": key, "text": reply.text, "end": reply.end}
        with self._lock:
            place = self._append(line, used)
            if place is None:
                self._texts[key] = reply
            else:
                self._places[key] = place
            self.calls += 1

    def add_lost(self, used: Tokens) -> None:
        """Keep what a request may have cost that brought no answer."""
        with self._lock:
            self._append({"key": None}, used)

    def add_job(self, job: Job) -> None:
        """Keep the name of a batch, so that it is fetched and not sent again."""
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)
            write_json(self._job_path(job), {"teacher": self._teacher, "id": job.id, "keys": job.keys})

    def remove_job(self, job: Job) -> None:
        """Forget a batch whose answers are kept."""
        if self._folder is not None:
            self._job_path(job).unlink(missing_ok=True)

    def jobs(self) -> Iterator[Job]:
        """Yield the batches of this teacher that were sent and not yet fetched."""
        paths = [] if self._folder is None else sorted(self._folder.glob("batch-*.json"))
        for path in paths:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content["teacher"] == self._teacher:
                yield Job(content["id"], tuple(content["keys"]))

    def missing(self, keys: Iterable[str]) -> dict[str, None]:
        """Return the requests, each once and in order, that have no answer and are in no batch under way."""
        sent = {key for job in self.jobs() for key in job.keys}
        return {key: None for key in keys if key not in self and key not in sent}

    def _append(self, line: dict[str, Any], used: Tokens) -> int | None:
        """Write a line and return where it starts; None without a folder."""
        self.spent += used
        if self._folder is None:
            return None
        content = {"teacher": self._teacher, **line, "input_tokens": used.input, "output_tokens": used.output}
        data = json.dumps(content, ensure_ascii=False).encode() + b"\n"
        path = self._folder / FILE
        with storage_errors(path):
            self._folder.mkdir(parents=True, exist_ok=True)
            with path.open("ab") as file:
                place = file.tell()
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        return place

    def _index(self, path: Path) -> None:
        """Find the lines of a file; one that a crash cut short is taken away."""
        with path.open("r+b") as file:
            place = 0
            for data in file:
                if not data.endswith(b"\n"):
                    file.truncate(place)
                    break
                self._note(data, place)
                place += len(data)

    def _note(self, data: bytes, place: int) -> None:
        try:
            line = json.loads(data)
            used = Tokens(line["input_tokens"], line["output_tokens"])
            key, teacher = line["key"], line["teacher"]
        except (ValueError, KeyError, TypeError):
            return  # asked for again
        if key is not None:
            self._places[key] = place
        if teacher == self._teacher:
            self.spent += used
            self.calls += key is not None

    def _job_path(self, job: Job) -> Path:
        folder = self._folder or Path()
        return folder / f"batch-{fingerprint(job.id)}.json"
