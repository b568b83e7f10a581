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
import torch
from torch.autograd.graph import saved_tensors_hooks
from nlakit.config import AdapterConfig, PromptConfig, TrainConfig
from nlakit.models.reconstructor import Reconstructor
from nlakit.models.sites import default_site
from nlakit.models.target import Target
from nlakit.models.verbalizer import Verbalizer
from nlakit.prompts import resolve_prompts
from nlakit.testing import tiny_target
from nlakit.train.grpo import Learner
from nlakit.card import Card, TargetRecord
from nlakit.models.pair import Pair
from nlakit.vectors import VectorStats

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)

def train(target, lora):
    prompts, site = resolve_prompts(target, PromptConfig()), default_site(target)
    verbalizer = Verbalizer.from_target(target, prompts, injection_scale=4.0, max_new_tokens=8, adapters=lora)
    reconstructor = Reconstructor.from_target(target, site, prompts, lora)
    vectors_ND = torch.randn((2, target.d_model), generator=torch.Generator().manual_seed(0))
    stats = VectorStats.fit(vectors_ND)
    card = Card(name="m", target=TargetRecord.of(target), site=str(site), prompts=prompts, injection_scale=4.0,
                max_new_tokens=8, stats=stats)
    learner = Learner.of(Pair(target, verbalizer, reconstructor, card), "adamw")
    config = TrainConfig(prompts_per_step=2, group_size=2, max_new_tokens=8, micro_batch=2)
    for step in (1, 2):
        learner.step(vectors_ND, config, step=step, seed=0)
    return sum(p.numel() * 4 for p in target.model.parameters())

lora = AdapterConfig(mode=sys.argv[2], rank=4) if sys.argv[2] == "lora" else None
train(tiny_target(), lora)
before, kept, most = peak(), 0, 0

def count(tensor):
    global kept, most
    kept += tensor.numel() * tensor.element_size()
    most = max(most, kept)
    return tensor

def forget(tensor):
    global kept
    kept -= tensor.numel() * tensor.element_size()
    return tensor

with saved_tensors_hooks(count, forget):
    weights = train(Target.load(sys.argv[1]), lora)
print(json.dumps({"peak": peak() - before, "weights": weights, "activations": most}))
"""


def measured(folder: Path, mode: str) -> dict[str, float]:
    """Peak memory of two steps of reinforcement learning above what a tiny model took, in bytes."""
    run = [sys.executable, "-c", SCRIPT, str(folder), mode]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
    environment |= {"MALLOC_MMAP_THRESHOLD_": "131072", "MALLOC_TRIM_THRESHOLD_": "131072"}
    done = subprocess.run(run, check=True, capture_output=True, text=True, env=environment)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_adapters_need_the_base_once(tmp_path: Path) -> None:
    """Training with adapters peaks at 1.4 times the base's weights, plus activations; whole models need several times that."""
    folder = tiny_target_folder(tmp_path / "target", 8, 640)

    adapters, whole = measured(folder, "lora"), measured(folder, "full")

    assert adapters["peak"] <= 1.4 * adapters["weights"] + adapters["activations"]
    assert whole["peak"] > 4 * whole["weights"]
