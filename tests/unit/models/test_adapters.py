"""Adapters: one frozen base serves as target, verbalizer, reconstructor and reference."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from nlakit import Pair
from nlakit.config import AdapterConfig
from nlakit.errors import ModelError
from nlakit.models.adapters import AdapterView, uses_adapters
from nlakit.models.reconstructor import Reconstructor
from nlakit.models.sites import Site, default_site
from nlakit.models.target import Target
from nlakit.models.verbalizer import Verbalizer
from nlakit.pipeline import run_stages
from nlakit.progress import Progress
from nlakit.runs import RunFolder
from nlakit.testing import tiny_prompts, tiny_recipe, tiny_target

pytest.importorskip("peft")

FAMILIES = ["llama", "gpt2", "gemma3", "mixtral"]
LORA = AdapterConfig(mode="lora", rank=4)
TOKENS_BT = torch.tensor([[20, 30, 40, 50]])


def halves(target: Target) -> tuple[Verbalizer, Reconstructor]:
    prompts = tiny_prompts(target)
    verbalizer = Verbalizer.from_target(target, prompts, injection_scale=4.0, max_new_tokens=8, adapters=LORA)
    return verbalizer, Reconstructor.from_target(target, default_site(target), prompts, LORA)


def disturb(view: AdapterView) -> None:
    """Give an adapter weights that matter."""
    torch.manual_seed(0)
    with torch.no_grad():
        for weight in view.parameters():
            weight.normal_(std=0.1)


@pytest.mark.parametrize("family", FAMILIES)
def test_fresh_halves_are_the_target(family: str) -> None:
    """Before training an adapter changes nothing: logits and truncated states are the target's, bit for bit."""
    target = tiny_target(family=family)
    site = default_site(target)
    with torch.no_grad():
        logits = target.model(TOKENS_BT).logits
    states = site.read(target, TOKENS_BT)
    verbalizer, reconstructor = halves(target)

    with torch.no_grad():
        assert torch.equal(logits, verbalizer.model(TOKENS_BT).logits)
        assert torch.equal(states, reconstructor.backbone(TOKENS_BT, use_cache=False).last_hidden_state)


@pytest.mark.parametrize("family", FAMILIES)
def test_each_adapter_is_on_only_for_its_own_half(family: str) -> None:
    """Whatever the adapters hold, the target reads the same vectors, and no half hears of the other's."""
    target = tiny_target(family=family)
    site = Site("resid", target.n_layers - 1)
    before = site.read(target, TOKENS_BT)
    verbalizer, reconstructor = halves(target)
    with torch.no_grad():
        fresh = reconstructor.backbone(TOKENS_BT, use_cache=False).last_hidden_state
        disturb(verbalizer.model)
        spoken = verbalizer.model(TOKENS_BT).logits
        assert torch.equal(fresh, reconstructor.backbone(TOKENS_BT, use_cache=False).last_hidden_state)
        disturb(reconstructor.backbone)
        assert not torch.equal(fresh, reconstructor.backbone(TOKENS_BT, use_cache=False).last_hidden_state)
        assert torch.equal(spoken, verbalizer.model(TOKENS_BT).logits)
    assert torch.equal(before, site.read(target, TOKENS_BT))


def test_only_adapters_and_head_are_trained() -> None:
    """Parameters of the halves are their adapters and the head, none of the base, and nothing above the site."""
    target = tiny_target(n_layers=4)
    verbalizer, reconstructor = halves(target)
    ours = {id(p) for p in (*verbalizer.model.parameters(), *reconstructor.parameters())}
    base = [p for name, p in target.model.named_parameters() if "lora_" not in name]

    assert not any(id(weight) in ours or weight.requires_grad for weight in base)
    assert all(weight.requires_grad for weight in (*verbalizer.model.parameters(), *reconstructor.parameters()))
    assert {name.split("/layers/")[1][0] for name in reconstructor.backbone.weights} == {"0", "1", "2"}


def test_gradients_reach_the_adapter_that_ran() -> None:
    """A loss of one half leaves gradients on its own adapter and nowhere else."""
    verbalizer, reconstructor = halves(tiny_target())
    disturb(verbalizer.model)
    vectors_ND = torch.randn((2, verbalizer.width), generator=torch.Generator().manual_seed(0))

    log_probs_NT, _ = verbalizer.log_probs(
        vectors_ND, [verbalizer.encode_explanation(text) for text in ("a", "the cat")]
    )
    log_probs_NT.sum().backward()

    assert all(weight.grad is not None and bool(weight.grad.any()) for weight in verbalizer.model.parameters())
    assert all(weight.grad is None for weight in reconstructor.parameters())


def test_a_reference_keeps_the_values_of_its_moment() -> None:
    """The copy that the verbalizer is held to does not move with it, and has no gradients."""
    verbalizer, _ = halves(tiny_target())
    disturb(verbalizer.model)
    reference = verbalizer.frozen_copy()
    vectors_ND = torch.randn((2, verbalizer.width), generator=torch.Generator().manual_seed(0))
    ids = [verbalizer.encode_explanation("a cat"), verbalizer.encode_explanation("the red door")]
    with torch.no_grad():
        before, _ = verbalizer.log_probs(vectors_ND, ids)
        for weight in verbalizer.model.parameters():
            weight.add_(0.05)
        kept, _ = reference.log_probs(vectors_ND, ids)
        moved, _ = verbalizer.log_probs(vectors_ND, ids)

    assert torch.equal(before, kept)
    assert not torch.allclose(before, moved)
    assert not any(weight.requires_grad for weight in reference.model.parameters())


