"""How a model runs while it learns: recomputed activations and bfloat16 arithmetic."""

from __future__ import annotations

import pytest
import torch

from nlakit.config import AdapterConfig, MemoryConfig
from nlakit.errors import ConfigError
from nlakit.models.compute import Compute, evaluating
from nlakit.models.reconstructor import Reconstructor
from nlakit.models.sites import default_site
from nlakit.models.verbalizer import Verbalizer
from nlakit.testing import FAMILIES, tiny_pair, tiny_prompts, tiny_target
from nlakit.train.memory import PeakBytes

TEXTS = ("The cat sat.", "A box by the door, and a key.", "rain")


def halves(family="llama", adapters=None, n_layers=3):
    target = tiny_target(n_layers=n_layers, family=family)
    prompts = tiny_prompts(target)
    verbalizer = Verbalizer.from_target(target, prompts, injection_scale=4.0, max_new_tokens=8, adapters=adapters)
    return verbalizer, Reconstructor.from_target(target, default_site(target), prompts, adapters)


def gradients(module):
    return {name: weight.grad for name, weight in module.named_parameters() if weight.grad is not None}


def differentiate(verbalizer, reconstructor):
    """Values of both halves on a few texts; leaves their gradients, one half after the other."""
    vectors_ND = torch.randn((3, 32), generator=torch.Generator().manual_seed(0))
    log_probs_NT, _ = verbalizer.log_probs(vectors_ND, [verbalizer.encode_explanation(text) for text in TEXTS])
    log_probs_NT.sum().backward()
    rebuilt_ND = reconstructor(*reconstructor.pad(reconstructor.token_ids(TEXTS)))
    rebuilt_ND.square().sum().backward()
    return log_probs_NT.detach(), rebuilt_ND.detach()


@pytest.mark.parametrize("family", FAMILIES)
def test_recomputed_activations_give_the_same_values_and_gradients(family):
    """Computing the inside of blocks again changes neither numbers nor gradients, in either half."""
    plain, again = halves(family), halves(family)
    for half in again:
        half.compute = Compute(recompute=True)

    for expected, found in zip(differentiate(*plain), differentiate(*again), strict=True):
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)

    for expected, found in zip((plain[0].model, plain[1]), (again[0].model, again[1]), strict=True):
        assert gradients(found).keys() == gradients(expected).keys()
        for name, gradient in gradients(expected).items():
            torch.testing.assert_close(gradients(found)[name], gradient, atol=1e-4, rtol=1e-3, msg=name)


def test_recomputed_activations_take_less_memory_with_adapters():
    """With adapters on one base as well, a backward pass keeps much less; the adapters' gradients are the same."""
    peaks, found = [], []
    for recompute in (False, True):
        verbalizer, _ = halves(adapters=AdapterConfig(mode="lora", rank=4), n_layers=12)
        verbalizer.compute = Compute(recompute=recompute)
        ids = [verbalizer.encode_explanation("word " * 100)] * 8
        with PeakBytes() as counted:
            verbalizer.log_probs(torch.ones(8, 32), ids)[0].mean().backward()
        peaks.append(counted.peak)
        found.append(gradients(verbalizer.model))

    assert peaks[1] < 0.5 * peaks[0]
    for name, gradient in found[0].items():
        torch.testing.assert_close(found[1][name], gradient, atol=1e-4, rtol=1e-3, msg=name)


def test_a_pass_leaves_the_model_as_it_was():
    """After a recomputed pass the model decodes with its cache again, and nothing is in training mode."""
    verbalizer, reconstructor = halves()
    verbalizer.compute = reconstructor.compute = Compute(recompute=True)
    verbalizer.model.eval()

    differentiate(verbalizer, reconstructor)

    for half in (verbalizer.model, reconstructor):
        assert not any("forward" in vars(module) for module in half.modules())
    assert not any(module.training for module in verbalizer.model.modules())


def test_bfloat16_arithmetic_keeps_weights_and_gradients_in_float32():
    """With mixed numbers the values are those of float32 up to bfloat16's rounding, and gradients are float32."""
    plain, mixed = halves(), halves()
    for half in mixed:
        half.compute = Compute(mixed=True)

    (expected_NT, _), (found_NT, _) = differentiate(*plain), differentiate(*mixed)

    assert not torch.equal(found_NT, expected_NT)
    torch.testing.assert_close(found_NT, expected_NT, atol=0.1, rtol=0.05)
    assert {gradient.dtype for gradient in gradients(mixed[0].model).values()} == {torch.float32}


def test_adapters_on_a_bfloat16_base_are_float32():
    """Adapters learn in float32 whatever the base is stored in: small steps are lost in bfloat16."""
    target = tiny_target()
    target.model.to(torch.bfloat16)
    adapters = AdapterConfig(mode="lora", rank=4)
    verbalizer = Verbalizer.from_target(
        target, tiny_prompts(target), injection_scale=4.0, max_new_tokens=8, adapters=adapters
    )

    log_probs_NT, _ = verbalizer.log_probs(torch.ones(1, 32), [[5, 6]])
    log_probs_NT.sum().backward()

    assert {weight.dtype for weight in verbalizer.model.parameters()} == {torch.float32}
    assert target.dtype == "bfloat16"


def test_what_is_chosen_depends_on_size_and_setting():
    """A tiny model keeps its activations unless told otherwise; blocks that cannot recompute are refused when asked to."""
    model = tiny_pair().verbalizer.model

    assert Compute.of(MemoryConfig(), model, "float32") == Compute()
    assert Compute.of(MemoryConfig(recompute="always"), model, "bfloat16") == Compute(recompute=True)
    with pytest.raises(ConfigError, match="memory.recompute"):
        Compute.of(MemoryConfig(recompute="always"), torch.nn.Linear(2, 2), "float32")


@pytest.mark.parametrize("training", [True, False])
def test_a_model_is_left_in_the_mode_that_it_was_in(training: bool) -> None:
    """Dropout is off inside, and back as it was afterwards, also behind an error."""
    model = torch.nn.Dropout(0.5).train(training)

    def fail() -> None:
        with evaluating(model):
            assert not model.training
            raise ConfigError("stop")

    with pytest.raises(ConfigError):
        fail()
    assert model.training is training
