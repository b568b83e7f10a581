"""Writing a pair in the layout of the released checkpoints: ``av/`` and ``ar/``, each with its side file."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import save_torch_state_dict
from safetensors.torch import save as save_tensors
from transformers import AutoModelForCausalLM

from nlakit.card import REPLACE, Card
from nlakit.errors import CardError, InputError
from nlakit.explanations import CLOSE_TAG, OPEN_TAG
from nlakit.models.adapters import AdapterView, merged
from nlakit.models.decoder import find_parts
from nlakit.models.loading import quiet_transformers
from nlakit.models.pair import Pair
from nlakit.models.reconstructor import HEAD_FILE
from nlakit.models.reference.hub import HALVES
from nlakit.models.reference.load import FORMAT, suffix_ids
from nlakit.models.reference.meta import META_FILE, MarkerTokens, SideFile
from nlakit.models.sites import Site
from nlakit.models.verbalizer import save_weights
from nlakit.runs import now
from nlakit.storage import atomic_folder, atomic_write_bytes, atomic_write_text, require_free_space

OWN = "nlakit"
"""Key of a side file under which nlakit keeps what the format has no place for; other readers pass over it."""


def export_pair(pair: Pair, folder: str | Path, *, dtype: str | None = None) -> Path:
    """Write a pair as ``folder/av`` and ``folder/ar``, whole or not at all; returns the folder.

    ``dtype`` casts the weights ("float32" or "bfloat16"; the head stays float32). Adapters are added to the weights of the
    target, so that both halves are whole models. Raises ``CardError`` for what the format
    cannot say, ``InputError`` when something lies at ``folder`` already and ``StorageFullError`` without room for it.
    """
    folder = Path(folder)
    if folder.exists():
        raise InputError(f"{folder} exists already; choose another --out.")
    require_representable(pair)
    sides = side_files(pair)
    halves = [_runs(pair.verbalizer.model), _runs(pair.reconstructor.backbone), pair.reconstructor.value_head]
    parameters = sum(weight.numel() for half in halves for weight in half.parameters())
    require_free_space(folder, parameters * (2 if dtype == "bfloat16" else 4))
    with atomic_folder(folder) as work:
        av, ar = (work / half for half in HALVES)
        save_weights(_whole(pair.verbalizer.model), av, dtype)
        pair.verbalizer.tokenizer.save_pretrained(av)
        _save_reconstructor(pair, ar, dtype)
        for place, side in zip((av, ar), sides, strict=True):
            atomic_write_text(place / META_FILE, side.to_yaml())
    return folder


def require_representable(pair: Pair) -> None:
    """Raise ``CardError`` with every reason why the format cannot say what this pair does."""
    prompts, head = pair.card.prompts, pair.reconstructor.value_head
    reasons = []
    if not pair.verbalizer.tokenizer.chat_template:
        reasons.append("its tokenizer has no chat template, and the format puts the prompt through one")
    if (prompts.open_tag, prompts.close_tag) != (OPEN_TAG, CLOSE_TAG):
        reasons.append(
            f"its explanations stand between {prompts.open_tag} and {prompts.close_tag}, not {OPEN_TAG} and {CLOSE_TAG}"
        )
    if head.in_features != head.out_features:
        reasons.append(
            f"its head maps {head.in_features} to {head.out_features} components, and the format has a square one"
        )
    if pair.verbalizer.width != pair.card.target.d_model:
        reasons.append(f"its verbalizer is {pair.verbalizer.width} wide and its vectors {pair.card.target.d_model}")
    if reasons:
        raise CardError(f"the pair {pair.card.name!r} cannot be written in the released format: {'; '.join(reasons)}.")


def side_files(pair: Pair) -> tuple[SideFile, SideFile]:
    """Build the side files of verbalizer and reconstructor; what a released pair came with is carried through."""
    card = pair.card
    prompts, marker = card.prompts, card.prompts.marker_token
    common: dict[str, Any] = {
        "kind": "nla_model",
        "d_model": card.target.d_model,
        "base_checkpoint": card.target.model,
        "layer": Site.parse(card.site).layer,
        "mse_scale": math.sqrt(card.target.d_model),
        "verbalizer": prompts.verbalizer,
        "reconstructor": prompts.reconstructor,
    }
    tokens = MarkerTokens(
        injection_char=prompts.marker,
        injection_token_id=marker.id,
        injection_left_neighbor_id=marker.left_id,
        injection_right_neighbor_id=marker.right_id,
    )
    ending = tokens.model_copy(update={"critic_suffix_ids": suffix_ids(pair.reconstructor.tokenizer, prompts)})
    own = {OWN: {"max_new_tokens": card.max_new_tokens}}
    av = SideFile(
        **common,
        role="av",
        tokens=tokens,
        injection_scale=card.injection_scale,
        injection=None if card.injection == REPLACE else card.injection,
        carried=_carried(card, "verbalizer") | own,
    )
    return av, SideFile(**common, role="ar", tokens=ending, carried=_carried(card, "reconstructor"))


def _carried(card: Card, half: str) -> dict[str, Any]:
    """Return what goes along: what a released half came with, or where one of ours comes from."""
    if card.source.get("format") == FORMAT:
        return dict(card.source[half]["side_file"].get("carried", {}))
    return {"training": card.training, "created_at": now(), "created_by": "nlakit export"}


def _runs(model: Any) -> Any:
    """Return the model that computes: the shared one behind an adapter."""
    return model.runs if isinstance(model, AdapterView) else model


def _whole(model: Any) -> Any:
    """Return a model without adapters."""
    return merged(model) if isinstance(model, AdapterView) else model


def _save_reconstructor(pair: Pair, folder: Path, dtype: str | None) -> None:
    """Write the backbone as a causal language model without final norm and output layer, the head and the tokenizer."""
    backbone = _whole(pair.reconstructor.backbone)
    with torch.device("meta"):
        causal = AutoModelForCausalLM.from_config(backbone.config)
    inside = find_parts(causal).decoder
    prefix = next(name for name, module in causal.named_modules() if module is inside)
    kind = None if dtype is None else getattr(torch, dtype)
    tensors = {f"{prefix}.{name}": tensor.detach().to(kind) for name, tensor in backbone.state_dict().items()}
    folder.mkdir()
    save_torch_state_dict(tensors, folder)
    config = backbone.config.__class__.from_dict(backbone.config.to_dict())
    config.architectures = [type(causal).__name__]
    config.dtype = kind or next(iter(tensors.values())).dtype
    with quiet_transformers():
        config.save_pretrained(folder)
    pair.reconstructor.tokenizer.save_pretrained(folder)
    head_DD = pair.reconstructor.value_head.weight.detach().float().cpu().contiguous()
    atomic_write_bytes(folder / HEAD_FILE, save_tensors({"weight": head_DD}))
