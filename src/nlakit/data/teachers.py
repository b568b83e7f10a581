"""Teachers: who writes the explanations that the warm start learns from.

A teacher is a plugin (group ``nlakit.teachers``): a function that takes an
:class:`~nlakit.config.AnnotateConfig` and returns a :class:`Teacher`. ``extractive`` is built in.

To add one: return exactly one :class:`~nlakit.explanations.Explanation` for each context, in their
order, with an outcome other than ``ok`` where none could be written; draw any randomness from the
document id and position of a context, so that batches and restarts cannot change a text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from nlakit import plugins
from nlakit.config import AnnotateConfig, fingerprint
from nlakit.data.corpus import check_options
from nlakit.errors import ConfigError
from nlakit.explanations import Explanation, Outcome
from nlakit.truth import Truth


@dataclass(frozen=True, slots=True)
class Context:
    """What a teacher may see of one row: the text up to and including its token, never the vector."""

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


@runtime_checkable
class Teacher(Protocol):
    """Writes one explanation for each context."""

    name: str
    """The plugin's name, for messages and records."""

    def fingerprint(self) -> str:
        """Return a hash that differs whenever an explanation could."""

    def explain(self, contexts: Sequence[Context]) -> list[Explanation]:
        """Return one explanation for each context, in their order."""


def load_teacher(config: AnnotateConfig) -> Teacher:
    """Make the teacher that a recipe names.

    Raises :class:`~nlakit.errors.NotFoundError` for a name that is not installed and
    :class:`~nlakit.errors.ConfigError` for options that the teacher does not take.
    """
    teacher = plugins.load(plugins.TEACHERS, config.teacher)(config)
    if not isinstance(teacher, Teacher):
        raise ConfigError(
            f"the teacher plugin {config.teacher!r} returned {type(teacher).__name__}, which lacks name, fingerprint() "
            "or explain(). Its author must return a nlakit.data.teachers.Teacher."
        )
    return teacher


class ExtractiveTeacher:
    """Quotes the text: its last words, its first words and its final token.

    It knows nothing and needs nothing, which serves tests and a first run on any text; a warm start
    on quotations teaches the form of an explanation and little else. ``annotate.options.words``
    sets how many words a quotation has.
    """

    name = "extractive"

    def __init__(self, words: int = 8) -> None:
        if words < 1:
            raise ConfigError(f"annotate.options.words is {words}; it must be at least 1.")
        self._words = words

    def fingerprint(self) -> str:
        """Hash the one option."""
        return fingerprint({"teacher": self.name, "words": self._words})

    def explain(self, contexts: Sequence[Context]) -> list[Explanation]:
        """Quote each context; a blank one has the outcome ``empty``."""
        return [self._quote(context) for context in contexts]

    def _quote(self, context: Context) -> Explanation:
        words = context.text.split()
        if not words:
            return Explanation("", Outcome.EMPTY)
        last, before = words[-self._words :], words[: -self._words]
        text = f'The text ends with "{" ".join(last)}".'
        if before:
            text += f' It begins with "{" ".join(before[: self._words])}".'
        return Explanation(f'{text} The final token is "{context.token.strip()}".')


def make_extractive_teacher(config: AnnotateConfig) -> ExtractiveTeacher:
    """Entry point of the teacher ``extractive``."""
    check_options("annotate.options", config.options, {"words"})
    words = config.options.get("words", 8)
    if isinstance(words, bool) or not isinstance(words, int):
        raise ConfigError(f"annotate.options.words is {words!r}; it must be a whole number.")
    return ExtractiveTeacher(words)
