"""A small pair, and the address of a server of it, for the tests of a file."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.serving import served

from nlakit.models.pair import Pair
from nlakit.testing import tiny_pair


@pytest.fixture(scope="module")
def pair() -> Pair:
    return tiny_pair()


@pytest.fixture(scope="module")
def address(pair: Pair) -> Iterator[str]:
    with served(pair) as found:
        yield found
