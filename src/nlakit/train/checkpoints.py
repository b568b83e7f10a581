"""Checkpoints of a training loop: weights, optimizers and the loop's own numbers, without pickle.

::

    checkpoints/
      step-00000400/                 written beside its place and renamed: whole or absent
        state.json                   step, best step so far, the loop's own numbers, names and shapes below
        verbalizer.safetensors       what training changes: parameters with a gradient, persistent buffers
        verbalizer.optimizer.safetensors   AdamW's moments, "<parameter>.exp_avg" and so on
        ...

The newest checkpoint says which earlier one is the best; these two are kept, and the best gives up its optimizer files when
it stops being the newest. Nothing beside the newest folder decides how a run goes on, so a kill at any moment leaves either
the old state or the new one.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from nlakit.errors import DivergedError, InternalError, RunError
from nlakit.storage import atomic_folder, require_free_space

_FOLDER = re.compile(r"step-(\d{8})")


@dataclass(frozen=True)
class State:
    """What a checkpoint says besides tensors."""

    step: int
    """Steps done; the resumed loop starts with this number."""
    best_step: int | None = None
    """Step of the best checkpoint so far, by the loop's own measure."""
    best_value: float | None = None
    """Value of that measure there."""
    numbers: dict[str, Any] = field(default_factory=dict)
    """The loop's own JSON values."""


