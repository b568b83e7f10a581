"""Other ways to read vectors, each on a case whose answer is known."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
import torch

from nlakit.config import AdapterConfig, EvaluateConfig
from nlakit.evaluate import baselines
from nlakit.evaluate.definitions import baselines as definitions
from nlakit.evaluate.rows import Rows
from nlakit.explanations import Explanation, Outcome
from nlakit.models.sampler import sample
from nlakit.models.verbalizer import Verbalizer
from nlakit.testing import tiny_prompts, tiny_target

TEACHER = [Explanation("one"), Explanation("two"), Explanation("three")]
WEATHER = 40


class Weather:
    """Knows one slot of two values, which a row may lack, and says what it is told."""

    def facts(self, truth: dict[str, str]) -> dict[str, str]:
        return truth

    def say(self, facts: dict[str, str]) -> str:
        return " ".join(f"{slot} {value}" for slot, value in facts.items())


def rows(vectors_ND: torch.Tensor, contexts: list[str], truths: list[dict[str, str] | None] | None = None) -> Rows:
    columns = {"context": contexts, "document_id": [f"d{row}" for row in range(len(contexts))]}
    written = [None if truth is None else json.dumps(truth) for truth in truths or [None] * len(contexts)]
    return Rows(vectors_ND, pa.table(columns | {"truth": pa.array(written, pa.string())}), ())


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Two held-out rows: the first is near the third training vector and has the text of the second.

    The pair writes down which axis a vector lies on, and the teacher knows the texts of the training rows by their words.
    """
    training = rows(torch.eye(3), ["x y", "b c", "a a"])
    said = dict(zip(training.column("context"), TEACHER, strict=True))
    monkeypatch.setattr(
        baselines, "teacher_words", lambda _bench, asked: [said[text] for text in asked.column("context")]
    )

    def explain(_what: str, vectors_ND: torch.Tensor) -> list[Any]:
        return [SimpleNamespace(explanation=Explanation(f"axis {int(vector_D.argmax())}")) for vector_D in vectors_ND]

    heldout = rows(torch.tensor([[0.1, 0.0, 5.0], [9.0, 1.0, 0.0]]), ["b c d", "x y z"])
    config = SimpleNamespace(seed=0)
    return SimpleNamespace(
        heldout=heldout, training=training, explained_before=None, reader=None, explain=explain, config=config
    )


def texts(found: list[Explanation] | None) -> list[str]:
    assert found is not None
    return [item.text for item in found]


def test_the_nearest_row_is_that_of_the_largest_cosine(bench: Any) -> None:
    """Length does not count, direction does, in the pair's own words and in the teacher's."""
    assert texts(baselines.nearest(bench)) == ["axis 2", "axis 0"]
    assert texts(baselines.nearest_teacher(bench)) == ["three", "one"]


def test_similar_text_does_not_look_at_vectors(bench: Any) -> None:
    """The pair's words for the row whose text is shared are taken, one-letter words included."""
    assert texts(baselines.similar_text(bench)) == ["axis 1", "axis 0"]


def test_only_training_rows_that_are_used_are_paid_for(bench: Any) -> None:
    """A training row that is nearest to two held-out rows is written of once, and one that is nearest to none not at all."""
    asked: list[int] = []
    real = bench.explain
    bench.explain = lambda what, vectors_ND: asked.append(len(vectors_ND)) or real(what, vectors_ND)
    bench.heldout = rows(torch.tensor([[1.0, 0, 0], [2.0, 0, 0]]), ["a", "b"])
    assert texts(baselines.nearest(bench)) == ["axis 0", "axis 0"]
    assert asked == [1]


