"""What a judge is asked, and how its reply is read."""

from __future__ import annotations

import json
from typing import Any

import pytest

from nlakit.data.instruction import Reply
from nlakit.data.judgement import Case, Judgement, instruct, judge_reply
from nlakit.truth import Verdict

GOOD = {"claim": "about Anna", "level": "entity", "verdict": "related"}


def test_the_message_holds_the_case_and_nothing_is_filled_in_twice() -> None:
    """A text that spells a placeholder stays as it is."""
    message = instruct(Case("a tale of {before}", "Once {explanation}", "there was"))
    assert "<passage>\nOnce {explanation}\n</passage>" in message
    assert "<following>\nthere was\n</following>" in message
    assert "<description>\na tale of {before}\n</description>" in message


@pytest.mark.parametrize("text", ["[%s]", "```json\n[%s]\n```", "```\n[%s]```", "  [%s]\n"])
def test_a_list_of_claims_is_read(text: str) -> None:
    """A JSON list is read, also from a code block."""
    assert judge_reply(Reply(text % json.dumps(GOOD), "done")) == [Judgement("about Anna", "entity", Verdict.RELATED)]


def test_no_claim_is_a_judgement() -> None:
    """An empty list says that nothing is claimed, which is no failure."""
    assert judge_reply(Reply("[]", "done")) == []


@pytest.mark.parametrize(
    "listed",
    [
        GOOD,
        "a list",
        None,
        [GOOD, "more"],
        [GOOD | {"level": "colour"}],
        [GOOD | {"verdict": True}],
        [GOOD | {"verdict": ["true"]}],
        [GOOD | {"claim": None}],
        [{"claim": "x"}],
    ],
)
def test_anything_else_is_none(listed: Any) -> None:
    """A reply with one wrong entry is no judgement at all: half of one would flatter or blame."""
    assert judge_reply(Reply(json.dumps(listed), "done")) is None


def test_a_reply_that_did_not_end_is_none() -> None:
    """Cut-off, refused and malformed replies are failures, whatever they say."""
    for end in ("length", "refused", "malformed"):
        assert judge_reply(Reply(json.dumps([GOOD]), end)) is None
    for text in ("", "I cannot.", "[" * 100_000, '[{"claim": '):
        assert judge_reply(Reply(text, "done")) is None
