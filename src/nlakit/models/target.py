"""The target model: the frozen language model whose activations are read.

Nothing here knows model families by name. The blocks, the final norm and the embedding are found by
asking the model, and what was found is proven with numbers when the target is loaded.

Axes: B texts of a batch, T tokens, D width of the residual stream.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import torch
from jinja2 import TemplateError
from torch import Tensor, nn
from transformers import AutoModelForCausalLM

from nlakit import plugins
from nlakit.config import AUTO
from nlakit.errors import InputError, ModelError, nearest
from nlakit.models.decoder import block_output, find_parts, window
from nlakit.models.hub import fetch_model
from nlakit.models.loading import (
    DeviceMap,
    find_folder,
    load_placed,
    load_tokenizer,
    resolve_device,
    resolve_dtype,
)
from nlakit.prompts import control_tokens, encode_once, escape, render_chat

FINGERPRINT_SAMPLES = 16  # values read from every weight tensor
CHARACTERS_PER_TOKEN = 32
"""A text that may be cut is cut to this many characters for each token that may be read, before it is tokenised: no
tokenizer's tokens are that long on average, and a huge document then costs no more than a long one."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """One tokenised text: ids, character spans ``(start, end)`` into the text, and the tokens as text."""

    ids: list[int]
    offsets: list[tuple[int, int]]
    tokens: list[str]

    def __len__(self) -> int:
        return len(self.ids)


