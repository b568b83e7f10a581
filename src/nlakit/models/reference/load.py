"""Reading a released pair: side files become a card, the two folders a verbalizer and a reconstructor.

Verified on the way: the halves against each other, the depth and width of the weights against what the
side files say, and the tokenizers against the tokens that they name.
"""

from __future__ import annotations

import json
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import AutoModelForCausalLM

from nlakit.card import REPLACE, Card, TargetRecord
from nlakit.config import AUTO
from nlakit.errors import CardError, ModelError, missing_extra
from nlakit.models.hub import ALL_FILES, SIDE_FILES, Fetched
from nlakit.models.loading import DTYPES, DeviceMap, load_placed, load_tokenizer
from nlakit.models.reconstructor import HEAD_FILE, Reconstructor, read_config
from nlakit.models.reference.hub import Half, fetch
from nlakit.models.reference.meta import META_FILE, SideFile, agree
from nlakit.models.verbalizer import Verbalizer, require_finite_weights
from nlakit.prompts import Prompts, encode_once, locate_marker

FORMAT = "nla_meta"
ADAPTER_CONFIG, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
COMMUNITY_INJECTION, COMMUNITY_SCALE = "resid.1", 1.0
"""What adapters without an injection scale were trained with: the vector is added, at the state's own norm, at block 1."""
MAX_NEW_TOKENS = 200
"""Length limit of explanations; our choice (the side files name none, and the releases were trained with 150)."""
PROBES = ("A text about a cat.", "x", "1")


@dataclass(frozen=True, slots=True)
class Sources:
    """Both halves on the disk with their side files."""

    av: Fetched
    ar: Fetched
    av_side: SideFile
    ar_side: SideFile


def open_sources(av: Half, ar: Half, *, revision: str | None = None, weights: bool = True) -> Sources:
    """Bring both halves here (without ``weights``: settings only) and read their side files.

    The side files are fetched and checked before any weights are. Raises as :func:`~nlakit.models.reference.hub.fetch`
    does, and ``CardError`` for side files that cannot be used or do not belong together.
    """
    fetched = [fetch(half, revision=revision, patterns=SIDE_FILES) for half in (av, ar)]
    sides = [SideFile.load(half.folder / META_FILE) for half in fetched]
    for half, side, role in zip(fetched, sides, ("av", "ar"), strict=True):
        if side.role not in (None, role):
            raise CardError(
                f"{half.name!r} says that its role is {side.role!r}, and it is given as the {role!r} of a pair."
            )
    agree([(fetched[0].name, sides[0]), (fetched[1].name, sides[1])])
    if weights:
        fetched = [
            fetch(half, revision=known.commit, patterns=ALL_FILES)
            for half, known in zip((av, ar), fetched, strict=True)
        ]
    return Sources(fetched[0], fetched[1], sides[0], sides[1])


def released_card(sources: Sources, *, injection: str | None = None) -> Card:
    """Build the card that both side files together amount to, from the settings alone.

    ``injection`` (see :class:`~nlakit.card.Card`) decides where the side file says nothing. Raises ``CardError`` with what
    is missing or wrong.
    """
    av, ar = sources.av_side, sources.ar_side
    tokens = av.tokens or ar.tokens
    verbalizer, reconstructor = av.verbalizer or ar.verbalizer, ar.reconstructor or av.reconstructor
    base, layer = av.base_checkpoint or ar.base_checkpoint, _layer(sources)
    absent = {
        "tokens": tokens,
        "prompt_templates.av": verbalizer,
        "prompt_templates.ar": reconstructor,
        "base_checkpoint": base,
    }
    if missing := [name for name, value in absent.items() if value is None]:
        raise CardError(f"the side files of {sources.av.name!r} and {sources.ar.name!r} lack {', '.join(missing)}.")
    kind, scale = _injection(sources, injection)
    marker = _marker(sources, tokens, verbalizer)
    return Card(
        name=re.sub(r"[-/\\](av|ar)$", "", sources.av.name),
        target=TargetRecord(
            model=str(base),
            dtype=_dtype(sources.av.folder),
            fingerprint=None,
            n_layers=None,
            d_model=av.d_model,
            tokenizer_fingerprint=None,
        ),
        site=f"resid.{layer}",
        prompts=Prompts(verbalizer=str(verbalizer), reconstructor=str(reconstructor), **marker),
        injection=kind,
        injection_scale=scale,
        max_new_tokens=int(av.carried.get("nlakit", {}).get("max_new_tokens", MAX_NEW_TOKENS)),
        stats=None,
        source={"format": FORMAT, "verbalizer": _origin(sources.av, av), "reconstructor": _origin(sources.ar, ar)},
        versions={},
    )


