"""Finding and reading recipes: those that are installed, those in files, and those that a run has recorded."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from nlakit.config import Recipe
from nlakit.errors import ConfigError, not_found
from nlakit.validation import apply_override, validated


def list_recipes() -> dict[str, str]:
    """Return name and description of every recipe that is installed with the package."""
    return {recipe.name: recipe.description for recipe in (load_recipe(name) for name in sorted(_packaged()))}


def load_recipe(name_or_path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe by the name of an installed one, or from a TOML file.

    ``overrides`` are ``"table.key=value"`` with the value in TOML (a bare word is a string), applied
    over the file. Raises :class:`~nlakit.errors.ConfigError` that lists every problem with its key,
    its value and the nearest known key, and :class:`~nlakit.errors.NotFoundError` for an unknown name.
    """
    source, text = _recipe_text(name_or_path)
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{source} is not valid TOML: {error}") from error
    for override in overrides:
        apply_override(data, override)
    return validated(Recipe, data, f"{source} with overrides" if overrides else source)


def recipe_from(data: Mapping[str, Any], source: str) -> Recipe:
    """Build a recipe from parsed data, for example a run's ``config.json``; ``source`` names it in errors."""
    return validated(Recipe, dict(data), source)


def _packaged() -> dict[str, Any]:
    folder = resources.files("nlakit") / "recipes"
    return {entry.name.removesuffix(".toml"): entry for entry in folder.iterdir() if entry.name.endswith(".toml")}


def _recipe_text(name_or_path: str | Path) -> tuple[str, str]:
    packaged = _packaged()
    name = str(name_or_path)
    if name in packaged:
        return f"recipe {name!r}", packaged[name].read_text(encoding="utf-8")
    path = Path(name_or_path)
    if path.suffix != ".toml" and len(path.parts) == 1 and not path.exists():
        raise not_found("recipe", name, packaged)
    try:
        return str(path), path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"cannot read the recipe {path}: {error}. Known recipes: {', '.join(sorted(packaged))}."
        ) from error
