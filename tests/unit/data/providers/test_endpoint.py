"""Tests of nlakit.data.providers: a real server on 127.0.0.1 that misbehaves on purpose."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.unit.data.providers.server import (
    GOOD,
    Answer,
    Asked,
    Endpoint,
    anthropic,
    failure,
    openai,
    serving,
)

from nlakit.config import AnnotateConfig, CallsConfig
from nlakit.data.providers import client, make_anthropic_teacher, make_openai_teacher
from nlakit.data.providers.answers import FILE
from nlakit.data.providers.asker import UNREADABLE
from nlakit.data.providers.endpoint import EndpointTeacher
from nlakit.data.teachers import Context, Priced, Teacher
from nlakit.errors import ConfigError, EndpointError, MissingExtraError, SpendingError
from nlakit.explanations import Explanation, Outcome

KEY = "sk-test-0123456789abcdef"
CLEAN = Explanation("A short tale about a cat.\nThe end is open.")


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    monkeypatch.setattr(client, "FIRST_WAIT_S", 0.01)
    monkeypatch.setenv("NLAKIT_TEST_KEY", KEY)
    with serving() as found:
        yield found


def contexts(n: int) -> list[Context]:
    return [Context(row, f"d{row}", 7, " cat", f"Text {row} about a cat") for row in range(n)]


def teacher(endpoint: Endpoint, *, wire: str = "anthropic", options: Any = None, **calls: Any) -> EndpointTeacher:
    make = make_anthropic_teacher if wire == "anthropic" else make_openai_teacher
    return make(
        AnnotateConfig(
            teacher=wire,
            options={"model": "m-1", "base_url": endpoint.url, **(options or {})},
            calls=CallsConfig(**{"key_env": "NLAKIT_TEST_KEY", "concurrency": 2, **calls}),
        )
    )


def test_an_endpoint_is_a_priced_teacher(endpoint: Endpoint) -> None:
    """What the stage asks for by name is there."""
    assert isinstance(teacher(endpoint), Teacher)
    assert isinstance(teacher(endpoint), Priced)


def test_requests_in_the_format_of_anthropic(endpoint: Endpoint) -> None:
    """The text, its final token and the instruction go out as one user message, with the key in its header."""
    assert [CLEAN] == teacher(endpoint).explain(contexts(1))

    asked = endpoint.asked[0]
    assert ("/v1/messages", KEY) == (asked.path, asked.headers["x-api-key"])
    assert {"model": "m-1", "max_tokens": 300, "temperature": 1.0} == {
        key: value for key, value in asked.body.items() if key != "messages"
    }
    assert "<passage>\nText 0 about a cat\n</passage>" in asked.prompt
    assert "The final token of the passage is ' cat'." in asked.prompt


def test_requests_in_the_format_of_openai(endpoint: Endpoint) -> None:
    """The same message goes to a chat-completions endpoint, whose address already has its version."""
    endpoint.script(openai())
    assert [CLEAN] == teacher(endpoint, wire="openai").explain(contexts(1))

    asked = endpoint.asked[0]
    assert ("/chat/completions", f"Bearer {KEY}") == (asked.path, asked.headers["authorization"])
    assert 300 == asked.body["max_tokens"]
    assert "Text 0 about a cat" in asked.prompt


def test_a_local_server_needs_no_key(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """The provider's own key is never sent to another address unless it is named."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    endpoint.script(openai())
    teacher(endpoint, wire="openai", key_env="").explain(contexts(1))

    assert "authorization" not in endpoint.asked[0].headers


