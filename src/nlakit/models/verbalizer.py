"""The verbalizer: a language model that reads one vector and writes an explanation of it.

It sees a fixed prompt in which the vector takes the place of the marker's embedding, and nothing
else: no text, no question (paper, architecture).

Axes: N vectors, T completion tokens (right-padded), D width, M real completion tokens of a batch.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoModelForCausalLM

from nlakit.card import REPLACE
from nlakit.config import AUTO, AdapterConfig
from nlakit.errors import CardError, InputError, InternalError, ModelError
from nlakit.explanations import Explanation, parse_explanation, wrap_explanation
from nlakit.models.adapters import AdapterView, add_adapter, is_adapter, load_adapter, lora
from nlakit.models.cache import can_share, prefix_cache, widened
from nlakit.models.compute import Compute, evaluating
from nlakit.models.decoder import window
from nlakit.models.inject import Arrival, block_of, embedding_width, inject, measure_injection, self_check
from nlakit.models.loading import DeviceMap, load_placed, load_tokenizer, quiet_transformers
from nlakit.models.target import Target
from nlakit.prompts import Prompts, control_tokens, encode_once, escape, locate_marker

ADAPTER, REFERENCE = "av", "av-reference"
"""Names of the verbalizer's adapter, and of the copy that it is held to."""


