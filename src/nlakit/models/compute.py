"""How a model that is being trained is run: in which number type, and what it keeps for the backward pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint
from transformers.modeling_layers import GradientCheckpointingLayer

from nlakit.config import MemoryConfig
from nlakit.errors import ConfigError
from nlakit.models.adapters import LARGE, AdapterView


@dataclass(frozen=True, slots=True)
class Compute:
    """What one half of a pair is told about running; the defaults change nothing."""

    recompute: bool = False
    """Keep only what enters a block and compute its inside again in the backward pass: less memory, a third more time."""
    mixed: bool = False
    """Multiply in bfloat16 where weights are float32 (PyTorch's autocast)."""

    @classmethod
    def of(cls, settings: MemoryConfig, model: Any, dtype: str) -> Self:
        """Choose for a model that will be trained; ``dtype`` is what its target computes in.

        Raises ``ConfigError`` when recomputation is asked for and the model's blocks cannot do it.
        """
        adapter = isinstance(model, AdapterView)
        weights = list((model.shared if adapter else model).parameters())
        able = bool(_layers(model))
        if settings.recompute == "always" and not able:
            raise ConfigError(
                f"memory.recompute is 'always', and the blocks of {type(model).__name__} cannot be computed again; set it to never."
            )
        large = sum(weight.numel() for weight in weights) >= LARGE
        return cls(
            recompute=able and settings.recompute != "never" and (large or settings.recompute == "always"),
            mixed=dtype == "bfloat16" and not adapter and weights[0].device.type != "cpu",
        )

    @contextmanager
    def running(self, model: Any) -> Iterator[None]:
        """Run the forward passes inside the block so; the backward pass may come after it."""
        layers = _layers(model) if self.recompute and torch.is_grad_enabled() else []
        kind = next(model.parameters()).device.type
        with _recomputing(layers), torch.autocast(kind, torch.bfloat16, enabled=self.mixed):
            yield


def _layers(model: Any) -> list[Any]:
    """The layers of a model, or of what an adapter runs, whose inside can be computed again."""
    whole = model.runs if isinstance(model, AdapterView) else model
    return [module for module in whole.modules() if isinstance(module, GradientCheckpointingLayer)]


@contextmanager
def _recomputing(layers: list[Any]) -> Iterator[None]:
    """Let some layers compute their inside again.

    The switch that transformers has for it works in training mode alone, in which some blocks would drop states out.
    """
    for layer in layers:
        layer.forward = partial(_again, layer.forward)
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


def _again(forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    return checkpoint(partial(forward, **kwargs), *args, use_reentrant=False)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Run a model without dropout inside, and leave it afterwards as it was, whatever happens."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)
