"""The project's own routes over a real socket: readings with support, answers with live readings, steering."""

from __future__ import annotations

import html
import json
from collections.abc import Iterator
from pathlib import Path

import httpx2 as httpx
import pytest
import torch
from tests.serving import events, served

from nlakit.errors import BusyError
from nlakit.models.pair import Pair
from nlakit.models.readings import Reading
from nlakit.models.sites import Site
from nlakit.serve.limits import Limits
from nlakit.serve.service import Service
from nlakit.serve.v1.sessions import SessionStore

TEXT = "The red box is in the park."
CHAT = [{"role": "user", "content": "Where is the red box?"}]


@pytest.fixture(scope="module")
def shipped() -> Iterator[str]:
    """The address of a server of the pair that ships, whose explanations make claims."""
    with served(Pair.from_pretrained("terrarium")) as found:
        yield found


def post(address: str, route: str, **body: object) -> dict:
    response = httpx.post(f"{address}/v1{route}", json=body, timeout=60)
    assert response.status_code == 200, response.text
    return response.json()


def test_readings_are_those_of_python(address: str, pair: Pair) -> None:
    """At temperature 0 the wire carries what ``Pair.read`` returns: words, scores, norms, flags."""
    found = post(address, "/readings", text=TEXT, positions=[-1, 3], temperature=0)
    expected = pair.read(TEXT, positions=[3, -1], temperature=0)
    assert [Reading.from_json(record).explanations[0].text for record in found["readings"]] == [
        reading.explanations[0].text for reading in expected
    ]
    for record, reading in zip(found["readings"], expected, strict=True):
        assert record["norm"] == pytest.approx(reading.norm, rel=1e-4)
        assert record["flags"] == reading.flags
        mine, score = record["explanations"][0]["score"], reading.explanations[0].score
        assert (mine and mine["error"]) == (score and pytest.approx(score.error, abs=1e-4))
    assert len(found["tokens"]) == len(found["norms"]) == len(pair.target.encode(TEXT, literal=True))
    assert [found["norms"][record["position"]] for record in found["readings"]] == [
        record["norm"] for record in found["readings"]
    ]


def test_samples_differ_and_are_the_same_tomorrow(address: str) -> None:
    """Each sample has a seed of its own, another seed draws others, and the same question has the same answer."""
    body = {"text": TEXT, "positions": [4], "samples": 3}
    first, again = post(address, "/readings", **body), post(address, "/readings", **body)
    texts = [item["text"] for item in first["readings"][0]["explanations"]]
    assert len(set(texts)) == 3
    assert first == again
    assert post(address, "/readings", **body, seed=1) != first


def test_support_comes_with_every_claim(shipped: str) -> None:
    """Every claim lies in its text and has a support in [0, 1]; a stream shows the reading first and its claims later."""
    body = {"text": "One morning, Mia put the key in the box. Tom felt", "positions": [-1, -2], "support": True}
    plain = post(shipped, "/readings", **body)["readings"]
    frames = events(shipped, "/v1/readings", {**body, "stream": True})
    kinds = [frame["type"] for frame in frames]
    assert kinds[:2] == ["prompt", "norms"]
    assert kinds.count("reading") == kinds.count("support") == 2
    assert "support" not in kinds[: max(i for i, kind in enumerate(kinds) if kind == "reading")]
    assert [frame["reading"] for frame in frames if frame["type"] == "support"] == plain
    for reading in plain:
        for item in reading["explanations"]:
            assert item["claims"]
            for claim in item["claims"]:
                assert 0 <= claim["support"] <= 1
                assert item["text"][claim["start"] : claim["end"]]


