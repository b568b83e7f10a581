"""Key-value caches that share a prompt's beginning and decode without copying.

All rows of a batch begin with the same tokens, so those are run once, at batch size one, and the
result is shared. While decoding, keys and values are written into room that was set aside, where the
cache of transformers copies everything at every step. Layers that keep a running state instead of keys
and values (linear attention, convolutions) change it in place, so models that have any share nothing.

Axes: B rows of a batch, H heads, T tokens, E width of a head.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache, DynamicLayer


class RoomyLayer(DynamicLayer):
    """A full-attention cache layer with room for ``capacity`` tokens; grows in place."""

    _layer_type = None  # keeps transformers from making this the class for every model

    def __init__(self, keys_BHTE: Tensor, values_BHTE: Tensor, repeats: int, capacity: int) -> None:
        super().__init__()
        self.dtype, self.device = keys_BHTE.dtype, keys_BHTE.device
        self.is_initialized = True
        self._length = keys_BHTE.shape[2]
        self._key_room = _with_room(keys_BHTE, repeats, capacity)
        self._value_room = _with_room(values_BHTE, repeats, capacity)
        self._show()

    def _show(self) -> None:
        self.keys = self._key_room[:, :, : self._length]
        self.values = self._value_room[:, :, : self._length]

    def update(self, key_states: Tensor, value_states: Tensor, *_args: Any, **_kwargs: Any) -> tuple[Tensor, Tensor]:
        """Write new keys and values behind the old ones; returns views of all of them."""
        end = self._length + key_states.shape[2]
        self._key_room[:, :, self._length : end] = key_states
        self._value_room[:, :, self._length : end] = value_states
        self._length = end
        self._show()
        return self._key_room[:, :, :end], self._value_room[:, :, :end]

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep some rows; only what is written is copied."""
        capacity = self._key_room.shape[2]
        self._key_room = _with_room(self._key_room[:, :, : self._length][indices], 1, capacity)
        self._value_room = _with_room(self._value_room[:, :, : self._length][indices], 1, capacity)
        self._show()


def _with_room(states_BHTE: Tensor, repeats: int, capacity: int) -> Tensor:
    """Copy states, each row ``repeats`` times, into a tensor with room for ``capacity`` tokens."""
    b, h, t, e = states_BHTE.shape
    room = states_BHTE.new_empty((b, repeats, h, capacity, e))
    room[:, :, :, :t] = states_BHTE[:, None]
    return room.view(b * repeats, h, capacity, e)


def can_share(model: Any) -> bool:
    """Whether a cache of this model can be shared by rows: every layer keeps keys and values."""
    return all(isinstance(layer, DynamicLayer) for layer in _layers(DynamicCache(config=model.config)))


def prefix_cache(model: Any, token_ids: Sequence[int]) -> DynamicCache:
    """Run the tokens that all rows share once and return their cache, of batch size one. Differentiable."""
    cache = DynamicCache(config=model.config)
    if token_ids:
        tokens_1T = torch.tensor([list(token_ids)], device=model.device)
        model(input_ids=tokens_1T, past_key_values=cache, use_cache=True, logits_to_keep=1)
    return cache


def widened(cache: DynamicCache, rows: int) -> DynamicCache:
    """Return a copy of a batch-one cache for ``rows`` rows; full-attention layers share its memory until they grow."""
    wide = copy.copy(cache)
    wide.layers = [_widened_layer(layer, rows) for layer in _layers(cache)]
    return wide


def _layers(cache: DynamicCache) -> list[Any]:
    """The cache's layers, whose classes differ by model."""
    return list(cache.layers)


def _is_plain(layer: Any) -> bool:
    """Whether a layer is full attention; others (sliding windows, linear attention) keep their own class."""
    return type(layer) is DynamicLayer


def _widened_layer(layer: Any, rows: int) -> Any:
    wide: Any = copy.copy(layer)
    if not layer.is_initialized:
        return wide
    if _is_plain(layer):
        wide.keys, wide.values = layer.keys.expand(rows, -1, -1, -1), layer.values.expand(rows, -1, -1, -1)
    else:
        wide.batch_repeat_interleave(rows)
    return wide


def with_room(cache: DynamicCache, rows: int, repeats: int, extra: int) -> DynamicCache:
    """Turn a cache of ``rows`` rows into one with each ``repeats`` times (neighbours) and room for ``extra`` more tokens."""
    index_R = torch.arange(rows).repeat_interleave(repeats)
    layers: list[Any] = []
    for layer in _layers(cache):
        if _is_plain(layer) and layer.is_initialized:
            layers.append(RoomyLayer(layer.keys, layer.values, repeats, layer.keys.shape[2] + extra))
        else:
            layer.reorder_cache(index_R)
            layers.append(layer)
    cache.layers = layers
    return cache


def keep_rows(cache: DynamicCache, indices: Tensor) -> None:
    """Keep some rows of a cache, in place."""
    for layer in _layers(cache):
        # Not every layer can select rows, and all can put them into another order, be it a shorter one.
        getattr(layer, "batch_select_indices", layer.reorder_cache)(indices)
