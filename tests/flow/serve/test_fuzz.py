"""Whatever fits the published schema, and much that does not, is answered without a failure of the server's own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from tests.serving import served

from nlakit.serve.app import make_app
from nlakit.serve.limits import Limits
from nlakit.testing import tiny_pair

EXAMPLES = 8
LIMITS = Limits(max_new_tokens=4, max_completion_tokens=4, requests_per_minute=10**9)
"""Short answers, so that many can be asked for."""
SCHEMA = make_app(tiny_pair(), limits=LIMITS).openapi()
OPERATIONS = [(path, method) for path, methods in SCHEMA["paths"].items() for method in methods]


@pytest.fixture(scope="module")
def schema() -> Iterator[Any]:
    with served(tiny_pair(), limits=LIMITS) as address:
        yield schemathesis.openapi.from_dict(SCHEMA), address


@pytest.mark.parametrize(("path", "method"), OPERATIONS, ids=lambda value: value.strip("/").replace("/", "-"))
def test_no_request_breaks_the_server(schema: Any, path: str, method: str) -> None:
    """Requests drawn from the schema, right and wrong ones, get an answer below 500 or the 503 of a missing part."""
    operations, address = schema
    asked_for = SCHEMA["paths"][path][method]
    modes = list(schemathesis.GenerationMode)
    if not asked_for.keys() & {"parameters", "requestBody"}:
        modes = [schemathesis.GenerationMode.POSITIVE]  # nothing can be wrong with it
    cases = [operations[path][method.upper()].as_strategy(generation_mode=mode) for mode in modes]

    for strategy in cases:

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=strategy)
        def ask(case: Any) -> None:
            response = case.call(base_url=address, timeout=60)
            assert response.status_code < 500 or response.status_code == 503, response.text[:300]

        ask()
    assert requests.get(address, timeout=10).status_code == 200
