"""The server over a real socket: the routes of the released server, its errors, and clients who come together."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx2 as httpx
import pytest
import torch
from fastapi import FastAPI
from tests.serving import events, running, served

from nlakit.models.pair import Pair
from nlakit.serve import engine
from nlakit.serve.app import make_app
from nlakit.serve.audit import AuditLog
from nlakit.serve.limits import Limits

TEXT = "The red box is in the park."


def test_the_status_names_models_and_limits(address: str, pair: Pair) -> None:
    """GET / has the fields of the contract with the pair's values."""
    found = httpx.get(address).json()

    assert found["d_model"] == pair.card.target.d_model
    assert found["reconstructor_available"] is True
    assert found["completion_available"] is True
    assert found["limits"]["max_new_tokens"] == 4096


def test_explain_reads_what_the_pair_reads(address: str, pair: Pair) -> None:
    """Over the wire comes what Python gives: the vectors' norms and the words at temperature 0."""
    body = {"text": TEXT, "positions": [-1, 3], "temperature": 0, "reverse": False}
    body["max_new_tokens"] = pair.verbalizer.max_new_tokens
    results = httpx.post(f"{address}/explain", json=body, timeout=60).json()["results"]
    readings = sorted(pair.read(TEXT, positions=[-1, 3], temperature=0), key=lambda reading: reading.position)

    assert [row["position"] for row in results] == [reading.position for reading in readings]
    for row, reading in zip(results, readings, strict=True):
        assert row["token_id"] == reading.token_id
        assert row["l2_norm"] == pytest.approx(reading.norm, rel=1e-4)
        assert row["description"] == reading.explanations[0].text


def test_a_stream_ends_with_what_the_plain_answer_has(address: str) -> None:
    """First the head, then growing texts, then one whole result a position, equal to the answer without a stream."""
    body = {"text": TEXT, "positions": [4, 5], "temperature": 1.0}
    found = httpx.post(f"{address}/explain", json=body, timeout=60)
    assert found.status_code == 200, found.text
    plain = found.json()["results"]
    frames = events(address, "/explain", {**body, "stream": True})

    assert frames[0] == {
        "layer_index": frames[0]["layer_index"],
        "total": 2,
        "prompt_length": frames[0]["prompt_length"],
    }
    whole = {frame["position"]: frame for frame in frames[1:] if "description" in frame}
    assert [whole[row["position"]] for row in plain] == plain


def test_vectors_can_be_taken_out_described_scored_and_compared(address: str) -> None:
    """What extract gives goes into describe, score and compare."""
    tokens = httpx.post(f"{address}/extract", json={"text": TEXT}, timeout=60).json()["tokens"]
    first, second = tokens[3]["activation"], tokens[4]["activation"]
    assert tokens[3]["l2_norm"] == pytest.approx(float(torch.tensor(first).norm()), rel=1e-4)

    described = httpx.post(f"{address}/describe", json={"activations": [first, second]}, timeout=60).json()["results"]
    assert len(described) == 2
    frames = events(address, "/describe", {"activations": [first, second], "stream": True})
    assert {frame["index"] for frame in frames if "description" in frame} == {0, 1}
    scored = httpx.post(f"{address}/score", json={"description": "a red box", "activation": first}).json()
    assert 0 <= scored["mse"] <= 4
    assert scored["mse"] == pytest.approx(2 * (1 - scored["cosine_similarity"]), abs=1e-4)
    compared = httpx.post(f"{address}/compare", json={"activation_a": first, "activation_b": second}).json()
    assert compared["diff_norm"] == pytest.approx(float((torch.tensor(first) - torch.tensor(second)).norm()), rel=1e-4)


def test_a_chat_is_tokenised_and_gone_on_with(address: str) -> None:
    """Messages go through the template; the answer comes as tokens and as text, streamed and whole alike."""
    chat = {"messages": [{"role": "user", "content": "red box"}]}
    tokens = httpx.post(f"{address}/tokenize", json=chat).json()["tokens"]
    assert {row["section"] for row in tokens} == {"header", "content", "footer", "scaffold"}

    body = {**chat, "completion_tokens": 6, "temperature": 0}
    whole = httpx.post(f"{address}/completion", json=body, timeout=60).json()
    frames = events(address, "/completion", {**body, "stream": True})
    written = [frame["token"] for frame in frames if frame["type"] == "token"]
    assert whole["tokens"][whole["prompt_length"] :] == written
    assert frames[-1] == {"type": "text", "text": whole["text"]}
    assert 1 <= len(written) <= 6


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e39", "1e-40"])
def test_numbers_without_a_direction_are_refused(address: str, number: str) -> None:
    """What is no number, or overflows, is the sender's error and never the server's."""
    content = '{"activations": [[' + ", ".join([number] * 32) + "]]}"
    found = httpx.post(f"{address}/describe", content=content, headers={"content-type": "application/json"}, timeout=60)

    assert found.status_code in (400, 422)
    assert "activation" in json.dumps(found.json()["detail"])