class Verbalizer:
    """A causal language model, its tokenizer and its finished prompt.

    Attributes: ``model``, ``tokenizer``, ``prompts``, ``injection_scale`` and ``injection_kind`` (the norm
    a vector is set to and where it goes in, as on the card), ``max_new_tokens``, ``prompt_ids``,
    ``marker_position`` (index into ``prompt_ids``), ``shared_ids`` and ``own_ids`` (the prompt cut before
    the marker's left neighbour: what all rows share, and what each row runs for itself; nothing is shared by a
    model whose caches cannot be), ``own_position`` (of the marker in ``own_ids``), ``end_id``, ``stop_ids``,
    ``close_ids``, ``controls`` (spellings that text may not hold).

    Raises ``CardError`` when the tokenizer makes other marker tokens than ``prompts`` declares,
    ``ModelError`` when the tokenizer has no end-of-sequence token, and ``InputError`` when prompt and
    ``max_new_tokens`` do not fit the model's window.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        prompts: Prompts,
        *,
        injection_scale: float,
        max_new_tokens: int,
        injection: str = REPLACE,
    ) -> None:
        if tokenizer.eos_token_id is None:
            raise ModelError("the tokenizer has no end-of-sequence token, so an explanation could never end.")
        if model.get_output_embeddings() is None:
            raise ModelError(f"{type(model).__name__} has no output layer and cannot write text.")
        self.model = model
        self.tokenizer = tokenizer
        self.prompts = prompts
        self.injection_scale = injection_scale
        self.injection_kind = injection
        self.max_new_tokens = max_new_tokens
        self.compute = Compute()
        marker, self.marker_position = locate_marker(tokenizer, prompts.verbalizer, prompts.marker)
        if marker != prompts.marker_token:
            raise CardError(
                f"the prompts declare {prompts.marker_token}, and this tokenizer makes {marker} of the marker."
            )
        self.prompt_ids: list[int] = list(encode_once(tokenizer, prompts.verbalizer_text(tokenizer))["input_ids"])
        self.require_room(max_new_tokens)
        cut = self.marker_position - 1 if can_share(model) else 0
        self.own_position = self.marker_position - cut
        self.shared_ids, self.own_ids = self.prompt_ids[:cut], self.prompt_ids[cut:]
        self.end_id: int = tokenizer.eos_token_id
        self.close_ids = _closing_ids(tokenizer, prompts)
        self.controls = control_tokens(tokenizer, prompts.open_tag, prompts.close_tag)
        self.stop_ids = sorted({self.end_id, *configured_ends(model)})

    @classmethod
    def from_target(
        cls,
        target: Target,
        prompts: Prompts,
        *,
        injection_scale: float,
        max_new_tokens: int,
        adapters: AdapterConfig | None = None,
    ) -> Self:
        """Start from a trainable copy of the target's weights, or with ``adapters`` from an adapter on them.

        A copy is float32 whatever the target's dtype: small steps are lost in bfloat16.
        """
        if adapters is not None:
            model = add_adapter(target.model, ADAPTER, lora(target, target.n_layers, adapters))
        else:
            model = copy.deepcopy(target.model).float().requires_grad_(True)
        return cls(model, target.tokenizer, prompts, injection_scale=injection_scale, max_new_tokens=max_new_tokens)

    @classmethod
    def load(
        cls,
        folder: Path,
        prompts: Prompts,
        *,
        injection_scale: float,
        max_new_tokens: int,
        injection: str = REPLACE,
        device: str = AUTO,
        device_map: DeviceMap = None,
        base: Target | None = None,
        adapter: str = ADAPTER,
    ) -> Self:
        """Load weights and tokenizer from a folder; raises ``ModelError`` when damaged.

        Whole models are float32 on the CPU; ``device_map`` spreads them over devices, as transformers does it, in the type
        they are stored in. An adapter is put on ``base``, which it cannot do without, under the name ``adapter``.
        """
        if base is not None and is_adapter(folder):
            model = load_adapter(base.model, adapter, folder).eval()
        else:
            model = load_placed(AutoModelForCausalLM, folder, device, device_map).eval()
        require_finite_weights(model, folder)
        return cls(
            model,
            load_tokenizer(folder),
            prompts,
            injection_scale=injection_scale,
            max_new_tokens=max_new_tokens,
            injection=injection,
        )

    def save(self, folder: Path, dtype: str | None = None) -> None:
        """Write weights (in ``dtype``, if given) and tokenizer the way Hugging Face models lie on disk."""
        if isinstance(self.model, AdapterView):
            self.model.save(folder)
        else:
            save_weights(self.model, folder, dtype)
        self.tokenizer.save_pretrained(folder)

    def frozen_copy(self) -> Verbalizer:
        """Return an independent copy without gradients, such as the reference of a KL penalty."""
        other = copy.copy(self)
        if isinstance(self.model, AdapterView):
            other.model = self.model.twin(REFERENCE)
        else:
            other.model = copy.deepcopy(self.model).requires_grad_(False)
        other.model.eval()
        return other

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.model.parameters()).device

    @property
    def room(self) -> int:
        """Tokens that a completion may have: what the model's window leaves beside the prompt."""
        return window(self.model) - len(self.prompt_ids)

    def fits(self, text: str) -> bool:
        """Whether the window holds an explanation, with its tags, beside the prompt."""
        return len(self.encode_explanation(text)) <= self.room

    def require_room(self, max_new_tokens: int) -> None:
        """Raise ``InputError`` when a completion of so many tokens does not fit the window beside the prompt."""
        if max_new_tokens > self.room:
            raise InputError(
                f"max_new_tokens is {max_new_tokens}, and the window of the verbalizer has room for {self.room} tokens after "
                f"its prompt of {len(self.prompt_ids)}; lower max_new_tokens."
            )

    @property
    def width(self) -> int:
        """Width D of the vectors that can be injected."""
        return embedding_width(self.model)

    @property
    def _block(self) -> int | None:
        return block_of(self.injection_kind)

    def injection(self, vectors_ND: Tensor, position: int | None) -> Any:
        """Open an ``inject`` block for this verbalizer's marker and scale."""
        return inject(
            self.model, vectors_ND, self.prompts.marker_token, self.injection_scale, position, block=self._block
        )

    def self_check(self) -> None:
        """Prove that injected vectors arrive and matter; raises ``CardError``."""
        marker, position, block = self.prompts.marker_token, self.marker_position, self._block
        with evaluating(self.model):
            self_check(self.model, self.prompt_ids, marker, self.injection_scale, position, block=block)

    def measure_injection(self) -> Arrival:
        """See what becomes of injected vectors, in numbers; raises ``InternalError`` where nothing is injected."""
        marker, position = self.prompts.marker_token, self.marker_position
        return measure_injection(self.model, self.prompt_ids, marker, self.injection_scale, position, block=self._block)

    def encode_explanation(self, text: str) -> list[int]:
        """Return the completion that a verbalizer is trained to write: tags, text and the end-of-sequence token.

        Spellings of special tokens and of the tags inside the text are broken up, so that quoted text
        cannot end the completion. Raises ``InputError`` for an empty text.
        """
        if not text.strip():
            raise InputError("an explanation to train on is empty.")
        wrapped = wrap_explanation(escape(text, self.controls), self.prompts.open_tag, self.prompts.close_tag)
        return [*self.tokenizer(wrapped, add_special_tokens=False)["input_ids"], self.end_id]

    def parse(self, completion: str | Sequence[int], *, stopped: bool | None = None) -> Explanation:
        """Read the explanation out of a completion, given as text or ids.

        ``stopped`` says whether the writer ended of its own accord; for ids it defaults to whether a
        stop token is there.
        """
        if not isinstance(completion, str):
            return self.parse_batch([completion], [stopped])[0]
        tags = (self.prompts.open_tag, self.prompts.close_tag)
        return parse_explanation(completion, *tags, stopped=True if stopped is None else stopped)

    def parse_batch(
        self, completions: Sequence[Sequence[int]], stopped: Sequence[bool | None] | None = None
    ) -> list[Explanation]:
        """Parse many completions given as ids, with one call of the tokenizer."""
        stops = set(self.stop_ids)
        cut = [next((i for i, token in enumerate(ids) if token in stops), len(ids)) for ids in completions]
        kept = [list(ids[:end]) for ids, end in zip(completions, cut, strict=True)]
        texts = self.tokenizer.batch_decode(kept, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        known = stopped if stopped is not None else [None] * len(texts)
        ended = [
            end < len(ids) if flag is None else flag for ids, end, flag in zip(completions, cut, known, strict=True)
        ]
        return [self.parse(text, stopped=flag) for text, flag in zip(texts, ended, strict=True)]

    def log_probs(self, vectors_ND: Tensor, completions: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """Score completions teacher-forced: log-probabilities in nats, ``(logp_NT, mask_NT)``.

        The distribution is the raw one at temperature 1, whatever the sampling was. Differentiable in
        the weights. Logits are computed only at real completion tokens, and the shared beginning of
        the prompt only once. Padding is 0 in ``logp_NT`` and False in ``mask_NT``.

        Raises ``InputError`` when the numbers of vectors and completions differ or one is empty.
        """
        if len(vectors_ND) != len(completions) or not all(len(ids) for ids in completions):
            raise InputError(
                f"{len(vectors_ND)} vectors and {len(completions)} completions, of lengths {[len(i) for i in completions[:8]]}; "
                "one completion with at least one token was expected for every vector."
            )
        logits_MV, completion_NT, mask_NT = self._completion_logits(vectors_ND, completions)
        logp_M = -functional.cross_entropy(logits_MV, completion_NT[mask_NT], reduction="none")
        return _placed(logp_M, mask_NT), mask_NT

    @torch.no_grad()
    def log_probs_and_rivals(
        self, vectors_ND: Tensor, completions: Sequence[Sequence[int]]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Score completions as :meth:`log_probs` does, and the likeliest other token at each place.

        Returns ``(logp_NT, rival_NT, mask_NT)``, without gradients.
        """
        logits_MV, completion_NT, mask_NT = self._completion_logits(vectors_ND, completions)
        logp_MV = logits_MV.log_softmax(dim=-1)
        chosen_M1 = completion_NT[mask_NT][:, None]
        logp_M = logp_MV.gather(1, chosen_M1)[:, 0]
        rival_M = logp_MV.scatter(1, chosen_M1, -torch.inf).amax(dim=-1)
        return _placed(logp_M, mask_NT), _placed(rival_M, mask_NT), mask_NT

    def _completion_logits(
        self, vectors_ND: Tensor, completions: Sequence[Sequence[int]]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Pad completions and return the logits of their real tokens, the tokens (N, T) and their mask (N, T)."""
        n, t = len(completions), max(len(ids) for ids in completions)
        if t > self.room:
            raise InputError(
                f"an explanation makes {t} tokens, and the window of the verbalizer has room for {self.room} beside its prompt."
            )
        completion_NT = torch.zeros((n, t), dtype=torch.long)
        mask_NT = torch.zeros((n, t), dtype=torch.bool)
        for row, ids in enumerate(completions):
            completion_NT[row, : len(ids)] = torch.tensor(ids)
            mask_NT[row, : len(ids)] = True
        completion_NT, mask_NT = completion_NT.to(self.device), mask_NT.to(self.device)
        return self._logits(vectors_ND.to(self.device), completion_NT, mask_NT), completion_NT, mask_NT

    def _logits(self, vectors_ND: Tensor, completion_NT: Tensor, mask_NT: Tensor) -> Tensor:
        """Run the model and return float32 logits for the real completion tokens, row by row."""
        n, t = completion_NT.shape
        # Blocks that are computed again cannot write to a cache, so every row carries the whole prompt there.
        share = bool(self.shared_ids) and not (self.compute.recompute and torch.is_grad_enabled())
        prompt_ids, position = (self.own_ids, self.own_position) if share else (self.prompt_ids, self.marker_position)
        prompt_NT = torch.tensor(prompt_ids, device=self.device).expand(n, -1)
        # What fills the padding is never looked at under causal attention; a prompt token is always valid.
        filled_NT = torch.where(mask_NT, completion_NT, prompt_ids[-1])
        tokens_NT = torch.cat([prompt_NT, filled_NT], dim=1)
        with self.compute.running(self.model):
            cache = widened(prefix_cache(self.model, self.shared_ids), n) if share else None
            with self.injection(vectors_ND, position), _only_where(self.model, mask_NT):
                out = self.model(input_ids=tokens_NT, past_key_values=cache, use_cache=share, logits_to_keep=t + 1)
        logits_MV: Tensor = out.logits[0].float()
        return logits_MV


def _placed(values_M: Tensor, mask_NT: Tensor) -> Tensor:
    """Put values of real tokens, row by row, to their places; padding is 0."""
    return torch.zeros(mask_NT.shape, device=mask_NT.device).masked_scatter(mask_NT, values_M)


@contextmanager
def _only_where(model: Any, mask_NT: Tensor) -> Iterator[None]:
    """Let the output layer see only the states that predict the real tokens of right-aligned columns."""
    ran: list[bool] = []

    def pick(_module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        ran.append(True)
        states_NTD = inputs[0][:, -(mask_NT.shape[1] + 1) : -1]
        return (states_NTD[mask_NT][None], *inputs[1:])

    hook = model.get_output_embeddings().register_forward_pre_hook(pick)
    try:
        yield
    finally:
        hook.remove()
    if not ran:
        raise InternalError(f"{type(model).__name__} never called its output layer.")


def _closing_ids(tokenizer: Any, prompts: Prompts) -> list[int]:
    """The closing tag's tokens as they come out behind a text (some tokenizers put a space token before a lone tag)."""
    text = wrap_explanation("text", prompts.open_tag, prompts.close_tag)
    start = len(text) - len(prompts.close_tag)
    batch = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    spans = zip(batch["input_ids"], batch["offset_mapping"], strict=True)
    return [token for token, (first, _) in spans if first >= start]


def configured_ends(model: Any) -> list[int]:
    """The end-of-sequence ids of the model's generation settings (chat models often have two)."""
    settings = getattr(model, "generation_config", None)
    ends = getattr(settings, "eos_token_id", None)
    return [] if ends is None else [ends] if isinstance(ends, int) else list(ends)


def save_weights(model: Any, folder: Path, dtype: str | None) -> None:
    """Save a transformers model as safetensors, cast to ``dtype`` on the way when one is given."""
    if dtype not in (None, "float32", "bfloat16"):
        raise InputError(f"weights cannot be stored as {dtype!r}; use float32 or bfloat16.")
    stored = model if dtype is None else copy.deepcopy(model).to(getattr(torch, dtype))
    with quiet_transformers():
        stored.save_pretrained(folder)
    for file in folder.glob("*.safetensors"):
        file.chmod(0o644)  # written through a private temporary file; other users may read it like the rest


def require_finite_weights(model: nn.Module, folder: Path) -> None:
    """Raise ``ModelError`` naming the first weight that holds NaN or infinity."""
    for name, weight in model.named_parameters():
        if not bool(torch.isfinite(weight).all()):
            raise ModelError(f"the weights in {folder} are damaged: {name} holds NaN or infinite values.")