def load_released(
    sources: Sources, card: Card, *, device: str = AUTO, device_map: DeviceMap = None, base: str | Path | None = None
) -> tuple[Verbalizer, Reconstructor]:
    """Load both halves as their card says; ``base`` is where the model under an adapter lies, if not where it says.

    Raises ``ModelError`` for weights that are missing, damaged or of another width, and ``CardError`` where a tokenizer
    does not make the tokens that the side file names.
    """
    _check_folders(sources, card)
    tokenizer = load_tokenizer(_tokenizer_folder(sources.av.folder, base))
    if not tokenizer.chat_template:
        raise CardError(f"the tokenizer of {sources.av.name!r} has no chat template, which its prompt is put through.")
    card.verify_tokenizer(tokenizer)
    options: dict[str, Any] = {"injection_scale": card.injection_scale, "injection": card.injection}
    if _is_adapter(sources.av.folder):
        model = load_adapted(sources.av.folder, device=device, device_map=device_map, base=base)
    else:
        model = load_placed(AutoModelForCausalLM, sources.av.folder, device, device_map)
    require_finite_weights(model, sources.av.folder)
    verbalizer = Verbalizer(model.eval(), tokenizer, card.prompts, max_new_tokens=card.max_new_tokens, **options)
    reconstructor = Reconstructor.load(sources.ar.folder, card.prompts, device=device, device_map=device_map)
    _check_suffix(reconstructor, sources)
    return verbalizer, reconstructor


def load_adapted(
    folder: Path, *, device: str = AUTO, device_map: DeviceMap = None, base: str | Path | None = None
) -> Any:
    """Load a causal language model with a LoRA adapter merged into it.

    Raises ``MissingExtraError`` without peft, and ``ModelError`` when the adapter is not in safetensors or its base
    cannot be loaded.
    """
    if not (folder / ADAPTER_WEIGHTS).is_file():
        raise ModelError(
            f"{folder} has no {ADAPTER_WEIGHTS}; adapters in other formats could run code and are not read."
        )
    try:
        from peft import PeftModel
    except ImportError as error:
        raise missing_extra("peft", "lora", f"the adapter in {folder}") from error
    model = load_placed(
        AutoModelForCausalLM, base or _settings(folder / ADAPTER_CONFIG)["base_model_name_or_path"], device, device_map
    )
    try:
        with warnings.catch_warnings():  # peft asks transformers for flags under names that are on their way out
            warnings.simplefilter("ignore", FutureWarning)
            return PeftModel.from_pretrained(model, folder).merge_and_unload()
    except (KeyError, RuntimeError, TypeError, ValueError) as error:
        raise ModelError(
            f"the adapter in {folder} does not fit its base: {' '.join(str(error).split()):.300}"
        ) from error


def suffix_ids(tokenizer: Any, prompts: Prompts) -> list[int]:
    """Return the last tokens of the finished reconstructor prompt that no explanation changes."""
    ids = [list(encode_once(tokenizer, prompts.reconstructor_text(probe))["input_ids"])[::-1] for probe in PROBES]
    after = prompts.reconstructor.split("{explanation}")[1]
    room = len(tokenizer(after, add_special_tokens=True)["input_ids"])
    stable: list[int] = []
    for column in zip(*ids, strict=False):
        if len(set(column)) > 1 or len(stable) == room:
            break
        stable.append(column[0])
    return stable[::-1]


def _layer(sources: Sources) -> int:
    """Return K, which the reconstructor's depth must agree with."""
    blocks = int(read_config(sources.ar.folder).get_text_config().num_hidden_layers)
    layer = sources.av_side.layer if sources.av_side.layer is not None else sources.ar_side.layer
    if layer is not None and blocks != layer + 1:
        raise CardError(
            f"the reconstructor {sources.ar.name!r} has {blocks} blocks, and vectors of block {layer} need {layer + 1} "
            f"(0 to {layer}): it belongs to another layer."
        )
    return blocks - 1