@pytest.mark.parametrize(
    ("route", "body", "status", "said"),
    [
        ("/explain", {"text": "a", "messages": []}, 422, "messages"),
        ("/explain", {}, 422, "either text or messages"),
        ("/explain", {"text": TEXT, "positions": [10_000]}, 400, "outside the text"),
        ("/explain", {"text": TEXT, "temperature": 6}, 422, "temperature"),
        ("/explain", {"text": ""}, 400, "empty"),
        ("/tokenize", {"text": "a " * 20_000}, 400, "max_input_chars"),
        ("/describe", {"activations": [[1.0, 2.0]]}, 400, "2 numbers"),
        ("/describe", {"activations": [[0.0] * 32]}, 400, "zero everywhere"),
        ("/describe", {"activations": []}, 422, "activations"),
        ("/score", {"description": "x" * 9_000, "activation": [1.0] * 32}, 400, "max_description_chars"),
        ("/compare", {"activation_a": [1.0] * 32, "activation_b": [1.0] * 32}, 400, "equal"),
    ],
)
def test_bad_requests_are_answered_with_a_sentence(
    address: str, route: str, body: dict[str, object], status: int, said: str
) -> None:
    """Each ends with its status and a detail that says what came and what was expected."""
    response = httpx.post(f"{address}{route}", json=body, timeout=60)

    assert response.status_code == status
    assert said in json.dumps(response.json()["detail"])


def test_many_clients_get_their_own_answers(address: str) -> None:
    """Sixteen requests at once are answered as one after the other; none is lost or another's."""
    bodies = [{"text": f"The red box {n} is in the park.", "positions": [-1], "temperature": 0} for n in range(16)]

    def ask(body: dict[str, object]) -> object:
        return httpx.post(f"{address}/explain", json=body, timeout=60).json()["results"]

    with ThreadPoolExecutor(16) as clients:
        together = list(clients.map(ask, bodies))
    assert together == [ask(body) for body in bodies]


def test_a_full_server_refuses_at_once(pair: Pair) -> None:
    """More positions than may wait are 429 with a time to come back, also for a stream, and the server goes on."""
    with served(pair, limits=Limits(waiting=2)) as address:
        for stream in (False, True):
            response = httpx.post(f"{address}/explain", json={"text": TEXT, "stream": stream}, timeout=60)
            assert response.status_code == 429
            assert response.headers["retry-after"] == "1"
        assert httpx.post(f"{address}/explain", json={"text": TEXT, "positions": [2]}, timeout=60).status_code == 200


def test_a_secret_is_asked_for_everywhere(pair: Pair) -> None:
    """Without the token nothing is answered, with it everything is, and every answer carries the policy of the page."""
    with served(pair, token="open sesame") as address:  # noqa: S106
        for headers in ({}, {"X-SECRET-KEY": "open"}):
            assert httpx.get(address, headers=headers).status_code == 401
            assert httpx.get(f"{address}/openapi.json", headers=headers).status_code == 401
        found = httpx.get(address, headers={"X-SECRET-KEY": "open sesame"})
        assert found.status_code == 200
        assert "default-src 'self'" in found.headers["content-security-policy"]


def test_bodies_are_bounded_before_they_are_read(pair: Pair) -> None:
    """A body that says it is too large is refused, and so is one that does not say."""
    with served(pair, limits=Limits(max_body_bytes=100)) as address:
        assert httpx.post(f"{address}/tokenize", json={"text": "x" * 200}).status_code == 413
        assert httpx.post(f"{address}/tokenize", content=iter([b"{}"])).status_code == 411


def test_a_name_that_is_not_its_own_is_refused(pair: Pair) -> None:
    """A page that points its own name at this machine gets nothing from a server without a token."""
    with served(pair, names={"127.0.0.1"}) as address:
        assert httpx.get(address).status_code == 200
        for host in ("evil.example:80", "127.0.0.1.evil.example", "", "[127.0.0.1", "x@evil.example"):
            assert httpx.get(address, headers={"host": host}).status_code == 421, host
    with served(pair, names={"::1"}) as address:
        for host in ("[::1]", "[::1]:8321"):
            assert httpx.get(address, headers={"host": host}).status_code == 200, host


def test_too_many_answers_at_a_time_are_refused(pair: Pair) -> None:
    """Whoever comes when as many are written as may be is told so at once, and can come back afterwards."""
    app = make_app(pair, limits=Limits(streams=1))
    body = {"text": TEXT, "completion_tokens": 2}
    with running(app) as address, ThreadPoolExecutor(1) as others:
        with held(app):
            first = others.submit(httpx.post, f"{address}/completion", json=body, timeout=60)
            until(lambda: app.state.service.engine.waiting == 1)
            for stream in (False, True):
                response = httpx.post(f"{address}/completion", json={**body, "stream": stream}, timeout=60)
                assert response.status_code == 429
                assert response.headers["retry-after"] == "1"
        assert first.result().status_code == 200
        assert httpx.post(f"{address}/completion", json=body, timeout=60).status_code == 200


