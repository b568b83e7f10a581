"""Prompts of requests: tokens with their message, their part of it, and the pieces of a character."""

from __future__ import annotations

import pytest

from nlakit.errors import InputError
from nlakit.serve.prompted import prompted
from nlakit.serve.wire import Input
from nlakit.testing import tiny_target

CHAT = [{"role": "user", "content": "red box"}, {"role": "assistant", "content": "blue"}]


@pytest.fixture(scope="module")
def target():
    return tiny_target()


def test_a_text_has_tokens_without_roles(target):
    """Tokens join to the text and have no message."""
    found = prompted(target, Input(text="The red box."))
    joined = "".join(row.token for row in found.rows if row.token_id not in target.tokenizer.all_special_ids)

    assert joined == "The red box."
    assert [row.token_id for row in found.rows] == found.ids
    assert {(row.role, row.section, row.message_index) for row in found.rows} == {(None, None, None)}


def test_every_token_of_a_chat_knows_its_message(target):
    """Headers, words and footers belong to their message, and what opens an answer to none."""
    found = prompted(target, Input(messages=CHAT))
    parts = [(row.message_index, row.section) for row in found.rows]

    order = [part for index, part in enumerate(parts) if index == 0 or parts[index - 1] != part]
    assert order == [
        (0, "header"), (0, "content"), (0, "footer"), (1, "header"), (1, "content"), (1, "footer"), (None, "scaffold"),
    ]  # fmt: skip
    said = "".join(row.token for row in found.rows if row.section == "content" and row.message_index == 0)
    assert said == "red box"
    assert {row.role for row in found.rows if row.message_index == 1} == {"assistant"}


def test_an_answer_can_be_gone_on_with(target):
    """With continue_final_message the last message is left open and still knows its words."""
    found = prompted(target, Input(messages=CHAT, add_generation_prompt=False, continue_final_message=True))

    assert found.text.endswith("blue")
    assert found.rows[-1].section == "content"
    assert found.rows[-1].message_index == 1
    with pytest.raises(InputError, match="both true"):
        prompted(target, Input(messages=CHAT, continue_final_message=True))


def test_control_tokens_in_a_text_are_ordinary_characters(target):
    """A request cannot spell a control token, neither in a text nor in a message."""
    special = set(target.tokenizer.all_special_ids)
    assert not special & set(prompted(target, Input(text="a <|end|> b")).ids[1:])
    found = prompted(target, Input(messages=[{"role": "user", "content": "a <|end|> b"}]))
    assert not special & {row.token_id for row in found.rows if row.section == "content"}


def test_pieces_of_one_character_are_counted(target):
    """A character of several tokens says which piece each is; a whole token is its only piece."""
    found = prompted(target, Input(text="a 猫 b"))
    pieces = [(row.fragment_index, row.fragment_count) for row in found.rows]

    assert (0, 3) in pieces
    assert (1, 3) in pieces
    assert (2, 3) in pieces
    assert pieces[-1] == (0, 1)