def test_explanations_come_in_the_order_of_the_contexts(endpoint: Endpoint) -> None:
    """Whichever request is answered first, each context gets its own explanation, and equal ones are asked for once."""

    def answer(asked: Asked, n: int) -> Answer:
        row = asked.prompt.split("Text ")[1].split()[0]
        return Answer(body=anthropic(f"<explanation>row {row}\nend</explanation>").body, wait_s=0.05 if n % 2 else 0)

    endpoint.answer = answer
    given = contexts(9)
    texts = [found.text for found in teacher(endpoint, concurrency=4).explain([*given, given[0]])]

    assert [*(f"row {row}\nend" for row in range(9)), "row 0\nend"] == texts
    assert 9 == len(endpoint.asked)
    assert 2 <= endpoint.most_at_once <= 4


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (anthropic("I will not.", "refusal"), Explanation("I will not.", Outcome.REFUSED)),
        (anthropic("<explanation>It is", "max_tokens"), Explanation("It is", Outcome.CUT_OFF)),
        (anthropic("<explanation>It is"), Explanation("It is", Outcome.NO_CLOSING_TAG)),
        (anthropic("<explanation> </explanation>"), Explanation("", Outcome.EMPTY)),
        (anthropic("Sure: it is so</explanation>"), Explanation("Sure: it is so</explanation>", Outcome.MALFORMED)),
        (anthropic("<explanation>One line.</explanation>"), Explanation("One line.", Outcome.MALFORMED)),
        (Answer(body=b"<html>"), Explanation("", Outcome.MALFORMED)),
        (Answer(body=anthropic().data()[:40]), Explanation("", Outcome.MALFORMED)),
        (Answer(body={"content": "text"}), Explanation("", Outcome.MALFORMED)),
        (Answer(body=[1]), Explanation("", Outcome.MALFORMED)),
        (anthropic("<explanation>a\ud800\nb</explanation>"), Explanation("a?\nb")),
    ],
    ids=lambda value: str(getattr(value, "outcome", "")),
)
def test_every_way_in_which_a_reply_can_fail_is_an_outcome(
    endpoint: Endpoint, tmp_path: Path, answer: Answer, expected: Explanation
) -> None:
    """A refusal, a cut and a malformed reply are counted by name, and are kept like any other answer."""
    endpoint.script(answer)
    asker = teacher(endpoint)
    asker.plan(contexts(1), tmp_path)
    assert [expected] == asker.explain(contexts(1))

    n = len(endpoint.asked)
    again = teacher(endpoint)
    assert 0 == again.plan(contexts(1), tmp_path).calls
    assert [expected] == again.explain(contexts(1))
    assert n == len(endpoint.asked)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (openai(None, refusal="No."), Explanation("No.", Outcome.REFUSED)),
        (openai("It is", "content_filter"), Explanation("It is", Outcome.REFUSED)),
        (failure(400, "filtered", "content_filter"), Explanation("", Outcome.REFUSED)),
        (openai(None, "length"), Explanation("", Outcome.CUT_OFF)),
        (openai(GOOD, "tool_calls"), Explanation("", Outcome.MALFORMED)),
    ],
    ids=["refusal", "filter", "filter as error", "cut", "tool"],
)
def test_failed_replies_of_openai(endpoint: Endpoint, answer: Answer, expected: Explanation) -> None:
    """What that format has for refusals and cuts is understood."""
    endpoint.script(answer)
    assert [expected] == teacher(endpoint, wire="openai").explain(contexts(1))


@pytest.mark.parametrize(
    "bad",
    [
        failure(429, retry_after="0.05"),
        failure(429, retry_after="Mon, 01 Jan 2001 00:00:00 GMT"),
        failure(429, retry_after="soon"),
        failure(500),
        failure(529, "overloaded"),
        Answer(503, b"<html>busy</html>"),
        Answer(body=anthropic().body, cut=True),
        Answer(body=anthropic().body, wait_s=0.5),
    ],
    ids=["429", "429 date", "429 odd", "500", "529", "503", "cut", "timeout"],
)
def test_what_passes_is_tried_again(endpoint: Endpoint, bad: Answer) -> None:
    """After too many requests, a server's fault, a broken connection or silence, the request is sent again."""
    endpoint.script(bad, bad, anthropic())

    assert [CLEAN] == teacher(endpoint, timeout_s=0.25).explain(contexts(1))
    assert 3 == len(endpoint.asked)


