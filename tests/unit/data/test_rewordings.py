"""The paraphraser for any text, on a server that answers as it is told to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.unit.data.providers.server import Endpoint, anthropic, failure, openai, serving

from nlakit.config import AskConfig, CallsConfig
from nlakit.data import rewordings
from nlakit.data.instruction import End, Reply
from nlakit.data.providers import client
from nlakit.data.rewordings import INSTRUCTIONS, ModelParaphraser, instruct, read_rewording
from nlakit.errors import ConfigError, EndpointError, InputError, SpendingError
from nlakit.paraphrase import Paraphraser, Rewording

TEXT = 'Anna looks for "the red key".\nA question is still open.'
ANEW = 'Anna searches for "the red key".\nOne question stays open.'
TAGGED = f"<rewording>\n{ANEW}\n</rewording>"


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    monkeypatch.setattr(client, "FIRST_WAIT_S", 0.01)
    with serving() as found:
        found.script(anthropic(TAGGED))
        yield found


def paraphraser(endpoint: Endpoint, wire: str = "anthropic", **calls: Any) -> ModelParaphraser:
    options = {"model": "m-1", "base_url": endpoint.url}
    return ModelParaphraser(AskConfig(teacher=wire, options=options, calls=CallsConfig(**calls)))


def test_a_model_is_a_paraphraser(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """It fulfils the contract, and its hash depends on the model and on each instruction."""
    model = paraphraser(endpoint)
    assert isinstance(model, Paraphraser)
    assert model.fingerprint() == paraphraser(endpoint).fingerprint()
    other = AskConfig(teacher="anthropic", options={"model": "m-2", "base_url": endpoint.url})
    assert model.fingerprint() != ModelParaphraser(other).fingerprint()
    monkeypatch.setattr(rewordings, "INSTRUCTIONS", {**INSTRUCTIONS, "translation": "{text}"})
    assert model.fingerprint() != paraphraser(endpoint).fingerprint()


@pytest.mark.parametrize("wire", ["anthropic", "openai"])
@pytest.mark.parametrize("how", ["light", "heavy", "translation"])
def test_each_text_is_said_anew_in_its_place(endpoint: Endpoint, wire: str, how: Rewording) -> None:
    """One request a text, in either format, with its own instruction; texts come back in their order."""

    def answer(asked: Any, _: int) -> Any:
        said = f"<rewording>Text number {asked.prompt.split('Number ')[1][0]}</rewording>"
        return (anthropic if wire == "anthropic" else openai)(said)

    endpoint.answer = answer
    found = paraphraser(endpoint, wire).reword([f"Number {n} text." for n in range(4)], how, 0)
    assert found == [f"Text number {n}" for n in range(4)]
    assert len(endpoint.asked) == 4
    assert {asked.prompt for asked in endpoint.asked} == {instruct(f"Number {n} text.", how) for n in range(4)}
    assert endpoint.asked[0].body["max_tokens"] == 500


def test_what_is_asked_keeps_the_text_as_it_is() -> None:
    """The three instructions differ, and a text that spells a placeholder is passed on unchanged."""
    assert len(set(INSTRUCTIONS.values())) == 3
    for how in INSTRUCTIONS:
        assert "<description>\nA {text} of {how}.\n</description>" in instruct("A {text} of {how}.", how)


@pytest.mark.parametrize(
    ("said", "end", "fault"),
    [
        (TAGGED, "done", ""),
        (f"Sure: {TAGGED} Anything else?", "done", ""),
        (TAGGED, "refused", "refused"),
        ("", "malformed", "malformed"),
        (ANEW, "done", "no_closing_tag"),
        (f"<rewording>{ANEW}", "length", "cut_off"),
        (f"Sure: {ANEW}</rewording>", "done", "malformed"),
        ("<rewording> </rewording>", "done", "empty"),
        (f"<rewording>{TEXT.upper()}\n</rewording>", "done", "unchanged"),
        ("<rewording>Anna looks.</rewording>", "done", "too_short"),
        (f"<rewording>{ANEW * 3}</rewording>", "done", "too_long"),
    ],
)
def test_a_reply_is_used_only_where_it_can_be_a_rewording(said: str, end: End, fault: str) -> None:
    """What is missing, unchanged, or of a length that cannot say the same is a failure with a name."""
    found, why = read_rewording(TEXT, Reply(said, end))
    assert why == fault
    if not fault:
        assert found == ANEW


def test_failures_are_counted_and_stop_nothing(endpoint: Endpoint) -> None:
    """A failed text is None in its place, and the reasons are counted for each rewording."""
    endpoint.script(anthropic("no", "refusal"), anthropic("What?"), anthropic(TAGGED))
    model = paraphraser(endpoint, concurrency=1)
    texts = [TEXT, f"{TEXT} Or two.", f"{TEXT} Or three."]
    assert model.reword(texts, "heavy", 0) == [None, None, ANEW]
    assert model.faults == {"heavy": {"refused": 1, "no_closing_tag": 1}}
    model.reword(texts, "light", 0)
    assert model.faults["light"] == {}


def test_answers_are_kept_and_not_paid_for_twice(endpoint: Endpoint, tmp_path: Path) -> None:
    """After an interruption only what is missing is planned and asked, whatever the seed; three requests a text."""
    texts = [f"{TEXT} Number {n}." for n in range(3)]
    first = paraphraser(endpoint)
    assert first.plan(texts, tmp_path).calls == 9
    first.reword(texts, "light", 0)
    again = paraphraser(endpoint)
    assert again.plan(texts, tmp_path).calls == 6
    assert again.reword(texts, "light", 1) == [ANEW] * 3
    assert len(endpoint.asked) == 3
    assert again.receipt().startswith("anthropic: 3 answers")


def test_errors_name_the_settings_of_the_paraphraser(endpoint: Endpoint) -> None:
    """People are sent to evaluate.paraphraser, for a cap, a refusal and a wrong option."""
    with pytest.raises(SpendingError, match=r"evaluate\.paraphraser\.calls\.max_tokens"):
        paraphraser(endpoint, max_tokens=10).reword([TEXT], "light", 0)
    endpoint.script(failure(404, "no such model"))
    with pytest.raises(EndpointError, match=r"Check evaluate\.paraphraser\.options"):
        paraphraser(endpoint).reword([TEXT], "light", 0)
    with pytest.raises(ConfigError, match=r"evaluate\.paraphraser\.options"):
        ModelParaphraser(AskConfig(teacher="openai", options={"model": "m", "colour": "red"}))


def test_a_model_is_not_asked_for_training(endpoint: Endpoint) -> None:
    """Rewordings to learn from are refused before a request."""
    with pytest.raises(InputError, match="learn from"):
        paraphraser(endpoint).reword([TEXT], "training", 0)
    assert not endpoint.asked
