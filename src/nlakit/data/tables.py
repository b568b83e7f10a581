"""Corpora of tables: ``parquet`` and ``csv``, read a batch of rows at a time and never as a whole.

``corpus.path`` is a file, or a folder whose files are read in the order of their names. What a row is
read as is the same for both, and for the corpus ``datasets``:

===========================  ==================================================================================
``corpus.options.column``    what is read: text, or messages (a list of ``{role, content}``, in CSV as JSON).
                             Without it the column ``text``, or ``messages`` where there is no ``text``
``corpus.options.id``        the column with the ids; without it the id of a document is a hash of its content
``corpus.options.delimiter`` of ``csv`` alone: what stands between two columns, a comma without it
===========================  ==================================================================================

A row whose text is blank or missing is an empty document: it gives no row of the store and is counted
with the short ones or, from the second on, with the duplicates.
"""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq

from nlakit.config import CorpusConfig, Scalar
from nlakit.data.corpus import Document, FileCorpus, parse_messages
from nlakit.errors import ConfigError, InputError, nearest

BATCH_ROWS = 512
"""Rows of a Parquet file that are decoded at once."""

BLOCK_BYTES = 16 * 2**20
"""Part of a CSV file that is parsed at once; no single row may be longer."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns of a table make a document."""

    content: str
    """Holds the text, or the messages."""
    id: str | None = None
    """Holds the id; None for a hash of the content."""

    @classmethod
    def choose(cls, options: Mapping[str, Scalar], names: Collection[str], where: str) -> Self:
        """Take what ``corpus.options`` ask for; InputError when a table ``where`` has no such column."""
        content = options.get("column", "text" if "text" in names or "messages" not in names else "messages")
        id_column = options.get("id")
        for key, column in (("column", content), ("id", id_column)):
            if column is not None and not isinstance(column, str):
                raise ConfigError(f"corpus.options.{key} is {column!r}; it must be the name of a column.")
            if column is not None and column not in names:
                raise InputError(
                    f"{where} has no column {column!r}.{nearest(column, names)} Its columns are {', '.join(names)}: "
                    f"name one with corpus.options.{key}."
                )
        return cls(str(content), None if id_column is None else str(id_column))

    @property
    def names(self) -> list[str]:
        """The columns that have to be read."""
        return [self.content] if self.id in (None, self.content) else [self.content, str(self.id)]

    def document(self, record: Mapping[str, Any], where: str) -> Document:
        """Make a document of one row; InputError names the place ``where`` of one that is none."""
        value = record[self.content]
        if isinstance(value, str) and self.content == "messages" and value.strip():
            value = _parse_json(value, where)
        if value is None or (isinstance(value, str | list) and not value):
            document = Document(id="", text="")
        elif isinstance(value, str):
            document = Document(id="", text=value)
        elif isinstance(value, list):
            document = Document.chat("", parse_messages(value, where))
        else:
            raise InputError(
                f"{where}: the column {self.content!r} holds {value!r:.120}; it must hold text or a list of messages. "
                "Name another one with corpus.options.column."
            )
        document_id = document.content_hash if self.id is None else record[self.id]
        if isinstance(document_id, bool) or not isinstance(document_id, str | int):
            raise InputError(
                f"{where}: the id in the column {self.id!r} is {document_id!r}; it must be a string or a whole number."
            )
        return Document(id=str(document_id), text=document.text, messages=document.messages)


class TableCorpus(FileCorpus):
    """Files of rows; a subclass yields the rows of one file as mappings."""

    options = frozenset({"column", "id"})
    remedy = "Write the file again."
    """What to do about a file that cannot be read."""

    def _settings(self) -> dict[str, object]:
        return {**super()._settings(), **self._config.options}

    def _read(self, path: Path) -> Iterator[Document]:
        try:
            names = self._names(path)
            columns = Columns.choose(self._config.options, names, str(path))
            number = 0
            for batch in self._batches(path, columns.names):
                for record in batch.to_pylist():
                    number += 1
                    yield columns.document(record, f"{path}, row {number}")
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise InputError(f"{path} cannot be read as {self.name}: {error}. {self.remedy}") from error

    @abstractmethod
    def _names(self, path: Path) -> list[str]:
        """Return the names of a file's columns."""

    @abstractmethod
    def _batches(self, path: Path, columns: list[str]) -> Iterator[pa.RecordBatch]:
        """Yield some columns of a file, some rows at a time."""


class ParquetCorpus(TableCorpus):
    """Parquet files: a column of text, or of messages as a list of ``{role, content}``."""

    name = "parquet"
    pattern = "*.parquet"

    def _names(self, path: Path) -> list[str]:
        with pq.ParquetFile(path) as file:
            return list(file.schema_arrow.names)

    def _batches(self, path: Path, columns: list[str]) -> Iterator[pa.RecordBatch]:
        with pq.ParquetFile(path) as file:
            yield from file.iter_batches(batch_size=BATCH_ROWS, columns=columns)


class CsvCorpus(TableCorpus):
    """CSV files in UTF-8 with a header: a column of text, or one named ``messages`` with JSON."""

    name = "csv"
    pattern = "*.csv"
    options = frozenset({"column", "id", "delimiter"})
    remedy = "Write it again: UTF-8, a header, every row with as many columns and shorter than 16 MB."

    def __init__(self, config: CorpusConfig) -> None:
        super().__init__(config)
        self._delimiter = config.options.get("delimiter", ",")
        if not isinstance(self._delimiter, str) or len(self._delimiter) != 1:
            raise ConfigError(f"corpus.options.delimiter is {self._delimiter!r}; it must be a single character.")

    def _names(self, path: Path) -> list[str]:
        with self._open(path, None) as reader:
            return list(reader.schema.names)

    def _batches(self, path: Path, columns: list[str]) -> Iterator[pa.RecordBatch]:
        with self._open(path, columns) as reader:
            yield from reader

    def _open(self, path: Path, columns: list[str] | None) -> Any:
        # Every column that is read is text: "NA" and "007" are words here, not a missing value and a number.
        convert = (
            {} if columns is None else {"include_columns": columns, "column_types": dict.fromkeys(columns, pa.string())}
        )
        return pc.open_csv(
            path,
            read_options=pc.ReadOptions(block_size=BLOCK_BYTES),
            parse_options=pc.ParseOptions(delimiter=self._delimiter, newlines_in_values=True),
            convert_options=pc.ConvertOptions(**convert),
        )


def make_parquet_corpus(config: CorpusConfig) -> ParquetCorpus:
    """Entry point of the corpus ``parquet``."""
    return ParquetCorpus(config)


def make_csv_corpus(config: CorpusConfig) -> CsvCorpus:
    """Entry point of the corpus ``csv``."""
    return CsvCorpus(config)


def _parse_json(value: str, where: str) -> Any:
    try:
        return json.loads(value)
    except json.JSONDecodeError as error:
        raise InputError(f"{where}: 'messages' is not JSON: {error}.") from error