def test_auto_means_adapters_for_large_targets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a billion parameters decide; either choice can be asked for."""
    target = tiny_target()
    assert not uses_adapters(AdapterConfig(), target)
    assert uses_adapters(LORA, target)
    monkeypatch.setattr("nlakit.models.adapters.LARGE", 1000)
    assert uses_adapters(AdapterConfig(), target)
    assert not uses_adapters(AdapterConfig(mode="full"), target)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lora")
    recipe = tiny_recipe(folder, adapters={"mode": "lora", "rank": 4})
    run_stages(recipe, RunFolder(folder / "run"), Progress(silent=True), ["extract", "annotate", "warm-start", "train"])
    return folder / "run"


def test_the_adapter_that_was_taught_stands_beside_the_finished_one(run: Path) -> None:
    """Asking for it changes nothing that the pair writes, and it says what the pair after the warm start says."""
    pair = Pair.from_pretrained(run / "pair")
    vectors_ND = torch.randn((2, pair.verbalizer.width), generator=torch.Generator().manual_seed(0))
    ids = [pair.verbalizer.encode_explanation(text) for text in ("a cat", "the red door")]

    def log_probs(verbalizer: Verbalizer) -> torch.Tensor:
        return verbalizer.log_probs(vectors_ND, ids)[0].detach()

    before = log_probs(pair.verbalizer)
    assert pair.taught is not None
    warm = Pair.from_pretrained(run / "warm-start" / "pair")
    torch.testing.assert_close(log_probs(pair.taught), log_probs(warm.verbalizer))
    torch.testing.assert_close(log_probs(pair.verbalizer), before)


def test_a_trained_pair_of_adapters_reads(run: Path) -> None:
    """The pipeline writes adapters, small and without the base, and the pair reads with them after loading."""
    pair = Pair.from_pretrained(run / "pair")
    files = {file.name for file in (run / "pair").rglob("*.safetensors")}

    assert files == {"adapter_model.safetensors", "value_head.safetensors", "stats.safetensors"}
    assert len(pair.read("The cat sat on the mat.", positions=[2, 4])) == 2


def test_reinforcement_learning_goes_on_with_the_same_adapter(run: Path) -> None:
    """The adapter of the last step has the names of the warm start's and is near it in value, not near a fresh one."""
    first = load_file(run / "warm-start" / "pair" / "verbalizer" / "adapter_model.safetensors")
    [last_step] = sorted((run / "train" / "checkpoints").glob("step-*"))[-1:]
    last = load_file(last_step / "verbalizer.safetensors")
    moved = {
        name.removeprefix("weights.").replace("/", ".").replace(".av.", "."): weight for name, weight in last.items()
    }

    assert {f"base_model.model.{name}" for name in moved} == first.keys()
    assert all((first[f"base_model.model.{name}"] - weight).abs().max() < 0.01 for name, weight in moved.items())
    assert (
        max(float(weight.abs().max()) for name, weight in moved.items() if "lora_B" in name) > 0
    )  # fresh ones are zero


def test_the_base_is_bit_identical_after_training(run: Path) -> None:
    """Training adapters in the target's memory leaves every one of its weights as it was."""
    pair = Pair.from_pretrained(run / "pair")
    fresh = dict(Target.load(pair.card.target.model).model.named_parameters())
    base = {
        name.replace(".base_layer", ""): weight
        for name, weight in pair.target.model.named_parameters()
        if "lora_" not in name
    }

    assert base.keys() == fresh.keys()
    assert all(torch.equal(base[name], fresh[name]) for name in fresh)


def test_an_adapter_of_another_shape_is_refused(run: Path, tmp_path: Path) -> None:
    """A pair whose adapter was made for another model is a typed error that names the first weight."""
    verbalizer, _ = halves(tiny_target(d=64))
    verbalizer.save(tmp_path)

    with pytest.raises(ModelError, match="does not fit this model"):
        Verbalizer.load(tmp_path, verbalizer.prompts, injection_scale=4.0, max_new_tokens=8, base=tiny_target(d=32))


@pytest.mark.parametrize("family", FAMILIES)
def test_an_adapted_reconstructor_reads_the_last_real_token_under_left_padding(family: str) -> None:
    """Positions count real tokens there too, which matters to models that learn a vector for each position."""
    _, reconstructor = halves(tiny_target(family=family))
    reconstructor.eval()
    ids = reconstructor.token_ids(["a cat"])[0]
    tokens_1T = torch.tensor([[0, 0, 0, *ids]])

    with torch.no_grad():
        alone_1D = reconstructor(tokens_1T[:, 3:], torch.ones(1, len(ids), dtype=torch.bool))
        padded_1D = reconstructor(tokens_1T, torch.arange(len(ids) + 3)[None] >= 3)

    torch.testing.assert_close(alone_1D, padded_1D, atol=1e-5, rtol=1e-5)
