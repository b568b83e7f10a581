"""Tests of nlakit.data.providers.batches: both interfaces, played by a server on 127.0.0.1."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.unit.data.providers.server import GOOD, Answer, Asked, Endpoint, anthropic, failure, openai, serving

from nlakit.config import AnnotateConfig, CallsConfig
from nlakit.data.providers import batches, client, make_anthropic_teacher, make_openai_teacher
from nlakit.data.providers.endpoint import EndpointTeacher
from nlakit.data.teachers import Context
from nlakit.errors import EndpointError, SpendingError
from nlakit.explanations import Explanation, Outcome

CLEAN = Explanation("A short tale about a cat.\nThe end is open.")


class Provider:
    """Takes batches in both formats; ``results`` maps a request's place in its batch to something else than a good one."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.jobs: list[list[str]] = []
        self.polls = 0
        self.results: dict[int, Any] = {}
        self.files: list[bytes] = []
        self.down = False
        endpoint.answer = self.answer

    def answer(self, asked: Asked, n: int) -> Answer:
        if asked.method == "GET" and self.down:
            return failure(500)
        if asked.path == "/files":
            self.files.append(asked.data)
            return Answer(body={"id": "file-1"})
        if asked.path in ("/v1/messages/batches", "/batches"):
            self.jobs.append(self.keys(asked))
            self.polls = 0
            return Answer(body={"id": f"job-{len(self.jobs) - 1}"})
        name = asked.path.split("/")[-2 if asked.path.endswith(("results", "content")) else -1]
        if asked.path.endswith(("results", "content")):
            lines = [self.line(place, key) for place, key in enumerate(self.jobs[int(name.split("-")[1])])]
            return Answer(body="\n".join(json.dumps(line) for line in reversed(lines)).encode() + b"\nnot json\n")
        self.polls += 1
        ended = self.polls > 1
        return Answer(
            body={
                "id": name,
                "processing_status": "ended" if ended else "in_progress",
                "status": "completed" if ended else "in_progress",
                "output_file_id": name,
            }
        )

    def keys(self, asked: Asked) -> list[str]:
        if asked.path == "/batches":
            lines = [line for line in self.files[-1].splitlines() if line.startswith(b"{")]
            return [json.loads(line)["custom_id"] for line in lines]
        return [request["custom_id"] for request in asked.body["requests"]]

    def line(self, place: int, key: str) -> dict[str, Any]:
        other = self.results.get(place)
        if self.files:
            return {"custom_id": key, "response": other or {"status_code": 200, "body": openai(GOOD).body}}
        return {"custom_id": key, "result": other or {"type": "succeeded", "message": anthropic().body}}


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[Provider]:
    monkeypatch.setattr(client, "FIRST_WAIT_S", 0.01)
    monkeypatch.setattr(batches, "POLL_S", 0.01)
    with serving() as endpoint:
        yield Provider(endpoint)


def contexts(n: int) -> list[Context]:
    return [Context(row, f"d{row}", 7, " cat", f"Text {row} about a cat") for row in range(n)]


def teacher(provider: Provider, wire: str = "anthropic", **calls: Any) -> EndpointTeacher:
    make = make_anthropic_teacher if wire == "anthropic" else make_openai_teacher
    options = {"model": "m-1", "base_url": provider.endpoint.url}
    return make(AnnotateConfig(teacher=wire, options=options, calls=CallsConfig(batch=True, attempts=2, **calls)))


@pytest.mark.parametrize("wire", ["anthropic", "openai"])
def test_a_batch_gives_what_single_requests_give(provider: Provider, tmp_path: Path, wire: str) -> None:
    """One job holds all requests; its results are matched by name, whatever their order, and kept."""
    asker = teacher(provider, wire)
    assert "5 requests in batches" in asker.plan(contexts(5), tmp_path).text

    assert [CLEAN] * 5 == asker.explain(contexts(5))
    assert [5] == [len(job) for job in provider.jobs]
    assert 0 == teacher(provider, wire).plan(contexts(5), tmp_path).calls
    assert [] == list(tmp_path.glob("batch-*"))


