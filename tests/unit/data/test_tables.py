from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nlakit.config import CorpusConfig, Scalar
from nlakit.data import tables
from nlakit.data.corpus import Corpus, Document, Message, unique
from nlakit.data.tables import CsvCorpus, ParquetCorpus, make_csv_corpus, make_parquet_corpus
from nlakit.errors import ConfigError, InputError

CHAT = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]


def parquet(path: Path, columns: dict[str, Any], **options: Scalar) -> ParquetCorpus:
    pq.write_table(pa.table(columns), path)
    return make_parquet_corpus(CorpusConfig(name="parquet", path=str(path), options=options))


def csv(path: Path, content: str | bytes, **options: Scalar) -> CsvCorpus:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return make_csv_corpus(CorpusConfig(name="csv", path=str(path), options=options))


def test_parquet_rows_become_documents(tmp_path: Path) -> None:
    """Each row is a document in the order of the file, with a hash of its content as id or the id of a named column."""
    columns = {"text": ["one", "two"], "key": [7, 8], "note": ["a", "b"]}
    corpus = parquet(tmp_path / "a.parquet", columns)

    assert isinstance(corpus, Corpus)
    assert [("one", Document("", "one").content_hash), ("two", Document("", "two").content_hash)] == [
        (document.text, document.id) for document in corpus
    ]
    assert ["7", "8"] == [document.id for document in parquet(tmp_path / "a.parquet", columns, id="key")]
    assert ["a", "b"] == [document.text for document in parquet(tmp_path / "a.parquet", columns, column="note")]


def test_parquet_chats(tmp_path: Path) -> None:
    """A column of messages is a chat; it is taken unasked where there is no text."""
    (document,) = parquet(tmp_path / "a.parquet", {"messages": [CHAT]})

    assert (Message("user", "Hi"), Message("assistant", "Hello.")) == document.messages
    (named,) = parquet(tmp_path / "a.parquet", {"text": ["x"], "turns": [CHAT]}, column="turns")
    assert document == named


def test_files_are_read_in_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are decoded a few at a time, and only the columns that are asked for."""
    monkeypatch.setattr(tables, "BATCH_ROWS", 4)
    path = tmp_path / "a.parquet"
    corpus = parquet(path, {"text": [f"t{i}" for i in range(10)], "other": list(range(10))})

    assert [(4, ["text"]), (4, ["text"]), (2, ["text"])] == [
        (len(batch), batch.schema.names) for batch in corpus._batches(path, ["text"])
    ]
    first = make_parquet_corpus(CorpusConfig(name="parquet", path=str(path), documents=3))
    assert ["t0", "t1", "t2"] == [document.text for document in first]


def test_csv_cells_are_text(tmp_path: Path) -> None:
    """Quoted line breaks stay, numbers and NA are words, and a byte-order mark is no part of a name."""
    corpus = csv(tmp_path / "a.csv", '\ufefftext,id\n"one\n\ntwo, ""x""",007\nNA,2\n', id="id")

    assert [("007", 'one\n\ntwo, "x"'), ("2", "NA")] == [(d.id, d.text) for d in corpus]


def test_csv_chats_and_delimiters(tmp_path: Path) -> None:
    """A column named messages holds JSON; another delimiter can be named."""
    line = '"[{""role"": ""user"", ""content"": ""Hi""}]"'
    (document,) = csv(tmp_path / "a.csv", f"messages;x\n{line};1\n", delimiter=";")

    assert (Message("user", "Hi"),) == document.messages
    with pytest.raises(ConfigError, match=r"delimiter is '::'; it must be a single character"):
        csv(tmp_path / "a.csv", "text\n", delimiter="::")


def test_blank_rows_are_counted_as_duplicates_or_short(tmp_path: Path) -> None:
    """A missing text is an empty document, so that it is counted behind the corpus and nothing vanishes unseen."""
    found = list(parquet(tmp_path / "a.parquet", {"text": ["one", None, "", " "]}))

    assert ["one", "", "", " "] == [document.text for document in found]
    assert 3 == len(list(unique(found)))


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ("a,b\n1,2\n", {}, r"a\.csv has no column 'text'. Its columns are a, b: name one with corpus\.options\.column"),
        ("texts\nx\n", {"column": "text"}, r"Did you mean 'texts'"),
        ("text\nx\n", {"id": "key"}, r"has no column 'key'.*corpus\.options\.id"),
        ("", {}, r"a\.csv cannot be read as csv: Empty CSV file"),
        ("text,b\nx\n", {}, r"Expected 2 columns, got 1"),
        (b"text\n\xff\xfe\n", {}, r"invalid UTF8"),
        ("messages\n{\n", {}, r"a\.csv, row 1: 'messages' is not JSON"),
        ("messages\n[1]\n", {}, r"a\.csv, row 1: message 0 is 1"),
    ],
)
def test_csv_names_what_is_wrong(
    tmp_path: Path, content: str | bytes, options: dict[str, Scalar], message: str
) -> None:
    """A file that cannot be read as asked is an error with its name, the row or the option."""
    with pytest.raises(InputError, match=message):
        list(csv(tmp_path / "a.csv", content, **options))


def test_parquet_names_what_is_wrong(tmp_path: Path) -> None:
    """A column of numbers, ids that are none, and a damaged file are errors with their place."""
    path = tmp_path / "a.parquet"
    with pytest.raises(InputError, match=r"a\.parquet, row 1: the column 'n' holds 5"):
        list(parquet(path, {"n": [5]}, column="n"))
    with pytest.raises(InputError, match=r"row 2: the id in the column 'n' is None"):
        list(parquet(path, {"text": ["a", "b"], "n": [5, None]}, id="n"))
    with pytest.raises(ConfigError, match=r"corpus\.options\.column is 3; it must be the name of a column"):
        list(parquet(path, {"text": ["a"]}, column=3))
    path.write_bytes(b"no table")
    with pytest.raises(InputError, match=r"a\.parquet cannot be read as parquet"):
        list(make_parquet_corpus(CorpusConfig(name="parquet", path=str(path))))


def test_fingerprint_follows_options(tmp_path: Path) -> None:
    """Another column makes another corpus; the same file elsewhere is the same one."""
    columns = {"text": ["one"], "note": ["two"]}
    (tmp_path / "b").mkdir()
    a, moved = parquet(tmp_path / "a.parquet", columns), parquet(tmp_path / "b" / "a.parquet", columns)

    assert a.fingerprint() == moved.fingerprint()
    assert a.fingerprint() != parquet(tmp_path / "a.parquet", columns, column="note").fingerprint()
