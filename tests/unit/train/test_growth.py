"""The loop that grows a target, and what it grows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from tests.unit.train.cut import Cut
from transformers import PreTrainedTokenizerFast

from nlakit.config import GrowthConfig
from nlakit.models.prediction import pad
from nlakit.models.target import Target
from nlakit.progress import Progress
from nlakit.prompts import resolve_prompts
from nlakit.runs import MetricsWriter, read_metrics
from nlakit.testing import SENTENCES
from nlakit.train.growth import Batch, grow_model, make_model, save_target, schedule
from nlakit.train.vocabulary import WINDOW, train_tokenizer

SMALL = GrowthConfig(width=32, blocks=2, warmup_steps=2, checkpoint_every=10)
STEPS = 25


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return train_tokenizer(SENTENCES, 512, "a test")


def batches(tokenizer: PreTrainedTokenizerFast, start: int) -> Iterator[Batch]:
    """Two sentences a step, with a figure beside them."""
    for step in range(start, 10**6):
        rows = [tokenizer(SENTENCES[(step + place) % len(SENTENCES)]).input_ids for place in range(2)]
        yield Batch(*pad(rows, tokenizer.pad_token_id), figures={"world": float(step)})


def grown(
    tokenizer: PreTrainedTokenizerFast, folder: Path, progress: Progress | None = None, steps: int = STEPS
) -> dict[str, torch.Tensor]:
    """The weights after a growth in a folder, which goes on with what is there."""
    folder.mkdir(exist_ok=True)
    model = make_model(SMALL, tokenizer, 0)
    with MetricsWriter(folder / "metrics.jsonl", "grow") as metrics:
        grow_model(
            model, SMALL, steps, lambda start: batches(tokenizer, start), folder / "checkpoints", metrics,
            progress or Progress(silent=True), bfloat16=False,
        )  # fmt: skip
    return model.state_dict()


def test_schedule_warms_up_holds_and_falls_to_zero() -> None:
    """The factor rises to 1, stays, and is 0 after the last step."""
    config = GrowthConfig(warmup_steps=10, decay_share=0.5)

    assert [schedule(config, step, 100) for step in (0, 4, 9, 30, 75, 100)] == [0.1, 0.5, 1.0, 1.0, 0.5, 0.0]


def test_fresh_blocks_pass_their_input_on(tokenizer: PreTrainedTokenizerFast) -> None:
    """Before training the last hidden state is the normed embedding."""
    model = make_model(SMALL, tokenizer, 0)
    tokens_BT = torch.tensor([[5, 6, 7]])
    embedded_BTD = model.model.norm(model.model.embed_tokens(tokens_BT))

    torch.testing.assert_close(model.model(input_ids=tokens_BT).last_hidden_state, embedded_BTD)


def test_a_model_depends_on_its_seed_alone(tokenizer: PreTrainedTokenizerFast) -> None:
    """One seed gives one model, whatever was drawn before; another gives another."""
    first = make_model(SMALL, tokenizer, 0).model.embed_tokens.weight
    torch.manual_seed(99)

    assert torch.equal(first, make_model(SMALL, tokenizer, 0).model.embed_tokens.weight)
    assert not torch.equal(first, make_model(SMALL, tokenizer, 1).model.embed_tokens.weight)


def test_a_growth_learns_and_says_so(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    """The loss falls, and is logged with what the batch brings along."""
    grown(tokenizer, tmp_path, steps=40)
    first, last = read_metrics(tmp_path / "metrics.jsonl", "grow")

    assert (first["step"], last["step"]) == (20, 40)
    assert last["loss"] < first["loss"]
    assert last["world"] == 39


def test_a_growth_that_is_stopped_ends_like_an_unbroken_one(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    """Stopped between two checkpoints and started again: the same weights, bit for bit, and every line of metrics once."""
    whole = grown(tokenizer, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        grown(tokenizer, tmp_path / "parts", Cut(after=23))
    parts = grown(tokenizer, tmp_path / "parts")

    assert all(torch.equal(tensor, parts[name]) for name, tensor in whole.items())
    assert read_metrics(tmp_path / "whole" / "metrics.jsonl") == read_metrics(tmp_path / "parts" / "metrics.jsonl")


def test_weights_of_labels_decide_the_gradient(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    """Labels of weight 0 teach nothing: what is learnt is what is learnt without them."""
    tokens_BT, labels_BT = pad([tokenizer(SENTENCES[0]).input_ids], tokenizer.pad_token_id)
    weights_BT = torch.ones_like(tokens_BT, dtype=torch.float32)
    weights_BT[:, 5:] = 0
    masked_BT = torch.where(weights_BT > 0, labels_BT, -100)
    found = []
    for name, batch in (
        ("weighted", Batch(tokens_BT, labels_BT, weights_BT)),
        ("masked", Batch(tokens_BT, masked_BT)),
    ):
        model = make_model(SMALL, tokenizer, 0)
        with MetricsWriter(tmp_path / f"{name}.jsonl", "grow") as metrics:
            grow_model(model, SMALL, 1, lambda _, batch=batch: iter([batch]), tmp_path / name, metrics,
                       Progress(silent=True), bfloat16=False)  # fmt: skip
        found.append(model.state_dict())

    for name, tensor in found[0].items():
        torch.testing.assert_close(tensor, found[1][name], atol=1e-4, rtol=1e-3)


def test_what_is_saved_is_a_target(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    """It loads as any target does: chat template, short prompts with their marker, the beginning token once, a window."""
    tmp_path.joinpath("target").mkdir()
    save_target(make_model(SMALL, tokenizer, 0), tokenizer, tmp_path / "target")
    target = Target.load(tmp_path / "target")
    chat = target.encode(target.render([{"role": "user", "content": "The cat"}], add_generation_prompt=True))

    assert chat.tokens[:2] == ["<|begin|>", "<|user|>"]
    assert chat.tokens.count("<|begin|>") == 1
    assert resolve_prompts(target).marker == "㈎"
    assert target.max_positions == WINDOW
