"""A browser, the page in it, and what must never happen on the way."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.serving import served

from nlakit.models.pair import Pair

Opens = Callable[..., Any]

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    reason = "the page is tested with playwright, which is not installed"
    sync_api = pytest.importorskip("playwright.sync_api", reason=reason)
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip(f"the page is tested in a browser; none of {', '.join(BROWSERS)} is installed")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with served(Pair.from_pretrained("terrarium")) as found:
        yield found


@pytest.fixture
def problems(shown: Opens) -> Iterator[list[str]]:
    """What the consoles of pages complained of, and requests that left this machine; there may be none after a test."""
    found: list[str] = shown.problems  # type: ignore[attr-defined]
    found.clear()
    yield found
    assert found == []


@pytest.fixture(scope="module")
def shown(browser: Any, address: str) -> Iterator[Opens]:
    """Shows the page; equal options have the same window, in which it is loaded anew."""
    windows: dict[str, Any] = {}
    problems: list[str] = []

    def show(path: str = "/page/", window: str = "", **options: Any) -> Any:
        key = f"{window} {options}"
        if key not in windows:
            page = browser.new_page(**{"viewport": {"width": 1280, "height": 900}, **options})
            page.set_default_timeout(10_000)
            page.on("console", lambda message: message.type in ("error", "warning") and problems.append(message.text))
            page.on("pageerror", lambda error: problems.append(str(error)))
            page.on("request", lambda sent: sent.url.startswith((address, "blob:")) or problems.append(sent.url))
            windows[key] = page
        page = windows[key]
        page.goto(address + path)
        page.locator(".pair", has_text="reads").wait_for()
        return page

    show.problems = problems  # type: ignore[attr-defined]
    yield show
    for page in windows.values():
        page.close()


@pytest.fixture
def page(shown: Opens, problems: list[str]) -> Any:
    return shown()
