"""One optimiser step and its learning rate: AdamW or Muon, gradient clipping, finite checks, schedules."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from nlakit.config import OptimizerName
from nlakit.errors import ConfigError, DivergedError


def warmup_cosine(step: int, *, steps: int, warmup: int, floor: float = 0.0) -> float:
    """Factor of the learning rate at step ``step`` (from 0): linear warm-up, then half a cosine down to ``floor``.

    With a floor of 1 it stays where the warm-up ends.
    The first step has the factor 1 / warmup, not 0, so that no step is wasted; the last is just above ``floor``.
    """
    if step < warmup:
        return (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    return floor + (1.0 - floor) * 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))


def trainable(modules: Iterable[nn.Module]) -> list[nn.Parameter]:
    """Return the parameters that training changes, tied ones once."""
    return [parameter for module in modules for parameter in module.parameters() if parameter.requires_grad]


class Muon(torch.optim.Muon):
    """PyTorch's Muon, with products that an ordinary processor can multiply.

    PyTorch's own multiplies in bfloat16 wherever it runs. A processor that cannot emulates it, a hundred times slower than
    float32: a step of the Terrarium pair takes 3 s instead of 0.2. Here a processor multiplies in float32, and matrices of one
    shape together. Learning rates are scaled to AdamW's (Liu et al. 2025, "Muon is Scalable for LLM Training").
    """

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # noqa: ARG002 - as torch has it
        """Take one step with the gradients that are there."""
        for group in self.param_groups:
            shapes: dict[tuple[torch.Size, torch.device], list[Tensor]] = {}
            for parameter in group["params"]:
                if parameter.grad is not None:
                    shapes.setdefault((parameter.shape, parameter.device), []).append(parameter)
            for parameters in shapes.values():
                self._step_of_one_shape(parameters, group)

    def _step_of_one_shape(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        updates = [self._momentum(parameter, parameter.grad, group["momentum"]) for parameter in parameters]
        rows, columns = parameters[0].shape
        rate = group["lr"] * 0.2 * math.sqrt(max(rows, columns))
        directions = orthogonalized(torch.stack(updates), group["ns_coefficients"], group["ns_steps"])
        for parameter, direction in zip(parameters, directions, strict=True):
            parameter.mul_(1 - group["lr"] * group["weight_decay"]).add_(direction, alpha=-rate)

    def _momentum(self, parameter: Tensor, gradient: Any, share: float) -> Tensor:
        """Take a gradient into the running mean of a matrix; return Nesterov's look ahead."""
        state = self.state[parameter]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(parameter)
        ahead: Tensor = gradient.lerp(state["momentum_buffer"].lerp_(gradient, 1 - share), share)
        return ahead


def orthogonalized(matrices_NRC: Tensor, coefficients: tuple[float, float, float], steps: int) -> Tensor:
    """Return N matrices (N, R, C) with all singular values brought near 1 (0.7 to 1.2), by ``steps`` of Newton and Schulz.

    Jordan 2024: X becomes a X + (b A + c A A) X with A = X Xᵀ. In bfloat16 on a GPU, in float32 on a processor.
    """
    a, b, c = coefficients
    rows, columns = matrices_NRC.shape[-2:]
    wide_NRC = matrices_NRC.mT if rows > columns else matrices_NRC
    wide_NRC = wide_NRC.to(torch.float32 if wide_NRC.device.type == "cpu" else torch.bfloat16)
    wide_NRC = wide_NRC / wide_NRC.norm(dim=(-2, -1), keepdim=True).clamp(min=1e-7)
    for _ in range(steps):
        gram_NRR = wide_NRC @ wide_NRC.mT
        wide_NRC = a * wide_NRC + (b * gram_NRR + c * (gram_NRR @ gram_NRR)) @ wide_NRC
    return (wide_NRC.mT if rows > columns else wide_NRC).to(matrices_NRC.dtype)


