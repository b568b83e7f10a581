"""The batch interfaces of both providers: many requests in one job that is answered within a day.

A job is a mapping from our name of a request to its body. Each interface sends one, says whether it has ended, and yields
what came of each request: the body of a reply, or the sentence of an error (empty for one that may be sent again).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from nlakit.data.providers.client import Client, parsed
from nlakit.data.providers.wire import AnthropicWire, OpenAIWire, Wire
from nlakit.errors import ConfigError, EndpointError

POLL_S = 30.0
"""Seconds between two looks at a job (our choice)."""
JOB_REQUESTS = 10_000
"""Requests in one job at most: well below what both providers allow (100,000 and 50,000)."""

Requests = Mapping[str, Mapping[str, Any]]
Result = tuple[str, Any, str | None]
"""Name of a request, the body of its reply or None, and what went wrong or None."""


class BatchWire(Protocol):
    """How one kind of endpoint takes jobs."""

    def submit(self, client: Client, requests: Requests) -> str:
        """Send a job and return its name."""

    def status(self, client: Client, job: str) -> dict[str, Any] | None:
        """Return the record of a job that has ended; None while it is under way."""

    def results(self, client: Client, ended: Mapping[str, Any]) -> Iterator[Result]:
        """Yield what came of each request of a job that has ended."""


def batch_wire(wire: Wire, table: str) -> BatchWire:
    """Return the batch interface that belongs to a format."""
    known: dict[str, BatchWire] = {AnthropicWire.name: AnthropicBatches(), OpenAIWire.name: OpenAIBatches()}
    if wire.name not in known:
        raise ConfigError(f"{wire.name!r} has no batch interface; set {table}.calls.batch to false.")
    return known[wire.name]


def wait_for(batches: BatchWire, client: Client, job: str) -> dict[str, Any]:
    """Return the record of a job once it has ended."""
    while (ended := batches.status(client, job)) is None:
        client.stopping.wait(POLL_S)
    return ended


class AnthropicBatches:
    """Message Batches: requests in the body, results as JSON lines."""

    def submit(self, client: Client, requests: Requests) -> str:
        """Send a job."""
        listed = [{"custom_id": key, "params": body} for key, body in requests.items()]
        return _text(
            client, parsed(client.send("POST", "/v1/messages/batches", json={"requests": listed}, lost=_unsure)), "id"
        )

    def status(self, client: Client, job: str) -> dict[str, Any] | None:
        """A job has ended when ``processing_status`` says so."""
        body = parsed(client.send("GET", f"/v1/messages/batches/{job}"))
        return body if _text(client, body, "processing_status") == "ended" else None

    def results(self, client: Client, ended: Mapping[str, Any]) -> Iterator[Result]:
        """Only a request that is itself at fault is an error; those that expired or met a fault there are sent again."""
        for line in _lines(client, f"/v1/messages/batches/{_text(client, ended, 'id')}/results"):
            key, result = line.get("custom_id"), _inner(line, "result")
            if not isinstance(key, str):
                continue
            if result.get("type") == "succeeded":
                yield key, result.get("message"), None
            else:
                error = _inner(_inner(result, "error"), "error")
                ours = error.get("type") == "invalid_request_error"
                yield key, None, str(error.get("message", "")) if ours else ""


class OpenAIBatches:
    """Batches of OpenAI: a file with one request a line, results and errors in two more files."""

    def submit(self, client: Client, requests: Requests) -> str:
        """Send the file, then a job that names it."""
        url = f"/v1{OpenAIWire.path}"
        lines = [{"custom_id": key, "method": "POST", "url": url, "body": body} for key, body in requests.items()]
        data = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode()
        file = {"file": ("requests.jsonl", data, "application/jsonl")}
        uploaded = parsed(client.send("POST", "/files", data={"purpose": "batch"}, files=file))
        job = {"input_file_id": _text(client, uploaded, "id"), "endpoint": url, "completion_window": "24h"}
        return _text(client, parsed(client.send("POST", "/batches", json=job, lost=_unsure)), "id")

    def status(self, client: Client, job: str) -> dict[str, Any] | None:
        """A job ends completed, expired, cancelled or failed; EndpointError for one that failed as a whole."""
        body = parsed(client.send("GET", f"/batches/{job}"))
        state = _text(client, body, "status")
        if state == "failed":
            faults = _inner(body, "errors").get("data")
            first = faults[0].get("message", "") if isinstance(faults, list) and faults else "it does not say why"
            raise EndpointError(f"the endpoint refuses the batch {job}: {client.clean(str(first))}")
        return body if state in ("completed", "expired", "cancelled") else None

    def results(self, client: Client, ended: Mapping[str, Any]) -> Iterator[Result]:
        """Answers stand in one file, errors in another; either may be missing."""
        for field in ("output_file_id", "error_file_id"):
            if ended.get(field):
                for line in _lines(client, f"/files/{_text(client, ended, field)}/content"):
                    found = _result(line)
                    if found is not None:
                        yield found


def _unsure() -> None:
    """Stop rather than pay for a job twice: the endpoint may have taken the one that it did not acknowledge."""
    raise EndpointError(
        "the endpoint did not acknowledge a batch, and may have taken it all the same. Look at the provider's list of batches, "
        "cancel one that is not wanted, and give the same command again to send a new one."
    )


def _result(line: Mapping[str, Any]) -> Result | None:
    """Read one line of OpenAI's files: only a request that is itself at fault is an error."""
    key, response = line.get("custom_id"), _inner(line, "response")
    status, body = response.get("status_code"), response.get("body")
    if not isinstance(key, str):
        return None
    if status == 200:
        return key, body, None
    error = _inner(body if isinstance(body, dict) else {}, "error")
    if error.get("code") == "content_filter":
        return key, body, None
    ours = isinstance(status, int) and 400 <= status < 500 and status not in (408, 409, 429)
    return key, None, str(error.get("message", "")) if ours else ""


def _lines(client: Client, path: str) -> Iterator[dict[str, Any]]:
    """Yield the JSON lines of a file at the endpoint; what is no mapping is left out, and sent again in the end."""
    for data in client.send("GET", path).content.splitlines():
        try:
            line = json.loads(data)
        except ValueError:
            continue
        if isinstance(line, dict):
            yield line


def _inner(value: Mapping[str, Any], field: str) -> dict[str, Any]:
    inner = value.get(field)
    return inner if isinstance(inner, dict) else {}


def _text(client: Client, body: Any, field: str) -> str:
    """Return a text of a record; EndpointError when the endpoint does not give it."""
    value = body.get(field) if isinstance(body, dict) else None
    if not isinstance(value, str):
        raise EndpointError(
            f"the endpoint's record of a batch has no {field!r}; does it have the provider's batch interface? Set "
            f"{client.table}.calls.batch to false to do without."
        )
    return value
