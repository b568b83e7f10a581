"""Tests of nlakit.plugins."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from nlakit import plugins
from nlakit.errors import ConfigError, NotFoundError


@pytest.mark.parametrize(
    ("group", "name"),
    [
        (plugins.CORPORA, "terrarium"),
        (plugins.CORPORA, "text"),
        (plugins.CORPORA, "jsonl"),
        (plugins.TEACHERS, "terrarium"),
        (plugins.TEACHERS, "extractive"),
        (plugins.TEACHERS, "anthropic"),
        (plugins.TEACHERS, "openai"),
        (plugins.TEACHERS, "target"),
        (plugins.TEACHERS, "pair"),
        (plugins.TRUTH, "terrarium"),
        (plugins.MODELS, "terrarium"),
        (plugins.PAIRS, "terrarium"),
    ],
)
def test_the_built_in_plugins_can_be_loaded(group: str, name: str) -> None:
    """Every built-in corpus, teacher, truth, model and pair comes through the public door."""
    assert name in plugins.names(group)
    assert callable(plugins.load(group, name))


def test_an_unknown_plugin_gets_the_nearest_name() -> None:
    """A misspelt plugin is answered with the one that was probably meant."""
    with pytest.raises(NotFoundError, match="there is no corpus named 'terrariun'. Did you mean 'terrarium'"):
        plugins.load(plugins.CORPORA, "terrariun")


def test_a_plugin_that_cannot_be_imported_names_its_target(monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that is installed and broken is told apart from one that is not installed."""
    broken = EntryPoint("broken", "nlakit_no_such_package:make", plugins.CORPORA)
    monkeypatch.setattr(plugins, "entry_points", lambda group: [broken])

    with pytest.raises(ConfigError, match="'nlakit_no_such_package:make', which cannot be imported"):
        plugins.load(plugins.CORPORA, "broken")


def test_the_package_behind_a_name_and_its_licence() -> None:
    """What nlakit installs comes with nlakit, under its licence; an unknown name has the nearest ones."""
    assert ("nlakit", "Apache-2.0") == plugins.package(plugins.MODELS, "terrarium")
    with pytest.raises(NotFoundError, match="Did you mean 'terrarium'"):
        plugins.package(plugins.MODELS, "terarium")
