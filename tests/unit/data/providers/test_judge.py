"""A judge behind an endpoint, on a server that misbehaves on purpose."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.unit.data.providers.server import Asked, Endpoint, anthropic, failure, openai, serving

from nlakit.config import AskConfig, CallsConfig
from nlakit.data.judgement import Case, Judgement, Judgements, ModelJudge
from nlakit.data.providers import client
from nlakit.errors import ConfigError, EndpointError, NotFoundError, SpendingError
from nlakit.truth import Verdict

GOOD = json.dumps([{"claim": "about Anna", "level": "entity", "verdict": "true"}])
READ = Judgements([Judgement("about Anna", "entity", Verdict.TRUE)])


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    monkeypatch.setattr(client, "FIRST_WAIT_S", 0.01)
    with serving() as found:
        yield found


def judge(endpoint: Endpoint, wire: str = "anthropic", **calls: Any) -> ModelJudge:
    options = {"model": "m-1", "base_url": endpoint.url}
    return ModelJudge(AskConfig(teacher=wire, options=options, calls=CallsConfig(**calls)))


def cases(count: int) -> list[Case]:
    return [Case(f"About Anna {number}.", "Anna went", " home") for number in range(count)]


@pytest.mark.parametrize("wire", ["anthropic", "openai"])
def test_claims_come_back_in_the_order_of_the_cases(endpoint: Endpoint, wire: str) -> None:
    """Each case is asked once, in either format, with room for a list of claims."""
    endpoint.answer = lambda asked, n: (anthropic if wire == "anthropic" else openai)(numbered(asked))
    found = judge(endpoint, wire).judge(cases(5))
    assert [item.claim for read in found for item in read.claims or ()] == [f"Anna {number}" for number in range(5)]
    assert len(endpoint.asked) == 5
    assert endpoint.asked[0].body["max_tokens"] == 1000


def numbered(asked: Asked) -> str:
    number = asked.prompt.rsplit("About Anna ", 1)[1][0]
    return json.dumps([{"claim": f"Anna {number}", "level": "entity", "verdict": "true"}])


def test_an_answer_that_is_no_judgement_is_a_counted_failure(endpoint: Endpoint) -> None:
    """Prose, a refusal and a list that is cut off say why they are none; none of them stops the others."""
    endpoint.script(
        anthropic("I cannot say."), anthropic("no", "refusal"), anthropic(GOOD[:9], "max_tokens"), anthropic(GOOD)
    )
    faults = [Judgements(None, fault) for fault in ("no_list", "refused", "cut_off")]
    assert judge(endpoint, concurrency=1).judge(cases(4)) == [*faults, READ]


def test_failures_on_the_way_are_overcome(endpoint: Endpoint) -> None:
    """A server that is overloaded or cuts a reply short is asked again."""
    endpoint.script(failure(529), failure(500), anthropic(GOOD))
    assert judge(endpoint, concurrency=1).judge(cases(1)) == [READ]


def test_answers_are_kept_and_not_paid_for_twice(endpoint: Endpoint, tmp_path: Path) -> None:
    """A second judge with the same folder plans no call and says the same; the receipt counts all answers."""
    endpoint.script(anthropic(GOOD))
    first = judge(endpoint, price_input=1.0, price_output=5.0)
    assert first.plan(cases(3), tmp_path).calls == 3
    first.judge(cases(3))
    again = judge(endpoint)
    assert again.plan(cases(4), tmp_path).calls == 1
    assert again.judge(cases(3)) == [READ] * 3
    assert len(endpoint.asked) == 3
    assert first.receipt().startswith("anthropic: 3 answers")


def test_a_cap_and_a_refusal_name_the_settings_of_the_judge(endpoint: Endpoint) -> None:
    """People are sent to evaluate.judge, not to the teacher's settings."""
    endpoint.script(anthropic(GOOD))
    with pytest.raises(SpendingError, match=r"evaluate\.judge\.calls\.max_tokens"):
        judge(endpoint, max_tokens=10).judge(cases(1))
    endpoint.script(failure(404, "no such model"))
    with pytest.raises(EndpointError, match=r"Check evaluate\.judge\.options"):
        judge(endpoint).judge(cases(1))


def test_wrong_settings_are_refused(endpoint: Endpoint) -> None:
    """An unknown interface, an unknown option and a cap without prices are said before anything is asked."""
    with pytest.raises(
        NotFoundError, match=r"no teacher for evaluate\.judge named 'oracle'\. Known: anthropic, openai\."
    ):
        ModelJudge(AskConfig(teacher="oracle"))
    with pytest.raises(ConfigError, match=r"evaluate\.judge\.options"):
        ModelJudge(AskConfig(teacher="openai", options={"model": "m", "colour": "red"}))
    with pytest.raises(ConfigError, match=r"evaluate\.judge\.calls\.max_cost"):
        judge(endpoint, max_cost=1.0)
