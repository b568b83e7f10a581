"""Corpora: where documents come from.

A corpus is a plugin (group ``nlakit.corpora``): a function that takes a
:class:`~nlakit.config.CorpusConfig` and returns a :class:`Corpus`. Built in are ``text`` for plain
text files and ``jsonl`` for one JSON object a line (here), ``parquet`` and ``csv``
(:mod:`nlakit.data.tables`), and ``datasets`` for the hub (:mod:`nlakit.data.hub`).

To add one: give each document an id that depends on its content and never on its place (splits and
positions are keyed by it), and a fingerprint that changes whenever a document would.
"""

from __future__ import annotations

import hashlib
import json
import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from nlakit import plugins
from nlakit.config import CorpusConfig, Scalar, fingerprint
from nlakit.data.passages import passages
from nlakit.errors import ConfigError, InputError, NotFoundError, nearest
from nlakit.truth import Truth

MESSAGE_SEPARATOR = "\n\n"
"""Stands between the contents of two messages in the ``text`` of a chat document."""

PASSAGE_CHARACTERS = 600
"""Longest passage of a plain text, unless ``corpus.options.characters`` says otherwise: about 150 tokens (our choice)."""

TruthAt = Callable[[int], Truth | None]
"""Maps a character offset into a document's text to what is true after reading ``text[:offset]``."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a chat: the role that the target's chat template knows, and what is said."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Document:
    """One text, or one chat, with an id that is unique in its corpus."""

    id: str
    text: str
    """The text itself; of a chat, the contents of its messages with a blank line between them."""
    messages: tuple[Message, ...] | None = None
    """The chat, rendered with the target's chat template where it is read; None for plain text."""
    truth_at: TruthAt | None = None
    """What is true after ``text[:offset]``, for a corpus that knows."""

    @classmethod
    def chat(cls, id: str, messages: Sequence[Message], truth_at: TruthAt | None = None) -> Document:  # noqa: A002
        """Make a document of messages."""
        text = MESSAGE_SEPARATOR.join(message.content for message in messages)
        return cls(id=id, text=text, messages=tuple(messages), truth_at=truth_at)

    @property
    def content_hash(self) -> str:
        """Hash of the text and, for a chat, of who said what; equal for duplicates whatever their id."""
        if self.messages is None:
            return digest(self.text)
        return digest(json.dumps([(message.role, message.content) for message in self.messages], ensure_ascii=False))


@runtime_checkable
class Corpus(Protocol):
    """A sequence of documents that is the same each time it is read."""

    name: str
    """The plugin's name, for messages and records."""

    def fingerprint(self) -> str:
        """Return a hash that differs whenever any document would."""

    def __iter__(self) -> Iterator[Document]:
        """Yield up to ``corpus.documents`` documents, always in the same order."""

    def document(self, document_id: str) -> Document:
        """Return one document; :class:`~nlakit.errors.NotFoundError` for an id that is not there."""


def load_corpus(config: CorpusConfig) -> Corpus:
    """Make the corpus that a recipe names.

    Raises :class:`~nlakit.errors.NotFoundError` for a name that is not installed and
    :class:`~nlakit.errors.ConfigError` for options that the corpus does not take.
    """
    corpus = plugins.load(plugins.CORPORA, config.name)(config)
    if not isinstance(corpus, Corpus):
        raise ConfigError(
            f"the corpus plugin {config.name!r} returned {type(corpus).__name__}, which lacks name, fingerprint(), "
            "document() or iteration. Its author must return a nlakit.data.corpus.Corpus."
        )
    return corpus


def unique(documents: Iterable[Document], counts: Counter[str] | None = None) -> Iterator[Document]:
    """Yield documents whose content has not come before; count the others in ``counts["duplicates"]``.

    A duplicate in two splits would let a held-out row be learnt by heart. Two different texts under
    one id raise :class:`~nlakit.errors.InputError`: they would share a split and positions.
    """
    ids: set[str] = set()
    contents: set[str] = set()
    for document in documents:
        content = document.content_hash
        if content in contents:
            if counts is not None:
                counts["duplicates"] += 1
            continue
        if document.id in ids:
            raise InputError(
                f"two documents with different content have the id {document.id!r}. "
                "Ids key splits and positions: give each document its own, or leave ids out to have them made."
            )
        ids.add(document.id)
        contents.add(content)
        yield document