class Checkpoints:
    """The checkpoints of one loop, in one folder.

    Args:
        folder: where the ``step-*`` folders are; made when the first checkpoint is saved.
        modules: name -> module. Weights are read from and written into these objects in place.
        optimizers: name -> optimizer of the module of that name.
    """

    def __init__(
        self, folder: Path, modules: Mapping[str, nn.Module], optimizers: Mapping[str, torch.optim.Optimizer]
    ) -> None:
        unknown = sorted(set(optimizers) - set(modules))
        if unknown:
            raise InternalError(f"optimizers without a module of the same name: {unknown}")
        self.folder = folder
        self.modules = dict(modules)
        self.optimizers = dict(optimizers)

    def save(self, state: State) -> Path:
        """Write a checkpoint, then remove those that are neither the newest nor the best.

        Raises:
            StorageFullError: if the disk cannot hold it.
            DivergedError: if a weight is not finite.
            RunError: if the weights, loaded again, are not what was saved.

        Whatever is raised, the checkpoints that were there are untouched.
        """
        weights = {name: _weights(module) for name, module in self.modules.items()}
        moments = {name: _moments(self.modules[name], optimizer) for name, optimizer in self.optimizers.items()}
        self.folder.mkdir(parents=True, exist_ok=True)
        size = sum(
            t.numel() * t.element_size() for group in (weights, moments) for d in group.values() for t in d.values()
        )
        require_free_space(self.folder, size)
        target = self.folder / f"step-{state.step:08d}"
        with atomic_folder(target) as folder:
            for name, tensors in weights.items():
                save_file(tensors, folder / f"{name}.safetensors")
                _read_back(tensors, folder / f"{name}.safetensors", f"{target}: {name}")
            for name, tensors in moments.items():
                save_file(tensors, folder / f"{name}.optimizer.safetensors")
                _read_back(tensors, folder / f"{name}.optimizer.safetensors", f"{target}: optimizer of {name}")
            content = {
                "step": state.step,
                "best_step": state.best_step,
                "best_value": state.best_value,
                "numbers": state.numbers,
                "modules": sorted(weights),
                "optimizers": sorted(moments),
            }
            (folder / "state.json").write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")
        self._prune(state)
        return target

    def last(self) -> State | None:
        """Return the state of the newest checkpoint without loading weights, or None if there is none."""
        steps = self._steps()
        return self._state(max(steps)) if steps else None

    def resume(self) -> State | None:
        """Load the newest checkpoint into the modules and optimizers; None if there is none.

        Raises:
            RunError: if the checkpoint cannot be read or does not fit the modules (other names or shapes).
        """
        state = self.last()
        if state is None:
            return None
        self.load_weights(state.step)
        for name, optimizer in self.optimizers.items():
            path = self._path(state.step) / f"{name}.optimizer.safetensors"
            _load_moments(self.modules[name], optimizer, _read(path), path)
        return state

    def load_weights(self, step: int, names: tuple[str, ...] | None = None) -> None:
        """Load the weights of the checkpoint at ``step`` into the modules, in place; optimizers stay as they are."""
        for name in names or tuple(self.modules):
            path = self._path(step) / f"{name}.safetensors"
            _load_weights(self.modules[name], _read(path), path)

    def _path(self, step: int) -> Path:
        return self.folder / f"step-{step:08d}"

    def _steps(self) -> list[int]:
        if not self.folder.is_dir():
            return []
        return [int(match[1]) for entry in self.folder.iterdir() if (match := _FOLDER.fullmatch(entry.name))]

    def _state(self, step: int) -> State:
        path = self._path(step) / "state.json"
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            return State(content["step"], content["best_step"], content["best_value"], content["numbers"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunError(
                f"{path}: cannot be read ({error}); expected a checkpoint's state. Remove {self.folder} to start this stage again"
            ) from error

    def _prune(self, newest: State) -> None:
        for step in self._steps():
            folder = self._path(step)
            if step == newest.best_step and step != newest.step:
                for path in folder.glob("*.optimizer.safetensors"):
                    path.unlink()
            elif step != newest.step:
                shutil.rmtree(folder)


def _read(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise RunError(
            f"{path}: cannot be read ({error}); expected tensors of a checkpoint. Remove {path.parent.parent} to start this "
            "stage again"
        ) from error


def _weights(module: nn.Module) -> dict[str, Tensor]:
    """Return what training changes, tied parameters once; frozen parameters are the caller's to load."""
    return {name: tensor.detach().contiguous().cpu() for name, tensor in _changing(module).items()}


def _read_back(saved: Mapping[str, Tensor], path: Path, what: str) -> None:
    stored = _read(path)
    for name, tensor in saved.items():
        if not bool(torch.isfinite(stored[name]).all()):
            raise DivergedError(
                f"{what}: {name} is not finite; the checkpoint before is kept. Lower the learning rate "
                "and start the stage again"
            )
        if not torch.equal(stored[name], tensor):
            raise RunError(
                f"{what}: {name} was read back with other values than were written; the checkpoint before is kept. "
                "Check the disk, then run the same command again"
            )


def _changing(module: nn.Module) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {name: p for name, p in module.named_parameters() if p.requires_grad}
    persistent = module.state_dict().keys()
    return tensors | {name: buffer for name, buffer in module.named_buffers() if name in persistent}


def _moments(module: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    names: dict[Tensor, str] = {parameter: name for name, parameter in module.named_parameters()}
    return {
        f"{names[parameter]}.{key}": torch.as_tensor(value).detach().contiguous().cpu()
        for parameter, values in optimizer.state.items()
        for key, value in values.items()
    }


def _load_weights(module: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    own = _changing(module)
    _require_same({n: tuple(t.shape) for n, t in own.items()}, {n: tuple(t.shape) for n, t in tensors.items()}, path)
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(tensors[name])


def _load_moments(
    module: nn.Module, optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], path: Path
) -> None:
    parameters = dict(module.named_parameters())
    optimizer.state.clear()
    for key, tensor in tensors.items():
        name, _, moment = key.rpartition(".")
        if name not in parameters:
            raise RunError(_misfit(path, f"moments of {name!r}, which the module does not have"))
        parameter = parameters[name]
        # The step count stays where AdamW keeps it for this kind of device; moments go where the parameter is.
        value = tensor.clone() if moment == "step" and parameter.device.type == "cpu" else tensor.to(parameter.device)
        optimizer.state[parameter][moment] = value


def _require_same(own: dict[str, tuple[int, ...]], stored: dict[str, tuple[int, ...]], path: Path) -> None:
    differing = sorted(name for name in own.keys() | stored.keys() if own.get(name) != stored.get(name))
    if differing:
        first = differing[0]
        raise RunError(
            _misfit(
                path,
                f"{len(differing)} tensors that differ in name or shape, first {first!r} "
                f"({stored.get(first, 'absent')} in the file, {own.get(first, 'absent')} in the model)",
            )
        )


def _misfit(path: Path, problem: str) -> str:
    return (
        f"{path}: the checkpoint has {problem}. It was written by a run with another model; use a new run folder, "
        "or remove this stage's folder to start it again"
    )