def test_a_client_that_asks_too_often_is_told_when_to_come_back(pair: Pair) -> None:
    """The request over the rate is refused with 429, whatever it asks for."""
    with served(pair, limits=Limits(requests_per_minute=3)) as address:
        statuses = [httpx.get(address) for _ in range(4)]
        assert [response.status_code for response in statuses] == [200, 200, 200, 429]
        assert 1 <= int(statuses[-1].headers["retry-after"]) <= 20
        # A header that anybody can write makes nobody a new client.
        assert httpx.get(address, headers={"x-forwarded-for": "6.6.6.6"}).status_code == 429


def test_an_audit_log_has_every_reading_and_no_words(pair: Pair, tmp_path: Path) -> None:
    """Requests of all routes are written down before they are answered, refused ones too; the words are not."""
    path = tmp_path / "audit.jsonl"
    with served(pair, audit=AuditLog(path)) as address:
        httpx.get(address)
        httpx.post(f"{address}/explain", json={"text": TEXT, "positions": [3]}, timeout=60)
        httpx.post(f"{address}/v1/readings", json={"text": TEXT, "positions": [999]})
        httpx.post(f"{address}/explain", content=b"no json", headers={"content-type": "application/json"})
        httpx.get(f"{address}/v1/shares/{'x' * 22}")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(line["route"], line.get("positions")) for line in lines] == [
        ("/explain", [3]),
        ("/v1/readings", [999]),
        ("/v1/shares/{name}", None),
    ]
    assert {line["client"] for line in lines} == {"127.0.0.1"}
    assert "red box" not in path.read_text()


def test_what_fails_is_logged_and_not_shown(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The client gets a sentence without the reason, with the policy of every answer; the log gets the traceback."""

    async def broken(*_: object) -> None:
        raise ZeroDivisionError("the secret reason")

    app = make_app(pair)
    with running(app) as address, caplog.at_level(logging.ERROR, "nlakit.serve"):
        monkeypatch.setattr(app.state.service, "score", broken)
        body = {"description": "a red box", "activation": [1.0] * 32}
        response = httpx.post(f"{address}/score", json=body)
    assert (response.status_code, response.json()) == (500, {"detail": "the server failed; its log says why."})
    assert "default-src 'self'" in response.headers["content-security-policy"]
    assert "the secret reason" in caplog.text


@contextmanager
def held(app: FastAPI) -> Iterator[None]:
    """Keep the engine of a running application busy inside the block."""
    reached, gate = threading.Event(), threading.Event()

    def hold() -> None:
        reached.set()
        gate.wait()

    holder = threading.Thread(target=lambda: asyncio.run(app.state.service.engine.call("holder", hold)))
    holder.start()
    try:
        assert reached.wait(20)
        yield
    finally:
        gate.set()
        holder.join()


def until(happened: Callable[[], bool]) -> None:
    """Wait for something that another thread does; fails when it does not."""
    deadline = time.monotonic() + 20
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("stream", [False, True])
def test_nobody_works_for_a_client_who_left(pair: Pair, stream: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Explanations of a client who hangs up while they wait are never written, and the next client is served."""
    written: list[int] = []
    write = engine.sample_rows
    monkeypatch.setattr(
        engine, "sample_rows", lambda *given, **options: written.append(len(given[2])) or write(*given, **options)
    )
    app = make_app(pair)
    with running(app) as address:
        waiting = app.state.service.engine
        body = json.dumps({"activations": [[1.0] * 32, [2.0] * 32], "stream": stream}).encode()
        host, port = address.removeprefix("http://").split(":")
        with held(app):
            with socket.create_connection((host, int(port))) as client:
                head = "POST /describe HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                head += f"Content-Length: {len(body)}\r\n\r\n"
                client.sendall(head.encode() + body)
                until(lambda: waiting.waiting == 2)
                left = [item for items in waiting._queue._clients.values() for item in items]
            until(lambda: all(item.abandoned for item in left))
        assert httpx.post(f"{address}/describe", json={"activations": [[3.0] * 32]}, timeout=60).status_code == 200
    assert written == [1]


def test_a_request_has_its_time(pair: Pair) -> None:
    """What is not begun in time is given up with 504, and the server goes on."""
    app = make_app(pair, limits=Limits(request_seconds=0.3))
    with running(app) as address:
        with held(app):
            response = httpx.post(f"{address}/describe", json={"activations": [[1.0] * 32]}, timeout=60)
        assert response.status_code == 504
        assert "longer than 0.3 seconds" in response.json()["detail"]
        assert httpx.get(address).status_code == 200
