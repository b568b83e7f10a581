"""Plugins by name: corpora, teachers, truths, paraphrasers, models and pairs.

A package adds one with an entry point in its ``pyproject.toml``; the built-in ones use the same door.

========================  =====================================================  ===============
group                     what the object must be                                used by
========================  =====================================================  ===============
``nlakit.corpora``        ``(CorpusConfig) -> Corpus``                           extract
``nlakit.teachers``       ``(AnnotateConfig) -> Teacher``                        annotate
``nlakit.truth``          ``() -> TruthReader``                                  evaluate
``nlakit.paraphrasers``   ``() -> Paraphraser``                                  train, evaluate
``nlakit.models``         ``() -> Path`` of a folder with a Hugging Face model   Target.load
``nlakit.pairs``          ``() -> Path`` of a folder with a pair                 Pair
========================  =====================================================  ===============
"""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import Any

from nlakit.errors import ConfigError, not_found

CORPORA = "nlakit.corpora"
TEACHERS = "nlakit.teachers"
TRUTH = "nlakit.truth"
PARAPHRASERS = "nlakit.paraphrasers"
MODELS = "nlakit.models"
PAIRS = "nlakit.pairs"

DEFAULT_PAIR = "terrarium"
"""Name of the pair that ships."""

_NOUNS = {
    CORPORA: "corpus",
    TEACHERS: "teacher",
    TRUTH: "truth",
    PARAPHRASERS: "paraphraser",
    MODELS: "model",
    PAIRS: "pair",
}


def _entries(group: str) -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=group)}


def names(group: str) -> list[str]:
    """Return the sorted names that are installed in a group; nothing is imported."""
    return sorted(_entries(group))


def load(group: str, name: str) -> Any:
    """Import and return the object that is installed under a name.

    Raises :class:`~nlakit.errors.NotFoundError` with the nearest names for an unknown one, and
    :class:`~nlakit.errors.ConfigError` when the package behind the name cannot be imported.
    """
    entries = _entries(group)
    if name not in entries:
        raise not_found(_NOUNS.get(group, "plugin"), name, entries)
    entry = entries[name]
    try:
        return entry.load()
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"the {_NOUNS.get(group, 'plugin')} {name!r} points to {entry.value!r}, which cannot be imported: {error}. "
            "Reinstall the package that provides it."
        ) from error


def package(group: str, name: str) -> tuple[str, str | None]:
    """Return the package that installs a name, and the licence that the package declares, if it does.

    Raises :class:`~nlakit.errors.NotFoundError` with the nearest names for an unknown one.
    """
    entries = _entries(group)
    if name not in entries:
        raise not_found(_NOUNS.get(group, "plugin"), name, entries)
    distribution = entries[name].dist
    if distribution is None:
        return name, None
    metadata = distribution.metadata
    declared = [metadata[key] for key in ("License-Expression", "License") if key in metadata]
    return distribution.name, declared[0] if declared else None
