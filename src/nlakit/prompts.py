"""Prompts of a pair: their wording, the marker token, and the one way text becomes tokens.

The verbalizer's prompt is a user message with a marker whose embedding is overwritten by a vector; the
reconstructor's is raw text around an explanation. The wordings below are nlakit's own, after the
idea of the paper (architecture: a careful researcher, a vector between ``<concept>`` tags, an answer
between ``<explanation>`` tags). They are data: a card stores them, a recipe or the file
``nlakit_prompts.json`` in a target's folder replaces them.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from nlakit.config import PromptConfig
from nlakit.errors import CardError, InputError, ModelError
from nlakit.explanations import CLOSE_TAG, OPEN_TAG

PROMPTS_FILE = "nlakit_prompts.json"
_TODAY = """{% macro strftime_now(format) -%}
{{ format | replace("%Y", "2024") | replace("%y", "24") | replace("%m", "07") | replace("%b", "Jul") | replace("%B", "July")
| replace("%d", "26") | replace("%-d", "26") | replace("%a", "Fri") | replace("%A", "Friday") }}
{%- endmacro %}
"""
"""In front of a chat template that asks for the day: it is told the same one always, or a pair's prompts would change
overnight. The day is the one that the template of Llama 3 falls back to."""

# The marker comes last, so that nearly all of the prompt is a prefix that all rows share.
VERBALIZER = (
    "You study what goes on inside a language model, and you are careful: you say what you find and make nothing up. "
    "A vector was taken out of the model while it was reading a text. Tell what the vector holds: what the text had "
    "been about up to there, and what the model expects to come. Give two or three short snippets, the weightiest "
    f"first and the last one about where the text stopped, between {OPEN_TAG} and {CLOSE_TAG}. "
    "This is the vector: <concept>{marker}</concept>"
)
RECONSTRUCTOR = "Notes on a text and on how it goes on: <notes>{explanation}</notes> <state>"

# Rare enclosed characters that are one token in many vocabularies (the paper's releases use the first three).
MARKERS = ("㈎", "㈜", "㎡", "㊙", "㈱", "㍿", "㋡", "㌔")  # fmt: skip
WORD_JOINER = "\u2060"
"""Breaks the spelling of a control token in a chat message, and shows nothing."""
PROBES = (
    "The quick brown fox,\n jumps over 12 lazy dogs.",
    "  Übung: 東京 (naïve) 🙂 <b>x</b>",
    "def f(x):\n\treturn x**2",
)


class HasTokenizer(Protocol):
    """What of a target the prompts need."""

    name: str
    tokenizer: Any
    folder: Path | None


@dataclass(frozen=True, slots=True)
class Marker:
    """The marker token and the tokens that must stand beside it."""

    id: int
    left_id: int
    right_id: int


class Prompts(BaseModel):
    """Both prompts with the marker's token ids, as a card stores them."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    verbalizer: str
    """User message with ``{marker}``; put through the chat template where the tokenizer has one."""
    reconstructor: str
    """Raw text with ``{explanation}``; never put through a chat template."""
    marker: str
    """The marker as text; exactly one token."""
    marker_id: int
    """Token id of the marker."""
    left_id: int
    """Token id before the marker in the finished prompt."""
    right_id: int
    """Token id after the marker in the finished prompt."""
    open_tag: str = OPEN_TAG
    """What a verbalizer writes before an explanation."""
    close_tag: str = CLOSE_TAG
    """What a verbalizer writes after an explanation."""

    @model_validator(mode="after")
    def _placeholders(self) -> Self:
        for field, placeholder in (("verbalizer", "{marker}"), ("reconstructor", "{explanation}")):
            count = getattr(self, field).count(placeholder)
            if count != 1:
                raise ValueError(f"{field} must hold {placeholder} exactly once, found {count} times")
        return self

    @property
    def marker_token(self) -> Marker:
        """The marker with its neighbours."""
        return Marker(self.marker_id, self.left_id, self.right_id)

    def verbalizer_text(self, tokenizer: Any) -> str:
        """Return the finished verbalizer prompt as text, chat template and generation prompt included."""
        return _finish(tokenizer, self.verbalizer, self.marker)

    def reconstructor_text(self, explanation: str) -> str:
        """Return the finished reconstructor prompt around one explanation."""
        return self.reconstructor.replace("{explanation}", explanation)


