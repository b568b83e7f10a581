"""A target in which one block alone tells anything: its output is the bag of all tokens so far, the others are noise."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from nlakit.config import Recipe
from nlakit.models.target import Target
from nlakit.testing import tiny_recipe, tiny_target

SUBJECTS = ("cat", "dog", "tree", "key", "box", "wind", "plum", "roof")
ACTIONS = (
    "{} sat there.",
    "She saw the {}.",
    "A cold {} came.",
    "{} and {}.",
    "He gave it to the {}.",
    "So said the {}.",
)
WIDTH = 48


def plant(layer: int, n_layers: int = 4) -> Target:
    """A tiny target whose block ``layer`` holds the tokens so far; noise elsewhere, drawn anew for each pass."""
    target = tiny_target(n_layers, WIDTH)
    generator = torch.Generator().manual_seed(3)
    codes = torch.randn(target.embedding.num_embeddings, WIDTH, generator=generator)
    ids: list[torch.Tensor] = []

    def note(_module: Any, inputs: tuple[torch.Tensor]) -> None:
        ids[:] = [inputs[0]]

    def replace(block: int) -> Any:
        def hook(_module: Any, _inputs: Any, output: Any) -> Any:
            state = output[0] if isinstance(output, tuple) else output
            if block == layer:
                told = codes[ids[0]].cumsum(dim=1) + 0.1 * torch.randn(state.shape, generator=generator)
            else:
                told = torch.randn(state.shape, generator=generator)
            return (told, *output[1:]) if isinstance(output, tuple) else told

        return hook

    target.embedding.register_forward_pre_hook(note)
    for number, block in enumerate(target.blocks):
        block.register_forward_hook(replace(number))
    return target


def planted_recipe(folder: Path, documents: int = 120, **changes: Any) -> Recipe:
    """A recipe on documents of one subject each."""
    recipe = tiny_recipe(folder, **changes)
    lines = []
    for number in range(documents):
        subject, turn = SUBJECTS[number % len(SUBJECTS)], number // len(SUBJECTS)
        said = [ACTIONS[(turn + step * (1 + number % 5)) % len(ACTIONS)] for step in range(6)]
        text = f"No {number}. " + " ".join(sentence.replace("{}", subject) for sentence in said)
        lines.append(json.dumps({"id": f"planted-{number}", "text": text}) + "\n")
    Path(str(recipe.corpus.path)).write_text("".join(lines), encoding="utf-8")
    return recipe.model_copy(update={"corpus": recipe.corpus.model_copy(update={"documents": documents})})
