"""How a model that is being trained is run: in which number type, and what it keeps for the backward pass."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint
from transformers.modeling_layers import GradientCheckpointingLayer

from nlakit.models.adapters import AdapterView


@dataclass(frozen=True, slots=True)
class Compute:
    """What one half of a pair is told about running; the defaults change nothing."""

    recompute: bool = False
    """Keep only what enters a block and compute its inside again in the backward pass: less memory, a third more time."""
    mixed: bool = False
    """Multiply in bfloat16 where weights are float32 (PyTorch's autocast)."""

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
    """Switch recomputation of some layers on; their modules stay as they are, so that nothing drops out."""
    for layer in layers:
        layer.gradient_checkpointing, layer.training = True, True
        layer._gradient_checkpointing_func = partial(checkpoint, use_reentrant=False)  # noqa: SLF001
    try:
        yield
    finally:
        for layer in layers:
            layer.gradient_checkpointing, layer.training = False, False
