"""Loading models and tokenizers: from where, onto which device, in which number type, and complete."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer
from transformers.utils import logging as hf_logging

from nlakit import plugins
from nlakit.config import AUTO
from nlakit.errors import ConfigError, ModelError, missing_extra
from nlakit.models.decoder import find_parts

DEVICE_VARIABLE = "NLAKIT_DEVICE"
"""Environment variable with the device that ``auto`` means."""
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
DeviceMap = str | dict[str, Any] | None
"""How transformers spreads weights: "auto", a mapping from modules to devices, or ``None`` for one device."""


def resolve_device(device: str = AUTO) -> torch.device:
    """Return the device of a name; ``auto`` is what ``NLAKIT_DEVICE`` says, else a GPU that PyTorch can use, else the CPU.

    Raises ``ConfigError`` for a name that PyTorch does not know, or a device that is not there.
    """
    asked = os.environ.get(DEVICE_VARIABLE, AUTO) if device == AUTO else device
    if asked == AUTO:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(asked)
        torch.empty(0, device=found)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"the device {asked!r} cannot be used: {reason}. Use cpu, cuda or cuda:N.") from error
    return found


def resolve_dtype(dtype: str, device: torch.device) -> torch.dtype | None:
    """Return the number type of a name; ``auto`` is float32 on the CPU, and elsewhere None, the type that is stored.

    Raises ``ModelError`` for another name than float32, bfloat16 and auto.
    """
    if dtype == AUTO:
        return torch.float32 if device.type == "cpu" else None
    if dtype not in DTYPES:
        raise ModelError(f"dtype {dtype!r} is not supported; use one of {', '.join([*DTYPES, AUTO])}.")
    return DTYPES[dtype]


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Silence loading bars and reports of transformers; what they say is checked and raised instead."""
    verbosity = hf_logging.get_verbosity()
    bars = hf_logging.is_progress_bar_enabled()
    hf_logging.set_verbosity_error()
    hf_logging.disable_progress_bar()
    try:
        yield
    finally:
        hf_logging.set_verbosity(verbosity)
        if bars:
            hf_logging.enable_progress_bar()


def load_model(loader: Any, name: str | Path, *, without_norm: bool = False, **options: Any) -> Any:
    """Load weights with a transformers auto class and refuse missing, unexpected or misshapen ones.

    transformers fills missing weights with random numbers and only prints a report; here that is a
    ``ModelError``. ``without_norm`` accepts a decoder that was saved without its final norm, and one that was saved with
    an output layer.
    """
    try:
        with quiet_transformers():
            model, info = loader.from_pretrained(name, output_loading_info=True, **options)
    except Exception as error:  # transformers raises whatever the file at fault makes it raise
        raise ModelError(f"cannot load a model from {str(name)!r}: {type(error).__name__}: {error}") from error
    missing = set(info["missing_keys"])
    unexpected = set(info["unexpected_keys"])
    if without_norm:
        missing = {key for key in missing if not _of_final_norm(model, key)}
        unexpected = {key for key in unexpected if not key.startswith("lm_head.")}
    faults = {
        "missing": sorted(missing),
        "unexpected": sorted(unexpected),
        "of the wrong shape": sorted(str(item) for item in info.get("mismatched_keys", ())),
    }
    found = [f"{len(keys)} {what} (first: {keys[0]})" for what, keys in faults.items() if keys]
    if found:
        raise ModelError(
            f"the weights in {str(name)!r} do not fit {type(model).__name__}: {'; '.join(found)}. "
            "Missing weights would be random numbers; use a complete checkpoint of this architecture."
        )
    return model


def _of_final_norm(model: Any, key: str) -> bool:
    """Whether a weight of a model belongs to its final norm, wherever in a wrapper the decoder is."""
    norm = find_parts(model).final_norm
    return any(key.startswith(f"{name}.") for name, module in model.named_modules() if module is norm)


def load_placed(
    loader: Any, name: str | Path, device: str, device_map: DeviceMap, dtype: str = AUTO, **options: Any
) -> Any:
    """Load a model onto one device, or spread over several, in a number type (see :func:`resolve_dtype`).

    What is stored as float16 is loaded as bfloat16: activations overflow float16.
    Raises ``MissingExtraError`` when ``device_map`` is given and accelerate is not installed, ``ConfigError`` for a device
    that is not there, and as :func:`load_model` does.
    """
    if device_map is not None:
        require_accelerate()
        place, wanted = None, resolve_dtype(dtype, torch.device("meta"))
        options["device_map"] = device_map
    else:
        place = resolve_device(device)
        wanted = resolve_dtype(dtype, place)
    if wanted is not None:
        options["dtype"] = wanted
    model = load_model(loader, name, **options)
    if model.dtype == torch.float16:
        model = model.to(torch.bfloat16)
    return model if place is None else model.to(place)


def require_accelerate() -> None:
    """Raise ``MissingExtraError`` unless the package that spreads weights over devices is installed."""
    if find_spec("accelerate") is None:
        raise missing_extra("accelerate", "spread", "a device map")


def load_tokenizer(name: str | Path, **options: Any) -> Any:
    """Load a fast tokenizer; raises ``ModelError`` when there is none (character spans need a fast one)."""
    try:
        with quiet_transformers():
            tokenizer = AutoTokenizer.from_pretrained(name, **options)
    except Exception as error:  # as in load_model
        raise ModelError(f"cannot load a tokenizer from {str(name)!r}: {type(error).__name__}: {error}") from error
    if not tokenizer.is_fast:
        raise ModelError(f"the tokenizer of {str(name)!r} is not a fast one, which character spans need.")
    return tokenizer


def find_folder(name_or_path: str | Path) -> Path | None:
    """Return the folder of a model: an installed plugin, else an existing path; ``None`` for a name on the Hub."""
    if isinstance(name_or_path, str) and name_or_path in plugins.names(plugins.MODELS):
        folder = Path(plugins.load(plugins.MODELS, name_or_path)())
        if not folder.is_dir():
            raise ModelError(f"the model {name_or_path!r} is installed without its folder {folder}; reinstall it.")
        return folder
    path = Path(name_or_path).expanduser()
    if path.is_dir():
        return path
    if isinstance(name_or_path, Path) or str(name_or_path).startswith((".", "/", "~")):
        raise ModelError(
            f"there is no folder {str(name_or_path)!r}; give a model folder, an installed model or a Hub id."
        )
    return None
