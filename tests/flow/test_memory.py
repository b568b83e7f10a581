"""Memory: training adapters keeps the base in memory once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from nlakit.testing import tiny_target_folder

pytest.importorskip("peft")

SCRIPT = """
import json, resource, sys
from pathlib import Path
import torch
from torch.autograd.graph import saved_tensors_hooks
from nlakit.claims.paraphrasers import Shuffler
from nlakit.config import AdapterConfig, TrainConfig
from nlakit.models.reconstructor import Reconstructor
from nlakit.models.sites import default_site
from nlakit.models.target import Target
from nlakit.models.verbalizer import Verbalizer
from nlakit.testing import tiny_prompts, tiny_target
from nlakit.train.learner import Learner
from nlakit.train.rewording import Reworder
from nlakit.card import Card, TargetRecord
from nlakit.models.pair import Pair
from nlakit.vectors import VectorStats

def peak():
    # What getrusage says begins with the size of the process that started this one; the kernel's own mark does not.
    status = Path("/proc/self/status")
    if status.exists():
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if "VmHWM" in line) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)

def train(target, lora):
    prompts, site = tiny_prompts(target), default_site(target)
    verbalizer = Verbalizer.from_target(target, prompts, injection_scale=4.0, max_new_tokens=8, adapters=lora)
    reconstructor = Reconstructor.from_target(target, site, prompts, lora)
    vectors_ND = torch.randn((2, target.d_model), generator=torch.Generator().manual_seed(0))
    stats = VectorStats.fit(vectors_ND)
    card = Card(name="m", target=TargetRecord.of(target), site=str(site), prompts=prompts, injection_scale=4.0,
                max_new_tokens=8, stats=stats)
    learner = Learner.of(Pair(target, verbalizer, reconstructor, card), "adamw", Reworder(Shuffler(), 0.0))
    config = TrainConfig(prompts_per_step=2, group_size=2, max_new_tokens=8, micro_batch=2)
    for step in (1, 2):
        learner.step(vectors_ND, config, step=step, seed=0)
    return {name: weight.detach() for name, weight in target.model.named_parameters() if "lora_" not in name}

lora = AdapterConfig(mode=sys.argv[2], rank=4) if sys.argv[2] == "lora" else None
train(tiny_target(), lora)
before, kept, most = peak(), 0, 0

def size(tensor):
    # A layer keeps its weight for the backward pass too; that is no activation.
    return 0 if tensor.data_ptr() in bases else tensor.numel() * tensor.element_size()

def count(tensor):
    global kept, most
    kept += size(tensor)
    most = max(most, kept)
    return tensor

def forget(tensor):
    global kept
    kept -= size(tensor)
    return tensor

target = Target.load(sys.argv[1], device="cpu")
bases = {weight.data_ptr() for weight in target.model.parameters()}
with saved_tensors_hooks(count, forget):
    weights = train(target, lora)
found = {"peak": peak() - before, "weights": sum(w.nbytes for w in weights.values()), "activations": most}
stored = Target.load(sys.argv[1], device="cpu").model.state_dict()
found["same"] = all(torch.equal(w, stored[name.replace(".base_layer", "")]) for name, w in weights.items())
print(json.dumps(found))
"""


def measured(folder: Path, mode: str) -> dict[str, float]:
    """Two steps of reinforcement learning: bytes above what a tiny model took, and whether the base stayed the same."""
    run = [sys.executable, "-c", SCRIPT, str(folder), mode]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
    environment |= {"MALLOC_MMAP_THRESHOLD_": "131072", "MALLOC_TRIM_THRESHOLD_": "131072"}
    done = subprocess.run(run, check=True, capture_output=True, text=True, env=environment)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_adapters_need_the_base_once(tmp_path: Path) -> None:
    """Adapters peak at 1.4 times the base's weights plus activations and leave the base as it was; whole models need far more."""
    folder = tiny_target_folder(tmp_path / "target", 8, 640)

    adapters, whole = measured(folder, "lora"), measured(folder, "full")

    assert adapters["peak"] <= 1.4 * adapters["weights"] + adapters["activations"]
    assert whole["peak"] > 4 * whole["weights"]
    assert adapters["same"]
