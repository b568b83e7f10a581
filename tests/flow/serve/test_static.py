"""The files of the page: who gets which, and that nothing else can be had through them."""

from __future__ import annotations

import re
from importlib import resources

import httpx2 as httpx
import pytest
from tests.serving import served

from nlakit.models.pair import Pair
from nlakit.models.readings import BANDS, FLAGGED, NEIGHBOURS

TOKEN = "a token of some length"  # noqa: S105 - it guards a test
PAGE = resources.files("nlakit.serve") / "page"


def test_a_browser_is_sent_to_the_page_and_a_program_is_not(address: str) -> None:
    """GET / leads whoever takes HTML to the page, and tells everybody else the status in JSON."""
    browser = httpx.get(address, headers={"accept": "text/html,*/*;q=0.8"}, follow_redirects=True)
    assert str(browser.url) == f"{address}/page/"
    assert browser.headers["content-type"].startswith("text/html")
    assert str(httpx.get(f"{address}/page", follow_redirects=True).url) == f"{address}/page/"
    assert httpx.get(address).json()["status"] == "ok"


def test_every_part_of_the_page_is_served_with_its_kind_and_the_policy(address: str) -> None:
    """Scripts and styles come under types that browsers take, may load nothing from elsewhere, and are kept while they last."""
    for name, kind in {
        "app.js": "text/javascript",
        "app.css": "text/css",
        "icon.svg": "image/svg+xml",
        "vendor/preact-htm.js": "text/javascript",
        "vendor/LICENSE-htm.txt": "text/plain",
        "vendor/LICENSE-preact.txt": "text/plain",
    }.items():
        found = httpx.get(f"{address}/page/{name}")
        assert found.headers["content-type"].startswith(kind)
        assert "default-src 'self'" in found.headers["content-security-policy"]
        assert found.content == (PAGE / name).read_bytes()
        again = httpx.get(f"{address}/page/{name}", headers={"if-none-match": found.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    "path",
    ["../app.py", "%2e%2e/app.py", "..%2fapp.py", "/etc/passwd", "vendor/../../app.py", "vendor", "vendor/README.md"],
)
def test_no_path_leads_out_of_the_page(address: str, path: str) -> None:
    """Only files of the page have an address, however it is written."""
    host, port = address.removeprefix("http://").split(":")
    with httpx.Client() as client:
        request = client.build_request("GET", address)
        request.url = request.url.copy_with(raw_path=f"/page/{path}".encode())
        assert client.send(request).status_code == 404, (host, port)


def test_the_page_can_be_opened_without_the_token(pair: Pair) -> None:
    """A browser gets the page, which asks for the token; nothing else comes without it."""
    with served(pair, token=TOKEN) as address:
        assert httpx.get(f"{address}/page/").status_code == 200
        for route in ("/v1/pair", "/", "/page/../v1/pair"):
            assert httpx.get(f"{address}{route}").status_code == 401, route
        assert httpx.post(f"{address}/page/", json={}).status_code == 401
        assert httpx.get(f"{address}/v1/pair", headers={"X-SECRET-KEY": TOKEN}).status_code == 200


def test_the_page_has_the_bands_and_neighbours_of_readings() -> None:
    """Colours, advice and neighbours on the page are those of the library."""
    reading, session = ((PAGE / name).read_text(encoding="utf-8") for name in ("reading.js", "session.js"))
    found = re.findall(r'^  \[([\d.]+), "(\w+)", "([^"]+)"\],$', reading, re.MULTILINE)
    assert [(float(low), colour, advice) for low, colour, advice in found] == list(BANDS)
    assert f'FLAGGED = "{FLAGGED}";' in reading
    assert f"NEIGHBOURS = {NEIGHBOURS};" in session


def test_markup_has_no_script_and_no_style_of_its_own() -> None:
    """The policy of the server would stop them."""
    found = (PAGE / "index.html").read_text(encoding="utf-8")
    assert re.findall(r"<script(?![^>]* src=)|<style|style=|\son\w+=", found) == []