@pytest.mark.parametrize(
    ("wire", "passing"),
    [
        ("anthropic", {"type": "expired"}),
        ("anthropic", {"type": "errored", "error": {"error": {"type": "api_error", "message": "oops"}}}),
        ("openai", {"status_code": 500, "body": {"error": {"message": "oops"}}}),
    ],
)
def test_what_met_a_fault_there_is_sent_again(provider: Provider, wire: str, passing: Any) -> None:
    """A request that expired or failed for the provider's own reasons goes into the next job, alone."""
    provider.results = {2: passing}

    assert [CLEAN] * 4 == teacher(provider, wire).explain(contexts(4))
    assert [4, 1] == [len(job) for job in provider.jobs]


def test_refusals_and_odd_replies_are_outcomes(provider: Provider) -> None:
    """In a batch as outside one, a refusal and a reply out of format are counted by name."""
    provider.results = {
        0: {"type": "succeeded", "message": anthropic("No.", "refusal").body},
        1: {"type": "succeeded", "message": {"odd": 1}},
    }
    found = teacher(provider).explain(contexts(3))

    assert [Outcome.REFUSED, Outcome.MALFORMED, Outcome.OK] == [explanation.outcome for explanation in found]


@pytest.mark.parametrize(
    ("wire", "fault"),
    [
        ("anthropic", {"type": "errored", "error": {"error": {"type": "invalid_request_error", "message": "no m-1"}}}),
        ("openai", {"status_code": 404, "body": {"error": {"message": "no m-1"}}}),
    ],
)
def test_a_request_at_fault_stops_the_work(provider: Provider, tmp_path: Path, wire: str, fault: Any) -> None:
    """The provider's words about a wrong request are shown, and the other answers of the job are kept."""
    provider.results = {1: fault}
    asker = teacher(provider, wire)
    asker.plan(contexts(3), tmp_path)

    with pytest.raises(EndpointError, match=r"refuses a request of the batch job-0: no m-1"):
        asker.explain(contexts(3))
    assert 1 == teacher(provider, wire).plan(contexts(3), tmp_path).calls


def test_a_job_that_brings_nothing_is_not_sent_for_ever(provider: Provider) -> None:
    """When a whole job expires, the work stops and can be started again."""
    provider.results = {place: {"type": "expired"} for place in range(9)}

    with pytest.raises(EndpointError, match="none of the 3 requests of the batch job-0"):
        teacher(provider).explain(contexts(3))


def test_a_job_is_fetched_after_an_interruption(provider: Provider, tmp_path: Path) -> None:
    """A job whose answers were not yet there is not sent again, nor counted as still to be paid."""
    provider.down = True
    asker = teacher(provider)
    asker.plan(contexts(4), tmp_path)
    with pytest.raises(EndpointError, match="gave no answer"):
        asker.explain(contexts(4))
    provider.down = False
    again = teacher(provider)

    assert 0 == again.plan(contexts(4), tmp_path).calls
    assert [CLEAN] * 4 == again.explain(contexts(4))
    assert 1 == len(provider.jobs)


def test_a_job_that_may_have_been_taken_is_not_sent_twice(provider: Provider) -> None:
    """Silence after a job was sent stops the work with a word on where to look, instead of paying twice."""
    provider.endpoint.script(Answer(body={"id": "job-0"}, wait_s=0.5))

    with pytest.raises(EndpointError, match="did not acknowledge a batch"):
        teacher(provider, timeout_s=0.1).explain(contexts(2))
    assert 1 == len(provider.endpoint.asked)


def test_a_cap_holds_for_jobs(provider: Provider, tmp_path: Path) -> None:
    """A job takes as many requests as fit below the cap, and the work stops when none does."""
    asker = teacher(provider, max_tokens=9000)
    asker.plan(contexts(30), tmp_path)

    with pytest.raises(SpendingError, match=r"max_tokens = 9000 is reached"):
        asker.explain(contexts(30))
    assert 2 < sum(map(len, provider.jobs)) < 30
    assert sum(map(len, provider.jobs)) * 540 <= 9000


def test_a_server_without_batches(provider: Provider) -> None:
    """An endpoint that answers the job with something else is told from one that has the interface."""
    provider.endpoint.script(anthropic())

    with pytest.raises(EndpointError, match=r"has no 'id'.*annotate\.calls\.batch to false"):
        teacher(provider).explain(contexts(2))
