from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nlakit.data.corpus import Document, Message
from nlakit.data.sections import Section, find_sections, section_at
from nlakit.data.tokens import Tokens, tokenise
from nlakit.models.target import Target
from nlakit.testing import END, MARKER, tiny_target

# Role headers on lines of their own, contents trimmed, the thinking of all turns but the last left out.
HEADERS = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['role'] }}\n"
    "{% if m['role'] == 'assistant' and '</think>' in m['content'] %}"
    "{% if loop.last %}<think>{{ m['content'].split('<think>')[1].split('</think>')[0].strip() }}</think> {% endif %}"
    "{{ m['content'].split('</think>')[1] | trim }}"
    "{% else %}{{ m['content'] | trim }}{% endif %}<|end|>\n{% endfor %}"
)
# No headers: a system message goes in front of each question, and questions stand in brackets.
BRACKETS = (
    "{% set system = messages[0]['content'] if messages[0]['role'] == 'system' else '' %}"
    "{% for m in messages %}{% if m['role'] == 'user' %}[INST] {% if system %}({{ system }}) {% endif %}"
    "{{ m['content'] }} [/INST]{% elif m['role'] == 'assistant' %} {{ m['content'] }}</s>{% endif %}{% endfor %}"
)
SYSTEM, QUESTION, ANSWER = "Be kind.", "Where is the key?", "By the window."


def target_with(template: str) -> Target:
    target = tiny_target()
    target.tokenizer.chat_template = template
    return target


def read(target: Target, *messages: tuple[str, str]) -> Tokens:
    document = Document.chat("chat", [Message(role, content) for role, content in messages])
    return tokenise(target, [document], 4096)[0]


def stretches(tokens: Tokens) -> list[tuple[str | None, str, str]]:
    """Return (role, section, text) of each section that is not empty."""
    assert tokens.sections is not None
    starts = [*(section.start for section in tokens.sections), len(tokens.text)]
    found = zip(tokens.sections, pairwise(starts), strict=True)
    return [(s.role, s.name, tokens.text[start:end]) for s, (start, end) in found if start < end]


def test_headers_belong_to_their_message() -> None:
    """A header is of the message that it introduces, the end of a turn of the one that it ends; contents are exact."""
    tokens = read(target_with(HEADERS), ("user", f" {QUESTION}\n"), ("assistant", ANSWER))

    assert [
        ("user", "template", "<|user|>user\n"),
        ("user", "content", QUESTION),
        ("user", "template", "<|end|>\n"),
        ("assistant", "template", "<|assistant|>assistant\n"),
        ("assistant", "content", ANSWER),
        ("assistant", "template", "<|end|>\n"),
    ] == stretches(tokens)


def test_a_message_that_stands_twice() -> None:
    """A template that repeats a message gives it its role in each place."""
    found = read(
        target_with(BRACKETS), ("system", SYSTEM), ("user", QUESTION), ("assistant", ANSWER), ("user", "And then?")
    )

    assert [
        ("user", "template", "[INST] ("),
        ("system", "content", SYSTEM),
        ("user", "template", ") "),
        ("user", "content", QUESTION),
        ("user", "template", " [/INST]"),
        ("assistant", "template", " "),
        ("assistant", "content", ANSWER),
        ("assistant", "template", "</s>"),
        ("user", "template", "[INST] ("),
        ("system", "content", SYSTEM),
        ("user", "template", ") "),
        ("user", "content", "And then?"),
        ("user", "template", " [/INST]"),
    ] == stretches(found)


def test_reasoning_that_a_template_keeps() -> None:
    """What an assistant thought is told from what it said, where the template keeps it; dropped thoughts have no place."""
    thought = f"<think>\nIt was there before.\n</think>\n\n{ANSWER}"
    messages = [("user", QUESTION), ("assistant", thought)]
    tokens = read(target_with(HEADERS), *messages, *messages)
    said = [(name, text) for role, name, text in stretches(tokens) if role == "assistant" and name != "template"]

    assert [("content", ANSWER), ("reasoning", "It was there before."), ("content", ANSWER)] == said


def test_words_that_look_like_the_template() -> None:
    """A message that says what the template writes is content all the same."""
    tokens = read(target_with(HEADERS), ("user", "user"), ("assistant", "user\nassistant"))

    assert ["user", "user\nassistant"] == [text for _, name, text in stretches(tokens) if name == "content"]


@pytest.mark.parametrize("template", ["{{ messages[0]['content'][:5] }}", "{{ messages[0]['content'] | length }}"])
def test_nothing_is_guessed(template: str) -> None:
    """A template that cuts or counts a message leaves roles and sections unknown."""
    tokens = read(target_with(template), ("user", QUESTION))

    assert tokens.sections is None
    assert (None, None) == tokens.section(0)


def test_a_template_that_wants_the_chat_to_go_on() -> None:
    """Where the beginning of a chat cannot be rendered alone, the words between two messages belong to the second."""
    template = (
        "{% if messages | length < 2 %}{{ raise_exception('two!') }}{% endif %}"
        "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>{% endfor %}"
    )
    found = stretches(read(target_with(template), ("user", QUESTION), ("assistant", ANSWER)))

    assert ("assistant", "template", "<|end|>") in found
    assert [("user", "content", QUESTION), ("assistant", "content", ANSWER)] == [s for s in found if s[1] == "content"]


def test_plain_text_has_no_role() -> None:
    """Every token of plain text is text, of nobody."""
    (tokens,) = tokenise(tiny_target(), [Document("d", "The cat sat.")], 4096)

    assert {(None, "text")} == {tokens.section(position) for position in range(len(tokens.ids))}


def test_tokens_are_where_their_last_character_is() -> None:
    """A token that begins with white space of the template and ends in a message is of the message."""
    sections = (Section(0, "user", "template"), Section(2, "user", "content"))
    tokens = Tokens(Document("d", ""), "\n The", [1, 2, 3], [(0, 0), (0, 2), (1, 5)], False, False, None, sections)

    assert ["template", "template", "content"] == [tokens.section(position)[1] for position in range(3)]


CONTENT = st.sampled_from(["", "a", "user", "\n", " ", "ü", END, MARKER, "<think>", "</think>", "\ue000", "\ue0011"])


@settings(max_examples=40, deadline=None)
@given(contents=st.lists(st.lists(CONTENT, max_size=5).map("".join), min_size=1, max_size=4))
def test_contents_are_found_whole(contents: list[str]) -> None:
    """Whatever messages say, what is called theirs is what they say, in order, and the rest is the template's."""
    target = tiny_target()
    roles = ["user" if index % 2 == 0 else "assistant" for index in range(len(contents))]
    escaped = [target.escape(content) for content in contents]
    rendered = target.render([{"role": r, "content": c} for r, c in zip(roles, escaped, strict=True)])
    sections = find_sections(target, roles, escaped, rendered, 4096)

    assert sections is not None
    tags = ("<think>", "</think>")
    at = 0
    for role, content in zip(roles, escaped, strict=True):
        at = rendered.index(f"<|{role}|>", at) + len(f"<|{role}|>")
        assert {role} == {section_at(sections, offset).role for offset in range(at, at + len(content))} or not content
        if not any(tag in content for tag in tags):
            assert {"content"} == {section_at(sections, at + i).name for i in range(len(content))} or not content
        at += len(content)
        assert ("template", role) == (section_at(sections, at).name, section_at(sections, at).role)
