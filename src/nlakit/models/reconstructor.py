"""The reconstructor: blocks 0..K of the target and a linear head, which turn an explanation back into a vector.

The explanation stands in a fixed raw prompt, never in a chat format; the state of the last token goes
through the head (paper, architecture). The final norm is replaced by the identity and the head starts
as the identity, so that training begins at the target's own residual stream.

Axes: B texts of a batch, N texts, T tokens, D width of the residual stream.
"""

from __future__ import annotations

import copy
import inspect
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel

from nlakit.config import AUTO, AdapterConfig
from nlakit.errors import InputError, ModelError
from nlakit.models.adapters import AdapterView, add_adapter, is_adapter, load_adapter, lora, truncated_view
from nlakit.models.compute import Compute, evaluating
from nlakit.models.decoder import block_output, find_parts
from nlakit.models.loading import DeviceMap, load_placed, load_tokenizer
from nlakit.models.sites import Site, decoder_inputs
from nlakit.models.target import Target
from nlakit.models.verbalizer import require_finite_weights, save_weights
from nlakit.prompts import Prompts, control_tokens, encode_many, escape
from nlakit.storage import atomic_write_bytes

HEAD_FILE = "value_head.safetensors"
ADAPTER = "ar"
"""Name of the reconstructor's adapter."""
BATCH_ROWS = 64
"""Texts in one pass; on a processor more of them fall out of its caches."""
BATCH_TOKENS = 16_384


