"""Rules of the house that a machine can check."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from scripts.docs import ROOT

SOURCES = sorted((ROOT / "src").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("test_*.py"))


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_no_assert_in_the_library(path: Path) -> None:
    """Checks raise typed errors; an assert vanishes under ``python -O``."""
    found = [node.lineno for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Assert)]

    assert [] == found


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_no_pickle_and_no_remote_code(path: Path) -> None:
    """Nothing the library reads or writes can run code."""
    tree = ast.parse(path.read_text())
    called = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
    taken = {
        f"{node.module}.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    trusting = [
        node.value for node in ast.walk(tree) if isinstance(node, ast.keyword) and node.arg == "trust_remote_code"
    ]

    assert not (called | taken) & {"torch.save", "torch.load", "np.save", "numpy.save", "numpy.load", "eval", "exec"}
    assert not imported & {"pickle", "shelve", "marshal", "joblib", "cloudpickle"}
    assert all(isinstance(value, ast.Constant) and value.value is False for value in trusting)


@pytest.mark.parametrize("path", TESTS, ids=name_of)
def test_every_test_states_its_promise(path: Path) -> None:
    """Each test has a docstring that is a sentence."""
    silent = [
        node.name
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
        and not (ast.get_docstring(node) or "").rstrip().endswith((".", ":", "?"))
    ]  # fmt: skip

    assert [] == silent


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_files_stay_readable(path: Path) -> None:
    """No source file outgrows what a person reads in one sitting."""
    assert len(path.read_text().splitlines()) <= 450
