"""Tiny tokenizers, models, targets and pairs, built in process in a fraction of a second.

For nlakit's own tests, for yours, and for examples: no network, no downloads, and every code path is
the real one. ``family`` picks the architecture, by the name that transformers gives it: a key of `FAMILIES`.
"""

from __future__ import annotations

import json
import random
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, pre_tokenizers, processors
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

from nlakit.card import Card, TargetRecord
from nlakit.config import PromptConfig, Recipe, derive_seed
from nlakit.models.loading import quiet_transformers
from nlakit.models.pair import Pair
from nlakit.models.reconstructor import Reconstructor
from nlakit.models.sites import default_site
from nlakit.models.target import Target
from nlakit.models.verbalizer import Verbalizer
from nlakit.prompts import Prompts, resolve_prompts
from nlakit.recipe import recipe_from
from nlakit.vectors import VectorStats

_SMALL_EXPERTS = {"num_experts_per_tok": 2, "moe_intermediate_size": 32}
_SMALL_WINDOW = {"sliding_window": 8, "head_dim": 16}
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {"tie_word_embeddings": True},
    "qwen2": {},
    "qwen3": {"head_dim": 16},
    "mistral": {"sliding_window": 8},
    "gemma2": {**_SMALL_WINDOW, "query_pre_attn_scalar": 16},
    "gemma3_text": {**_SMALL_WINDOW, "query_pre_attn_scalar": 16},
    "gemma3": {**_SMALL_WINDOW, "query_pre_attn_scalar": 16},
    "phi3": {},
    "olmo2": {},
    "gpt2": {},
    "gpt_neox": {},
    "gpt_oss": {**_SMALL_WINDOW, "num_local_experts": 4, "num_experts_per_tok": 2},
    "mixtral": {"num_local_experts": 4, "num_experts_per_tok": 2},
    "qwen3_moe": {"head_dim": 16, "num_experts": 4, **_SMALL_EXPERTS},
    "qwen3_next": {
        "head_dim": 16,
        "num_experts": 4,
        **_SMALL_EXPERTS,
        "full_attention_interval": 2,
        "linear_num_key_heads": 2,
        "linear_num_value_heads": 2,
        "linear_key_head_dim": 16,
        "linear_value_head_dim": 16,
    },
}
"""Settings that a tiny model of a family needs beside the common ones; `gemma3` is the multimodal wrapper."""
_VISION = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "image_size": 28,
    "patch_size": 14,
}
MARKER = "<|vector|>"
BOS, END, PAD = "<|begin|>", "<|end|>", "<|pad|>"
CHAT_TEMPLATE = (
    "{% if bos_token %}{{ bos_token }}{% endif %}"
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
PROMPTS = {
    "verbalizer": "Say what the vector means: <concept>{marker}</concept>",
    "reconstructor": "Summary of a text: {explanation} <summary>",
    "marker": MARKER,
}
SENTENCES = (
    "The cat sat on the mat near the red door.",
    "Anna put the key in the old box by the window.",
    "In the garden a tall tree gave shade to the dog.",
    "He counted three apples, two pears and one plum.",
    "She wrote a letter to her brother in the north.",
    "A cold wind came over the hill in the evening.",
    "The text is about a cat, a box and a key.",
    "Say what the vector means in a summary of the text.",
    "The next word will name an animal or a place.",
    "Rain fell on the roof while the children slept.",
)


@lru_cache(maxsize=8)
def _tokenizer_json(vocab_size: int, bos: bool) -> str:
    """Train the byte-level BPE once per process and keep its serialised form."""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = [PAD, END, *([BOS] if bos else []), "<|user|>", "<|assistant|>", "<|system|>", MARKER]
    trainer = BpeTrainer(
        vocab_size=vocab_size - 4,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    tags = ("<explanation>", "</explanation>", "<concept>", "</concept>")
    tokenizer.add_tokens([AddedToken(tag, normalized=False) for tag in tags])
    if bos:
        begin = tokenizer.token_to_id(BOS)
        tokenizer.post_processor = processors.TemplateProcessing(single=f"{BOS} $A", special_tokens=[(BOS, begin)])
    return str(tokenizer.to_str())


def tiny_tokenizer(vocab_size: int = 400, *, bos: bool = False, chat: bool = True) -> Any:
    """Build a byte-level BPE tokenizer with a marker token, explanation tags as tokens and a chat template.

    With ``bos`` it puts a beginning-of-sequence token before every text, as Llama's and Gemma's do.
    """
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(_tokenizer_json(vocab_size, bos)),
        pad_token=PAD,
        eos_token=END,
        **({"bos_token": BOS} if bos else {}),
        additional_special_tokens=["<|user|>", "<|assistant|>", "<|system|>", MARKER],
    )
    if chat:
        tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def tiny_model(
    n_layers: int = 3, d: int = 32, family: str = "llama", *, vocab_size: int = 400, seed: int = 0, positions: int = 256
) -> Any:
    """Build a causal language model with random weights; ``seed`` decides them, the global generator is left alone."""
    if family not in FAMILIES:
        raise ValueError(f"family {family!r} is not one of {', '.join(FAMILIES)}")
    heads = max(2, d // 16)
    settings: dict[str, Any] = {
        "hidden_size": d,
        "num_hidden_layers": n_layers,
        "num_attention_heads": heads,
        "num_key_value_heads": heads // 2 if family == "llama" else heads,
        "intermediate_size": None if family == "gpt2" else 2 * d,
        "max_position_embeddings": positions,
        "vocab_size": vocab_size,
        "initializer_range": 0.2,
        "bos_token_id": None,
        "eos_token_id": 1,
        "pad_token_id": 0,
        **FAMILIES[family],
    }
    if family == "gemma3":
        tokens = {"image_token_index": 5, "boi_token_index": 6, "eoi_token_index": 7, "mm_tokens_per_image": 4}
        settings = {"text_config": settings, "vision_config": _VISION, **tokens}
    with torch.random.fork_rng(devices=[]), quiet_transformers():
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **settings))
    return model.eval()


