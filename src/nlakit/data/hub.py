"""The corpus ``datasets``: a dataset of the Hugging Face hub, or one in a folder, read as a stream.

========================  =====================================================================================
``corpus.options.name``   name on the hub, such as ``owner/dataset``; ``corpus.path`` instead for a local folder
``...config``             configuration of the dataset; none for its only one
``...split``              split of the dataset; ``train`` without it
``...revision``           commit, tag or branch; none for the default branch
``...column``, ``...id``  as in :mod:`nlakit.data.tables`
========================  =====================================================================================

A stream has no content to hash before it is read. Its fingerprint is the commit that the revision stands
for, which never changes what it holds, with the options; it is looked up once, the stream is read at that
very commit, and the commit stands behind the ``@`` of the fingerprint in manifests and cards. A local folder
is hashed file by file. Nothing that a dataset brings along is executed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from nlakit.config import CorpusConfig, fingerprint
from nlakit.data.corpus import Document, check_options, file_hashes, find_document
from nlakit.data.tables import Columns
from nlakit.errors import ConfigError, InputError, missing_extra

OPTIONS = frozenset({"name", "config", "split", "revision", "column", "id"})


class DatasetsCorpus:
    """Rows of a Hugging Face dataset in their order, streamed; see the module for its options.

    Raises :class:`~nlakit.errors.MissingExtraError` without the package ``datasets``,
    :class:`~nlakit.errors.ConfigError` for options that cannot work, and
    :class:`~nlakit.errors.InputError` for a dataset that cannot be found or read.
    """

    name = "datasets"

    def __init__(self, config: CorpusConfig) -> None:
        check_options("corpus.options", config.options, OPTIONS)
        for key, value in config.options.items():
            if not isinstance(value, str) or not value:
                raise ConfigError(f"corpus.options.{key} is {value!r}; it must be a text that is not empty.")
        if ("name" in config.options) == (config.path is not None):
            raise ConfigError(
                "the corpus 'datasets' needs either corpus.options.name, a dataset of the hub, or corpus.path, a local folder."
            )
        if config.path is not None and not Path(config.path).expanduser().is_dir():
            raise ConfigError(f"corpus.path = {config.path!r} is no folder; a local dataset is a folder of data files.")
        if config.path is not None and "revision" in config.options:
            raise ConfigError("corpus.options.revision is for datasets of the hub; a local folder has no revision.")
        self._library = _import_datasets()
        self._config = config
        self._options: dict[str, str] = {key: str(value) for key, value in config.options.items()}
        self._options.setdefault("split", "train")
        self.revision = None if config.path is not None else _commit(self._options)
        """The commit that is read; None for a local folder."""

    def fingerprint(self) -> str:
        """Hash the options with the commit, which stands behind it, or with the files of a local folder."""
        options = {key: value for key, value in self._options.items() if key != "revision"}
        settings = {"documents": self._config.documents, **options}
        if self._config.path is None:
            return f"{fingerprint(settings, self.revision)}@{self.revision}"
        root = Path(self._config.path).expanduser()
        visible = (path for path in root.rglob("*") if not any(p.startswith(".") for p in path.relative_to(root).parts))
        return fingerprint(settings, file_hashes(root, sorted(path for path in visible if path.is_file())))

    def __iter__(self) -> Iterator[Document]:
        """Yield up to ``corpus.documents`` documents in the order of the dataset."""
        return islice(self._documents(), self._config.documents)

    def document(self, document_id: str) -> Document:
        """Return one document by id."""
        return find_document(self, document_id)

    def _documents(self) -> Iterator[Document]:
        columns: Columns | None = None
        for number, record in enumerate(self._records(), start=1):
            where = f"{self._title}, row {number}"
            columns = columns or Columns.choose(self._options, list(record), where)
            if not set(columns.names) <= record.keys():
                raise InputError(f"{where} lacks one of the columns {', '.join(columns.names)} that earlier rows have.")
            yield columns.document(record, where)

    def _records(self) -> Iterator[Mapping[str, Any]]:
        try:
            stream = self._library.load_dataset(
                self._options.get("name", str(Path(self._config.path or "").expanduser())),
                name=self._options.get("config"),
                split=self._options["split"],
                revision=self.revision,
                streaming=True,
            )
            if stream.column_names is not None:  # pictures and sound beside the text are not decoded
                stream = stream.select_columns(Columns.choose(self._options, stream.column_names, self._title).names)
            yield from stream
        except InputError:
            raise
        except Exception as error:  # the library raises whatever its readers and the network make it raise
            raise InputError(
                f"{self._title} cannot be read: {type(error).__name__}: {error}. Check its name, "
                "corpus.options.config and corpus.options.split, and for the hub the network."
            ) from error

    @property
    def _title(self) -> str:
        what = self._options.get("name", self._config.path)
        return (
            f"the dataset {what!r} ({', '.join(filter(None, (self._options.get('config'), self._options['split'])))})"
        )


def make_datasets_corpus(config: CorpusConfig) -> DatasetsCorpus:
    """Entry point of the corpus ``datasets``."""
    return DatasetsCorpus(config)


def _import_datasets() -> Any:
    try:
        import datasets
    except ImportError as error:
        raise missing_extra("datasets", "data", "the corpus 'datasets'") from error
    return datasets


def _commit(options: Mapping[str, str]) -> str:
    """Return the commit that a revision of a dataset on the hub stands for; a commit needs no look-up."""
    revision = options.get("revision")
    if revision is not None and re.fullmatch("[0-9a-f]{40}", revision):
        return revision
    from huggingface_hub import HfApi

    try:
        return str(HfApi().dataset_info(options["name"], revision=revision).sha)
    except Exception as error:  # the library raises whatever the network makes it raise
        raise InputError(
            f"the revision {revision or 'of the default branch'} of the dataset {options['name']!r} cannot be looked up: "
            f"{type(error).__name__}: {error}. Check the name and the network, or give corpus.options.revision as the 40 "
            "digits of a commit."
        ) from error
