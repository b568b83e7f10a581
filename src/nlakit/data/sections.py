"""Where each message of a chat stands in the text that the target's template makes of it.

A template may trim a message, repeat it, drop its reasoning or write words of its own around it, so a
search for the message would guess. Instead the chat is rendered once more with invisible marks around
each content. Where that is the same text but for the marks, the marks say exactly what belongs to whom.

===============  ==========================================================================================
``"text"``       a token of plain text; it has no role
``"content"``    the words of a message
``"reasoning"``  what an assistant wrote between ``<think>`` and ``</think>``, where the template keeps it
``"template"``   what the template writes: control tokens, role headers, white space and tags between them
===============  ==========================================================================================

A word of the template belongs to the message that it is written for: the template's text for a chat
that ends with that message contains it, the one for a chat that ends before does not. Where a template
writes the beginning of a chat differently from the whole, the words between two messages belong to the
second one. What comes before the first message belongs to the first.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from nlakit.errors import InputError
from nlakit.models.target import Target
from nlakit.prompts import WORD_JOINER

TEXT, CONTENT, REASONING, TEMPLATE = "text", "content", "reasoning", "template"

_PRIVATE = range(0xE000, 0xF900)
"""Characters that no standard gives a meaning: the marks are chosen among those that a chat does not use."""

_REASONING = re.compile(f"(<{WORD_JOINER}?think>)(.*?)(<{WORD_JOINER}?/think>)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Section:
    """A stretch of a tokenised text that has one role and one kind; it ends where the next one starts."""

    start: int
    """Where it begins, in characters."""
    role: str | None
    name: str
    message: int | None = None
    """Which message of the chat it belongs to."""


@dataclass(frozen=True, slots=True)
class _Span:
    """What stands at ``text[start:end]`` is the content, or the reasoning, of one message."""

    start: int
    end: int
    message: int
    name: str


def section_at(sections: Sequence[Section], offset: int) -> Section:
    """Return the section that a character lies in."""
    return sections[max(0, bisect_right([section.start for section in sections], offset) - 1)]


def find_sections(
    target: Target, roles: Sequence[str], contents: Sequence[str], rendered: str, limit: int
) -> tuple[Section, ...] | None:
    """Tell the sections of a rendered chat, up to about ``limit`` characters; None where the template hides them.

    ``contents`` are the messages with their control tokens escaped, as they were rendered. A template that
    cuts a message or looks into its words can write another text for a marked message: then nothing is guessed.
    """
    spans = _spans(target, roles, contents, rendered, tight=False)
    if spans is None:  # a template that trims leaves white space inside the marks alone: mark without it
        spans = _spans(target, roles, contents, rendered, tight=True)
    if spans is None:
        return None
    ends = _ends(target, roles, contents, rendered, spans, limit)
    sections: list[Section] = []
    at = 0
    for span in [*spans, _Span(len(rendered), len(rendered), len(roles) - 1, TEMPLATE)]:
        while at < span.start:
            message = min(bisect_right(ends, at), len(roles) - 1)
            sections.append(Section(at, roles[message], TEMPLATE, message))
            at = min(span.start, ends[message])
        sections.append(Section(span.start, roles[span.message], span.name, span.message))
        at = span.end
    return tuple(sections)


def _spans(
    target: Target, roles: Sequence[str], contents: Sequence[str], rendered: str, *, tight: bool
) -> list[_Span] | None:
    """Render with marks around each piece (``tight``: without the white space at its ends) and read them off."""
    used = {*rendered, *"".join(contents)}
    start, number, end = [chr(code) for code in _PRIVATE if chr(code) not in used][:3]
    owners: list[tuple[int, str]] = []
    marked = []
    for message, (role, content) in enumerate(zip(roles, contents, strict=True)):
        written = ""
        for name, piece in _pieces(role, content):
            core = piece.strip() if tight else piece
            if name is None or not core:
                written += piece
                continue
            before, _, after = piece.partition(core)
            written += f"{before}{start}{len(owners)}{number}{core}{end}{after}"
            owners.append((message, name))
        marked.append({"role": role, "content": written})
    try:
        text = target.render(marked)
    except InputError:
        return None
    spans: list[_Span] = []
    begun: tuple[int, int] | None = None
    plain = ""
    for part in re.split(f"({start}[0-9]+{number}|{end})", text):
        if part.startswith(start) and begun is None:
            begun = (len(plain), int(part[1:-1]))
        elif part == end and begun is not None:
            spans.append(_Span(begun[0], len(plain), *owners[begun[1]]))
            begun = None
        else:
            plain += part
    return spans if begun is None and plain == rendered else None


def _pieces(role: str, content: str) -> Iterator[tuple[str | None, str]]:
    """Cut a message into (section, piece): its words, its reasoning, and None for the tags around that."""
    at = 0
    for match in _REASONING.finditer(content) if role == "assistant" else ():
        yield CONTENT, content[at : match.start()]
        yield from ((None, match[1]), (REASONING, match[2]), (None, match[3]))
        at = match.end()
    yield CONTENT, content[at:]


def _ends(
    target: Target, roles: Sequence[str], contents: Sequence[str], rendered: str, spans: Sequence[_Span], limit: int
) -> list[int]:
    """Tell for each message where the template is done with it, never before an earlier one."""
    messages = [{"role": role, "content": content} for role, content in zip(roles, contents, strict=True)]
    ends: list[int] = []
    beginning: str | None
    for message in range(len(messages) - 1):
        before = ends[-1] if ends else 0
        end = next((span.end for span in spans if span.message == message), before)
        if before < limit:
            try:
                beginning = target.render(messages[: message + 1])
            except InputError:  # a template may want a chat to go on
                beginning = None
            if beginning is not None and rendered.startswith(beginning):
                end = len(beginning)
        ends.append(max(before, end))
    return [*ends, len(rendered)]
