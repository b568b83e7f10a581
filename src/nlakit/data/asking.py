"""Asking a language model anything: what judges and paraphrasers need of it, and which installed teachers offer it.

A teacher explains rows; one with a language model behind it can answer other prompts too. Its entry point (group
``nlakit.teachers``) says so by a function ``asker`` beside being callable: a class method, where the entry point is the
teacher's class.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol, runtime_checkable

from nlakit import plugins
from nlakit.config import AskConfig
from nlakit.data.instruction import Reply
from nlakit.data.teachers import Plan
from nlakit.errors import ConfigError, not_found


class Asker(Protocol):
    """Answers prompts, each on its own; priced as a teacher is."""

    def fingerprint(self) -> str:
        """Return a hash that differs whenever a reply could."""

    def check(self) -> None:
        """Raise for what can be known to be missing before any work, such as a key."""

    def plan(self, prompts: Iterable[str], answers: Path | None) -> Plan:
        """Say what asking would cost beyond the answers kept in a folder, and keep new ones there."""

    def receipt(self) -> str:
        """Say what has been paid for, one line for people; empty when nothing was."""

    def ask(self, prompts: Sequence[str]) -> list[Reply]:
        """Return a reply to each prompt, in their order; what is kept is not asked again.

        Raises :class:`~nlakit.errors.EndpointError` when nobody answers, and :class:`~nlakit.errors.SpendingError` at a cap.
        """


@runtime_checkable
class AskerPlugin(Protocol):
    """The entry point of a teacher that answers any prompt."""

    def asker(self, config: AskConfig, *, table: str, wording: str, max_tokens: int) -> Asker:
        """Make one who asks.

        ``table`` is that of the settings, for messages; ``wording`` the instruction around every prompt, ``max_tokens`` the
        longest reply where the settings name none.
        """


def load_asker(config: AskConfig, *, table: str, wording: str, max_tokens: int) -> Asker:
    """Make what asks the model that a table of the settings names.

    Raises :class:`~nlakit.errors.NotFoundError` for a name that is not installed, and
    :class:`~nlakit.errors.ConfigError` for a teacher that answers no prompts and for options that it does not take.
    """
    if config.teacher not in plugins.names(plugins.TEACHERS):
        raise not_found(f"teacher for {table}", config.teacher, askable())
    plugin = plugins.load(plugins.TEACHERS, config.teacher)
    if not isinstance(plugin, AskerPlugin):
        raise ConfigError(
            f"{table}.teacher is {config.teacher!r}, which explains rows and answers no other question. Name one that "
            f"does: {', '.join(askable())}."
        )
    return plugin.asker(config, table=table, wording=wording, max_tokens=max_tokens)


def askable() -> list[str]:
    """Return the names of the installed teachers that answer any prompt; those that cannot be imported are left out."""
    found = []
    for name in plugins.names(plugins.TEACHERS):
        with suppress(ConfigError):
            if isinstance(plugins.load(plugins.TEACHERS, name), AskerPlugin):
                found.append(name)
    return found
