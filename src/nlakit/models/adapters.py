"""Adapters: several trained models that share one frozen base, so that memory holds its weights once.

The base is the target. Verbalizer and reconstructor are LoRA adapters (Hu et al. 2021) on the linear layers of its blocks, made
and stored by peft; with all adapters off it is the target again, bit for bit. An :class:`AdapterView` behaves as a model of its
own: calling it switches its adapter on, and its parameters are those of the adapter alone.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from nlakit.config import AdapterConfig, derive_seed
from nlakit.errors import ModelError, missing_extra
from nlakit.storage import atomic_write_bytes

if TYPE_CHECKING:
    from nlakit.models.target import Target

LARGE = 5e8
"""From so many parameters on, adapters are what ``adapters.mode=auto`` means."""

ADAPTER_CONFIG, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
"""Files of an adapter on disk, as peft names them; the first tells it from a whole model."""


class AdapterView(nn.Module):
    """One adapter of a shared model, as a model of its own.

    ``runs`` is what a call runs: the shared model, or a part of it. What the view itself does not have is looked up there. The
    adapter that ran last stays on until another view is called: do the backward pass of one before the forward pass of the next.
    """

    def __init__(self, shared: Any, adapter: str, runs: Any = None) -> None:
        super().__init__()
        # Not child modules: what trains, counts and is saved is the adapter alone.
        self.__dict__["shared"] = shared
        self.__dict__["runs"] = shared if runs is None else runs
        self.adapter = adapter
        self.weights = nn.ParameterDict(
            {name.replace(".", "/"): weight for name, weight in shared.named_parameters() if f".{adapter}." in name}
        )

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self.__dict__["runs"], name)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run the shared model with this adapter alone."""
        switch(self.shared, self.adapter)
        return self.runs(*args, **kwargs)

    def train(self, mode: bool = True) -> Self:
        """Set the mode of the shared model too."""
        self.__dict__["shared"].train(mode)
        return super().train(mode)

    def twin(self, adapter: str) -> AdapterView:
        """Add a frozen adapter with the values of this one, and return a view of it."""
        other = add_adapter(self.shared, adapter, self.shared.peft_config[self.adapter], self.runs)
        _fill(other, _stored(self), f"the adapter {self.adapter!r}")
        return other.requires_grad_(False)

    def save(self, folder: Path) -> None:
        """Write the adapter as peft does, so that other tools can load it onto the same base."""
        self.shared.peft_config[self.adapter].save_pretrained(folder)
        weights = {name: weight.detach().contiguous().cpu() for name, weight in _stored(self).items()}
        atomic_write_bytes(folder / ADAPTER_WEIGHTS, save_tensors(weights))


def switch(model: Any, adapter: str | None) -> None:
    """Turn one adapter of a model on and all others off; which weights have gradients stays as it is."""
    for module in model.modules():
        if hasattr(module, "_active_adapter"):
            # peft's set_adapter and enable_adapters also change what trains, which is no question of what runs.
            module._disable_adapters = adapter is None  # noqa: SLF001
            module._active_adapter = [] if adapter is None else [adapter]  # noqa: SLF001


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds an adapter and no whole model."""
    return (folder / ADAPTER_CONFIG).is_file()


def add_adapter(shared: Any, name: str, config: Any, runs: Any = None) -> AdapterView:
    """Put a new adapter into a model; it changes nothing until it is trained. ``config`` is peft's ``LoraConfig``."""
    peft = _peft()
    trained = {id(weight) for weight in shared.parameters() if weight.requires_grad}
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.filterwarnings("ignore", "Already found a `peft_config`")  # several adapters are what is wanted
        torch.manual_seed(derive_seed(0, "adapter", name))  # a run that is begun again begins with the same numbers
        peft.inject_adapter_in_model(copy.deepcopy(config), shared, name)
    for weight in shared.parameters():
        weight.requires_grad_(id(weight) in trained)  # peft freezes the adapters that were there before
    view = AdapterView(shared, name, runs)
    view.weights.float()  # whatever the base's number type: small steps are lost in bfloat16
    return view.requires_grad_(True)


def merged(view: AdapterView) -> Any:
    """Return a copy of what a view runs with its adapter added to the weights: a whole model that needs no adapter."""
    whole = copy.deepcopy(view.runs)
    for parent in list(whole.modules()):
        for name, layer in list(parent.named_children()):
            if hasattr(layer, "base_layer"):
                layer.merge(adapter_names=[view.adapter])
                setattr(parent, name, layer.get_base_layer())
    if hasattr(whole, "peft_config"):
        del whole.peft_config
    return whole