def encode_once(tokenizer: Any, text: str, *, literal: bool = False) -> Any:
    """Tokenise with the tokenizer's own special tokens exactly once; returns ids and character spans.

    Rendered chats already spell the beginning-of-sequence token; adding another shifts every
    activation, so it is added only where the text does not start with it. With ``literal`` the
    spellings of special tokens inside the text are ordinary characters. Raises ``InputError`` for a text with
    characters that no Unicode text has.
    """
    _require_unicode(text)
    return tokenizer(
        text,
        add_special_tokens=literal or not _begins(tokenizer, text),
        return_offsets_mapping=True,
        return_attention_mask=False,
        split_special_tokens=literal,
        verbose=False,  # a text that is too long is refused in our words
    )


def _require_unicode(text: str) -> None:
    """Raise ``InputError`` for half a surrogate pair: what Python makes of bytes that are not UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"the text holds {text[error.start]!r} at character {error.start}, which no Unicode text has; was it read from "
            "bytes that are not UTF-8?"
        ) from error


def encode_many(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    """Tokenise many texts as :func:`encode_once` does each, ids only, with one or two calls of the tokenizer."""
    for text in texts:
        _require_unicode(text)
    found: list[list[int]] = [[] for _ in texts]
    for begins in (False, True):
        rows = [row for row, text in enumerate(texts) if _begins(tokenizer, text) == begins]
        if rows:
            chosen = [texts[row] for row in rows]
            batch = tokenizer(chosen, add_special_tokens=not begins, return_attention_mask=False, verbose=False)
            for row, ids in zip(rows, batch["input_ids"], strict=True):
                found[row] = list(ids)
    return found


def beginnings(tokenizer: Any, ids: Sequence[int]) -> int:
    """Count the beginning-of-sequence tokens that a text starts with; 0 for a tokenizer that has none."""
    return next((place for place, token in enumerate(ids) if token != tokenizer.bos_token_id), len(ids))


def _begins(tokenizer: Any, text: str) -> bool:
    """Whether a text already spells the beginning-of-sequence token."""
    return tokenizer.bos_token is not None and text.startswith(tokenizer.bos_token)


def render_chat(
    tokenizer: Any, messages: Sequence[Mapping[str, str]], add_generation_prompt: bool, **options: Any
) -> str:
    """Render messages with the tokenizer's chat template, as text; a template that asks for the day gets a fixed one.

    ``options`` go to transformers (``continue_final_message``) and to the template (``enable_thinking``).
    """
    plain = [dict(message) for message in messages]
    template = tokenizer.get_chat_template()
    if "strftime_now" in template:
        template = _TODAY + template
    return str(
        tokenizer.apply_chat_template(
            plain, chat_template=template, tokenize=False, add_generation_prompt=add_generation_prompt, **options
        )
    )


def control_tokens(tokenizer: Any, *more: str) -> re.Pattern[str] | None:
    """Return a pattern for what only a template may write: special tokens, those its chat template spells, and ``more``."""
    template = str(tokenizer.chat_template or "")
    spelt = {
        token.content
        for token in tokenizer.added_tokens_decoder.values()
        if not token.content.isspace() and (token.special or token.content in template)
    } | set(more)
    # Longest first, so that a token is not hidden by one that it begins with.
    return re.compile("|".join(map(re.escape, sorted(spelt, key=lambda text: (-len(text), text))))) if spelt else None


def escape(text: str, controls: re.Pattern[str] | None) -> str:
    """Break every spelling of a control token with a word joiner behind its first character.

    One of a single character cannot be broken and becomes the replacement character U+FFFD.
    """
    if controls is None:
        return text
    return controls.sub(
        lambda match: f"{match[0][0]}{WORD_JOINER}{match[0][1:]}" if len(match[0]) > 1 else "\ufffd", text
    )


def joiners(text: str, controls: re.Pattern[str] | None) -> list[int]:
    """Return where in what :func:`escape` returns the word joiners stand that it has put in."""
    broken = [match.start() for match in controls.finditer(text) if len(match[0]) > 1] if controls is not None else []
    return [start + 1 + earlier for earlier, start in enumerate(broken)]


def default_prompts(target: HasTokenizer) -> PromptConfig:
    """Return the prompts a target comes with, or nlakit's own wording.

    ``nlakit_prompts.json`` (keys verbalizer, reconstructor, marker; all optional) in the target's
    folder goes first. Raises ``ModelError`` when that file is damaged.
    """
    own: dict[str, Any] = {}
    file = target.folder / PROMPTS_FILE if target.folder is not None else None
    if file is not None and file.is_file():
        try:
            own = PromptConfig.model_validate_json(file.read_text(encoding="utf-8")).model_dump(exclude_none=True)
        except (ValidationError, UnicodeDecodeError) as error:
            raise ModelError(f"{file} does not hold prompts (verbalizer, reconstructor, marker): {error}") from error
    return PromptConfig(**({"verbalizer": VERBALIZER, "reconstructor": RECONSTRUCTOR} | own))


def resolve_prompts(target: HasTokenizer, config: PromptConfig | None = None) -> Prompts:
    """Fill a recipe's prompts with the target's defaults, choose a marker where none is named, and look up its ids.

    Raises ``CardError`` when the marker is not exactly one token of the finished prompt, and
    ``ModelError`` when the vocabulary has no token that can serve as one.
    """
    given = (config or PromptConfig()).model_dump(exclude_none=True)
    texts = PromptConfig(**(default_prompts(target).model_dump(exclude_none=True) | given))
    verbalizer, reconstructor = texts.verbalizer or VERBALIZER, texts.reconstructor or RECONSTRUCTOR
    tokenizer = target.tokenizer
    marker = texts.marker
    if marker is None:
        usable = (text for text in _marker_candidates(tokenizer) if _fits(tokenizer, verbalizer, text))
        marker = next(usable, None)
    if marker is None:
        raise ModelError(f"no single token of {target.name!r} can serve as marker; name one with prompts.marker.")
    token, _ = locate_marker(tokenizer, verbalizer, marker)
    return Prompts(
        verbalizer=verbalizer,
        reconstructor=reconstructor,
        marker=marker,
        marker_id=token.id,
        left_id=token.left_id,
        right_id=token.right_id,
    )


def locate_marker(tokenizer: Any, template: str, marker: str) -> tuple[Marker, int]:
    """Find the marker in the finished verbalizer prompt: its ids and its position.

    Raises ``CardError`` with the tokens found when the marker is not exactly one token, stands there
    more than once, or has no neighbour on one side.
    """
    text = _finish(tokenizer, template, marker)
    if not marker or text.count(marker) != 1:
        raise CardError(
            f"the marker {marker!r} stands {text.count(marker)} times in the finished prompt, once was expected."
        )
    start = text.index(marker)
    end = start + len(marker)
    batch = encode_once(tokenizer, text)
    ids, spans = list(batch["input_ids"]), batch["offset_mapping"]
    inside = [i for i, (a, b) in enumerate(spans) if a < end and b > start]
    pieces = [text[spans[i][0] : spans[i][1]] for i in inside]
    if pieces != [marker]:
        raise CardError(
            f"the marker {marker!r} must be one token of its own in the finished prompt, and this tokenizer makes {pieces} "
            "of it; choose another marker, or load the tokenizer that the pair was trained with."
        )
    position = inside[0]
    if ids.count(ids[position]) != 1:
        raise CardError(
            f"the marker's token {ids[position]} stands {ids.count(ids[position])} times in the finished prompt."
        )
    if not 0 < position < len(ids) - 1:
        raise CardError(
            f"the marker {marker!r} is at the edge of the finished prompt; it needs a token on either side."
        )
    return Marker(ids[position], ids[position - 1], ids[position + 1]), position


def tokenizer_fingerprint(tokenizer: Any) -> str:
    """Hash what decides tokenisation: the vocabulary, special tokens, chat template, and how probe texts come out."""
    facts = {
        "vocabulary": sorted(tokenizer.get_vocab().items()),
        "special": {name: str(token) for name, token in sorted(tokenizer.special_tokens_map.items())},
        "chat_template": tokenizer.chat_template,
        "probes": [list(encode_once(tokenizer, probe)["input_ids"]) for probe in PROBES],
    }
    text = json.dumps(facts, ensure_ascii=True, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _finish(tokenizer: Any, template: str, marker: str) -> str:
    """Put the marker into the template and the message through the chat template, if there is one."""
    message = template.replace("{marker}", marker)
    if not tokenizer.chat_template:
        return message + "\n"
    return render_chat(tokenizer, [{"role": "user", "content": message}], add_generation_prompt=True)


def _fits(tokenizer: Any, template: str, marker: str) -> bool:
    """Whether :func:`locate_marker` accepts this marker."""
    try:
        locate_marker(tokenizer, template, marker)
    except CardError:
        return False
    return True


def _marker_candidates(tokenizer: Any) -> Iterator[str]:
    """Yield texts that may be one rarely used token: known rare characters, reserved tokens, then any odd character."""
    yield from MARKERS
    used = {tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token, tokenizer.unk_token}
    template = str(tokenizer.chat_template or "")
    for _, token in sorted(tokenizer.added_tokens_decoder.items(), reverse=True):
        text = str(token)
        if text not in used and text not in template and text not in (OPEN_TAG, CLOSE_TAG):
            yield text
    for token_id in range(len(tokenizer) - 1, -1, -1):
        text = tokenizer.decode([token_id])
        if len(text) == 1 and ord(text) > 0xA0 and text != "\ufffd":
            yield text
