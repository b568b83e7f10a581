"""Where the parts of a language model are: found by asking the model, never by a table of names.

Axes: B texts of a batch, T tokens, D width of the residual stream.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from nlakit.errors import ModelError


@dataclass(frozen=True, slots=True)
class DecoderParts:
    """Where the parts of a decoder live; ``blocks_name`` and ``norm_name`` are attributes of ``decoder``."""

    decoder: Any
    blocks: nn.ModuleList
    blocks_name: str
    final_norm: nn.Module
    norm_name: str
    embedding: nn.Module


def find_parts(model: Any) -> DecoderParts:
    """Find the text decoder's blocks, final norm and embedding by asking the model.

    The blocks are the decoder's ``ModuleList`` with as many entries as the text configuration has
    layers; the final norm is the first module after it that has weights. Raises ``ModelError``
    where either is missing.
    """
    decoder = model.get_decoder() if hasattr(model, "get_decoder") else model
    n_layers = decoder.config.get_text_config().num_hidden_layers
    children = list(decoder.named_children())
    lists = [
        index
        for index, (_, child) in enumerate(children)
        if isinstance(child, nn.ModuleList) and len(child) == n_layers
    ]
    if len(lists) != 1:
        raise ModelError(
            f"{type(decoder).__name__} has {len(lists)} lists of {n_layers} blocks among {[name for name, _ in children]}; "
            "exactly one was expected. nlakit reads decoder-only models with one stack of blocks."
        )
    after = [(name, child) for name, child in children[lists[0] + 1 :] if any(p.ndim == 1 for p in child.parameters())]
    if not after:
        raise ModelError(f"{type(decoder).__name__} has no norm after its blocks; its last layer cannot be told apart.")
    blocks_name, blocks = children[lists[0]]
    norm_name, norm = after[0]
    return DecoderParts(decoder, blocks, blocks_name, norm, norm_name, model.get_input_embeddings())


def block_output(output: Any) -> Tensor:
    """Return the hidden states from what a block's forward returned (a tensor, or a tuple that starts with it)."""
    return output[0] if isinstance(output, tuple) else output


def with_states(output: Any, states_BTD: Tensor) -> Any:
    """Return what a block's forward returned with other hidden states in it."""
    return (states_BTD, *output[1:]) if isinstance(output, tuple) else states_BTD


def replaced(states_BTD: Tensor, columns_B: Tensor, rows_BD: Tensor) -> Tensor:
    """Return a copy of states in which each row's state at its column is another."""
    written = states_BTD.clone()
    rows_B = torch.arange(len(states_BTD), device=states_BTD.device)
    written[rows_B, columns_B.to(states_BTD.device)] = rows_BD.to(states_BTD.device, states_BTD.dtype)
    return written


def window(model: Any) -> int:
    """Return how many tokens a model can read; 2**20 for one that names no limit."""
    return getattr(model.config.get_text_config(), "max_position_embeddings", None) or 2**20
