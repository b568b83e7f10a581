"""The Python client against a real server."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Self

import pytest
import torch
from tests.serving import served

from nlakit.client import Client
from nlakit.errors import BusyError, ConfigError, EndpointError, InputError
from nlakit.models.pair import Pair
from nlakit.models.readings import Reading
from nlakit.models.sites import Site
from nlakit.serve.limits import Limits

TEXT = "The red box is in the park."
CHAT = [{"role": "user", "content": "Where is the red box?"}]


@pytest.fixture(scope="module")
def client(pair: Pair) -> Iterator[Client]:
    with served(pair) as address, Client(address) as found:
        yield found


@pytest.mark.parametrize("content", [TEXT, CHAT])
def test_a_client_reads_what_the_pair_reads(client: Client, pair: Pair, content: object) -> None:
    """At temperature 0 the readings of texts and chats are those of ``Pair.read``, whole and in a stream."""
    found = client.read(content, positions=[5, -1], temperature=0)
    expected = pair.read(content, positions=[5, -1], temperature=0)
    assert [reading.position for reading in found] == [reading.position for reading in expected]
    assert [reading.explanations[0].text for reading in found] == [item.explanations[0].text for item in expected]
    streamed = list(client.read_stream(content, positions=[5, -1], temperature=0))
    assert sorted(streamed, key=lambda reading: reading.position) == found


def test_support_is_asked_for_and_comes() -> None:
    """Readings come with claims only where support was asked for."""
    text = "One morning, Mia put the key in the box. Tom felt"
    with served(Pair.from_pretrained("terrarium")) as address, Client(address) as client:
        assert client.read(text, positions=[-1])[0].explanations[0].claims is None
        (reading,) = client.read(text, positions=[-1], samples=3, support=True)
    assert len(reading.explanations) == 3
    assert all(item.claims for item in reading.explanations)


def test_a_chat_has_words_and_readings(client: Client) -> None:
    """The pieces of a stream add up to the whole answer, and the readings are the same ones."""
    settings = {"temperature": 0, "max_tokens": 8, "where": {"every": 3, "temperature": 0}}
    whole = client.chat(CHAT, **settings)
    items = list(client.chat_stream(CHAT, **settings))
    assert "".join(item for item in items if isinstance(item, str)) == whole.text
    live = [item for item in items if isinstance(item, Reading)]
    assert sorted(live, key=lambda reading: reading.position) == sorted(
        whole.readings, key=lambda reading: reading.position
    )
    assert live
    assert client.chat(CHAT, max_tokens=2).readings == []


def test_vectors_go_there_and_back(client: Client, pair: Pair) -> None:
    """Vectors are those that Python reads; they are described, scored, and steered by."""
    vectors_TD = client.vectors(TEXT)
    ids = pair.target.encode(TEXT, literal=True).ids
    torch.testing.assert_close(vectors_TD, Site.parse(pair.card.site).read(pair.target, torch.tensor([ids]))[0])
    assert len(client.describe(vectors_TD[:2])) == 2
    score = client.score("a red box", vectors_TD[3])
    (expected,) = pair.score(["a red box"], vectors_TD[3][None])
    assert score.error == pytest.approx(expected.error, abs=1e-4)
    steered = client.steer(TEXT, -1, "a red box", "a sad man", strength=0, completion_tokens=4)
    assert steered.added == 0
    assert steered.steered == steered.unsteered


def test_refusals_are_the_errors_that_python_has(client: Client, pair: Pair) -> None:
    """Bad content and shapes are InputError, a full server BusyError, a missing token ConfigError, with the server's words."""
    with pytest.raises(InputError, match="outside"):
        client.read(TEXT, positions=[99])
    with pytest.raises(InputError, match="samples: Input should be"):
        client.read(TEXT, samples=0)
    with served(pair, limits=Limits(waiting=1)) as address, Client(address) as busy:
        with pytest.raises(BusyError, match="Ask again"):
            busy.read(TEXT)
        with pytest.raises(BusyError, match="Ask again"):
            list(busy.read_stream(TEXT))
    with served(pair, token="a token of the server") as address:  # noqa: S106
        with pytest.raises(ConfigError, match="wants its token"), Client(address) as stranger:
            stranger.status()
        with Client(address, token="a token of the server") as friend:  # noqa: S106
            assert friend.status()["status"] == "ok"


def test_nobody_there_is_said(tmp_path: object) -> None:
    """Where no server listens the message names the command that starts one."""
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{door.getsockname()[1]}"
        with Client(address) as client, pytest.raises(EndpointError, match="nlakit serve"):
            client.status()


def test_a_stream_that_is_given_up_says_why(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error frame in the middle is an error, not the end of the answer."""
    lines = [f"data: {json.dumps({'error': 'shutting down'})}", "", "data: [DONE]"]

    class Given:
        status_code = 200

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            return None

        def iter_lines(self) -> Iterator[str]:
            return iter(lines)

    monkeypatch.setattr(client._http, "stream", lambda *_, **__: Given())
    with pytest.raises(EndpointError, match="shutting down"):
        list(client.chat_stream(CHAT))