def test_support_waits_for_room(shipped: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A queue that is full when readings are done delays the support of their claims; the request is not refused then."""
    real, calls = Service.write, []

    async def write(*given: object, **options: object) -> object:
        calls.append(given)
        if len(calls) in (2, 3):
            raise BusyError("the queue is full.")
        return await real(*given, **options)

    monkeypatch.setattr(Service, "write", write)
    found = post(shipped, "/readings", text=TEXT, positions=[4], support=True)
    assert found["readings"][0]["explanations"][0]["claims"]
    assert len(calls) == 4


def test_support_of_many_readings_goes_through_a_small_queue() -> None:
    """What surrounds sixteen readings does not fit at once where sixteen explanations may wait; it is asked for bit by bit."""
    with served(Pair.from_pretrained("terrarium"), limits=Limits(waiting=16, request_seconds=60)) as address:
        found = post(address, "/readings", text=TEXT, positions=[2, 4, 6], support=True)
    assert all(reading["explanations"][0]["claims"] for reading in found["readings"])


def test_an_answer_is_what_the_target_writes(address: str, pair: Pair) -> None:
    """The chat route's words are those of the completion route; in a stream they come piece by piece and add up to the same."""
    answer = post(address, "/chat/completions", messages=CHAT, temperature=0, max_tokens=12)
    plain = httpx.post(
        f"{address}/completion", json={"messages": CHAT, "temperature": 0, "completion_tokens": 12}
    ).json()
    choice = answer["choices"][0]
    assert choice["message"] == {"role": "assistant", "content": plain["text"]}
    assert answer["usage"]["prompt_tokens"] == plain["prompt_length"]
    assert answer["usage"]["completion_tokens"] <= 12
    assert choice["finish_reason"] == ("length" if answer["usage"]["completion_tokens"] == 12 else "stop")
    body = {"messages": CHAT, "temperature": 0, "max_tokens": 12, "stream": True}
    chunks = events(address, "/v1/chat/completions", body)
    assert "".join(c["choices"][0]["delta"].get("content", "") for c in chunks if c["choices"]) == plain["text"]
    assert chunks[-1]["choices"][0]["finish_reason"] == choice["finish_reason"]
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}


def test_live_readings_are_those_of_the_whole_text(address: str, pair: Pair) -> None:
    """Vectors seen while the answer was written give the words that reading prompt and answer again gives."""
    body = {"messages": CHAT, "temperature": 0, "max_tokens": 9, "nlakit": {"every": 2, "temperature": 0}}
    chunks = events(address, "/v1/chat/completions", {**body, "stream": True})
    live = sorted((c["nlakit"]["reading"] for c in chunks if "nlakit" in c), key=lambda reading: reading["position"])
    written = httpx.post(
        f"{address}/completion", json={"messages": CHAT, "temperature": 0, "completion_tokens": 9}
    ).json()
    ids = [row["token_id"] for row in written["tokens"]]
    start = written["prompt_length"]
    assert [reading["position"] for reading in live] == [start + 1, start + 3, start + 5, start + 7]
    assert [reading["token_id"] for reading in live] == [ids[reading["position"]] for reading in live]
    vectors_TD = vectors_of(pair, ids)
    for reading in live:
        vector_D = vectors_TD[reading["position"]]
        assert reading["norm"] == pytest.approx(float(vector_D.norm()), rel=1e-4)
        (expected,) = pair.describe(vector_D[None], temperature=0)
        assert reading["explanations"][0]["text"] == expected.text
    plain = post(address, "/chat/completions", **body)
    assert sorted((item["reading"] for item in plain["nlakit"]), key=lambda reading: reading["position"]) == live


def test_live_readings_may_come_with_support(shipped: str) -> None:
    """Each token is sent once, its claims with it."""
    chat = [{"role": "user", "content": "Which tool does the card show? A mallet. * B sickle. C chisel."}]
    found = post(shipped, "/chat/completions", messages=chat, temperature=0, nlakit={"every": 2, "support": True})
    claims = {item["reading"]["position"]: item["reading"]["explanations"][0]["claims"] for item in found["nlakit"]}
    assert len(claims) == len(found["nlakit"]) >= 2
    assert all(claims.values())


def vectors_of(pair: Pair, ids: list[int]) -> torch.Tensor:
    return Site.parse(pair.card.site).read(pair.target, torch.tensor([ids]))[0]


