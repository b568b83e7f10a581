"""Which module may import which: one direction, and a light start."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from scripts.docs import ROOT

SOURCE = ROOT / "src" / "nlakit"

# From the bottom up: a module imports only from its own part and from parts on earlier lines.
LAYERS = (
    ("errors",),
    ("validation", "config", "recipe", "explanations", "truth", "paraphrase", "calibration", "progress", "redact"),
    ("plugins", "storage", "plan"),
    ("runs",),
    ("vectors",),
    ("prompts",),
    ("card",),
    ("models",),
    ("claims", "client"),
    ("data",),
    ("train", "evaluate"),
    ("doctor", "publish", "serve"),
    ("terrarium",),
    ("pipeline",),
    ("cli", "testing"),
    ("__main__",),
)
LAYER = {part: index for index, parts in enumerate(LAYERS) for part in parts}

# The doors upward, methods of a pair in hand: publishing needs what was measured of it, support the readers of claims.
UPWARD = {
    ("models.pair", "nlakit.publish.push.push_pair"),
    ("models.pair", "nlakit.claims.reading.with_support"),
}

# What may be imported at the top only by modules that start-up never touches.
HEAVY = {"torch", "transformers", "pyarrow", "sklearn", "matplotlib", "scipy", "safetensors", "tokenizers", "jinja2"}


def modules() -> Iterator[tuple[str, Path]]:
    """Yield (dotted name below nlakit, path) of every module but the package itself."""
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        name = ".".join(part for part in parts if part != "__init__")
        if name:
            yield name, path


def imported(path: Path, *, top_only: bool = False) -> Iterator[str]:
    """Yield the dotted names that a module imports, those for type checkers alone left out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only = {
        child for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for child in ast.walk(node)
    }  # fmt: skip
    for node in tree.body if top_only else ast.walk(tree):
        if node in typing_only:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def part_of(name: str) -> str:
    return name.removeprefix("nlakit.").split(".")[0]


MODULES = dict(modules())


@pytest.mark.parametrize("name", MODULES)
def test_every_module_has_a_layer(name: str) -> None:
    """A new part of the package has a place in the order before it is used."""
    assert part_of(name) in LAYER


@pytest.mark.parametrize("name", MODULES)
def test_imports_go_one_way(name: str) -> None:
    """No module imports from a part above its own, or from a neighbour on the same layer above the foundation."""
    part = part_of(name)
    upward = [
        found
        for found in imported(MODULES[name])
        if found.startswith("nlakit.") and (other := part_of(found)) in LAYER and other != part
        and (LAYER[other] > LAYER[part] or (LAYER[other] == LAYER[part] and LAYER[part] > 3))
        and (name, found) not in UPWARD
    ]  # fmt: skip

    assert [] == upward


def test_nobody_imports_terrarium_but_its_commands() -> None:
    """Terrarium comes in through entry points, as a stranger's corpus would."""
    users = {
        name for name, path in MODULES.items() if part_of(name) != "terrarium"
        for found in imported(path) if f"{found}.".startswith("nlakit.terrarium.")
    }  # fmt: skip

    assert users <= {"cli.terrarium"}


def test_import_of_the_package_is_light() -> None:
    """``import nlakit`` loads none of the libraries that take seconds."""
    code = f"import sys, nlakit, nlakit.cli, nlakit.config; print(sorted({HEAVY} & set(sys.modules)))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert "[]" == shown.strip()


@pytest.mark.parametrize(
    "name", [name for name in MODULES if LAYER.get(part_of(name), 0) <= 3 or part_of(name) == "cli"]
)
def test_the_foundation_and_the_commands_import_nothing_heavy_at_the_top(name: str) -> None:
    """Settings, errors, runs and commands can be imported where torch is not installed."""
    assert [] == sorted(HEAVY & {found.split(".")[0] for found in imported(MODULES[name], top_only=True)})
