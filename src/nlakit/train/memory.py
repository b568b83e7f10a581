"""Memory: how many rows of a backward pass fit, found by trying a few of them before the training begins."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from nlakit.errors import DeviceMemoryError
from nlakit.train.optimise import trainable

MOMENTS = 2
"""Tensors that AdamW keeps for each parameter, as large as it; they come with the first step."""


class PeakBytes(TorchDispatchMode):
    """Counts the bytes of tensors that are made while it is entered: how many live now, and the most at any time.

    Works on every kind of device, in forward and backward passes. What a kernel takes for itself is not seen.
    """

    def __init__(self) -> None:
        super().__init__()
        self.live = 0
        self.peak = 0
        self._known: dict[int, weakref.ref[Any]] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run one operation and count the memory of what it returns, unless that is memory of what it was given."""
        given = {_key(value) for value in tree_leaves((args, kwargs)) if isinstance(value, Tensor)}
        out = func(*args, **(kwargs or {}))
        for value in tree_leaves(out):
            if isinstance(value, Tensor) and _key(value) not in given:
                self._count(value.untyped_storage())
        return out

    def _count(self, storage: Any) -> None:
        key, size = storage._cdata, storage.nbytes()  # noqa: SLF001 - tells storages apart as long as they live
        if key in self._known:
            return

        def forget(_: object) -> None:
            self._known.pop(key, None)
            self.live -= size

        self._known[key] = weakref.ref(storage, forget)
        self.live += size
        self.peak = max(self.peak, self.live)


def _key(tensor: Tensor) -> int:
    key: int = tensor.untyped_storage()._cdata  # noqa: SLF001
    return key


def rows_that_fit(run: Callable[[int], None], modules: Sequence[nn.Module], *, most: int, fill: float) -> int:
    """Return how many rows, at most ``most``, a backward pass may have.

    ``run(n)`` does a forward and a backward pass of ``n`` of the longest rows; its gradients are thrown away. A pass of m > n
    rows takes at most m / n times the memory of one of n, so more rows are only tried when they are certain to fit.

    Raises:
        DeviceMemoryError: when not even one row fits into the share ``fill`` of the memory that is free.
    """
    parameters = trainable(modules)
    run(1)  # what stays afterwards is there in every later pass: gradients, and what libraries set up
    moments = sum(MOMENTS * parameter.nbytes for parameter in parameters)
    budget = fill * max(0, free_bytes(parameters[0].device) - moments)
    rows = 1
    while True:
        with PeakBytes() as counted:
            run(rows)
        fitting = int(rows * budget / max(1, counted.peak))
        if fitting < 2 * rows or fitting >= most:
            break
        rows *= 2
    for parameter in parameters:
        parameter.grad = None
    if fitting < 1:
        raise DeviceMemoryError(
            f"a backward pass of a single row takes {counted.peak / 2**30:.1f} GiB, and {budget / 2**30:.1f} GiB are free for "
            "it. Train adapters (adapters.mode=lora), set memory.recompute=always, or allow only shorter explanations."
        )
    return min(most, fitting)


def free_bytes(device: torch.device) -> int:
    """Memory that is free on a device; on the processor what the system, and a container's limit, leave."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(free + held)
    return min(_available(), _left_in_container())


def _available() -> int:
    """What the system could still give; half of all memory where it does not say."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return int(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2)


def _left_in_container(root: Path = Path("/sys/fs/cgroup")) -> int:
    """What a control group leaves to this process; cached files that nobody uses are given up when memory is asked for."""
    try:
        limit = (root / "memory.max").read_text(encoding="ascii").strip()
        used = int((root / "memory.current").read_text(encoding="ascii"))
        counts = dict(line.split() for line in (root / "memory.stat").read_text(encoding="ascii").splitlines())
        return int(limit) - used + int(counts.get("inactive_file", 0))
    except (OSError, ValueError):  # none, or "max"
        return 2**62
