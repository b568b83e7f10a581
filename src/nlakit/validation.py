"""From parsed data to settings: validation with every problem in words, overrides, and the list of all settings."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from nlakit.errors import ConfigError, nearest

M = TypeVar("M", bound=BaseModel)


def validated(model: type[M], data: dict[str, Any], source: str) -> M:
    """Build settings from parsed data; ConfigError lists every problem with its key, its value and the nearest known key."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        lines = [f"  {_problem(model, item)}" for item in error.errors(include_url=False)]
        noun = "problem" if len(lines) == 1 else "problems"
        raise ConfigError(f"{source} has {len(lines)} {noun}:\n" + "\n".join(lines)) from error


def _problem(model: type[BaseModel], item: Any) -> str:
    """Say one pydantic error as key, value and remedy."""
    location = [str(part) for part in item["loc"]]
    key = ".".join(location)
    if item["type"] == "extra_forbidden":
        table = _table_at(model, location[:-1])
        known = list(table.model_fields) if table else []
        hint = nearest(location[-1], known) or nearest(key, [path for path, _, _ in setting_fields(model)])
        return f"{key}: there is no such key.{hint}" + ("" if hint else f" Known here: {', '.join(known)}.")
    if item["type"] == "missing":
        return f"{key}: is missing, and has no default."
    message = item["msg"].removeprefix("Value error, ")
    return f"{key or 'recipe'}: {message}" + (
        "." if isinstance(item["input"], Mapping) else f", got {item['input']!r}."
    )


def apply_override(data: dict[str, Any], override: str) -> None:
    """Set one ``table.key=value`` in parsed TOML; the value is TOML too, and a bare word is a string."""
    key, equals, text = override.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise ConfigError(f"the override {override!r} is not of the form table.key=value, for example train.steps=10")
    try:
        value = tomllib.loads(f"value = {text.strip()}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    for part in parts[:-1]:
        if data.get(part) is None:  # a table that may be left out
            data[part] = {}
        data = data[part]
        if not isinstance(data, dict):
            raise ConfigError(f"the override {override!r} goes through {part!r}, which is a value and not a table")
    data[parts[-1]] = value


def override_settings(settings: M, overrides: Sequence[str], source: str) -> M:
    """Return settings with ``"table.key=value"`` applied over them; ``source`` names them in errors."""
    data = settings.model_dump(mode="json")
    for override in overrides:
        apply_override(data, override)
    return validated(type(settings), data, f"{source} with overrides" if overrides else source)


def setting_fields(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, type[BaseModel], str]]:
    """Yield (dotted key, owning model, field name) for every setting: those of a table, then its sub-tables."""
    tables = {name: table for name, field in model.model_fields.items() if (table := _table(field.annotation))}
    for name in model.model_fields:
        if name not in tables:
            yield f"{prefix}{name}", model, name
    for name, table in tables.items():
        yield from setting_fields(table, f"{prefix}{name}.")


def _table(annotation: object) -> type[BaseModel] | None:
    """Return the settings model of a field's annotation, or None for a plain value."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for found in map(_table, get_args(annotation)) if found), None)


def _table_at(model: type[BaseModel], path: Sequence[str]) -> type[BaseModel] | None:
    found: type[BaseModel] | None = model
    for part in path:
        field = found.model_fields.get(part) if found else None
        found = _table(field.annotation) if field else None
    return found
