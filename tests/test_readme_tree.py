"""The tree of files in the README is the tree of files."""

from __future__ import annotations

import re

import pytest
from scripts.docs import ROOT, between, project_files, tree

README = (ROOT / "README.md").read_text(encoding="utf-8")


def named_in_readme() -> dict[str, str]:
    """Return path -> clause for every line of the README's tree."""
    drawn = between(README, "tree").strip().strip("`").strip("\n")
    found: dict[str, str] = {}
    folders: list[str] = []
    for line in drawn.splitlines():
        match = re.fullmatch(r"( *)(\S+)(?: +(.*))?", line)
        assert match, line
        depth = len(match[1]) // 2
        folders = [*folders[:depth], match[2]]
        found["".join(folders)] = match[3] or ""
    return found


@pytest.fixture(scope="module")
def files() -> list[str]:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    return project_files()


def test_every_source_file_is_named_with_a_clause(files: list[str]) -> None:
    """Whoever looks for a module finds it in the README with a few words."""
    named = named_in_readme()
    python = [name for name in files if name.startswith("src/") and name.endswith(".py")]
    missing = [
        name for name in python
        if not named.get(name) and not (name.endswith("/__init__.py") and named.get(name.removesuffix("__init__.py")))
    ]  # fmt: skip

    assert [] == missing


def test_every_file_is_named_or_inside_a_named_folder(files: list[str]) -> None:
    """Nothing lies about without a word on what it is for."""
    named = named_in_readme()
    unnamed = [
        name for name in files
        if name not in named and not any(f"{parent}/" in named for parent in list(_parents(name)))
    ]  # fmt: skip

    assert [] == unnamed


def test_the_tree_names_no_ghosts(files: list[str]) -> None:
    """Every line of the tree is a file or folder of the project."""
    folders = {f"{parent}/" for name in files for parent in _parents(name)}

    assert [] == [name for name in named_in_readme() if name not in files and name not in folders]


def test_a_file_without_a_clause_is_refused() -> None:
    """A new file that says nothing about itself stops the writing of the tree."""
    with pytest.raises(SystemExit, match="notes.txt has no clause"):
        tree(["notes.txt"])


def _parents(name: str) -> list[str]:
    parts = name.split("/")[:-1]
    return ["/".join(parts[: depth + 1]) for depth in range(len(parts))]
