"""Documents as tokens, with the way back from a token to the document.

Plain text is tokenised literally: the spelling of a special token inside a text is ordinary
characters and never becomes that token. In a chat only the template may write control tokens; where
a message spells one, an invisible word joiner (U+2060) is put behind its first character.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nlakit.data.corpus import MESSAGE_SEPARATOR, Document
from nlakit.data.sections import TEXT, Section, find_sections, section_at
from nlakit.errors import InputError
from nlakit.models.target import CHARACTERS_PER_TOKEN, Target
from nlakit.prompts import WORD_JOINER

CONTEXT_CHARACTERS = 2000
"""How much of the text before and including a token a row keeps."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A stretch of a rendered chat that repeats a stretch of the document's text."""

    start: int
    """Where it begins in the rendered text, in characters."""
    document_offsets: tuple[int, ...]
    """Offset into the document's text before each of its characters, and after the last one."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """One tokenised document."""

    document: Document
    text: str
    """The text that was tokenised: the document's own, or its chat rendered, maybe cut."""
    ids: list[int]
    offsets: list[tuple[int, int]]
    """Character span of each token in ``text``."""
    cut: bool
    """Whether the document was longer than could be read."""
    escaped: bool
    """Whether a message spelt a control token."""
    passages: tuple[Passage, ...] | None = None
    """Where the messages are in ``text``; None for plain text, or where nobody needs to know."""
    sections: tuple[Section, ...] | None = (Section(0, None, TEXT),)
    """Role and kind of each stretch of ``text``; None for a chat whose template hides its messages."""

    def __len__(self) -> int:
        """Number of tokens, without those that the tokenizer puts behind every text."""
        length = len(self.ids)
        while length and self.offsets[length - 1][0] == self.offsets[length - 1][1]:
            length -= 1
        return length

    def token(self, position: int, tokenizer: Any) -> str:
        """Return the piece of text that is one token, with white space before it that spans leave out."""
        start, end = self.offsets[position]
        if start == end:
            return str(tokenizer.convert_ids_to_tokens(self.ids[position]))
        before = self.offsets[position - 1][1] if position else 0
        return self.text[before if self.text[before:start].isspace() else start : end]

    def context(self, position: int) -> str:
        """Return the end of the text up to and including a token."""
        end = self.offsets[position][1]
        return self.text[max(0, end - CONTEXT_CHARACTERS) : end]

    def section(self, position: int) -> tuple[str | None, str | None]:
        """Return the role and the section (:mod:`nlakit.data.sections`) that a token's last character lies in.

        Plain text has no role; both are None where they cannot be told.
        """
        if self.sections is None:
            return None, None
        start, end = self.offsets[position]
        found = section_at(self.sections, max(start, end - 1))
        return found.role, found.name

    def truth(self, position: int) -> str | None:
        """Return what is true after a token as JSON, or None where the corpus does not know."""
        if self.document.truth_at is None:
            return None
        return truth_json(self.document, self.document_offset(self.offsets[position][1]))

    def document_offset(self, offset: int) -> int:
        """Map an offset into ``text`` to one into the document's text.

        Inside the words of the chat template it is the end of the last message that came before.
        """
        if self.passages is None:
            return offset
        index = bisect_right([passage.start for passage in self.passages], offset) - 1
        if index < 0:
            return 0
        passage = self.passages[index]
        return passage.document_offsets[min(offset - passage.start, len(passage.document_offsets) - 1)]


def truth_json(document: Document, offset: int) -> str | None:
    """Return what is true after ``document.text[:offset]`` as JSON; None where the corpus does not know.

    Raises InputError for truth that JSON cannot hold.
    """
    truth = None if document.truth_at is None else document.truth_at(offset)
    if truth is None:
        return None
    try:
        return json.dumps(dict(truth), ensure_ascii=False, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"truth_at of the document {document.id!r} gave something that JSON cannot hold: {error}. "
            "Its corpus must return a mapping of strings, numbers, lists and mappings."
        ) from error


