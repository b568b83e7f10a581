"""The surfaces that strangers depend on change only together with their committed listing."""

from __future__ import annotations

import pytest
from scripts.frozen import FOLDER, listings

LISTINGS = listings()


@pytest.mark.parametrize("name", LISTINGS)
def test_a_listing_is_what_the_code_has(name: str) -> None:
    """Options, settings and public names are as listed; after a wanted change, ``make frozen`` rewrites the listing."""
    assert LISTINGS[name] == (FOLDER / name).read_text(encoding="utf-8").splitlines()