def test_the_wait_that_is_asked_for_is_kept(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """Retry-After decides the wait, up to a bound; without it waits double, by a keyed draw of at least half."""
    asked: list[float | None] = []
    with monkeypatch.context() as patch:
        patch.setattr(client, "_wait", lambda attempt, seconds, label: [asked.append(seconds), 0.0][1])
        endpoint.script(failure(429, retry_after="40"), failure(429), failure(503, retry_after="soon"), anthropic())
        teacher(endpoint).explain(contexts(1))
    assert [40.0, None, None] == asked
    assert 7.0 == client._wait(0, 7.0, "k")
    assert client.LONGEST_ASKED_WAIT_S == client._wait(0, 1e9, "k")
    monkeypatch.setattr(client, "FIRST_WAIT_S", 1.0)
    waits = [client._wait(attempt, None, "k") for attempt in range(9)]
    assert all(0.5 * 2**n <= wait <= 2**n for n, wait in enumerate(waits[:6]))
    assert waits[8] <= client.LONGEST_WAIT_S
    assert client._wait(0, None, "k") == waits[0] != client._wait(0, None, "other")


def test_an_endpoint_that_stays_silent_stops_the_work(endpoint: Endpoint) -> None:
    """After all attempts the message has the endpoint's last words and says that the work can go on."""
    endpoint.script(failure(500, "out of\nmemory"))

    with pytest.raises(
        EndpointError, match=r"gave no answer in 3 attempts; the last ended with HTTP 500: out of memory"
    ):
        teacher(endpoint, attempts=3, concurrency=1).explain(contexts(1))
    assert 3 == len(endpoint.asked)


def test_nobody_at_the_address() -> None:
    """A server that is not there is an error of the endpoint, in words."""
    with serving() as gone:
        pass
    with pytest.raises(EndpointError, match=r"gave no answer in 1 attempts; the last ended with ConnectError"):
        teacher(gone, attempts=1, key_env="").explain(contexts(1))


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_is_one_sentence(endpoint: Endpoint, status: int) -> None:
    """The variable is named, the key is not, and nothing else is sent."""
    endpoint.script(failure(status, f"Incorrect API key provided: {KEY}"))

    with pytest.raises(
        EndpointError, match=rf"refuses the key in the environment variable NLAKIT_TEST_KEY \(HTTP {status}\)"
    ) as e:
        teacher(endpoint, concurrency=1).explain(contexts(20))
    assert KEY not in str(e.value)
    assert "\n" not in str(e.value)
    assert len(endpoint.asked) <= 2


def test_an_endpoint_that_wants_a_key(endpoint: Endpoint) -> None:
    """Where none was sent, the message says how to send one."""
    endpoint.script(failure(401))
    with pytest.raises(EndpointError, match=r"wants a key \(HTTP 401\) and none was sent"):
        teacher(endpoint, key_env="").explain(contexts(1))


@pytest.mark.parametrize(
    "answer",
    [
        failure(404, f"no model m-1 for {KEY}"),
        failure(400),
        failure(429, "pay", "insufficient_quota"),
        Answer(302, b""),
    ],
    ids=["404", "400", "quota", "redirect"],
)
def test_what_waiting_does_not_mend_is_told_at_once(endpoint: Endpoint, answer: Answer) -> None:
    """A wrong model, a wrong request, an empty account and a redirect are not tried again; no message has the key."""
    endpoint.script(answer)

    with pytest.raises(EndpointError, match=rf"refuses the request \(HTTP {answer.status}\)") as error:
        teacher(endpoint).explain(contexts(1))
    assert KEY not in str(error.value)
    assert 1 == len(endpoint.asked)


def test_another_kind_of_server(endpoint: Endpoint) -> None:
    """A server that answers everything with a page of its own is found out before all is asked."""
    endpoint.script(Answer(body=b"<html>hello</html>"))

    with pytest.raises(EndpointError, match=r"no reply has the format of 'anthropic'.*base_url"):
        teacher(endpoint, concurrency=1).explain(contexts(50))
    assert len(endpoint.asked) <= 2 * (UNREADABLE + 2)


def test_answers_are_kept_one_by_one(endpoint: Endpoint, tmp_path: Path) -> None:
    """After a failure in the middle only what has no answer is asked for, also by another object."""
    endpoint.answer = lambda asked, n: anthropic() if n < 4 else failure(404)
    first = teacher(endpoint, concurrency=1)
    assert 10 == first.plan(contexts(10), tmp_path).calls
    with pytest.raises(EndpointError):
        first.explain(contexts(10))
    endpoint.asked.clear()
    endpoint.script(anthropic())
    second = teacher(endpoint)

    assert 6 == second.plan(contexts(10), tmp_path).calls
    assert [CLEAN] * 10 == second.explain(contexts(10))
    assert 6 == len(endpoint.asked)
    assert "10 answers, 5,000 input and 400 output tokens" in second.receipt()


def test_a_line_that_a_crash_cut_short_is_asked_for_again(endpoint: Endpoint, tmp_path: Path) -> None:
    """Half an answer is taken off the file, and what follows is whole."""
    asker = teacher(endpoint)
    asker.plan(contexts(3), tmp_path)
    asker.explain(contexts(3))
    path = tmp_path / FILE
    path.write_bytes(path.read_bytes()[:-9])
    again = teacher(endpoint)

    assert 1 == again.plan(contexts(3), tmp_path).calls
    assert [CLEAN] * 3 == again.explain(contexts(3))
    assert 3 == len([json.loads(line) for line in path.read_text().splitlines()])


def test_another_question_is_another_answer(endpoint: Endpoint, tmp_path: Path) -> None:
    """An answer serves the same request alone: another model or temperature asks anew and has another fingerprint."""
    asker = teacher(endpoint)
    asker.plan(contexts(2), tmp_path)
    asker.explain(contexts(2))
    others = [
        teacher(endpoint, options=change) for change in ({"model": "m-2"}, {"temperature": 0.5}, {"max_tokens": 9})
    ]
    same = teacher(endpoint, concurrency=7, max_tokens=10**6, price_input=1, price_output=2)

    assert [2, 2, 2] == [other.plan(contexts(2), tmp_path).calls for other in others]
    assert 0 == same.plan(contexts(2), tmp_path).calls
    assert asker.fingerprint() == same.fingerprint()
    assert 4 == len({asker.fingerprint(), *(other.fingerprint() for other in others)})


def test_the_plan_counts_calls_tokens_and_price(endpoint: Endpoint) -> None:
    """Prices that the user gives are applied; without them the plan says that the price is unknown."""
    known = teacher(endpoint, price_input=3.0, price_output=15.0).plan(contexts(1000), None)
    unknown = teacher(endpoint).plan(contexts(1000), None)

    assert 1000 == known.calls
    assert "1,000 requests, at most about" in known.text
    assert "300,000 output tokens, which cost" in known.text
    tokens = int(known.text.split("about ")[1].split(" ")[0].replace(",", ""))
    assert f"cost {(tokens * 3 + 300_000 * 15) / 1e6:.2f}" in known.text
    assert "the price is unknown" in unknown.text
    assert "cost" not in unknown.text
    assert [] == endpoint.asked


@pytest.mark.parametrize(
    ("caps", "used"),
    [
        ({"max_tokens": 6000}, lambda done: done * 540),
        ({"max_cost": 6.0, "price_input": 1000.0, "price_output": 1000.0}, lambda done: done * 0.54),
    ],
    ids=["tokens", "money"],
)
def test_a_cap_is_never_passed(endpoint: Endpoint, tmp_path: Path, caps: dict[str, Any], used: Any) -> None:
    """Requests under way count at their most; at the cap the work stops, what was paid for is kept, and a raise goes on."""
    asker = teacher(endpoint, concurrency=4, **caps)
    asker.plan(contexts(30), tmp_path)
    with pytest.raises(SpendingError, match=r"the cap annotate\.calls\.max_\w+ = 6.* is reached.*raise the cap"):
        asker.explain(contexts(30))
    done = len(endpoint.asked)
    cap = caps.get("max_cost", 6000)
    assert 2 < done < 30
    assert used(done) <= cap

    again = teacher(endpoint, **caps)
    again.plan(contexts(30), tmp_path)
    with pytest.raises(SpendingError):
        again.explain(contexts(30))
    assert used(len(endpoint.asked)) <= cap  # what was spent before counts

    more = teacher(endpoint)
    more.plan(contexts(30), tmp_path)
    assert [CLEAN] * 30 == more.explain(contexts(30))
    assert 30 == len(endpoint.asked)


def test_silence_may_have_been_billed(endpoint: Endpoint, tmp_path: Path) -> None:
    """A request that was given up counts at its most, so that a silent endpoint cannot pass the cap either."""
    endpoint.script(Answer(body=anthropic().body, wait_s=0.4))
    asker = teacher(endpoint, timeout_s=0.1, max_tokens=6000, attempts=50, concurrency=1)
    asker.plan(contexts(1), tmp_path)

    with pytest.raises(SpendingError, match="is reached"):
        asker.explain(contexts(1))
    assert len(endpoint.asked) <= 6


def test_usage_that_is_not_reported_is_counted_at_its_most(endpoint: Endpoint) -> None:
    """An endpoint that does not count its tokens is held to the bound."""
    endpoint.script(anthropic(usage=None))
    asker = teacher(endpoint)
    asker.explain(contexts(1))

    assert "and 300 output tokens" in asker.receipt()


@pytest.mark.parametrize(
    ("options", "calls", "message"),
    [
        ({"temprature": 1}, {}, r"temprature: there is no such key\. Did you mean 'temperature'"),
        ({"model": 3}, {}, r"model: .* got 3"),
        ({"base_url": "localhost:1"}, {}, r"base_url is 'localhost:1'; it must begin with http://"),
        ({"base_url": "https://me:secret@host"}, {}, r"base_url holds a user, a password or a query"),
        ({}, {"max_cost": 1.0}, r"max_cost is 1, and without prices"),
        ({}, {"price_input": 1.0}, r"give both prices"),
        ({}, {"key_env": KEY}, r"key_env is no name of an environment variable"),
        ({"api_key": KEY}, {}, r"api_key: there is no such key"),
    ],
)
def test_settings_are_checked(endpoint: Endpoint, options: Any, calls: Any, message: str) -> None:
    """A wrong option, address, price or cap is told before anything is asked, and a pasted key is not repeated."""
    with pytest.raises(ConfigError, match=message) as error:
        teacher(endpoint, options=options, **calls)
    assert KEY not in str(error.value)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    ("value", "message"), [(None, "is not set"), (" ", "is not set"), ("a b", "holds white space")]
)
def test_a_missing_key_is_told_before_any_work(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, value: str | None, message: str
) -> None:
    """The variable is named when it is not set or holds no key."""
    if value is None:
        monkeypatch.delenv("NLAKIT_TEST_KEY")
    else:
        monkeypatch.setenv("NLAKIT_TEST_KEY", value)

    with pytest.raises(ConfigError, match=f"NLAKIT_TEST_KEY {message}"):
        teacher(endpoint).check()


def test_a_missing_package_names_its_extra(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the HTTP library the message has the command that installs it."""
    monkeypatch.setitem(__import__("sys").modules, "httpx2", None)

    with pytest.raises(MissingExtraError, match=r"pip install 'nlakit\[providers\]'"):
        teacher(endpoint).check()
