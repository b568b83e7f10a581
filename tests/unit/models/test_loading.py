"""Where models are loaded to, and in which number type."""

from __future__ import annotations

import pytest
import torch

from nlakit.errors import ConfigError, ModelError
from nlakit.models.loading import DEVICE_VARIABLE, resolve_device, resolve_dtype
from nlakit.models.target import Target
from nlakit.testing import tiny_target_folder

CPU = torch.device("cpu")


def test_a_gpu_is_taken_where_there_is_one(monkeypatch):
    """Without a word, models go to a GPU that PyTorch can use, else to the processor; the environment can say otherwise."""
    monkeypatch.delenv(DEVICE_VARIABLE, raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert resolve_device() == torch.device("cuda")
    monkeypatch.setenv(DEVICE_VARIABLE, "cpu")
    assert resolve_device() == CPU
    monkeypatch.delenv(DEVICE_VARIABLE)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve_device() == CPU


@pytest.mark.parametrize("name", ["cuda:77", "gpu", "meta:x"])
def test_a_device_that_is_not_there_is_refused(name):
    """The message names the device that was asked for and those that can be."""
    with pytest.raises(ConfigError, match=f"'{name}' cannot be used.*cpu, cuda"):
        resolve_device(name)


def test_auto_is_float32_on_a_processor_and_what_is_stored_elsewhere():
    """Other names than the three are refused."""
    assert resolve_dtype("auto", CPU) is torch.float32
    assert resolve_dtype("auto", torch.device("cuda")) is None
    assert resolve_dtype("bfloat16", CPU) is torch.bfloat16
    with pytest.raises(ModelError, match="float16"):
        resolve_dtype("float16", CPU)


def test_what_is_stored_as_float16_is_loaded_as_bfloat16(tmp_path, monkeypatch):
    """Activations overflow float16, so that no model computes in it."""
    folder = tiny_target_folder(tmp_path)
    target = Target.load(folder)
    target.model.half().save_pretrained(folder)
    monkeypatch.setattr("nlakit.models.loading.resolve_dtype", lambda _dtype, _device: None)

    assert Target.load(folder).dtype == "bfloat16"