def model_fingerprint(model: nn.Module) -> str:
    """Hash the names and shapes of all weights, the sum of each one's bits and evenly spaced values.

    Values are compared in bfloat16, so that a checkpoint has one fingerprint however it is loaded. A copy
    that was fine-tuned, or in which a single neuron was edited, has another one.
    """
    digest = hashlib.sha256()
    for name, weight in model.named_parameters():
        bits = weight.detach().reshape(-1).to(torch.bfloat16).view(torch.int16)
        step = max(1, bits.numel() // FINGERPRINT_SAMPLES)
        values = bits[::step][:FINGERPRINT_SAMPLES].tolist()
        digest.update(json.dumps([name, list(weight.shape), int(bits.sum(dtype=torch.int64)), values]).encode())
    return digest.hexdigest()[:16]


class Target:
    """A frozen causal language model with its tokenizer.

    Attributes: ``model`` (in eval mode, without gradients), ``tokenizer``, ``blocks``, ``embedding``,
    ``final_norm``, ``d_model``, ``n_layers``, ``max_positions`` (tokens), ``name``, ``revision``,
    ``folder`` (``None`` for a model from the Hub) and ``fingerprint``.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        name: str = "in-process",
        *,
        revision: str | None = None,
        folder: Path | None = None,
    ) -> None:
        self.model = model.eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self.name = name
        self.revision = revision
        self.folder = folder
        self.parts = find_parts(model)
        config = self.parts.decoder.config.get_text_config()
        self.d_model: int = config.hidden_size
        self.n_layers: int = config.num_hidden_layers
        self.max_positions = window(model)
        self.takes_positions = "position_ids" in inspect.signature(self.parts.decoder.forward).parameters
        self.fingerprint = model_fingerprint(model)
        self.prove_blocks()

    @classmethod
    def load(
        cls,
        name_or_path: str | Path,
        revision: str | None = None,
        dtype: str = AUTO,
        device: str = AUTO,
        device_map: DeviceMap = None,
    ) -> Self:
        """Load a target by plugin name, folder, or Hugging Face id (with an optional revision; its commit is remembered).

        ``device`` and ``dtype`` are as :func:`~nlakit.models.loading.resolve_device` and
        :func:`~nlakit.models.loading.resolve_dtype` take them; ``device_map`` spreads the weights over several devices,
        instead of ``device``. Raises ``ModelError`` when the weights are incomplete, the blocks cannot be found and proven
        or the dtype is unknown, and ``ConfigError`` for a device that is not there.
        """
        resolve_dtype(dtype, resolve_device(device))  # a wrong name is told before anything is fetched
        folder = find_folder(name_or_path)
        source = folder
        if source is None:
            try:
                fetched = fetch_model(str(name_or_path), revision)
            except ModelError as error:
                raise ModelError(f"{error}{nearest(str(name_or_path), plugins.names(plugins.MODELS))}") from error
            source, revision = fetched.folder, fetched.commit
        tokenizer = load_tokenizer(source)
        model = load_placed(AutoModelForCausalLM, source, device, device_map, dtype)
        # A folder is known by its full path, so that a card that records it holds in any working directory.
        installed = str(name_or_path) in plugins.names(plugins.MODELS)
        name = str(name_or_path) if folder is None or installed else str(folder.resolve())
        return cls(model, tokenizer, name, revision=revision, folder=folder)

    @property
    def blocks(self) -> nn.ModuleList:
        """The transformer blocks; block K's output is the site ``resid.K``."""
        return self.parts.blocks

    @property
    def embedding(self) -> nn.Module:
        """The input embedding that the forward pass really uses."""
        return self.parts.embedding

    @property
    def final_norm(self) -> nn.Module:
        """The norm between the last block and the output layer."""
        return self.parts.final_norm

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.model.parameters()).device

    @property
    def dtype(self) -> str:
        """Number type of the weights, as :meth:`load` takes it."""
        return str(next(self.model.parameters()).dtype).removeprefix("torch.")

    def encode(self, text: str, *, literal: bool = False, max_tokens: int | None = None) -> Encoded:
        """Tokenise one text; the tokenizer's special tokens (BOS) are there exactly once.

        A text that already starts with BOS, such as a rendered chat, gets no second one. With
        ``literal`` the spellings of special tokens inside the text are ordinary characters.
        ``max_tokens`` keeps the beginning of a longer text.

        Raises ``InputError`` for a text that is empty, or longer than the target's window.
        """
        limit = self.max_positions if max_tokens is None else min(max_tokens, self.max_positions)
        if max_tokens is not None:
            text = text[: CHARACTERS_PER_TOKEN * limit]
        if not text:
            raise InputError("the text is empty; give at least one character.")
        batch = encode_once(self.tokenizer, text, literal=literal)
        ids, offsets = list(batch["input_ids"]), [tuple(span) for span in batch["offset_mapping"]]
        if len(ids) > limit and max_tokens is None:
            raise InputError(
                f"the text has {len(ids)} tokens and the window of {self.name!r} holds {limit}; "
                "cut the text (in Python, max_tokens keeps its beginning)."
            )
        if not ids:
            raise InputError(f"the tokenizer of {self.name!r} makes no token of the text {text[:40]!r}.")
        ids, offsets = ids[:limit], offsets[:limit]
        return Encoded(ids, offsets, self._token_texts(text, ids, offsets))

    def _token_texts(self, text: str, ids: list[int], offsets: Sequence[tuple[int, ...]]) -> list[str]:
        """Cut the text into the tokens' pieces; white space that offsets leave out goes to the token after it."""
        tokens, previous = [], 0
        for token_id, (start, end) in zip(ids, offsets, strict=True):
            if start == end:
                tokens.append(self.tokenizer.convert_ids_to_tokens(token_id))
                continue
            gap = text[previous:start]
            tokens.append(text[previous if gap.isspace() else start : end])
            previous = max(previous, end)
        return tokens

    def render(self, messages: Sequence[Mapping[str, str]], add_generation_prompt: bool = False, **options: Any) -> str:
        """Write messages (``role``, ``content``) as one text with the tokenizer's chat template.

        ``options`` are those of :func:`nlakit.prompts.render_chat`.
        Only the template writes control tokens: those that a message spells are broken (:meth:`escape`). Raises
        ``InputError`` when there is no message, one lacks its role or content, the tokenizer has no chat template, or
        the template refuses the messages.
        """
        if not messages:
            raise InputError("there are no messages to render.")
        if not self.tokenizer.chat_template:
            raise InputError(f"the tokenizer of {self.name!r} has no chat template; give plain text instead.")
        for message in messages:
            if not (isinstance(message.get("role"), str) and isinstance(message.get("content"), str)):
                raise InputError(
                    f"a message needs the texts 'role' and 'content'; this one has {dict(message)!r:.200}."
                )
        written = [{**message, "content": self.escape(message["content"])} for message in messages]
        try:
            return render_chat(self.tokenizer, written, add_generation_prompt, **options)
        except TemplateError as error:
            roles = ", ".join(message["role"] for message in messages)
            raise InputError(
                f"the chat template of {self.name!r} refuses these messages (roles: {roles}): {error}. Give the roles in the "
                "order that it takes."
            ) from error

    def escape(self, text: str) -> str:
        """Break every control token that a text spells, as :func:`nlakit.prompts.escape` does."""
        return escape(text, self._controls)

    @cached_property
    def _controls(self) -> re.Pattern[str] | None:
        return control_tokens(self.tokenizer)

    @torch.no_grad()
    def prove_blocks(self) -> None:
        """Check that a hook on block K sees ``hidden_states[K+1]``, and the raw state at the last block.

        Runs when the target is made; raises ``ModelError`` naming the blocks that fail.
        """
        seen: dict[int, Tensor] = {}
        hooks = [
            block.register_forward_hook(lambda _m, _i, out, k=k: seen.__setitem__(k, block_output(out)))
            for k, block in enumerate(self.blocks)
        ]
        vocabulary = self.model.get_input_embeddings().weight.shape[0]
        tokens_BT = torch.arange(4, device=self.device)[None] % vocabulary
        try:
            out = self.parts.decoder(
                input_ids=tokens_BT,
                attention_mask=torch.ones_like(tokens_BT),
                output_hidden_states=True,
                use_cache=False,
            )
        finally:
            for hook in hooks:
                hook.remove()
        states = out.hidden_states
        wrong = [k for k in range(self.n_layers - 1) if k not in seen or not torch.equal(seen[k], states[k + 1])]
        last = seen.get(self.n_layers - 1)
        if last is None or not torch.allclose(self.final_norm(last), states[-1], atol=1e-4, rtol=1e-3):
            wrong.append(self.n_layers - 1)
        if wrong:
            raise ModelError(
                f"{type(self.model).__name__}: the outputs of blocks {wrong} are not the hidden states the model reports; "
                "its residual stream cannot be read at its blocks."
            )