def _injection(sources: Sources, asked: str | None) -> tuple[str, float]:
    """Decide where the vector goes in and how large it is there."""
    side = sources.av_side
    kind = asked or side.injection
    if kind is None:
        kind = (
            REPLACE if side.injection_scale is not None or not _is_adapter(sources.av.folder) else COMMUNITY_INJECTION
        )
    if kind == REPLACE and side.injection_scale is None:
        raise CardError(
            f"{sources.av.folder / META_FILE} has no extraction.injection_scale: a vector that is injected as it is cannot be "
            "represented. If it is added to a block's output, say so with injection='resid.1'."
        )
    scale = side.injection_scale if kind == REPLACE or side.injection is not None else None
    return kind, COMMUNITY_SCALE if scale is None else scale


def _marker(sources: Sources, tokens: Any, verbalizer: Any) -> dict[str, Any]:
    """Return the marker's fields of the prompts; neighbours that the side file leaves out are looked up."""
    left, right = tokens.injection_left_neighbor_id, tokens.injection_right_neighbor_id
    if left is None or right is None:
        live, _ = locate_marker(
            load_tokenizer(_tokenizer_folder(sources.av.folder, None)), verbalizer, tokens.injection_char
        )
        left, right = live.left_id if left is None else left, live.right_id if right is None else right
    return {"marker": tokens.injection_char, "marker_id": tokens.injection_token_id, "left_id": left, "right_id": right}


def _check_folders(sources: Sources, card: Card) -> None:
    """Compare the widths in both configurations with the side files, before any weights are read."""
    width = card.target.d_model
    folders = {sources.ar.name: sources.ar.folder}
    if not _is_adapter(sources.av.folder):
        folders[sources.av.name] = sources.av.folder
    wrong = [
        f"{name!r} is {found} wide"
        for name, folder in folders.items()
        if (found := read_config(folder).get_text_config().hidden_size) != width
    ]
    if wrong:
        raise CardError(f"the side files declare vectors of width {width}, and {' and '.join(wrong)}.")
    if not (sources.ar.folder / HEAD_FILE).is_file():
        raise ModelError(f"{sources.ar.name!r} has no {HEAD_FILE}; a reconstructor is nothing without its head.")
    if _is_adapter(sources.ar.folder):
        raise ModelError(f"{sources.ar.name!r} is an adapter; reconstructors are read as whole models: merge it first.")


def _check_suffix(reconstructor: Reconstructor, sources: Sources) -> None:
    """Compare the end of the finished reconstructor prompt with the tokens that the side files name."""
    tokens = [side.tokens for side in (sources.ar_side, sources.av_side) if side.tokens is not None]
    declared = next((part.critic_suffix_ids for part in tokens if part.critic_suffix_ids), None)
    for probe in PROBES if declared else ():
        ids = reconstructor.token_ids([probe])[0]
        if ids[-len(declared or ()) :] != declared:
            raise CardError(
                f"the side file says that the reconstructor's prompt ends with the tokens {declared}, and the tokenizer of "
                f"{sources.ar.name!r} ends it with {ids[-len(declared or ()) :]}; it is not the tokenizer of the pair."
            )


def _origin(half: Fetched, side: SideFile) -> dict[str, Any]:
    """Record where a half came from and what its side file says."""
    return {"name": half.name, "commit": half.commit, "side_file": side.model_dump(mode="json", exclude_none=True)}


def _dtype(folder: Path) -> str:
    """Return the number type of the target's activations: that of the verbalizer's weights, or bfloat16."""
    settings = _settings(folder / "config.json") if (folder / "config.json").is_file() else {}
    text = settings.get("text_config", {})
    names = [table.get(key) for table in (settings, text) for key in ("dtype", "torch_dtype")]
    return next((name for name in names if name in DTYPES), "bfloat16")


def _is_adapter(folder: Path) -> bool:
    return (folder / ADAPTER_CONFIG).is_file()


def _tokenizer_folder(folder: Path, base: str | Path | None) -> str | Path:
    """Return where the verbalizer's tokenizer is: beside its weights, or with the base of an adapter."""
    if (folder / "tokenizer.json").is_file() or not _is_adapter(folder):
        return folder
    return base or str(_settings(folder / ADAPTER_CONFIG)["base_model_name_or_path"])


def _settings(path: Path) -> dict[str, Any]:
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read: {error}") from error
    if not isinstance(settings, dict):
        raise ModelError(f"{path} holds {type(settings).__name__}, a mapping was expected.")
    return settings