def test_probes_say_nothing_of_a_slot_that_they_do_not_find_there(bench: Any) -> None:
    """Where training rows without a value look different, a probe names values for rows that have one and is silent on others."""
    sunny, wet, absent = [5.0, 0, 0], [0, 5.0, 0], [5.0, 0, 5.0]  # an absent one looks sunny besides
    vectors_ND = torch.tensor([sunny, wet, absent, absent] * WEATHER)
    truths: list[dict[str, str] | None] = [{"sky": "sunny"}, {"sky": "wet"}, {}, {}]
    bench.training = rows(vectors_ND, ["a"] * len(vectors_ND), truths * WEATHER)
    bench.heldout = rows(torch.tensor([sunny, wet, absent]), ["a", "b", "c"])
    bench.reader = Weather()
    found = baselines.probes(bench)
    assert texts(found) == ["sky sunny", "sky wet", ""]
    assert found is not None
    assert found[2].outcome is Outcome.EMPTY


def test_rows_without_a_known_truth_do_not_teach_probes_silence(bench: Any) -> None:
    """That nothing is known about a row does not say that a slot is not there."""
    sunny, wet = [5.0, 0, 0], [0, 5.0, 0]
    vectors_ND = torch.tensor([sunny, wet, sunny, wet] * WEATHER)
    truths: list[dict[str, str] | None] = [{"sky": "sunny"}, {"sky": "wet"}, None, None]
    bench.training = rows(vectors_ND, ["a"] * len(vectors_ND), truths * WEATHER)
    bench.heldout = rows(torch.tensor([sunny, wet]), ["a", "b"])
    bench.reader = Weather()
    assert texts(baselines.probes(bench)) == ["sky sunny", "sky wet"]


def test_the_untrained_target_reads_without_the_pairs_adapters(bench: Any) -> None:
    """Of a pair of adapters, which share the target's weights, the one that ran last has no say in what the target writes."""
    target = tiny_target()
    prompts, lora = tiny_prompts(target), AdapterConfig(mode="lora", rank=4)
    verbalizer = Verbalizer.from_target(target, prompts, injection_scale=4.0, max_new_tokens=8, adapters=lora)
    card = SimpleNamespace(prompts=prompts, injection_scale=4.0, max_new_tokens=8)
    bench.pair, bench.target = SimpleNamespace(card=card), target
    bench.heldout = rows(torch.randn((3, 32), generator=torch.Generator().manual_seed(0)), ["a", "b", "c"])
    bench.config = EvaluateConfig(max_new_tokens=5)
    before = baselines.untrained(bench)
    with torch.no_grad():
        for weight in verbalizer.model.parameters():
            weight.normal_(std=0.5)
    sample(verbalizer, bench.heldout.vectors_ND)
    assert baselines.untrained(bench) == before
    assert all(len(target.tokenizer(text)["input_ids"]) <= 6 for text in texts(before))


def test_each_method_is_defined_and_every_defined_one_is_there() -> None:
    """What is measured and what the documentation lists are the same methods in the same order."""
    assert list(baselines.METHODS) == list(definitions.METHODS)


def test_what_is_missing_is_none(bench: Any) -> None:
    """Without earlier weights and without a truth nothing is made up."""
    assert baselines.warm_start(bench) is None
    assert baselines.probes(bench) is None
    bench.training = None
    assert [method(bench) for method in (baselines.nearest, baselines.nearest_teacher, baselines.similar_text)] == [
        None
    ] * 3


def test_the_logit_lens_of_the_last_block_is_the_targets_own_output() -> None:
    """Two paths to one number: the final norm and output layer on the last block's state, and the whole model."""
    target = tiny_target()
    tokens_1T = torch.tensor([[5, 6, 7, 8]])
    with torch.no_grad():
        whole = target.model(input_ids=tokens_1T, output_hidden_states=False).logits[0, -1]
    from nlakit.models.sites import Site

    state_1D = Site("resid", target.n_layers - 1).read(target, tokens_1T)[0, -1:]
    bench: Any = SimpleNamespace(target=target)
    assert torch.allclose(baselines.lens_logits(bench, state_1D)[0], whole, atol=1e-4)
