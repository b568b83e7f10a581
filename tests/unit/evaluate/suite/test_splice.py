"""Rebuilt vectors put back into a tiny target."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from nlakit.config import AdapterConfig, EvaluateConfig
from nlakit.data.corpus import Document
from nlakit.data.tokens import tokenise
from nlakit.evaluate.bench import Bench, Found
from nlakit.evaluate.definitions.identify import DEFINITIONS, SPLICE
from nlakit.evaluate.estimates import Estimator
from nlakit.evaluate.measures import definition_of
from nlakit.evaluate.suite import splice
from nlakit.explanations import Explanation
from nlakit.models.reconstructor import Reconstructor
from nlakit.models.sites import Site
from nlakit.testing import tiny_prompts, tiny_target
from nlakit.vectors import VectorStats

TEXTS = ["The cat sat by the door and the dog slept.", "Anna put the key in the box."]
POSITIONS = [4, 6]


@pytest.fixture
def bench() -> Bench:
    target = tiny_target()
    documents = [Document(f"d{row}", text) for row, text in enumerate(TEXTS)]
    site = Site("resid", 1)
    vectors = [
        site.read(target, torch.tensor([tokens.ids]))[0, position]
        for tokens, position in zip(tokenise(target, documents, 64), POSITIONS, strict=True)
    ]
    vectors_ND = torch.stack(vectors).float()
    columns = {"position": POSITIONS}
    ids = [document.id for document in documents]
    heldout: Any = SimpleNamespace(
        vectors_ND=vectors_ND, document_ids=ids, documents=documents, column=columns.__getitem__
    )
    card = SimpleNamespace(site="resid.1", require_stats=lambda: VectorStats(torch.ones(32) / 10, 0.5))
    pair: Any = SimpleNamespace(target=target, card=card)
    settings: Any = SimpleNamespace(extract=SimpleNamespace(max_tokens=64), corpus=SimpleNamespace(name="real"))
    found = Found(Estimator(20, 0), ids, variance=0.5)
    made = Bench(Path("pair"), pair, settings, heldout, None, EvaluateConfig(), found)
    made.__dict__ |= {"explanations": [Explanation("x")] * 2, "truths": None, "reader": None}
    return made


def test_the_own_vectors_change_nothing(bench: Bench) -> None:
    """Direction from the own vector, norm from the own vector: no divergence, the same next token."""
    bench.__dict__["rebuilt_ND"] = 3.0 * bench.heldout.vectors_ND
    splice.measure(bench)
    found = {name: measure.value for name, measure in bench.found.measures.items()}
    assert found["splice_kl"] == pytest.approx(0.0, abs=1e-5)
    assert found["splice_kl_later"] == pytest.approx(0.0, abs=1e-5)
    assert found["splice_same_token"] == 1.0
    assert found["splice_kl_mean"] > 1e-4
    assert found["splice_kl_other"] > 1e-4


def test_adapters_are_off_while_the_target_goes_on(bench: Bench) -> None:
    """Of a pair of adapters, which share the target's weights, the one that ran last has no say in what the target does."""
    lora = AdapterConfig(mode="lora", rank=4)
    reconstructor = Reconstructor.from_target(bench.target, Site("resid", 1), tiny_prompts(bench.target), lora)
    with torch.no_grad():
        for weight in reconstructor.backbone.parameters():
            weight.normal_(std=0.5)
    reconstructor.reconstruct(["a cat"])
    own = splice.splice(bench, {"": bench.heldout.vectors_ND}).spliced[""]
    assert own.kl_N.tolist() == pytest.approx([0.0, 0.0], abs=1e-5)


