"""Teachers: who writes the explanations that the warm start learns from.

A teacher is a plugin (group ``nlakit.teachers``): a function that takes an
:class:`~nlakit.config.AnnotateConfig` and returns a :class:`Teacher`. Built in are ``extractive`` (below),
``anthropic`` and ``openai`` (:mod:`nlakit.data.providers`), ``target`` and ``pair`` (:mod:`nlakit.data.inprocess`).

To add one: return exactly one :class:`~nlakit.explanations.Explanation` for each context, in their
order, with an outcome other than ``ok`` where none could be written; draw any randomness from the
document id and position of a context, so that batches and restarts cannot change a text.

What a teacher may have besides, each looked for by name:

* ``situate(source)``, to be told which target and site the rows come from (:class:`Situated`);
* ``check``, ``plan`` and ``receipt``, for one that costs money (:class:`Priced`);
* ``wants_vectors = True``, to be given the rows' vectors (``Context.vector``);
* ``batch_rows``, how many contexts it is given at once;
* ``record()``, what the pair's card says of it, as a mapping.

A teacher with a language model behind it can serve as judge and as paraphraser too: its entry point then has a function
``asker`` (:mod:`nlakit.data.asking`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from nlakit import plugins
from nlakit.config import AnnotateConfig, TargetConfig, fingerprint
from nlakit.data.corpus import check_options
from nlakit.errors import ConfigError
from nlakit.explanations import Explanation, Outcome
from nlakit.truth import Truth

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Context:
    """What a teacher may see of one row: the text up to and including its token, and the vector if it asks for it."""

    row_id: int
    document_id: str
    position: int
    """Index of the row's token in its document, counted in tokens from 0."""
    token: str
    """The text of that token."""
    text: str
    """The end of the text up to and including the token."""
    truth: Truth | None = None
    """What is true at this position, for a corpus that knows."""
    vector: Tensor | None = field(default=None, repr=False, compare=False)
    """The row's raw vector [D], float32; only for a teacher with ``wants_vectors``."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where the rows to explain come from."""

    target: TargetConfig
    """How the target is loaded."""
    fingerprint: str | None
    """Hash over the target's weights; None for a released pair, which does not record it."""
    site: str
    """Where in the target the vectors were read, such as ``resid.3``."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What explaining would cost, before anything is asked."""

    calls: int
    """Requests that would be sent; 0 costs nothing."""
    text: str
    """The plan for people: calls, tokens and price."""


@runtime_checkable
class Teacher(Protocol):
    """Writes one explanation for each context."""

    name: str
    """The plugin's name, for messages and records."""

    def fingerprint(self) -> str:
        """Return a hash that differs whenever an explanation could."""

    def explain(self, contexts: Sequence[Context]) -> list[Explanation]:
        """Return one explanation for each context, in their order."""


@runtime_checkable
class Situated(Protocol):
    """A teacher that works with the target or its vectors."""

    def situate(self, source: Source) -> None:
        """Take note of where the rows come from, before ``fingerprint`` and ``explain``; raise when that does not fit."""


@runtime_checkable
class Priced(Protocol):
    """A teacher that costs money."""

    def check(self) -> None:
        """Raise for what can be known to be missing before any work, such as a key."""

    def plan(self, contexts: Iterable[Context], answers: Path | None) -> Plan:
        """Say what explaining these contexts would cost beyond the answers kept in a folder, and keep new ones there."""

    def receipt(self) -> str:
        """Say what has been paid for, one line for people; empty when nothing was."""


def load_teacher(config: AnnotateConfig, source: Source | None = None) -> Teacher:
    """Make the teacher that a recipe names, and tell it where the rows come from.

    Without ``source`` a :class:`Situated` teacher is made and cannot explain yet, which serves to check a recipe.
    Raises :class:`~nlakit.errors.NotFoundError` for a name that is not installed and
    :class:`~nlakit.errors.ConfigError` for options that the teacher does not take.
    """
    teacher = plugins.load(plugins.TEACHERS, config.teacher)(config)
    if not isinstance(teacher, Teacher):
        raise ConfigError(
            f"the teacher plugin {config.teacher!r} returned {type(teacher).__name__}, which lacks name, fingerprint() "
            "or explain(). Its author must return a nlakit.data.teachers.Teacher."
        )
    if source is not None and isinstance(teacher, Situated):
        teacher.situate(source)
    return teacher


def card_record(teacher: Teacher) -> dict[str, Any]:
    """Return what the pair's card says of a teacher; an empty mapping for one that says nothing."""
    record = getattr(teacher, "record", None)
    return dict(record()) if callable(record) else {}


class ExtractiveTeacher:
    """Quotes the text: its last words, its first words and its final token.

    It knows nothing and needs nothing, which serves tests and a first run on any text; a warm start
    on quotations teaches the form of an explanation and little else. ``annotate.options.words``
    sets how many words a quotation has, and ``first_words`` how many of the first ones are quoted, if not as many:
    with 0 none, which suits a small target, whose vectors soon hold nothing of how a text began.
    """

    name = "extractive"

    def __init__(self, words: int = 8, first_words: int | None = None) -> None:
        if words < 1:
            raise ConfigError(f"annotate.options.words is {words}; it must be at least 1.")
        if first_words is not None and first_words < 0:
            raise ConfigError(f"annotate.options.first_words is {first_words}; it must be at least 0.")
        self._words = words
        self._first_words = words if first_words is None else first_words

    def fingerprint(self) -> str:
        """Hash the options."""
        first = {} if self._first_words == self._words else {"first_words": self._first_words}
        return fingerprint({"teacher": self.name, "words": self._words, **first})

    def explain(self, contexts: Sequence[Context]) -> list[Explanation]:
        """Quote each context; a blank one has the outcome ``empty``."""
        return [self._quote(context) for context in contexts]

    def _quote(self, context: Context) -> Explanation:
        words = context.text.split()
        if not words:
            return Explanation("", Outcome.EMPTY)
        last, before = words[-self._words :], words[: -self._words]
        text = f'The text ends with "{" ".join(last)}".'
        if first := before[: self._first_words]:
            text += f' It begins with "{" ".join(first)}".'
        return Explanation(f'{text} The final token is "{context.token.strip()}".')


def make_extractive_teacher(config: AnnotateConfig) -> ExtractiveTeacher:
    """Entry point of the teacher ``extractive``."""
    check_options("annotate.options", config.options, {"words", "first_words"})
    counts: dict[str, int] = {}
    for key, value in config.options.items():
        if isinstance(value, bool) or not isinstance(value, int):
            raise ConfigError(f"annotate.options.{key} is {value!r}; it must be a whole number.")
        counts[key] = value
    return ExtractiveTeacher(**counts)
