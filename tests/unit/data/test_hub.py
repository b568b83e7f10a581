from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest

from nlakit.config import CorpusConfig
from nlakit.data.corpus import Corpus, Message
from nlakit.data.hub import DatasetsCorpus, make_datasets_corpus
from nlakit.errors import ConfigError, InputError, MissingExtraError

COMMIT = "0123456789abcdef0123456789abcdef01234567"
ROWS = [{"text": "one", "key": "a", "image": "?"}, {"text": "two", "key": "b", "image": "?"}]


class Stream:
    """What load_dataset gives for a stream."""

    def __init__(self, rows: list[dict[str, Any]], names: list[str] | None) -> None:
        self.rows = rows
        self.column_names = names

    def select_columns(self, names: list[str]) -> Stream:
        return Stream([{name: row[name] for name in names} for row in self.rows], names)

    def __iter__(self) -> Any:
        return iter(self.rows)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Stand in for the hub and the package; return what they were asked."""
    asked: list[Any] = []

    def load_dataset(path: str, **options: Any) -> Stream:
        asked.append((path, options))
        return Stream(ROWS, list(ROWS[0]))

    def dataset_info(_: Any, name: str, revision: str | None = None) -> Any:
        asked.append((name, revision))
        return SimpleNamespace(sha=COMMIT)

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", dataset_info)
    return asked


def corpus(**options: Any) -> DatasetsCorpus:
    return make_datasets_corpus(CorpusConfig(name="datasets", options={"name": "owner/data", **options}))


def test_the_revision_that_is_read_is_pinned(calls: list[Any]) -> None:
    """A branch is looked up once, the stream is read at its commit, and the fingerprint shows that commit."""
    found = corpus(revision="main", config="en", split="validation", id="key")

    assert [("one", "a"), ("two", "b")] == [(document.text, document.id) for document in found]
    stream = {"name": "en", "split": "validation", "revision": COMMIT, "streaming": True}
    assert [("owner/data", "main"), ("owner/data", stream)] == calls
    assert found.fingerprint().endswith(f"@{COMMIT}")
    assert isinstance(found, Corpus)


def test_a_commit_needs_no_network(calls: list[Any]) -> None:
    """A commit is taken at its word, and is the same corpus as the branch that stands for it."""
    by_commit = corpus(revision=COMMIT)

    assert [] == calls
    assert corpus().fingerprint() == by_commit.fingerprint()


@pytest.mark.parametrize(
    "options", [{"split": "test"}, {"config": "de"}, {"revision": "f" * 40}, {"column": "key"}, {"name": "other/data"}]
)
def test_each_option_is_in_the_fingerprint(calls: list[Any], options: dict[str, str]) -> None:
    """Whatever decides which documents there are makes another fingerprint."""
    assert corpus().fingerprint() != corpus(**options).fingerprint()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"options": {}}, r"needs either corpus\.options\.name.* or corpus\.path"),
        ({"options": {"name": "a/b"}, "path": "."}, r"needs either"),
        ({"options": {"name": 3}}, r"corpus\.options\.name is 3; it must be a text"),
        ({"options": {"nam": "a/b"}}, r"Did you mean 'name'"),
        ({"path": "/nowhere/at/all"}, r"corpus\.path = '/nowhere/at/all' is no folder"),
        ({"path": ".", "options": {"revision": "main"}}, r"a local folder has no revision"),
    ],
)
def test_settings_that_cannot_work(calls: list[Any], config: dict[str, Any], message: str) -> None:
    """Options that contradict each other are refused by name before anything is asked of the hub."""
    with pytest.raises(ConfigError, match=message):
        make_datasets_corpus(CorpusConfig(name="datasets", **config))
    assert [] == calls


def test_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package the command that installs it is named."""
    monkeypatch.setitem(sys.modules, "datasets", None)

    with pytest.raises(MissingExtraError, match=r"pip install 'nlakit\[data\]'"):
        corpus()


def test_a_hub_that_does_not_answer(calls: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """What the network says is passed on with the name, and with the way to do without a look-up."""

    def fail(*_: Any, **__: Any) -> None:
        raise OSError("no route")

    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", fail)
    with pytest.raises(InputError, match=r"'owner/data' cannot be looked up: OSError: no route.*40\s+digits"):
        corpus()
    monkeypatch.setattr(sys.modules["datasets"], "load_dataset", fail)
    with pytest.raises(InputError, match=r"the dataset 'owner/data' \(train\) cannot be read: OSError: no route"):
        list(corpus(revision=COMMIT))


def test_columns_that_come_and_go(calls: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream of unknown columns is checked row by row."""
    rows = [{"text": "one"}, {"texts": "two"}]
    monkeypatch.setattr(sys.modules["datasets"], "load_dataset", lambda *_, **__: Stream(rows, None))

    with pytest.raises(InputError, match=r"row 2 lacks one of the columns text"):
        list(corpus(revision=COMMIT))


@pytest.mark.slow
def test_a_local_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of data files is streamed by the real package, and its fingerprint follows the files."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    pytest.importorskip("datasets")
    folder = tmp_path / "data"
    folder.mkdir()
    lines = [json.dumps({"messages": [{"role": "user", "content": f"m{i}"}]}) + "\n" for i in range(3)]
    (folder / "data.jsonl").write_text("".join(lines), encoding="utf-8")
    config = CorpusConfig(name="datasets", path=str(folder), documents=2)
    found = make_datasets_corpus(config)
    before = found.fingerprint()

    assert [(Message("user", "m0"),), (Message("user", "m1"),)] == [document.messages for document in found]
    (folder / "data.jsonl").write_text("".join(reversed(lines)), encoding="utf-8")
    assert before != make_datasets_corpus(config).fingerprint()
    with pytest.raises(InputError, match="Bad split"):
        list(make_datasets_corpus(config.model_copy(update={"options": {"split": "test"}})))
