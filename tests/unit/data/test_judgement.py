"""What a judge is asked, and how its reply is read."""

from __future__ import annotations

import json
from typing import Any

import pytest

from nlakit.data.instruction import Reply
from nlakit.data.judgement import Case, Judgement, Judgements, instruct, judge_reply
from nlakit.truth import Verdict

GOOD = {"claim": "about Anna", "level": "entity", "verdict": "related"}
READ = Judgement("about Anna", "entity", Verdict.RELATED)


def test_the_message_holds_the_case_and_nothing_is_filled_in_twice() -> None:
    """A text that spells a placeholder stays as it is."""
    message = instruct(Case("a tale of {before}", "Once {explanation}", "there was"))
    assert "<passage>\nOnce {explanation}\n</passage>" in message
    assert "<following>\nthere was\n</following>" in message
    assert "<description>\na tale of {before}\n</description>" in message


@pytest.mark.parametrize(
    "text",
    [
        "[%s]",
        "```json\n[%s]\n```",
        "  [%s]\n",
        "Here [1] are [all] the claims:\n[%s]",
        "```json\n[%s]\n```\nI left out [two] others.",
        '{"claims": [%s]}',
        "[%s] or rather []",
    ],
)
def test_the_first_list_of_claims_is_read_whatever_stands_around_it(text: str) -> None:
    """A sentence before the list, a code block and words behind it cost nothing, and brackets in prose are no list of claims."""
    assert judge_reply(Reply(text % json.dumps(GOOD), "done")) == Judgements([READ])


def test_of_two_lists_of_claims_the_first_counts() -> None:
    """A second list does not add to the first, nor take its place."""
    again = GOOD | {"claim": "about Tom"}
    assert judge_reply(Reply(f"{json.dumps([GOOD])} {json.dumps([again])}", "done")) == Judgements([READ])


@pytest.mark.parametrize("text", ["[]", "```json\n[]\n```", "Nothing is claimed: []"])
def test_no_claim_is_a_judgement(text: str) -> None:
    """An empty list says that nothing is claimed, which is no failure."""
    assert judge_reply(Reply(text, "done")) == Judgements([])


def test_brackets_in_a_list_that_does_not_parse_are_no_empty_list() -> None:
    """A trailing comma makes a reply unread, and the brackets that a claim quotes do not make it say that nothing is claimed."""
    broken = f"[{json.dumps(GOOD | {'claim': 'an empty [] list'})},]"
    assert judge_reply(Reply(broken, "done")) == Judgements(None, "no_list")


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ("more", "no_object"),
        (GOOD | {"level": "themes"}, "unknown_level"),
        (GOOD | {"level": ["theme"]}, "unknown_level"),
        (GOOD | {"verdict": True}, "unknown_verdict"),
        (GOOD | {"verdict": ["true"]}, "unknown_verdict"),
        (GOOD | {"claim": None}, "no_claim"),
        ({"claim": "x"}, "unknown_level"),
    ],
)
def test_an_entry_of_another_form_is_skipped_and_counted(entry: Any, why: str) -> None:
    """One wrong entry costs itself alone and is counted by what is wrong with it; alone in its list it leaves the reply unread."""
    assert judge_reply(Reply(json.dumps([entry, GOOD, entry]), "done")) == Judgements([READ], skipped=(why, why))
    assert judge_reply(Reply(json.dumps([entry]), "done")) == Judgements(None, "no_usable_entry")


def test_a_reply_that_did_not_end_is_none() -> None:
    """Cut-off, refused and malformed replies are failures, whatever they say; so is a reply without a list, of whatever length."""
    for end, fault in (("length", "cut_off"), ("refused", "refused"), ("malformed", "malformed")):
        assert judge_reply(Reply(json.dumps([GOOD]), end)) == Judgements(None, fault)  # type: ignore[arg-type]
    for text in ("", "I cannot.", "null", json.dumps(GOOD), "[" * 100_000, '[{"claim": '):
        assert judge_reply(Reply(text, "done")) == Judgements(None, "no_list")
