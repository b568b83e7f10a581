"""Generated pages are as the code would write them now."""

from __future__ import annotations

from pathlib import Path

import pytest
from scripts.docs import ROOT, pages

PAGES = pages()


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_generated_page_is_fresh(path: Path) -> None:
    """Commands, settings, measures and the README's tree say what the code does; ``make docs`` rewrites them."""
    assert PAGES[path] == path.read_text(encoding="utf-8")
