import math

import pytest
import torch
from torch import nn

from nlakit.config import AdapterConfig
from nlakit.errors import ConfigError, DivergedError
from nlakit.models.verbalizer import Verbalizer
from nlakit.testing import tiny_prompts, tiny_target
from nlakit.train.optimise import (
    Muon,
    make_optimizer,
    optimizer_step,
    require_finite,
    trainable,
    warmup_cosine,
)


def test_cosine_schedule_by_hand() -> None:
    """Ten steps, two of warm-up, floor 0.1: half and full speed, 0.55 in the middle, near the floor at the end."""
    factors = [warmup_cosine(step, steps=10, warmup=2, floor=0.1) for step in range(11)]
    assert factors[:3] == pytest.approx([0.5, 1.0, 1.0])
    assert factors[6] == pytest.approx(0.55)
    assert factors[10] == pytest.approx(0.1)
    assert factors[2:] == sorted(factors[2:], reverse=True)


def test_constant_schedule_warms_up_and_stays() -> None:
    """Four steps of warm-up go up by quarters; no warm-up starts at full speed."""
    factors = [warmup_cosine(step, steps=6, warmup=4, floor=1.0) for step in range(6)]
    assert factors == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0, 1.0])
    assert warmup_cosine(0, steps=6, warmup=0, floor=1.0) == 1.0


def test_step_clips_the_gradient_and_reports_its_norm() -> None:
    """A gradient (3, 4) is reported as 5 and cleared after the step."""
    layer = nn.Linear(2, 1, bias=False)
    optimizer = make_optimizer(layer)
    layer.weight.grad = torch.tensor([[3.0, 4.0]])
    assert optimizer_step(optimizer, learning_rate=0.1, max_grad_norm=1.0, what="x") == pytest.approx(5.0)
    assert layer.weight.grad is None


def test_step_moves_by_the_learning_rate_it_is_given() -> None:
    """AdamW's first step moves each weight by about the learning rate, against the gradient's sign."""
    layer = nn.Linear(2, 1, bias=False)
    before = layer.weight.detach().clone()
    layer.weight.grad = torch.tensor([[3.0, -4.0]])
    optimizer_step(make_optimizer(layer), learning_rate=0.01, max_grad_norm=100.0, what="x")
    assert torch.allclose(layer.weight.detach() - before, torch.tensor([[-0.01, 0.01]]), atol=1e-5)


def test_a_gradient_that_is_not_finite_stops_before_the_weights_change() -> None:
    """The weights are those of the step before, and the message says what to do."""
    layer = nn.Linear(2, 1, bias=False)
    before = layer.weight.detach().clone()
    layer.weight.grad = torch.tensor([[math.nan, 1.0]])
    with pytest.raises(DivergedError, match=r"train: step 3.*Lower the learning rate"):
        optimizer_step(make_optimizer(layer), learning_rate=0.1, max_grad_norm=1.0, what="train: step 3")
    assert torch.equal(before, layer.weight.detach())


def test_norms_and_biases_do_not_decay() -> None:
    """Weight decay is on matrices alone."""
    module = nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2))
    groups = make_optimizer(module, weight_decay=0.1).param_groups
    assert [(group["weight_decay"], len(group["params"])) for group in groups] == [(0.1, 1), (0.0, 3)]


def test_muon_takes_matrices_of_blocks_and_nothing_else() -> None:
    """Under ``muon`` a block's matrix moves by a nearly orthogonal step; embedding, bias and head move as under AdamW."""
    torch.manual_seed(0)
    models = [nn.Sequential(nn.Embedding(6, 4), nn.ModuleList([nn.Linear(4, 4)]), nn.Linear(4, 4)) for _ in range(2)]
    models[1].load_state_dict(models[0].state_dict())
    before = models[0][1][0].weight.detach().clone()
    for model, kind in zip(models, ("muon", "adamw"), strict=True):
        optimizer = make_optimizer(model, kind=kind)
        for index, parameter in enumerate(model.parameters()):
            parameter.grad = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(index))
        optimizer_step(optimizer, learning_rate=0.1, max_grad_norm=1e9, what="x")
    muon, adamw = (dict(model.named_parameters()) for model in models)

    assert [name for name in muon if not torch.equal(muon[name], adamw[name])] == ["1.0.weight"]
    spectrum = torch.linalg.svdvals(muon["1.0.weight"].detach() - before)
    assert float(spectrum.max() / spectrum.min()) < 2.5


def test_muon_without_a_matrix_of_a_block_names_the_settings() -> None:
    """Adapters have none, and training is refused before its first step."""
    adapters = AdapterConfig(mode="lora", rank=4)
    target = tiny_target()
    verbalizer = Verbalizer.from_target(
        target, tiny_prompts(target), injection_scale=4.0, max_new_tokens=8, adapters=adapters
    )
    with pytest.raises(ConfigError, match=r"warm_start\.optimizer and train\.optimizer to 'adamw'"):
        make_optimizer(verbalizer.model, kind="muon")


def test_muon_takes_the_steps_of_pytorchs_own() -> None:
    """Square, tall, wide and lone matrices end where PyTorch's Muon takes them, to the digits that its bfloat16 has."""
    generator = torch.Generator().manual_seed(0)
    shapes = [(8, 8), (8, 8), (24, 8), (8, 24), (24, 8)]
    start = [torch.randn(shape, generator=generator) for shape in shapes]
    ours, theirs = ([nn.Parameter(matrix.clone()) for matrix in start] for _ in range(2))
    optimizers = (
        Muon(ours, lr=0.1, weight_decay=0.1),
        torch.optim.Muon(theirs, lr=0.1, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"),
    )
    for _ in range(3):
        for mine, other in zip(ours, theirs, strict=True):
            mine.grad = torch.randn(mine.shape, generator=generator)
            other.grad = mine.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    for mine, other, before in zip(ours, theirs, start, strict=True):
        moved = other.detach() - before
        assert float((mine.detach() - other.detach()).norm() / moved.norm()) < 0.02


def test_frozen_parameters_are_not_trained() -> None:
    """A parameter without gradient is in no optimizer."""
    module = nn.Linear(2, 2)
    module.bias.requires_grad_(False)
    assert trainable([module]) == [module.weight]
    assert [len(group["params"]) for group in make_optimizer(module).param_groups] == [1]


@pytest.mark.parametrize("value", [math.nan, math.inf, torch.tensor(math.nan), torch.tensor([[0.0, math.inf]])])
def test_numbers_that_are_not_finite_are_named(value: object) -> None:
    """NaN and infinity, alone or inside weights, raise with the name of the thing."""
    with pytest.raises(DivergedError, match="value head"):
        require_finite(value, "the value head")  # type: ignore[arg-type]


def test_finite_numbers_pass() -> None:
    """Finite numbers are no error, however large."""
    assert require_finite(1e300, "loss") is None
    assert require_finite(torch.full((2, 2), 1e38), "weights") is None
