"""Prompts: where they come from, and the marker that must be one token."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from nlakit.config import PromptConfig
from nlakit.errors import CardError, InputError, ModelError
from nlakit.models.loading import load_tokenizer
from nlakit.models.target import Target
from nlakit.prompts import (
    RECONSTRUCTOR,
    VERBALIZER,
    WORD_JOINER,
    Prompts,
    control_tokens,
    default_prompts,
    encode_many,
    encode_once,
    escape,
    locate_marker,
    render_chat,
    resolve_prompts,
    tokenizer_fingerprint,
)
from nlakit.testing import MARKER, PROMPTS, tiny_prompts, tiny_target, tiny_target_folder, tiny_tokenizer


def test_a_target_without_prompts_gets_the_built_in_ones():
    """The defaults hold their placeholders, and the marker stands near the end so that the prefix is long."""
    target = tiny_target()

    prompts = resolve_prompts(target, PromptConfig(marker=MARKER))

    assert (VERBALIZER, RECONSTRUCTOR) == (prompts.verbalizer, prompts.reconstructor)
    ids = encode_once(target.tokenizer, prompts.verbalizer_text(target.tokenizer))["input_ids"]
    assert list(ids).index(prompts.marker_id) > 0.9 * len(ids)


def test_a_folder_may_carry_its_own_prompts(tmp_path):
    """``nlakit_prompts.json`` replaces the defaults, and a recipe replaces that."""
    target = Target.load(tiny_target_folder(tmp_path / "target"))

    assert PROMPTS == default_prompts(target).model_dump()
    changed = resolve_prompts(target, PromptConfig(reconstructor="Text: {explanation}"))
    assert ("Text: {explanation}", PROMPTS["verbalizer"]) == (changed.reconstructor, changed.verbalizer)


@pytest.mark.parametrize("content", ["{", json.dumps({"verbalizer": "no placeholder"}), json.dumps({"vebalizer": "x"})])
def test_damaged_prompts_in_a_folder_are_refused(tmp_path, content):
    """A broken file, a missing placeholder and a misspelt key are errors that name the file."""
    folder = tiny_target_folder(tmp_path / "target")
    (folder / "nlakit_prompts.json").write_text(content)

    with pytest.raises(ModelError, match="nlakit_prompts.json does not hold prompts"):
        default_prompts(Target.load(folder))


def test_a_marker_is_chosen_where_none_is_named():
    """A reserved token of the vocabulary serves when no rare character is one token."""
    target = tiny_target()

    prompts = resolve_prompts(target, PromptConfig(verbalizer="v: <concept>{marker}</concept>"))

    assert prompts.marker_id in encode_once(target.tokenizer, prompts.marker)["input_ids"]
    assert prompts.marker not in ("<|end|>", "<|pad|>", "<|user|>")
    assert (prompts.left_id, prompts.right_id) == tuple(
        target.tokenizer.convert_tokens_to_ids(["<concept>", "</concept>"])
    )


def test_the_marker_is_found_with_its_neighbours():
    """The ids are those around the marker in the finished prompt, chat template included."""
    tokenizer = tiny_tokenizer()

    marker, position = locate_marker(tokenizer, PROMPTS["verbalizer"], MARKER)

    ids = encode_once(tokenizer, tiny_prompts(tiny_target()).verbalizer_text(tokenizer))["input_ids"]
    assert [marker.left_id, marker.id, marker.right_id] == list(ids[position - 1 : position + 2])
    assert tokenizer.convert_tokens_to_ids(MARKER) == marker.id


@pytest.mark.parametrize(
    ("template", "marker", "message"),
    [
        ("a {marker} b", "xyz", "must be one token of its own"),
        ("a {marker} b", "㈎", "must be one token of its own"),
        (f"a {MARKER} {{marker}} b", MARKER, "stands 2 times"),
        ("ab{marker}cd", "e", "stands"),
        ("a {marker} b", "", "stands"),
    ],
)
def test_markers_that_are_not_one_token_are_refused(template, marker, message):
    """Several tokens, several places, or none: the error says what the tokenizer made of it."""
    with pytest.raises(CardError, match=message):
        locate_marker(tiny_tokenizer(), template, marker)


def test_a_marker_at_the_edge_is_refused():
    """Without a neighbour on one side the marker cannot be verified."""
    with pytest.raises(CardError, match="at the edge"):
        locate_marker(tiny_tokenizer(chat=False), "{marker} b", MARKER)


def test_a_tokenizer_without_chat_template_gets_the_raw_prompt():
    """The prompt is then plain text that ends with a line break."""
    target = tiny_target(chat=False)
    prompts = tiny_prompts(target)

    assert PROMPTS["verbalizer"].replace("{marker}", MARKER) + "\n" == prompts.verbalizer_text(target.tokenizer)


@pytest.mark.parametrize("field", ["verbalizer", "reconstructor"])
def test_placeholders_stand_exactly_once(field):
    """A prompt without its placeholder, or with two, is refused."""
    good = tiny_prompts(tiny_target()).model_dump()

    with pytest.raises(ValidationError, match="exactly once, found 0"):
        Prompts(**good | {field: "text"})
    with pytest.raises(ValidationError, match="exactly once, found 2"):
        Prompts(**good | {field: good[field] * 2})


def test_braces_in_an_explanation_are_text():
    """An explanation with braces goes into the prompt as it is."""
    prompts = tiny_prompts(tiny_target())

    assert "{x} {explanation} {" in prompts.reconstructor_text("{x} {explanation} {")


def test_bos_stands_once_whether_or_not_the_text_spells_it():
    """One at a time or many together, a text gets one BOS."""
    tokenizer = tiny_tokenizer(bos=True)
    texts = ["The cat", "<|begin|>The cat", "a box"]

    many = encode_many(tokenizer, texts)

    assert [list(encode_once(tokenizer, text)["input_ids"]) for text in texts] == many
    assert [1, 1, 1] == [ids.count(tokenizer.bos_token_id) for ids in many]
    assert many[0] == many[1]


def test_the_tokenizer_fingerprint_survives_saving_and_padding(tmp_path):
    """A reloaded tokenizer has the same fingerprint, also after it was used with padding; another one differs."""
    tokenizer = tiny_tokenizer()
    before = tokenizer_fingerprint(tokenizer)
    tokenizer.save_pretrained(tmp_path)
    tokenizer(["a", "The cat sat"], padding=True, truncation=True, max_length=2)

    assert before == tokenizer_fingerprint(tokenizer)
    assert before == tokenizer_fingerprint(load_tokenizer(tmp_path))
    others = [tiny_tokenizer(bos=True), tiny_tokenizer(chat=False), tiny_tokenizer(380)]
    assert before not in [tokenizer_fingerprint(other) for other in others]


def test_escape_of_single_character_tokens() -> None:
    """A control token of one character, which cannot be broken, is replaced; others get a word joiner."""
    target = tiny_target()
    target.tokenizer.add_special_tokens({"additional_special_tokens": ["☃"]})
    controls = control_tokens(target.tokenizer)

    assert f"a\ufffdb <{WORD_JOINER}|user|>" == escape("a☃b <|user|>", controls)
    assert "nothing" == escape("nothing", None)


def test_what_is_no_unicode_text_is_refused() -> None:
    """Half a surrogate pair, which bytes that are not UTF-8 leave in a text, is named with its place."""
    tokenizer = tiny_target().tokenizer
    with pytest.raises(InputError, match="at character 3, which no Unicode text has"):
        encode_once(tokenizer, "caf\udce9")
    with pytest.raises(InputError, match="not UTF-8"):
        encode_many(tokenizer, ["plain", "caf\udce9"])


def test_a_template_that_asks_for_today_is_told_the_same_day_always():
    """The verbalizer's prompt does not change overnight where a chat template writes the date."""
    tokenizer = tiny_target().tokenizer
    tokenizer.chat_template = "{{ strftime_now('%d %b %Y') }} {% for m in messages %}{{ m.content }}{% endfor %}"

    assert render_chat(tokenizer, [{"role": "user", "content": "hello"}], False) == "26 Jul 2024 hello"
