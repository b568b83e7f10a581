"""The size of a target from its configuration alone: the model is built without weights, so nothing large is downloaded."""

from __future__ import annotations

from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from nlakit.errors import ModelError
from nlakit.models.decoder import find_parts
from nlakit.models.hub import fetch_model
from nlakit.models.loading import find_folder, quiet_transformers
from nlakit.models.sites import Site, default_layer
from nlakit.plan import Sizes


def sizes_of(name: str, layer: int | None, revision: str | None = None) -> Sizes:
    """Count the parameters of a model by name or folder; ``layer`` K is where it is read, None for two-thirds depth.

    Raises ``ModelError`` for a model whose configuration cannot be had or whose blocks cannot be found, and for a layer that
    it does not have.
    """
    folder = find_folder(name) or fetch_model(name, revision, ("config.json",)).folder
    try:
        with quiet_transformers(), torch.device("meta"):
            config = AutoConfig.from_pretrained(folder)
            model = AutoModelForCausalLM.from_config(config)
    except Exception as error:  # transformers raises whatever the file at fault makes it raise
        raise ModelError(f"cannot size the model {name!r}: {type(error).__name__}: {error}") from error
    parts = find_parts(model)
    n_layers = len(parts.blocks)
    read = default_layer(n_layers) if layer is None else layer
    if not 0 <= read < n_layers:
        raise ModelError(f"{Site('resid', read)} asks for block {read}, and {name!r} has blocks 0 to {n_layers - 1}.")
    text = config.get_text_config()
    used = [_active(block, text) for block in parts.blocks]
    embedding = sum(weight.numel() for weight in parts.embedding.parameters())
    parameters = sum(weight.numel() for weight in model.parameters())
    return Sizes(
        parameters=parameters,
        active=sum(used) + embedding,
        share_read=sum(used[: read + 1]) / (sum(used) + embedding),
        n_layers=n_layers,
        d_model=text.hidden_size,
        vocabulary=text.vocab_size,
    )


def _active(block: torch.nn.Module, config: Any) -> int:
    """Parameters of a block that one token goes through: of its experts only those that are chosen for it."""
    chosen = getattr(config, "num_experts_per_tok", None)
    total = 0
    for name, weight in block.named_parameters():
        experts = ".experts." in name and weight.ndim == 3
        total += weight.numel() * chosen // weight.shape[0] if experts and chosen else weight.numel()
    return total