def test_an_answer_ends_where_it_is_told_to(address: str) -> None:
    """Nothing from the stop text on is sent, and the reason says so."""
    whole = post(address, "/chat/completions", messages=CHAT, temperature=0, max_tokens=12)["choices"][0]["message"][
        "content"
    ]
    stop = whole[4:6]
    found = post(address, "/chat/completions", messages=CHAT, temperature=0, max_tokens=12, stop=[stop, "never"])
    assert found["choices"][0]["message"]["content"] == whole[: whole.index(stop)]
    assert found["choices"][0]["finish_reason"] == "stop"
    # Each character may be a token of its own: what has begun to be a stop text is held back, and given when it is none.
    for stops in (whole[4:9], [whole[3] + whole[6:], "never"], whole[-1]):
        body = {"messages": CHAT, "temperature": 0, "max_tokens": 12, "stream": True, "stop": stops}
        chunks = events(address, "/v1/chat/completions", body)
        said = "".join(c["choices"][0]["delta"].get("content", "") for c in chunks if c["choices"])
        first = stops if isinstance(stops, str) else stops[0]
        assert said == whole.partition(first)[0]


def test_steering_pushes_and_shows_what_a_push_does(address: str) -> None:
    """Without strength all three go on alike; with much of it the words change, by as much as was asked for."""
    body = {"text": TEXT, "position": -1, "original": "a red box", "edited": "a sad man", "completion_tokens": 8}
    still = post(address, "/steer", **body, strength=0)
    assert still["added"] == 0
    assert still["unsteered"] == still["steered"] == still["random"]
    once, far = post(address, "/steer", **body), post(address, "/steer", **body, strength=60)
    assert far["added"] == pytest.approx(60 * once["added"], rel=1e-4)
    assert far["unsteered"] == still["unsteered"] != far["steered"]


@pytest.mark.parametrize(
    ("route", "body", "status", "said"),
    [
        ("/chat/completions", {"messages": CHAT, "model": "another"}, 400, "not served here"),
        ("/chat/completions", {"messages": []}, 422, "at least 1 item"),
        ("/chat/completions", {"messages": CHAT, "n": 2}, 422, "Input should be 1"),
        ("/steer", {"text": TEXT, "position": 99, "original": "a", "edited": "b"}, 400, "outside"),
        ("/steer", {"text": TEXT, "position": 0, "original": "a", "edited": "a"}, 422, "equal"),
        ("/readings", {"text": TEXT, "positions": [4], "samples": 99}, 422, "less than or equal to 16"),
    ],
)
def test_what_cannot_be_done_is_said(address: str, route: str, body: dict, status: int, said: str) -> None:
    """Wrong content is 400 and wrong shape 422, each with what was expected."""
    response = httpx.post(f"{address}/v1{route}", json=body)
    assert response.status_code == status
    assert said in json.dumps(response.json()["detail"])


def test_the_model_has_the_name_that_a_client_asks_for(address: str, pair: Pair) -> None:
    """A client that lists models and takes the first is answered."""
    name = httpx.get(f"{address}/v1/models").json()["data"][0]["id"]
    assert name == pair.card.name
    assert post(address, "/chat/completions", messages=CHAT, model=name, max_tokens=1)["model"] == name


def session_of(address: str, text: str, position: int) -> dict:
    """What a page would share after one reading."""
    found = post(address, "/readings", text=text, positions=[position], support=True)
    name = httpx.get(f"{address}/v1/pair").json()["name"]
    return {
        "kind": "nlakit-session",
        "version": 1,
        "pair": name,
        "title": "Where is it?",
        "input": {"text": text},
        "tokens": found["tokens"],
        "readings": found["readings"],
        "truth": [{"position": position, "facts": {"place": "park"}}],
    }


def test_a_session_is_shared_and_found_again(address: str) -> None:
    """What is read back is what was sent; an id that nobody was given finds nothing, and one of another shape is refused."""
    session = session_of(address, TEXT, 4)
    name = post(address, "/shares", **session)["id"]
    found = httpx.get(f"{address}/v1/shares/{name}").json()
    assert {key: found[key] for key in ("title", "tokens", "readings", "truth")} == {
        key: session[key] for key in ("title", "tokens", "readings", "truth")
    }
    assert found["input"]["text"] == TEXT
    assert httpx.get(f"{address}/v1/shares/{'x' * 22}").status_code == 404
    assert httpx.get(f"{address}/v1/shares/..%2F..%2Fetc").status_code in (404, 422)


def test_shares_survive_a_restart(pair: Pair, tmp_path: Path) -> None:
    """A link is good as long as the file is there."""
    path = tmp_path / "kept.sqlite"
    with served(pair, sessions=SessionStore(path)) as address:
        name = post(address, "/shares", **session_of(address, TEXT, 4))["id"]
    with served(pair, sessions=SessionStore(path)) as address:
        assert httpx.get(f"{address}/v1/shares/{name}").json()["title"] == "Where is it?"