class Reconstructor(nn.Module):
    """A truncated decoder (``backbone``) with its ``value_head``, tokenizer and prompt.

    The head is a float32 ``Linear`` without bias, from the backbone's width to that of the vectors.
    """

    def __init__(self, backbone: Any, tokenizer: Any, prompts: Prompts, value_head: nn.Linear | None = None) -> None:
        super().__init__()
        self.backbone = backbone
        self.tokenizer = tokenizer
        self.prompts = prompts
        self.compute = Compute()
        self._controls = control_tokens(tokenizer)
        config = backbone.config.get_text_config()
        width: int = config.hidden_size
        if value_head is None:
            value_head = _bare_linear(width, width).to(next(backbone.parameters()).device)
            nn.init.eye_(value_head.weight)
        self.value_head = value_head
        self.max_positions: int = getattr(config, "max_position_embeddings", None) or 2**20
        runs = backbone.runs if isinstance(backbone, AdapterView) else backbone
        self.takes_positions = "position_ids" in inspect.signature(runs.forward).parameters
        self.backbone.config.use_cache = False

    @classmethod
    def from_target(cls, target: Target, site: Site, prompts: Prompts, adapters: AdapterConfig | None = None) -> Self:
        """Start from a trainable copy of the target's blocks 0..K, or with ``adapters`` from an adapter on them.

        A copy is float32 whatever the target's dtype: small steps are lost in bfloat16.
        """
        site.check(target)
        blocks = site.layer + 1
        if adapters is not None:
            backbone = add_adapter(
                target.model, ADAPTER, lora(target, blocks, adapters), truncated_view(target, blocks)
            )
        else:
            backbone = truncated_copy(target, blocks).float().requires_grad_(True)
        return cls(backbone, target.tokenizer, prompts)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.value_head.weight.device

    @property
    def width(self) -> int:
        """Width D of the reconstructed vectors."""
        return self.value_head.out_features

    def forward(self, tokens_BT: Tensor, mask_BT: Tensor) -> Tensor:
        """Return ``vectors_BD`` in float32, read at the right-most real token; padding may be on either side."""
        with self.compute.running(self.backbone):
            out = self.backbone(**decoder_inputs(tokens_BT, mask_BT, self.takes_positions), use_cache=False)
        states_BTD = block_output(out.last_hidden_state)
        columns_T = torch.arange(mask_BT.shape[1], device=mask_BT.device)
        last_B = (mask_BT.long() * columns_T).argmax(dim=1)
        rows_B = torch.arange(len(tokens_BT), device=tokens_BT.device)
        vectors_BD: Tensor = self.value_head(states_BTD[rows_B, last_B].float())
        return vectors_BD

    def token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Tokenise explanations in the prompt, special tokens exactly once.

        A control token that an explanation spells is broken, as in what the verbalizer learns: only readable text may
        carry the vector. An empty text is allowed (a control). Raises ``InputError`` when one does not fit the window.
        """
        found = self._token_ids(texts)
        longest = max((len(ids) for ids in found), default=0)
        if longest > self.max_positions:
            raise InputError(
                f"an explanation makes {longest} tokens, and the reconstructor's window holds {self.max_positions}."
            )
        return found

    def fitting_ids(self, texts: Sequence[str]) -> list[list[int] | None]:
        """Tokenise explanations as :meth:`token_ids` does; None for one that the window does not hold.

        What a verbalizer writes can be longer here than it was when sampled: half a character becomes a whole one of three bytes.
        """
        return [ids if len(ids) <= self.max_positions else None for ids in self._token_ids(texts)]

    def _token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        readable = [escape(text, self._controls) for text in texts]
        return encode_many(self.tokenizer, [self.prompts.reconstructor_text(text) for text in readable])

    def pad(self, ids: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """Right-pad tokenised prompts; returns ``tokens_BT`` and the boolean ``mask_BT``."""
        longest = max(len(row) for row in ids)
        # What fills the padding is never looked at; the last token of a prompt is always a valid one.
        tokens_BT = torch.tensor([[*row, *[row[-1]] * (longest - len(row))] for row in ids], device=self.device)
        lengths_B = torch.tensor([len(row) for row in ids], device=self.device)
        mask_BT = torch.arange(longest, device=self.device) < lengths_B[:, None]
        return tokens_BT, mask_BT

    def reconstruct(self, texts: Sequence[str], batch_size: int = BATCH_ROWS) -> Tensor:
        """Turn explanations into ``vectors_ND`` (float32), without gradients.

        Texts are batched by length, at most ``batch_size`` of them and 16,384 tokens with padding, and
        come back in their order; the result equals ``forward`` on each alone. Raises ``InputError`` when one does not fit the
        window.
        """
        return self._rebuild(self.token_ids(texts), batch_size)

    def reconstruct_fitting(self, texts: Sequence[str], batch_size: int = BATCH_ROWS) -> tuple[Tensor, list[bool]]:
        """Turn the explanations that fit the window into ``vectors_ND`` (float32, zeros for others), and say which do."""
        ids = self.fitting_ids(texts)
        fits = [row is not None for row in ids]
        vectors_ND = torch.zeros((len(ids), self.width), device=self.device)
        if any(fits):
            vectors_ND[torch.tensor(fits, dtype=torch.bool)] = self._rebuild(
                [row for row in ids if row is not None], batch_size
            )
        return vectors_ND, fits

    @torch.no_grad()
    def _rebuild(self, ids: Sequence[Sequence[int]], batch_size: int) -> Tensor:
        """Turn tokenised prompts into vectors, batched by length."""
        vectors_ND = torch.empty((len(ids), self.width), device=self.device)
        order = sorted(range(len(ids)), key=lambda row: len(ids[row]), reverse=True)
        start = 0
        with evaluating(self):
            while start < len(order):
                rows = order[start : start + max(1, min(batch_size, BATCH_TOKENS // len(ids[order[start]])))]
                vectors_ND[rows] = self(*self.pad([ids[row] for row in rows]))
                start += len(rows)
        return vectors_ND

    def save(self, folder: Path, dtype: str | None = None) -> None:
        """Write backbone (in ``dtype``, if given), head (always float32) and tokenizer.

        The head is read back from the disk; raises ``ModelError`` when the head or the backbone holds
        values that are not finite.
        """
        require_finite_weights(self, folder)
        if isinstance(self.backbone, AdapterView):
            self.backbone.save(folder)
        else:
            save_weights(self.backbone, folder, dtype)
        self.tokenizer.save_pretrained(folder)
        save_head(self.value_head, folder)

    @classmethod
    def load(
        cls,
        folder: Path,
        prompts: Prompts,
        *,
        device: str = AUTO,
        device_map: DeviceMap = None,
        base: Target | None = None,
        site: Site | None = None,
    ) -> Self:
        """Load a reconstructor; raises ``ModelError`` when a file is missing or damaged, or values are not finite.

        An adapter is put on the blocks of ``base`` up to ``site``, and needs both. ``device_map`` spreads a whole backbone
        over devices, as for a verbalizer. Of a wrapper around a text decoder, such as a model that also sees images, only
        the decoder is kept.
        """
        head = load_head(folder)
        options: dict[str, Any] = {}
        if base is not None and site is not None and is_adapter(folder):
            backbone = load_adapter(base.model, ADAPTER, folder, truncated_view(base, site.layer + 1))
            last_block = base.blocks[site.layer]
        else:
            options = {"config": read_config(folder)}
            whole = load_placed(AutoModel, folder, device, device_map, without_norm=True, **options)
            parts = find_parts(whole)
            setattr(parts.decoder, parts.norm_name, nn.Identity())
            backbone, last_block = parts.decoder, parts.blocks[-1]
        if head.in_features != backbone.config.get_text_config().hidden_size:
            raise ModelError(
                f"the head in {folder} takes states of width {head.in_features}, and its backbone gives "
                f"{backbone.config.get_text_config().hidden_size}."
            )
        found = cls(backbone, load_tokenizer(folder, **options), prompts, head)
        require_finite_weights(found, folder)
        head.to(next(last_block.parameters()).device)  # of a spread backbone, where its states come out
        return found.eval()


def read_config(folder: Path) -> Any:
    """Read the configuration of a model that may be truncated; raises ``ModelError`` when it is missing or damaged.

    Some writers lower ``num_hidden_layers`` alone, which transformers refuses; the list of layer types is cut to fit.
    """
    path = folder / "config.json"
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
        nested = settings.get("text_config")
        text = nested if isinstance(nested, dict) else settings
        kinds, depth = text.get("layer_types"), text.get("num_hidden_layers")
        if isinstance(kinds, list) and isinstance(depth, int):
            text["layer_types"] = kinds[:depth]
        return AutoConfig.for_model(settings.pop("model_type"), **settings)
    except Exception as error:  # transformers raises whatever the file at fault makes it raise
        raise ModelError(f"{path} cannot be used: {type(error).__name__}: {' '.join(str(error).split())}") from error


def _bare_linear(width_in: int, width_out: int) -> nn.Linear:
    """Make a float32 linear layer without drawing its start from the global random generator."""
    layer: nn.Linear = nn.utils.skip_init(nn.Linear, width_in, width_out, bias=False, dtype=torch.float32)
    return layer


def save_head(head: nn.Linear, folder: Path) -> None:
    """Write ``value_head.safetensors`` and read it back; raises ``ModelError`` when that is not what was written."""
    weight_DD = head.weight.detach().float().cpu().contiguous()
    atomic_write_bytes(folder / HEAD_FILE, save_tensors({"weight": weight_DD}))
    if not torch.equal(load_head(folder).weight, weight_DD):
        raise ModelError(f"the head read back from {folder / HEAD_FILE} is not the one written; is the disk failing?")


def load_head(folder: Path) -> nn.Linear:
    """Read ``value_head.safetensors``; raises ``ModelError`` when it is missing, damaged or not finite."""
    path = folder / HEAD_FILE
    try:
        weight = load_tensors(path.read_bytes())["weight"].float()
    except (OSError, SafetensorError, KeyError) as error:
        raise ModelError(f"the reconstructor's head {path} cannot be read: {type(error).__name__}: {error}") from error
    if weight.ndim != 2 or not bool(torch.isfinite(weight).all()):
        raise ModelError(f"the head in {path} has shape {tuple(weight.shape)} or values that are not finite.")
    head = _bare_linear(weight.shape[1], weight.shape[0])
    with torch.no_grad():
        head.weight.copy_(weight)
    return head


def truncated_copy(target: Target, n_blocks: int) -> Any:
    """Copy a target's decoder with its first blocks only and without its final norm."""
    return copy.deepcopy(truncated_view(target, n_blocks))
