"""Tiny checkpoints of exactly the released layout, and the straight-line computation that the layout describes.

Nothing here uses ``nlakit.models``: the models are plain transformers models, and the numbers are computed
from the description of the format alone.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import save_file
from tokenizers import AddedToken
from transformers import (
    Gemma3Config,
    Gemma3ForCausalLM,
    Gemma3ForConditionalGeneration,
    Gemma3TextConfig,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from nlakit.testing import tiny_tokenizer

FAMILIES = ("qwen2", "llama", "gemma3_text", "gemma3")
D, LAYERS, K = 32, 4, 2
CHARACTER = "㈎"
SCALES = {"qwen2": 15.0, "llama": 3.0, "gemma3_text": 60.0, "gemma3": 80.0}
AV = "A careful reader explains vectors {{plainly}}.\n\n<concept>{injection_char}</concept>\n\nPlease explain."
AR = "Summary of the following text: <text>{explanation}</text> <summary>"
STANDS = {"av": "actor", "ar": "critic"}


@dataclass(frozen=True)
class Layout:
    """What was written, with the models as they were before."""

    name: str
    family: str
    tokenizer: Any
    av: Any
    ar: Any
    head_DD: torch.Tensor
    scale: float

    @property
    def folder(self) -> Path:
        return Path(self.name).parent

    def half(self, role: str) -> Path:
        return Path(f"{self.name}-{role}")


def model(family: str, layers: int, seed: int, vocabulary: int) -> Any:
    """A causal language model of the family with random weights."""
    shape: dict[str, Any] = {
        "hidden_size": D, "num_hidden_layers": layers, "num_attention_heads": 2, "num_key_value_heads": 1,
        "intermediate_size": 48, "vocab_size": vocabulary, "max_position_embeddings": 384, "initializer_range": 0.2,
        "bos_token_id": None, "eos_token_id": 1, "pad_token_id": 0,
    }  # fmt: skip
    kinds = ["sliding_attention" if layer % 2 == 0 else "full_attention" for layer in range(layers)]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if family == "qwen2":
            return Qwen2ForCausalLM(Qwen2Config(**shape, tie_word_embeddings=False)).eval()
        if family == "llama":
            return LlamaForCausalLM(LlamaConfig(**shape, tie_word_embeddings=False)).eval()
        text = Gemma3TextConfig(**shape, head_dim=16, sliding_window=16, layer_types=kinds, query_pre_attn_scalar=16)
        if family == "gemma3_text":
            return Gemma3ForCausalLM(text).eval()
        vision = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
                  "image_size": 28, "patch_size": 14}  # fmt: skip
        return Gemma3ForConditionalGeneration(
            Gemma3Config(text_config=text, vision_config=vision, mm_tokens_per_image=4)
        ).eval()


def decoder(causal: Any) -> Any:
    """The text decoder, found by what transformers names it."""
    inner = causal.model
    return getattr(inner, "language_model", inner)


def tokens_of(family: str) -> Any:
    """The tokenizer, with the marker as one token; Llama's and Gemma's begin every text with a token."""
    tokenizer = tiny_tokenizer(bos=family != "qwen2")
    tokenizer.add_tokens([AddedToken(CHARACTER, normalized=False)])
    return tokenizer


def rendered(tokenizer: Any) -> list[int]:
    """The tokens of the finished verbalizer prompt."""
    message = {"role": "user", "content": AV.format(injection_char=CHARACTER)}
    text = tokenizer.apply_chat_template([message], tokenize=False, add_generation_prompt=True)
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def side_file(layout: Layout, role: str, *, old: bool = False, **changes: Any) -> dict[str, Any]:
    """The content of ``nla_meta.yaml``; ``old`` takes the other spelling."""
    ids = rendered(layout.tokenizer)
    marker = layout.tokenizer.convert_tokens_to_ids(CHARACTER)
    position = ids.index(marker)
    named = STANDS if old else {role: role for role in STANDS}
    content = {
        "kind": "nla_model",
        "schema_version": 2,
        "role": named[role],
        "d_model": D,
        "base_checkpoint": str(layout.folder / "base"),
        "extraction_layer_index": K,
        "extraction": {"injection_scale": layout.scale if role == "av" else None, "mse_scale": math.sqrt(D)},
        "tokens": {
            "injection_char": CHARACTER,
            "injection_token_id": marker,
            "injection_left_neighbor_id": ids[position - 1],
            "injection_right_neighbor_id": ids[position + 1],
            "critic_suffix_ids": None if role == "av" else layout.tokenizer(AR)["input_ids"][-3:],
        },
        "prompt_templates": {named["av"]: AV, named["ar"]: AR if role == "ar" else None},
        "trained_on": ["a data set"],
        "created_by": "somebody",
    }
    if role == "ar":
        content[named["ar"]] = {"extraction_layer_index" if old else "num_hidden_layers": K}
    return {**content, **changes}


def write_meta(folder: Path, content: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "nla_meta.yaml").write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")


def write(folder: Path, family: str, *, old: bool = False, whole: bool = False) -> Layout:
    """Write ``folder/tiny-av``, ``folder/tiny-ar`` and the target ``folder/base``; return what was written.

    The reconstructor has neither final norm nor output layer, as the releases; with ``whole`` it has both, and a list of
    layer types of the target's length.
    """
    tokenizer = tokens_of(family)
    av, ar, base = (model(family, n, seed, len(tokenizer)) for seed, n in enumerate((LAYERS, K + 1, LAYERS)))
    head_DD = torch.eye(D) + 0.1 * torch.randn((D, D), generator=torch.Generator().manual_seed(3))
    layout = Layout(str(folder / "tiny"), family, tokenizer, av, ar, head_DD, SCALES[family])
    base.save_pretrained(folder / "base")
    tokenizer.save_pretrained(folder / "base")
    av.save_pretrained(layout.half("av"))
    ar.save_pretrained(layout.half("ar"))
    if whole:
        path = layout.half("ar") / "config.json"
        settings = json.loads(path.read_text())
        text = settings.get("text_config", settings)
        text["layer_types"] = [*text["layer_types"], text["layer_types"][-1]]
        path.write_text(json.dumps(settings))
    else:
        kept = {
            k: v
            for k, v in ar.state_dict().items()
            if not k.startswith("lm_head") and not k.endswith("model.norm.weight")
        }
        save_file(
            {k: v.contiguous() for k, v in kept.items()}, layout.half("ar") / "model.safetensors", {"format": "pt"}
        )
    save_file({"weight": head_DD}, layout.half("ar") / "value_head.safetensors")
    for role in STANDS:
        tokenizer.save_pretrained(layout.half(role))
        write_meta(layout.half(role), side_file(layout, role, old=old))
    return layout


@torch.no_grad()
def greedy(causal: Any, layout: Layout, vector_D: torch.Tensor, steps: int, *, add_at: int | None = None) -> list[int]:
    """Generate step by step: the marker's embedding replaced by the vector at its norm, or the vector added at a block."""
    ids = rendered(layout.tokenizer)
    position = ids.index(layout.tokenizer.convert_tokens_to_ids(CHARACTER))
    direction_D = vector_D / vector_D.norm()

    def add(_module: Any, _inputs: Any, output: Any) -> Any:
        states = (output[0] if isinstance(output, tuple) else output).clone()
        states[0, position] += states[0, position].norm() * direction_D
        return (states, *output[1:]) if isinstance(output, tuple) else states

    hook = None if add_at is None else decoder(causal).layers[add_at].register_forward_hook(add)
    written: list[int] = []
    for _ in range(steps):
        embedded = causal.get_input_embeddings()(torch.tensor([[*ids, *written]])).clone()
        if add_at is None:
            embedded[0, position] = direction_D * layout.scale
        logits = causal(inputs_embeds=embedded, use_cache=False).logits[0, -1]
        written.append(int(logits.argmax()))
        if written[-1] in (1, layout.tokenizer.convert_tokens_to_ids("</explanation>")):
            break
    if hook is not None:
        hook.remove()
    return written


@torch.no_grad()
def rebuilt(layout: Layout, text: str) -> torch.Tensor:
    """The raw output of block K at the last token of the raw prompt, through the head."""
    ids = layout.tokenizer(AR.format(explanation=text), add_special_tokens=True)["input_ids"]
    seen: list[torch.Tensor] = []
    block = decoder(layout.ar).layers[K]
    hook = block.register_forward_hook(lambda _m, _i, out: seen.append(out[0] if isinstance(out, tuple) else out))
    layout.ar(input_ids=torch.tensor([ids]), use_cache=False)
    hook.remove()
    return layout.head_DD @ seen[0][0, -1]