def tiny_target(
    n_layers: int = 3, d: int = 32, family: str = "llama", *, seed: int = 0, bos: bool = False, chat: bool = True
) -> Target:
    """Build a target in memory: a random model and the tiny tokenizer."""
    tokenizer = tiny_tokenizer(bos=bos, chat=chat)
    return Target(tiny_model(n_layers, d, family, vocab_size=len(tokenizer), seed=seed), tokenizer, f"tiny-{family}")


def tiny_target_folder(
    folder: Path, n_layers: int = 3, d: int = 32, family: str = "llama", *, seed: int = 0, bos: bool = False
) -> Path:
    """Write a tiny target to ``folder`` the way Hugging Face models lie on disk, with short prompts; return it."""
    tokenizer = tiny_tokenizer(bos=bos)
    with quiet_transformers():
        tiny_model(n_layers, d, family, vocab_size=len(tokenizer), seed=seed).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    (folder / "nlakit_prompts.json").write_text(json.dumps(PROMPTS, indent=1), encoding="utf-8")
    return folder


def tiny_prompts(target: Target) -> Prompts:
    """Return short prompts for a tiny target."""
    return resolve_prompts(target, PromptConfig(**PROMPTS))


def tiny_pair(target: Target | None = None, *, injection_scale: float = 4.0, max_new_tokens: int = 12) -> Pair:
    """Build an untrained pair in memory around a tiny target, with statistics of random directions."""
    target = tiny_target() if target is None else target
    prompts, site = tiny_prompts(target), default_site(target)
    generator = torch.Generator().manual_seed(0)
    card = Card(
        name="tiny",
        target=TargetRecord.of(target),
        site=str(site),
        prompts=prompts,
        injection_scale=injection_scale,
        max_new_tokens=max_new_tokens,
        stats=VectorStats.fit(torch.randn((64, target.d_model), generator=generator)),
    )
    verbalizer = Verbalizer.from_target(target, prompts, injection_scale=injection_scale, max_new_tokens=max_new_tokens)
    return Pair(target, verbalizer, Reconstructor.from_target(target, site, prompts), card)


def tiny_pair_folder(folder: Path) -> Path:
    """Write a tiny target to ``folder/target`` and an untrained pair that reads it to ``folder/pair``; return the latter."""
    target = Target.load(tiny_target_folder(folder / "target"))
    return tiny_pair(target).save(folder / "pair")


def tiny_corpus_file(path: Path, documents: int = 60, *, sentences: int = 6, seed: int = 0) -> Path:
    """Write a JSON-lines corpus of short, different texts made of a few fixed sentences; return its path."""
    lines = []
    for index in range(documents):
        rng = random.Random(derive_seed(seed, "tiny corpus", index))
        text = f"Text {index}. " + " ".join(rng.choices(SENTENCES, k=sentences))
        lines.append(json.dumps({"id": f"tiny-{index}", "text": text}) + "\n")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(lines), encoding="utf-8")
    return path


def tiny_text_file(path: Path, paragraphs: int = 120, *, seed: int = 0) -> Path:
    """Write a plain text of different paragraphs made of a few fixed sentences, a blank line between them; return its path."""
    written = []
    for index in range(paragraphs):
        rng = random.Random(derive_seed(seed, "tiny text", index))
        written.append(f"Part {index}. " + " ".join(rng.choices(SENTENCES, k=rng.randint(1, 4))))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n\n".join(written) + "\n", encoding="utf-8")
    return path


def tiny_recipe(folder: Path, *, documents: int = 60, **changes: Any) -> Recipe:
    """Build a recipe whose whole pipeline takes seconds: a tiny target, a small corpus and the extractive teacher.

    Target and corpus are written into ``folder``. ``changes`` replace whole tables or update them with
    a mapping, such as ``train={"steps": 2}``.
    """
    tables: dict[str, Any] = {
        "target": {"model": str(tiny_target_folder(folder / "target"))},
        "corpus": {
            "name": "jsonl",
            "path": str(tiny_corpus_file(folder / "corpus.jsonl", documents)),
            "documents": documents,
        },
        "extract": {
            "rows_per_document": 3,
            "min_position": 4,
            "max_tokens": 96,
            "shard_rows": 48,
            "batch_tokens": 1024,
        },
        "annotate": {"teacher": "extractive", "options": {"words": 2}},
        "warm_start": {"batch_size": 8, "max_explanation_tokens": 96, "checkpoint_every": 3, "log_every": 1},
        "train": {
            "steps": 3,
            "prompts_per_step": 4,
            "group_size": 2,
            "max_new_tokens": 16,
            "micro_batch": 4,
            "checkpoint_every": 2,
            "evaluate_every": 2,
            "evaluate_rows": 8,
            "sample_every": 1,
        },
        "evaluate": {"rows": 12, "bootstrap": 20, "batch_size": 8},
    }
    content: dict[str, Any] = {"name": "tiny", "description": "A pipeline of seconds, for tests.", **tables}
    for key, value in changes.items():
        content[key] = {**content.get(key, {}), **value} if isinstance(value, dict) else value
    return recipe_from(content, "tiny recipe")