class FileCorpus(ABC):
    """Files read in the order of their names: ``corpus.path`` itself, or those below it that fit ``pattern``."""

    name: str
    pattern: str
    options: frozenset[str] = frozenset()
    """What ``corpus.options`` may hold."""

    def __init__(self, config: CorpusConfig) -> None:
        check_options("corpus.options", config.options, self.options)
        self._config = config
        self._root, self._files = _find_files(config, self.pattern)

    def fingerprint(self) -> str:
        """Hash the bytes of all files with what makes documents of them."""
        return fingerprint(self._settings(), file_hashes(self._root, self._files))

    def __iter__(self) -> Iterator[Document]:
        """Yield the documents; :class:`~nlakit.errors.InputError` names the place of the first bad one."""
        return islice((document for path in self._files for document in self._read(path)), self._config.documents)

    def document(self, document_id: str) -> Document:
        """Return one document by id."""
        return find_document(self, document_id)

    def _settings(self) -> dict[str, object]:
        """What else decides which documents there are."""
        return {"documents": self._config.documents}

    @abstractmethod
    def _read(self, path: Path) -> Iterator[Document]:
        """Yield the documents of one file."""


class TextCorpus(FileCorpus):
    """Plain UTF-8 text: a file, or the ``*.txt`` files below a folder in the order of their names.

    ``corpus.options.unit`` says what one document is: ``"block"`` (text between blank lines, the
    default for a file; its id is a hash of its content), ``"passage"`` (whole paragraphs up to
    ``corpus.options.characters`` characters, :mod:`nlakit.data.passages`; the id is a hash likewise) or
    ``"file"`` (the default for a folder; its id is the path inside the folder). Blank documents are left out.
    """

    name = "text"
    pattern = "*.txt"
    options = frozenset({"unit", "characters"})

    def __init__(self, config: CorpusConfig) -> None:
        super().__init__(config)
        self._unit = config.options.get("unit", "block" if self._root.is_file() else "file")
        if self._unit not in ("block", "passage", "file"):
            raise ConfigError(f"corpus.options.unit is {self._unit!r}; it must be 'block', 'passage' or 'file'.")
        limit = config.options.get("characters", PASSAGE_CHARACTERS)
        if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
            raise ConfigError(f"corpus.options.characters is {limit!r}; it must be a whole number above 0.")
        self._limit = limit
        if "characters" in config.options and self._unit != "passage":
            raise ConfigError(f"corpus.options.characters needs corpus.options.unit = 'passage'; it is {self._unit!r}.")

    def _settings(self) -> dict[str, object]:
        limit = {"characters": self._limit} if self._unit == "passage" else {}
        return {**super()._settings(), "unit": self._unit, **limit}

    def _read(self, path: Path) -> Iterator[Document]:
        text = "".join(_read_lines(path))
        if self._unit == "file":
            if text.strip():
                yield Document(id=relative_name(path, self._root), text=text)
            return
        if self._unit == "passage":
            yield from (Document(id=digest(passage), text=passage) for passage in passages(text, self._limit))
            return
        for block in re.split(r"\n[^\S\n]*\n", text):
            if block.strip():
                yield Document(id=digest(block.strip("\n")), text=block.strip("\n"))


class JsonlCorpus(FileCorpus):
    """One JSON object a line, ``{"text": ...}`` or ``{"messages": [{"role", "content"}, ...]}``.

    ``corpus.path`` is a file, or a folder whose ``*.jsonl`` files are read in the order of their
    names. Without a key ``"id"`` the id is a hash of the content; other keys are left alone.
    """

    name = "jsonl"
    pattern = "*.jsonl"

    def _read(self, path: Path) -> Iterator[Document]:
        for number, line in enumerate(_read_lines(path), start=1):
            if line.strip():
                yield _parse_line(line, f"{path}:{number}")


def make_text_corpus(config: CorpusConfig) -> TextCorpus:
    """Entry point of the corpus ``text``."""
    return TextCorpus(config)


def make_jsonl_corpus(config: CorpusConfig) -> JsonlCorpus:
    """Entry point of the corpus ``jsonl``."""
    return JsonlCorpus(config)


