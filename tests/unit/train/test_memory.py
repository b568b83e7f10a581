"""How many rows of a backward pass fit into memory."""

from __future__ import annotations

import pytest
import torch

from nlakit.errors import DeviceMemoryError
from nlakit.train import memory
from nlakit.train.memory import PeakBytes, free_bytes, rows_that_fit

WIDTH = 64


def layers():
    return torch.nn.Sequential(*[torch.nn.Linear(WIDTH, WIDTH) for _ in range(4)])


def passes(model):
    return lambda rows: model(torch.ones(100 * rows, WIDTH)).square().sum().backward()


def test_bytes_are_those_of_tensors_that_live():
    """Views and changes in place are not counted, and what is freed is given back."""
    before = torch.ones(1000)
    with PeakBytes() as counted:
        first = torch.zeros(1000)
        first.view(10, 100).add_(1.0)
        before.mul_(2.0)
        assert counted.live == 4000
        second = first + 1
        del first, second
        torch.zeros(100)

    assert counted.peak == 8000
    assert counted.live == 0


@pytest.mark.parametrize("megabytes", [1, 2, 5])
def test_the_rows_found_fit_and_are_not_far_too_few(monkeypatch, megabytes):
    """A pass of as many rows as are found stays within the memory, and half as many again would not fit."""
    model = layers()
    free = megabytes * 2**20
    monkeypatch.setattr(memory, "free_bytes", lambda _device: free)

    rows = rows_that_fit(passes(model), [model], most=10_000, fill=1.0)

    passes(model)(1)
    moments = 2 * sum(weight.nbytes for weight in model.parameters())
    with PeakBytes() as counted:
        passes(model)(rows)
    assert counted.peak <= free - moments
    with PeakBytes() as counted:
        passes(model)(rows + rows // 2 + 1)
    assert counted.peak > free - moments


def test_no_more_rows_than_asked_for_and_no_gradient_left(monkeypatch):
    """With room for all, all are taken; what was tried leaves nothing behind."""
    model = layers()
    monkeypatch.setattr(memory, "free_bytes", lambda _device: 2**40)

    assert rows_that_fit(passes(model), [model], most=64, fill=0.8) == 64
    assert all(weight.grad is None for weight in model.parameters())


def test_too_little_memory_for_one_row_is_said(monkeypatch):
    """When not even one row fits, the error says how much it takes and what to change."""
    model = layers()
    monkeypatch.setattr(memory, "free_bytes", lambda _device: 1000)

    with pytest.raises(DeviceMemoryError, match="adapters.mode=lora"):
        rows_that_fit(passes(model), [model], most=64, fill=0.8)


def test_the_processor_has_free_memory():
    """On this machine some memory is free, and less than there could be."""
    assert 2**20 < free_bytes(torch.device("cpu")) < 2**50


def test_cached_files_do_not_count_as_used_in_a_container(tmp_path):
    """What the kernel gives back when it is asked is free: after an extraction the files just written fill the group."""
    for name, text in (
        ("memory.max", "1000\n"),
        ("memory.current", "990\n"),
        ("memory.stat", "anon 90\ninactive_file 900\n"),
    ):
        (tmp_path / name).write_text(text)
    assert memory._left_in_container(tmp_path) == 910
    (tmp_path / "memory.max").write_text("max\n")
    assert memory._left_in_container(tmp_path) > 2**50