def test_an_export_needs_nothing_and_runs_nothing(address: str) -> None:
    """One file with the tokens, the readings and what is so; no script, no address to load from, and words stay words."""
    session = session_of(address, "The <b>red</b> box.", 4)
    session["title"] = "<script>alert(1)</script>"
    response = httpx.post(f"{address}/v1/export", json=session)
    page = response.text
    assert response.headers["content-type"].startswith("text/html")
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "http://" not in page.replace("http-equiv", "")
    assert "https://" not in page
    assert "park" in page
    shown = session["readings"][0]["explanations"][0]["text"].split()
    assert not shown or html.escape(shown[0]) in page


def test_what_leaves_is_masked_where_that_was_asked_for(pair: Pair) -> None:
    """With redaction no share and no export has an address or a number that was in the text."""
    with served(pair, redact=True) as address:
        session = session_of(address, "Write to mia@mail.example or call +49 30 1234567.", 5)
        name = post(address, "/shares", **session)["id"]
        for said in (
            httpx.get(f"{address}/v1/shares/{name}").text,
            httpx.post(f"{address}/v1/export", json=session).text,
        ):
            assert "mia@" not in said
            assert "1234567" not in said
            kept = json.loads(said)["tokens"] if said.startswith("{") else []
            assert "mail" not in "".join(row["token"] for row in kept)


def test_what_there_is_can_be_listed(address: str, pair: Pair, tmp_path: Path) -> None:
    """The served pair, the installed ones, and the runs of a folder; a folder that is not there has none."""
    assert httpx.get(f"{address}/v1/pair").json()["layer"] == Site.parse(pair.card.site).layer
    assert "terrarium" in [item["id"] for item in httpx.get(f"{address}/v1/pairs").json()["data"]]
    assert httpx.get(f"{address}/v1/runs").json()["data"] == []
    run = tmp_path / "runs" / "mine"
    (run / "extract").mkdir(parents=True)
    (run / "config.json").write_text(json.dumps({"recipe": {"name": "tiny"}}))
    (run / "extract" / "done.json").write_text("{}")
    (tmp_path / "runs" / "half").mkdir()
    (tmp_path / "runs" / "half" / "config.json").write_text("{")
    (run / "metrics.jsonl").write_text(json.dumps({"stage": "train", "step": 3}) + "\n")
    with served(pair, runs=tmp_path / "runs") as other:
        (found,) = httpx.get(f"{other}/v1/runs").json()["data"]
    assert found == {"id": "mine", "name": "tiny", "done": ["extract"], "last": {"stage": "train", "step": 3}}


def test_examples_know_what_is_so_at_their_tokens() -> None:
    """Terrarium's examples are held-out documents, and their truth has a line for tokens that ``tokenize`` gives."""
    with served(Pair.from_pretrained("terrarium")) as address:
        examples = httpx.get(f"{address}/v1/examples", params={"count": 8}).json()["data"]
        assert len(examples) == 8
        assert {"text" in example for example in examples} == {True, False}
        for example in examples:
            given = {"text": example["text"]} if "text" in example else {"messages": example["messages"]}
            tokens = httpx.post(f"{address}/tokenize", json={**given, "add_generation_prompt": False}).json()["tokens"]
            truth = post(address, "/truth", id=example["id"])["truth"]
            assert {item["position"] for item in truth} <= {row["position"] for row in tokens}
            assert all(item["facts"]["genre"] for item in truth[-1:])
            last = {item["position"]: item["facts"]["last word"] for item in truth}
            for row in tokens:
                word = row["token"].strip()
                if word.isalpha() and row["position"] in last and row["section"] in (None, "content"):
                    assert last[row["position"]].lower() == word.lower()
        assert httpx.post(f"{address}/v1/truth", json={"id": "none of them"}).status_code == 404


def test_somebody_s_data_is_no_example(address: str) -> None:
    """A corpus that does not know its truth is not shown, and asking for its truth says why."""
    assert httpx.get(f"{address}/v1/examples").json()["data"] == []
    assert httpx.post(f"{address}/v1/truth", json={"id": "x"}).status_code == 503