def tokenise(target: Target, documents: Sequence[Document], max_tokens: int) -> list[Tokens]:
    """Tokenise documents together: at most ``max_tokens`` tokens of each, special tokens exactly once.

    Plain text comes out as ``target.encode(text, literal=True, max_tokens=...)`` gives it. Raises
    :class:`~nlakit.errors.InputError` for a chat when the target has no chat template, or when the
    template changes a message that has truth attached.
    """
    tokenizer = target.tokenizer
    limit = min(max_tokens, target.max_positions)
    drafts = [_draft(target, document, CHARACTERS_PER_TOKEN * limit) for document in documents]
    done: dict[int, Tokens] = {}
    for literal, begun in sorted({(draft.literal, draft.begun) for draft in drafts}):
        group = [i for i, draft in enumerate(drafts) if (draft.literal, draft.begun) == (literal, begun)]
        texts = [drafts[i].text[: CHARACTERS_PER_TOKEN * limit] for i in group]
        batch = tokenizer(
            texts,
            add_special_tokens=not begun,
            split_special_tokens=literal,
            return_offsets_mapping=True,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,
        )
        for i, text, ids, offsets in zip(group, texts, batch["input_ids"], batch["offset_mapping"], strict=True):
            draft = drafts[i]
            cut = len(text) < len(draft.text) or len(ids) > limit
            done[i] = Tokens(
                documents[i], text, ids[:limit], offsets[:limit], cut, draft.escaped, draft.passages, draft.sections
            )
    return [done[i] for i in range(len(documents))]


@dataclass(frozen=True, slots=True)
class _Draft:
    """A document as the text that will be tokenised."""

    text: str
    literal: bool
    """Whether control tokens that the text spells are ordinary characters."""
    begun: bool = False
    """Whether the text spells BOS itself, as chat templates do; a second one would shift every activation."""
    escaped: bool = False
    passages: tuple[Passage, ...] | None = None
    sections: tuple[Section, ...] | None = (Section(0, None, TEXT),)


def _draft(target: Target, document: Document, limit: int) -> _Draft:
    if document.messages is None:
        return _Draft(document.text, literal=True)
    contents = [target.escape(message.content) for message in document.messages]
    pairs = list(zip(document.messages, contents, strict=True))
    text = target.render([{"role": message.role, "content": content} for message, content in pairs])
    roles = [message.role for message in document.messages]
    bos = target.tokenizer.bos_token
    return _Draft(
        text,
        literal=False,
        begun=bos is not None and text.startswith(bos),
        escaped=any(message.content != content for message, content in pairs),
        passages=_passages(target, document, text, contents) if document.truth_at is not None else None,
        sections=find_sections(target, roles, contents, text, limit),
    )


def _passages(target: Target, document: Document, rendered: str, contents: Sequence[str]) -> tuple[Passage, ...]:
    """Find each message in the rendered chat; a template may trim white space around it, and nothing more.

    A short message may well occur in the template's own words, so those are learnt first, from the
    same chat with placeholders for messages.
    """
    messages = document.messages or ()
    holders = [f"\ue000{index}\ue001" for index in range(len(messages))]
    roles = [message.role for message in messages]
    frame = target.render([{"role": role, "content": holder} for role, holder in zip(roles, holders, strict=True)])
    words = re.split("\ue000[0-9]+\ue001", frame)
    passages = []
    end = len(words[0])
    base = 0
    found = len(words) == len(messages) + 1 and rendered.startswith(words[0])
    for message, content, after in zip(messages, contents, words[1:], strict=False):
        written = next((c for c in (content, content.strip()) if rendered.startswith(c + after, end)), None)
        if not found or written is None:
            found = False
            break
        first = content.find(written)
        passages.append(Passage(end, _offsets(message.content, content, base)[first : first + len(written) + 1]))
        end += len(written) + len(after)
        base += len(message.content) + len(MESSAGE_SEPARATOR)
    if not found or end != len(rendered):
        raise InputError(
            f"the chat template does not repeat the messages of the document {document.id!r} as they are, so what is "
            "true after each token cannot be told. Give the document as plain text, or without truth."
        )
    return tuple(passages)


def _offsets(content: str, escaped: str, base: int) -> tuple[int, ...]:
    """Map each place of an escaped message, its end included, to the place in the document; joiners have none of their own."""
    offsets = [base]
    for character in escaped:
        read = offsets[-1] - base
        joiner = character == WORD_JOINER and (read == len(content) or content[read] != WORD_JOINER)
        offsets.append(offsets[-1] if joiner else offsets[-1] + 1)
    return tuple(offsets)