class MuonAdamW(torch.optim.Optimizer):
    """Muon for the matrices inside blocks, AdamW for everything else, as one optimizer with one state.

    Muon (K. Jordan, 2024) takes steps of equal size in every direction of a matrix; embeddings, heads, norms and biases
    are not such maps and stay with AdamW, as its author advises. Both have the same learning rate.
    """

    def __init__(self, matrices: list[nn.Parameter], others: list[nn.Parameter], weight_decay: float) -> None:
        """Divide the parameters; the learning rate is given at each step by :func:`optimizer_step`."""
        super().__init__([*matrices, *others], {})
        self._parts: tuple[torch.optim.Optimizer, ...] = (
            Muon(matrices, lr=0.0, weight_decay=weight_decay),
            torch.optim.AdamW(others, lr=0.0, weight_decay=0.0, fused=True),
        )
        self.param_groups = [group for part in self._parts for group in part.param_groups]
        for part in self._parts:
            part.state = self.state  # one state to save and to load

    def step(self, closure: None = None) -> None:  # type: ignore[override]  # noqa: ARG002 - as torch has it
        """Take one step with the gradients that are there."""
        for part in self._parts:
            part.step()


def make_optimizer(
    module: nn.Module, *, weight_decay: float = 0.0, kind: OptimizerName = "adamw"
) -> torch.optim.Optimizer:
    """Make the optimizer of one module; matrices decay, norms and biases (fewer than two axes) do not.

    The learning rate is given at each step by :func:`optimizer_step`. Betas are AdamW's own (0.9, 0.999).

    Raises:
        ConfigError: for Muon where no whole matrix of a block trains, as with adapters.
    """
    parameters = trainable([module])
    if kind == "muon":
        inside = {
            id(p)
            for part in module.modules()
            if isinstance(part, nn.ModuleList)
            for p in part.parameters()
            if p.ndim == 2
        }
        if not inside:
            raise ConfigError(
                "the optimizer 'muon' takes whole matrices of blocks, and none is trained here, as with adapters; set "
                "warm_start.optimizer and train.optimizer to 'adamw', or adapters.mode to 'full'."
            )
        return MuonAdamW(
            [p for p in parameters if id(p) in inside], [p for p in parameters if id(p) not in inside], weight_decay
        )
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=0.0, fused=True)


def optimizer_step(optimizer: torch.optim.Optimizer, *, learning_rate: float, max_grad_norm: float, what: str) -> float:
    """Clip the accumulated gradients, take one step, clear the gradients.

    Args:
        optimizer: its parameters hold the gradients of the whole batch.
        learning_rate: of this step.
        max_grad_norm: gradients are scaled down to this total norm.
        what: names the step in the error, e.g. ``"train: verbalizer, step 12"``.

    Returns:
        The gradient norm before clipping.

    Raises:
        DivergedError: if the gradient norm is not finite; the weights are then still those of the step before.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    norm = float(nn.utils.clip_grad_norm_(parameters, max_grad_norm))
    if not math.isfinite(norm):
        optimizer.zero_grad(set_to_none=True)
        raise DivergedError(_advice(f"{what}: the gradient norm is {norm}"))
    for group in optimizer.param_groups:
        group["lr"] = learning_rate
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return norm


def require_finite(value: Tensor | float, what: str) -> None:
    """Raise :class:`~nlakit.errors.DivergedError` unless every number is finite.

    Args:
        value: a loss, or weights.
        what: names it in the error, e.g. ``"warm start: verbalizer loss at step 12"``.
    """
    if isinstance(value, Tensor):
        finite = bool(torch.isfinite(value).all())
        shown = f"{float(value)}" if value.numel() == 1 else "not finite everywhere"
    else:
        finite, shown = math.isfinite(value), f"{value}"
    if not finite:
        raise DivergedError(_advice(f"{what} is {shown}"))


def _advice(problem: str) -> str:
    return (
        f"{problem}; expected finite numbers. The last checkpoint is kept and holds the weights from before. Lower the "
        "learning rate of this stage (or raise its warm-up) and start a new run; if it happens in the first steps, check the "
        "activations with `nlakit store verify` and use float32"
    )
