"""Generated pages are as the code would write them now, and what the pages show runs."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from scripts.docs import ROOT, pages

from nlakit.recipe import recipe_from

PATHS = ("docs/cli.md", "docs/config.md", "docs/metrics.md", "docs/reading.md", "README.md")


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


@pytest.mark.parametrize("page", ["README.md", "docs/guide.md", "docs/doctor.md"])
def test_python_on_the_pages_runs(page: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What a page shows as Python runs as it stands, and prints."""
    for code in fenced(page, "python"):
        exec(compile(code, page, "exec"), {})  # noqa: S102 - our own page

    assert capsys.readouterr().out


def test_the_recipe_in_the_guide_is_one() -> None:
    """The recipe that the guide begins with has no misspelt key."""
    recipe = recipe_from(tomllib.loads(fenced("docs/guide.md", "toml")[0]), "docs/guide.md")

    assert recipe.name == "mine"


def fenced(page: str, language: str) -> list[str]:
    """Return the blocks of a page that are marked as a language."""
    return re.findall(
        rf"^```{language}\n(.*?)^```", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
