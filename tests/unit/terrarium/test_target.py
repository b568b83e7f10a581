"""Growing the target and measuring what it can do."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from tests.unit.train.cut import Cut
from transformers import PreTrainedTokenizerFast

from nlakit.errors import RunError
from nlakit.models.target import Target
from nlakit.progress import Progress
from nlakit.prompts import resolve_prompts
from nlakit.terrarium import target as target_module
from nlakit.terrarium.behaviour import measure_behaviour
from nlakit.terrarium.families import FAMILIES
from nlakit.terrarium.target import GrowConfig, encode_documents, grow
from nlakit.terrarium.tokens import train_tokenizer
from nlakit.terrarium.world import WorldDocument, write_document
from nlakit.train.growth import make_model

SMALL = GrowConfig(steps=6, lessons=3, documents_per_step=2, width=32, blocks=2, checkpoint_every=2)


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    """The real tokenizer; learning it takes a few seconds."""
    return train_tokenizer(target_module.GROW_SEED)


@pytest.fixture
def known_tokenizer(tokenizer: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch) -> None:
    """Saves learning it again."""
    monkeypatch.setattr(target_module, "train_tokenizer", lambda _: tokenizer)


def test_every_word_is_one_token(tokenizer: PreTrainedTokenizerFast) -> None:
    """A word of the world is one token; so are tags and marker."""
    words = set()
    for number in range(600):
        text = re.sub(r"<\|\w+\|>", "", write_document(0, number).text)
        words |= set(re.findall(r" ?(?:[A-Za-z]+|\d+)", text))
    split = sorted(word for word in words if len(tokenizer.tokenize(word)) != 1)

    assert split == []
    assert len(tokenizer.tokenize("<explanation>a</explanation>")) == 3


def test_the_world_is_as_wide_as_the_pages_say(tokenizer: PreTrainedTokenizerFast) -> None:
    """It has about 1,000 words, numbers included, in documents of 40 to 160 tokens."""
    texts = [write_document(0, number).text for number in range(1000)]
    words = {word.lower() for text in texts for word in re.findall(r"[^\W_]+", re.sub(r"<\|\w+\|>", " ", text))}

    assert 1000 <= len(words) <= 1500
    lengths = [len(ids) for ids in tokenizer(texts).input_ids]
    assert 40 <= min(lengths) <= max(lengths) <= 160


def test_answers_are_the_tokens_that_the_world_has_settled(tokenizer: PreTrainedTokenizerFast) -> None:
    """What a question asks for counts as an answer, padding and everything else does not."""
    documents = [write_document(0, number, "choice") for number in range(3)]
    tokens_BT, _, answers_BT = encode_documents(tokenizer, documents)

    for row, document in enumerate(documents):
        said = [document.text[p.start : p.end] for p in document.pieces if p.kind == "answer"]
        assert tokenizer.batch_decode(tokens_BT[row][answers_BT[row]][:, None]) == said


@pytest.mark.usefixtures("known_tokenizer")
def test_a_growth_begins_with_lessons(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The documents of the first steps are lessons, and all others come from the world."""
    asked: list[str | None] = []

    def write(seed: int, number: int, family: str | None) -> WorldDocument:
        asked.append(family)
        return write_document(seed, number, family)

    monkeypatch.setattr(target_module, "write_document", write)
    grow(SMALL.model_copy(update={"steps": 16, "more_stories": 0.0}), tmp_path, Progress(silent=True))

    assert asked == ["lesson"] * 3 * 2 + ["second lesson"] * 3 * 2 + [None] * 10 * 2


@pytest.mark.usefixtures("known_tokenizer")
def test_a_target_grown_in_two_goes_equals_one_grown_in_one(tmp_path: Path) -> None:
    """Stopped between two checkpoints and started again, the weights come out bit for bit the same."""
    whole = grow(SMALL, tmp_path / "whole", Progress(silent=True))
    with pytest.raises(KeyboardInterrupt):
        grow(SMALL, tmp_path / "parts", Cut(after=3))
    parts = grow(SMALL, tmp_path / "parts", Progress(silent=True))

    assert (parts / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


@pytest.mark.usefixtures("known_tokenizer")
def test_a_grown_target_is_a_target(tmp_path: Path) -> None:
    """The folder loads as any target does: chat template, short prompts, the beginning token once."""
    target = Target.load(str(grow(SMALL, tmp_path, Progress(silent=True))))
    chat = target.encode(target.render([{"role": "user", "content": "Add 2 and 3."}], add_generation_prompt=True))

    assert chat.tokens[:2] == ["<|begin|>", "<|user|>"]
    assert chat.tokens.count("<|begin|>") == 1
    assert resolve_prompts(target).marker == "㈎"
    assert json.loads((tmp_path / "target" / "grow.json").read_text())["width"] == 32


def test_a_fresh_model_can_do_nothing(tokenizer: PreTrainedTokenizerFast) -> None:
    """Before training, the loss is far above the world's entropy and next to no document comes out right."""
    measures = measure_behaviour(make_model(SMALL, tokenizer, 0), tokenizer, documents=5)

    assert measures["loss_over_entropy"].value > 5
    assert all(measures[f"{family}_documents"].value < 0.5 for family in FAMILIES)


def test_a_model_that_knows_every_token_does_everything(tokenizer: PreTrainedTokenizerFast) -> None:
    """Fed a model that predicts the text as it is, the measure reads 1 for each family and a loss of nearly 0."""

    class Oracle:
        def __call__(self, input_ids: torch.Tensor) -> SimpleNamespace:
            following = torch.roll(input_ids, -1, dims=1)
            return SimpleNamespace(logits=torch.nn.functional.one_hot(following, len(tokenizer)).float() * 50)

    measures = measure_behaviour(Oracle(), tokenizer, documents=8)  # type: ignore[arg-type]

    assert {name: m.value for name, m in measures.items() if name.endswith("_documents")} == {
        f"{family}_documents": 1.0 for family in FAMILIES
    }
    assert measures["loss"].value < 1e-6


def test_a_growth_leaves_the_folders_of_others_alone(tmp_path: Path) -> None:
    """A folder with files that no growth made is refused, and stays as it is."""
    (tmp_path / "thesis.txt").write_text("x")
    with pytest.raises(RunError, match="no growth was begun in it"):
        grow(SMALL, tmp_path, Progress(silent=True))
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