def file_hashes(root: Path, files: Iterable[Path]) -> list[list[str]]:
    """Return name and SHA-256 of each file; where ``root`` lies is left out: a corpus that was moved is the same one."""
    hashes = []
    for path in files:
        with path.open("rb") as file:
            hashes.append([relative_name(path, root), hashlib.file_digest(file, "sha256").hexdigest()])
    return hashes


def find_document(corpus: Corpus, document_id: str) -> Document:
    """Look an id up by reading the corpus from its start: enough where nothing faster is known."""
    for document in corpus:
        if document.id == document_id:
            return document
    raise NotFoundError(
        f"the corpus {corpus.name!r} has no document with the id {document_id!r}. "
        "Check the id, and that corpus.documents is large enough to reach it."
    )


def check_options(table: str, options: Mapping[str, Scalar], known: Collection[str]) -> None:
    """Refuse options that a plugin does not take; ``table`` is their name in a recipe, ``"corpus.options"``."""
    for key in options:
        if key not in known:
            listed = ", ".join(sorted(known)) or "none"
            raise ConfigError(f"{table}.{key}: there is no such option.{nearest(key, known)} Known: {listed}.")


def _find_files(config: CorpusConfig, pattern: str) -> tuple[Path, list[Path]]:
    """Return ``corpus.path`` and the files in it, in the order of their names."""
    if config.path is None:
        raise ConfigError(f"the corpus {config.name!r} needs corpus.path: a file or a folder to read.")
    root = Path(config.path).expanduser()
    if not root.exists():
        raise ConfigError(f"corpus.path = {config.path!r} does not exist (looked for {root.absolute()}).")
    files = [root] if root.is_file() else sorted(root.rglob(pattern))
    if not files:
        raise ConfigError(
            f"corpus.path = {config.path!r} holds no {pattern} file. Name a folder that does, or one file."
        )
    return root, files


def _read_lines(path: Path) -> Iterator[str]:
    try:
        with path.open(encoding="utf-8-sig") as file:
            yield from file
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} is not UTF-8 ({error.reason} after {error.object[: error.start][-40:]!r}). "
            "Convert it, for example with iconv -t UTF-8."
        ) from error


def _parse_line(line: str, where: str) -> Document:
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        raise InputError(f"{where} is not JSON: {error}. Each line must be one whole object.") from error
    if not isinstance(record, dict) or ("text" in record) == ("messages" in record):
        raise InputError(f"{where} must be an object with either 'text' or 'messages'; it is {line[:120]!r}.")
    document_id = record.get("id")
    if document_id is not None and (isinstance(document_id, bool) or not isinstance(document_id, str | int)):
        raise InputError(f"{where}: 'id' is {document_id!r}; it must be a string or a whole number.")
    if "text" in record:
        text = record["text"]
        if not isinstance(text, str) or not text.strip():
            raise InputError(f"{where}: 'text' is {text!r}; it must be a string that is not blank.")
        document = Document(id="", text=text)
    else:
        document = Document.chat("", parse_messages(record["messages"], where))
    return Document(
        id=document.content_hash if document_id is None else str(document_id),
        text=document.text,
        messages=document.messages,
    )


def parse_messages(value: Any, where: str) -> list[Message]:
    """Read the messages of a chat; InputError names the place ``where`` of one that lacks its role or content."""
    if not isinstance(value, list) or not value:
        raise InputError(f"{where}: 'messages' is {value!r}; it must be a list with at least one message.")
    messages = []
    for index, item in enumerate(value):
        fields = item if isinstance(item, Mapping) else {}
        role, content = fields.get("role"), fields.get("content")
        if not isinstance(role, str) or not isinstance(content, str):
            raise InputError(f"{where}: message {index} is {item!r}; it must have the strings 'role' and 'content'.")
        messages.append(Message(role, content))
    return messages


def relative_name(path: Path, root: Path) -> str:
    """Return the name of a file inside the folder ``root``, or of ``root`` itself when that is the file."""
    return path.name if path == root else path.relative_to(root).as_posix()


def digest(text: str) -> str:
    """Return 24 hexadecimal digits that stand for a text."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()
