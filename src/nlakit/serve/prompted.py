"""A request's text or chat as the target reads it: its tokens, and what each of them belongs to.

``header`` is what the template writes before a message's words, ``content`` the words, ``footer`` what it writes behind them,
``scaffold`` what belongs to no message, such as the words that open an answer. A plain text has neither roles nor sections.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from nlakit.data.sections import CONTENT, REASONING, Section, find_sections, section_at
from nlakit.errors import InputError
from nlakit.models.target import Target
from nlakit.serve.wire import ChatMessage, Input, TokenRow


@dataclass(frozen=True, slots=True)
class Prompted:
    """A prompt, tokenised."""

    text: str
    ids: list[int]
    rows: list[TokenRow]

    def __len__(self) -> int:
        return len(self.ids)


def prompted(target: Target, given: Input) -> Prompted:
    """Render and tokenise a request's input.

    Raises ``InputError`` where the target cannot read it: an empty text, one longer than its window, a chat that its template
    refuses.
    """
    if given.messages is None:
        text, sections, messages = given.text or "", None, []
        encoded = target.encode(text, literal=True)  # what looks like a control token is ordinary text
    else:
        messages = given.messages
        text, sections = _chat(target, given, messages)
        encoded = target.encode(text)
    pieces = _fragments(encoded.offsets)
    rows = [
        TokenRow(
            token=token,
            token_id=token_id,
            position=position,
            fragment_index=pieces[position][0],
            fragment_count=pieces[position][1],
            **_belongs(sections, messages, encoded.offsets[position]),
        )
        for position, (token_id, token) in enumerate(zip(encoded.ids, encoded.tokens, strict=True))
    ]
    return Prompted(text, encoded.ids, rows)


def _chat(target: Target, given: Input, messages: Sequence[ChatMessage]) -> tuple[str, list[Section] | None]:
    """Return the rendered chat and its sections, those of the words that open an answer included; None where they are hidden."""
    if given.add_generation_prompt and given.continue_final_message:
        raise InputError(
            "add_generation_prompt and continue_final_message are both true; expected one of them: an answer is either begun or "
            "gone on with."
        )
    plain = [message.model_dump(exclude_none=True) for message in messages]
    options: dict[str, Any] = {"continue_final_message": True} if given.continue_final_message else {}
    if given.enable_thinking is not None:
        options["enable_thinking"] = given.enable_thinking
    text = target.render(plain, given.add_generation_prompt, **options)
    closed = target.render(plain)
    contents = [target.escape(message.content) for message in messages]
    found = find_sections(target, [message.role for message in messages], contents, closed, len(closed))
    shared = len(closed) if text.startswith(closed) else len(text) if closed.startswith(text) else None
    if found is None or shared is None:
        return text, None
    return text, [*found, Section(shared, None, "scaffold")]


def _belongs(
    sections: Sequence[Section] | None, messages: Sequence[ChatMessage], offset: tuple[int, int]
) -> dict[str, Any]:
    """Return the fields of a token that say which message and which part of it its last character lies in."""
    if sections is None:
        return {}
    at = max(offset[0], offset[1] - 1)
    found = section_at(sections, at)
    if found.message is None:
        return {"section": "scaffold"}
    words = [section.start for section in sections if section.message == found.message and _said(section)]
    name = "content" if _said(found) else "footer" if words and at > words[0] else "header"
    message = messages[found.message]
    return {"role": found.role, "section": name, "channel": message.channel, "message_index": found.message}


def _said(section: Section) -> bool:
    return section.name in (CONTENT, REASONING)


def _fragments(offsets: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return (index, count) of each token among those that together make one character; (0, 1) for a whole one."""
    found: list[tuple[int, int]] = []
    for (start, end), group in groupby(offsets):
        count = len(list(group))
        together = count if end - start == 1 else 1
        found += [(index % together, together) for index in range(count)]
    return found
