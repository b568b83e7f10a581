"""The audit log: what stands in it, and what does not."""

from __future__ import annotations

import hashlib
import json
import stat
from pathlib import Path

import pytest

from nlakit.errors import ConfigError
from nlakit.serve.audit import AuditLog

PRIVATE = "Mia writes to mia@mail.example about the box."
MESSAGES = [{"role": "user", "content": PRIVATE}, {"role": "assistant", "content": [{"type": "text", "text": "Aha."}]}]


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_line_tells_what_was_read_without_its_words(tmp_path: Path) -> None:
    """A known text can be found by its hash; the text itself is nowhere, and nobody else can read the file."""
    path = tmp_path / "logs" / "audit.jsonl"
    with AuditLog(path) as log:
        log.record("10.0.0.1", "/explain", {"text": PRIVATE, "positions": [3, -1]})
    with AuditLog(path) as log:
        log.record("10.0.0.1", "/describe", {"activations": [[1.0], [2.0]], "positions": list(range(100))})
    first, second = lines(path)
    assert (first["client"], first["route"], first["positions"]) == ("10.0.0.1", "/explain", [3, -1])
    assert first["sha256"] == hashlib.sha256(PRIVATE.encode()).hexdigest()
    assert first["characters"] == len(PRIVATE)
    assert (second["vectors"], second["positions"]) == (2, 100)
    assert "Mia" not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_redacted_texts_can_be_read_and_identify_nobody(tmp_path: Path) -> None:
    """Texts of messages, in one piece or in parts, stand in the line with addresses masked."""
    with AuditLog(tmp_path / "audit.jsonl", redacted=True) as log:
        log.record("a", "/v1/chat/completions", {"messages": MESSAGES})
        log.record("a", "/v1/shares", {"input": {"text": PRIVATE}})
    line, shared = lines(tmp_path / "audit.jsonl")
    assert shared["characters"] == len(PRIVATE)
    assert line["texts"] == ["Mia writes to [e-mail] about the box.", "Aha."]


@pytest.mark.parametrize(
    "body", [{}, {"messages": "none"}, {"messages": [1, {"content": 2}]}, {"text": 5, "activations": 1}]
)
def test_a_shape_that_will_be_refused_breaks_nothing(tmp_path: Path, body: dict) -> None:
    """The log is written before shapes are checked."""
    with AuditLog(tmp_path / "audit.jsonl", redacted=True) as log:
        log.record("a", "/x", body)
    assert lines(tmp_path / "audit.jsonl")[0]["characters"] == 0


def test_a_place_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    """A folder is no file to write to."""
    with pytest.raises(ConfigError, match="--audit"):
        AuditLog(tmp_path)