def test_the_output_layer_runs_where_it_is_looked_at(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the first row's token of a batch on, and not over the texts before it."""
    columns: list[int] = []
    head = bench.target.model.get_output_embeddings()
    monkeypatch.setattr(
        head, "forward", lambda states, real=head.forward: columns.append(states.shape[1]) or real(states)
    )
    splice.splice(bench, {})
    longest = max(len(ids[: position + 1 + splice.LATER]) for ids, position in bench.places)
    assert columns == [longest - min(POSITIONS)]


def test_divergence_equals_that_of_the_text_alone(bench: Bench) -> None:
    """Padded in a batch or alone, a row has the same divergence, at its own token and behind it."""
    other_ND = torch.randn((2, 32), generator=torch.Generator().manual_seed(0))
    together = splice.splice(bench, {"": other_ND})
    heldout = bench.heldout
    for row in (0, 1):
        alone: Any = SimpleNamespace(
            vectors_ND=heldout.vectors_ND[[row]], document_ids=[heldout.document_ids[row]],
            documents=[heldout.documents[row]], column={"position": [POSITIONS[row]]}.__getitem__,
        )  # fmt: skip
        bench.heldout = alone
        bench.__dict__.pop("places", None)
        single = splice.splice(bench, {"": other_ND[[row]]})
        bench.heldout = heldout
        assert numbers(single, 0) == pytest.approx(numbers(together, row), abs=1e-5)


def numbers(outcome: splice.Outcome, row: int) -> list[float]:
    """All that an outcome says of one row."""
    found = outcome.spliced[""]
    columns = (outcome.said_N, outcome.counts_N, found.kl_N, found.later_N, found.said_N)
    return [float(values_N[row]) for values_N in columns]


def test_the_target_is_run_as_often_as_the_definitions_say(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """One batch takes four forward passes: as it is, the rebuilt vector, the mean direction, another row's."""
    passes: list[bool] = []
    once = splice._log_probs
    monkeypatch.setattr(splice, "_log_probs", lambda *given: passes.append(given[-1] is None) or once(*given))
    bench.__dict__["rebuilt_ND"] = bench.heldout.vectors_ND
    splice.measure(bench)
    assert passes == [True, False, False, False]
    assert "four forward passes" in definition_of("splice_kl").cost


def truth_of(word: str | None, **facts: str) -> dict[str, Any]:
    return {"facts": facts, "planned": {}, "last": "", "next": {"kind": "word", "text": word}, "entropy": 0.0}


def test_what_the_target_rightly_says_has_to_stay(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only rows whose next word is settled and said rightly are asked, and for answers only those that tell a fact."""
    right_N = torch.tensor([ids[position + 1] for ids, position in bench.places])
    nothing_N, wrong_N = torch.zeros(2), torch.tensor([-1, -1])
    half_N = torch.stack([right_N[0], wrong_N[1]])
    said = {"": half_N, "_mean": wrong_N, "_other": right_N}
    spliced = {ending: splice.Spliced(nothing_N, nothing_N, said_N) for ending, said_N in said.items()}
    words = [bench.target.tokenizer.decode([int(token)]).strip() for token in right_N]

    def kept(first: dict[str, Any], said_N: torch.Tensor = right_N) -> dict[str, tuple[float | None, int]]:
        bench.__dict__["truths"] = [first, truth_of(words[1], who=f"{words[1]} herself")]
        monkeypatch.setattr(splice, "splice", lambda *_: splice.Outcome(said_N, nothing_N, spliced))
        bench.__dict__["rebuilt_ND"] = bench.heldout.vectors_ND
        splice.measure(bench)
        taken = {name: found for name, found in bench.found.measures.items() if "kept" in name}
        return {name.removeprefix("splice_"): (found.value, found.n) for name, found in taken.items()}

    assert kept(truth_of(words[0], who="nobody")) == {
        "settled_kept": (0.5, 2), "settled_kept_mean": (0.0, 2), "settled_kept_other": (1.0, 2),
        "answers_kept": (0.0, 1), "answers_kept_mean": (0.0, 1), "answers_kept_other": (1.0, 1),
    }  # fmt: skip
    assert kept(truth_of(None))["settled_kept"] == (0.0, 1)
    assert kept(truth_of("another"))["settled_kept"] == (0.0, 1)
    assert kept(truth_of(words[0]), half_N)["settled_kept"] == (1.0, 1)
    assert kept(truth_of(words[0]), wrong_N)["settled_kept"] == (None, 0)


def test_without_a_truth_behaviour_is_left_out(bench: Bench) -> None:
    """What needs to know the right word says so, and the divergences are measured all the same."""
    bench.__dict__["rebuilt_ND"] = bench.heldout.vectors_ND
    splice.measure(bench)
    names = {definition.name for definition in DEFINITIONS if definition.group == SPLICE}
    assert set(bench.found.left_out) == {name for name in names if "kept" in name}
    assert set(bench.found.measures) == names - set(bench.found.left_out)
