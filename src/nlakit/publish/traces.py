"""Traces of the machine that a pair was made on: paths and addresses are taken out, and what looks like a secret is refused.

A key never gets into a card by the ways of nlakit itself (it is read from the environment alone); what people write into the
options of a teacher or corpus of their own may hold one.
"""

from __future__ import annotations

import ipaddress
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from nlakit.card import Card

FREE_FIELDS = ("training", "data", "measured", "source")
"""Parts of a card in which anything may stand."""
PRIVATE_HOST = "private.invalid"
"""Stands for the name of a server that only its owner can reach; no real host is named so (RFC 2606)."""
MODEL_NAMES = ("_name_or_path", "name_or_path", "base_model_name_or_path")
"""Keys under which settings files name the folder that a model was loaded from."""

REASONS = "measured."
"""Where the sentences stand in which errors of this machine are told."""

_URL = re.compile(r"https?://[^\s'\")>,;]+")
_PATH_IN_TEXT = re.compile(r"(?<![\w:/.~])~?(/[\w.@+-]+){2,}/?")
_PATH = re.compile(r"(~[\w.-]*/|\.\./|file://|[A-Za-z]:[\\/]).+|(/[^/\n]+){2,}/?")
_SECRET = re.compile(
    r"hf_[A-Za-z0-9]{20,}|sk-[\w-]{20,}|gh[pousr]_[A-Za-z0-9]{30,}|github_pat_\w{30,}|xox[abprs]-[\w-]{10,}"
    r"|AKIA[0-9A-Z]{16}|AIza[\w-]{30,}|-----BEGIN [A-Z ]*PRIVATE KEY|eyJ[\w-]{20,}\.[\w-]{20,}\.|://[^/\s:@]*:[^/\s@]+@"
)
_SECRET_NAME = re.compile(r"token|secret|passw|api_?key|_key$", re.IGNORECASE)
SHORTEST_SECRET = 12
"""Values of the environment below this length are too common to be looked for (our choice)."""
_LOCAL_ENDS = ("local", "localhost", "internal", "intranet", "lan", "corp", "home", "private")


def without_traces(card: Card) -> tuple[Card, list[str]]:
    """Return a card whose paths are file names and whose private servers are unnamed, with a line for each change."""
    changes: list[str] = []
    cleaned = {name: _cleaned(getattr(card, name), name, changes) for name in FREE_FIELDS}
    return card.model_copy(update=cleaned), changes


def named_after(content: bytes, model: str) -> bytes:
    """Return a settings file in JSON with the name of the model where the folder stood that it was loaded from."""
    settings = json.loads(content)
    if not isinstance(settings, dict) or not any(is_path(settings.get(key)) for key in MODEL_NAMES):
        return content
    named = {key: model if key in MODEL_NAMES and is_path(value) else value for key, value in settings.items()}
    return (json.dumps(named, indent=2, ensure_ascii=False) + "\n").encode()


def problems(name: str, content: bytes) -> Iterator[str]:
    """Yield what must not leave this machine in a file, each as a place and a kind; the thing itself is not shown."""
    secrets = [value for key, value in os.environ.items() if _SECRET_NAME.search(key) and len(value) >= SHORTEST_SECRET]
    for place, text in _texts(name, content):
        if _SECRET.search(text) or any(secret in text for secret in secrets):
            yield f"{place} holds what looks like a key or a password"
        elif is_path(text) and (Path(text).is_absolute() or text.startswith("~")) and _first_folder(text).exists():
            yield f"{place} holds a path of this machine"


def is_path(value: object) -> bool:
    """Whether a value is an absolute path, or one that leaves the folder it is given in."""
    return isinstance(value, str) and "\n" not in value and _PATH.fullmatch(value) is not None


def _first_folder(path: str) -> Path:
    expanded = Path(path).expanduser()
    return Path(*expanded.parts[:2])


def _texts(name: str, content: bytes) -> Iterator[tuple[str, str]]:
    """Yield (place, text) for every text in a file: each value of JSON and YAML, each line of anything else."""
    text = content.decode("utf-8", "replace")
    if name.endswith((".json", ".yaml")):
        yield from _values(json.loads(text) if name.endswith(".json") else yaml.safe_load(text), name)
    else:
        yield from ((f"{name}, line {number}", line) for number, line in enumerate(text.splitlines(), 1))


def _values(value: Any, place: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _values(item, f"{place}, {key}" if ", " not in place else f"{place}.{key}")
    elif isinstance(value, list):
        for item in value:
            yield from _values(item, place)


def _cleaned(value: Any, place: str, changes: list[str]) -> Any:
    """Return a value of a card without what only this machine knows."""
    if isinstance(value, Mapping):
        return {key: _cleaned(item, f"{place}.{key}", changes) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_cleaned(item, place, changes) for item in value]
    if not isinstance(value, str):
        return value
    if is_path(value) and (name := _last(value)):
        changes.append(f"{place}: only the name {name!r} of a path")
        return name
    text = _URL.sub(_public_address, value)
    if place.startswith(REASONS):
        text = _PATH_IN_TEXT.sub(lambda found: _last(found[0]), text)
    if text != value:
        changes.append(f"{place}: without paths and private servers")
    return text


def _last(path: str) -> str:
    return re.split(r"[\\/]", path.rstrip("\\/"))[-1]


def _public_address(found: re.Match[str]) -> str:
    """Return an address with another name where the server's means nothing elsewhere."""
    address, host = found[0], urlsplit(found[0]).hostname or ""
    return address.replace(host, PRIVATE_HOST, 1) if _is_private(host) else address


def _is_private(host: str) -> bool:
    """Whether a server has a name or number that means nothing elsewhere."""
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return "." not in host or host.rpartition(".")[2] in _LOCAL_ENDS
