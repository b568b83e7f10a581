"""Generated pages are as the code would write them now."""

from __future__ import annotations

from pathlib import Path

import pytest
from scripts.docs import ROOT, pages

PATHS = ("docs/cli.md", "docs/config.md", "docs/metrics.md", "README.md")


@pytest.fixture(scope="module")
def made() -> dict[Path, str]:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout, so the README's tree cannot be made")
    return pages()


@pytest.mark.parametrize("path", PATHS)
def test_a_generated_page_is_fresh(path: str, made: dict[Path, str]) -> None:
    """Commands, settings, measures, figures and the README's tree say what the code does; ``make docs`` rewrites them."""
    assert made[ROOT / path] == (ROOT / path).read_text(encoding="utf-8")


def test_every_generated_page_is_compared(made: dict[Path, str]) -> None:
    """No page is made that the test above does not look at."""
    assert {str(path.relative_to(ROOT)) for path in made} == set(PATHS)
