"""Tests of nlakit.data.instruction."""

from __future__ import annotations

from nlakit.data.instruction import Reply, explain_reply, instruct
from nlakit.data.teachers import Context
from nlakit.explanations import Explanation


def test_a_text_cannot_change_the_question() -> None:
    """Placeholders that a text spells are ordinary characters."""
    message = instruct(Context(0, "d", 3, "{text}", "a {token} and a {text}"))

    assert "<passage>\na {token} and a {text}\n</passage>" in message
    assert message.endswith("The final token of the passage is '{text}'.")


def test_lists_become_plain_lines() -> None:
    """Numbers, bullets, bold type and blank lines go; signs inside a line stay."""
    text = "Sure.\n<explanation>\n1. **Form**: a list\n\n2) 3 - 1 = 2\n* an * inside\n- -5 degrees\n</explanation> Bye"

    assert Explanation("Form: a list\n3 - 1 = 2\nan * inside\n-5 degrees") == explain_reply(Reply(text, "done"))