def load_adapter(shared: Any, name: str, folder: Path, runs: Any = None) -> AdapterView:
    """Put an adapter from the disk into a model; ``ModelError`` when it is damaged or made for another model."""
    try:
        config = _peft().LoraConfig.from_pretrained(folder)
        weights = load_tensors((folder / ADAPTER_WEIGHTS).read_bytes())
        view = add_adapter(shared, name, config, runs)
    except (OSError, SafetensorError, ValueError, TypeError) as error:
        raise ModelError(f"cannot load the adapter in {folder}: {type(error).__name__}: {error}") from error
    _fill(view, weights, f"the adapter in {folder}")
    return view


def _stored(view: AdapterView) -> dict[str, Tensor]:
    """Weights of an adapter by the names that they have on disk: those of peft, without the adapter's own."""
    prefix, own = "base_model.model.", f".{view.adapter}."
    return {prefix + name.replace("/", ".").replace(own, "."): weight for name, weight in view.weights.items()}


@torch.no_grad()
def _fill(view: AdapterView, weights: Mapping[str, Tensor], source: str) -> None:
    """Copy weights into an adapter; ``ModelError`` unless names and shapes are the same."""
    own = _stored(view)
    strange = sorted(own.keys() ^ weights.keys()) or [n for n in own if own[n].shape != weights[n].shape]
    if strange:
        raise ModelError(f"{source} does not fit this model: {len(strange)} weights differ (first: {strange[0]}).")
    for name, weight in own.items():
        weight.copy_(weights[name])


def uses_adapters(settings: AdapterConfig, target: Target) -> bool:
    """Whether both halves of a pair for this target are adapters."""
    if settings.mode == "auto":
        return sum(weight.numel() for weight in target.model.parameters()) >= LARGE
    return settings.mode == "lora"


def lora(target: Target, blocks: int, settings: AdapterConfig) -> Any:
    """Return peft's configuration of an adapter on every linear layer of the target's first ``blocks`` blocks.

    The experts of a mixture, which are stacked in one tensor, and their router stay as they are. Raises ``ModelError`` for
    blocks without linear layers.
    """
    names = _linear_layers(target.model, target.blocks[:blocks])
    if not names:
        raise ModelError(
            f"the blocks of {type(target.model).__name__} have no linear layers that an adapter could be put on; "
            "train whole models with adapters.mode=full."
        )
    return _peft().LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=0.0,
        target_modules=sorted(names),
        fan_in_fan_out=any(isinstance(getattr(module, "base_layer", module), Conv1D) for module in names.values()),
    )


def _linear_layers(model: nn.Module, blocks: nn.ModuleList) -> dict[str, nn.Module]:
    """Linear layers inside blocks by their full name, those that already have adapters included."""
    found: dict[str, nn.Module] = {}
    inside = {id(module) for block in blocks for module in block.modules()}
    for name, module in model.named_modules():
        part_of_adapter = ".lora_" in name or name.endswith(".base_layer")
        is_linear = isinstance(module, nn.Linear | Conv1D) or hasattr(module, "base_layer")
        if id(module) in inside and is_linear and not part_of_adapter:
            found[name] = module
    return found


def truncated_view(target: Target, blocks: int) -> Any:
    """Return a decoder of the target's first blocks, without its final norm, that shares the target's modules."""
    parts = target.parts
    shell = copy.copy(parts.decoder)
    # A shallow copy shares its table of children; an own one keeps the target as it is.
    shell._modules = dict(parts.decoder._modules)  # noqa: SLF001
    shell._modules[parts.blocks_name] = nn.ModuleList(parts.blocks[:blocks])  # noqa: SLF001
    shell._modules[parts.norm_name] = nn.Identity()  # noqa: SLF001
    shell.config = copy.deepcopy(parts.decoder.config)
    config = shell.config.get_text_config()
    config.num_hidden_layers = blocks
    if getattr(config, "layer_types", None):
        config.layer_types = config.layer_types[:blocks]
    return shell


def _peft() -> Any:
    """Import peft, which takes seconds, when it is needed."""
    try:
        import peft
    except ImportError as error:
        raise missing_extra("peft", "lora", "training adapters (adapters.mode=lora)") from error
    return peft
