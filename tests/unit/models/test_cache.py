"""Caches: shared beginnings and room to grow change nothing."""

from __future__ import annotations

import torch
from transformers.cache_utils import DYNAMIC_LAYER_TYPE_MAPPING, DynamicCache, DynamicLayer

from nlakit.models.cache import RoomyLayer, prefix_cache, widened, with_room
from nlakit.testing import tiny_model


def states(rows, tokens, seed=0):
    return torch.randn((rows, 2, tokens, 4), generator=torch.Generator().manual_seed(seed))


def test_a_roomy_layer_equals_a_growing_one():
    """Updates, dropping rows and updating again give the keys and values of the plain layer."""
    plain, roomy = DynamicLayer(), RoomyLayer(states(2, 3), states(2, 3, 1), 2, 8)
    plain.update(states(2, 3).repeat_interleave(2, 0), states(2, 3, 1).repeat_interleave(2, 0))
    for layer in (plain, roomy):
        layer.update(states(4, 1, 2), states(4, 1, 3))
        layer.batch_select_indices(torch.tensor([0, 3]))
        keys, values = layer.update(states(2, 1, 4), states(2, 1, 5))
        assert layer.keys is keys or torch.equal(layer.keys, keys)
        assert torch.equal(layer.values, values)

    assert torch.equal(plain.keys, roomy.keys)
    assert torch.equal(plain.values, roomy.values)
    assert 5 == roomy.get_seq_length() == plain.get_seq_length()


def test_a_roomy_layer_does_not_copy():
    """Growing writes into the room that was set aside."""
    layer = RoomyLayer(states(2, 3), states(2, 3), 1, 8)
    before = layer.keys.data_ptr()

    layer.update(states(2, 1), states(2, 1))

    assert before == layer.keys.data_ptr()


def test_transformers_keeps_its_own_layer():
    """Defining the roomy layer does not make it the default of every model."""
    assert RoomyLayer not in DYNAMIC_LAYER_TYPE_MAPPING.values()


def test_a_widened_cache_shares_memory_and_leaves_the_original_alone():
    """Rows see the same prefix; growing one cache does not grow the other."""
    model = tiny_model()
    with torch.no_grad():
        prefix = prefix_cache(model, [20, 21, 22])
        wide = widened(prefix, 4)
        assert wide.layers[0].keys.data_ptr() == prefix.layers[0].keys.data_ptr()

        model(input_ids=torch.tensor([[23]] * 4), past_key_values=wide)

    assert (4, 3) == (wide.get_seq_length(), prefix.get_seq_length())


def test_room_repeats_rows_side_by_side():
    """Row r of the wide cache becomes rows 2r and 2r+1."""
    cache = DynamicCache()
    cache.update(states(2, 3), states(2, 3, 1), 0)

    roomy = with_room(cache, 2, 2, 5)

    assert isinstance(roomy.layers[0], RoomyLayer)
    assert torch.equal(states(2, 3).repeat_interleave(2, 0), roomy.layers[0].keys)


def test_an_empty_prefix_is_an_empty_cache():
    """A prompt that starts at the marker shares nothing."""
    model = tiny_model()

    assert 0 == widened(prefix_cache(model, []), 3).get_seq_length()
    assert 3 == len(prefix_cache(model, []).layers)
