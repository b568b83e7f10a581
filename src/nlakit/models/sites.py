"""Sites: the places of a target where a vector is read, and can be written.

Layer K means the output of block K, counted from 0. That equals ``hidden_states[K+1]`` of Hugging
Face, except at the last block, where ``hidden_states`` holds the state after the final norm; a hook
on the block gives the raw state everywhere.

Axes: B texts of a batch, T tokens, D width of the residual stream, L layers, N places (a text and a position).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from nlakit.errors import ConfigError, InputError, InternalError, ModelError
from nlakit.models.adapters import switch
from nlakit.models.decoder import block_output, replaced, with_states
from nlakit.models.target import Target

_PATTERN = re.compile(r"(?P<kind>resid)\.(?P<layer>\d{1,4})")


class _Stop(Exception):  # noqa: N818 - a signal between a hook and its caller, not an error
    """Ends a forward pass once the wanted block has run."""


@dataclass(frozen=True, slots=True)
class Site:
    """A place in the target, written ``resid.K``: the residual stream after block K."""

    kind: str
    layer: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a site from its written form; raises ``ConfigError`` for anything but ``resid.K``."""
        match = _PATTERN.fullmatch(text)
        if match is None:
            raise ConfigError(
                f"site {text!r} is not understood; write 'resid.K' for the output of block K, such as 'resid.3'."
            )
        return cls(match["kind"], int(match["layer"]))

    def __str__(self) -> str:
        return f"{self.kind}.{self.layer}"

    def check(self, target: Target) -> None:
        """Raise ``ModelError`` when the target has no such block."""
        if not 0 <= self.layer < target.n_layers:
            raise ModelError(
                f"site {str(self)!r} asks for block {self.layer}, and {target.name!r} has blocks 0 to {target.n_layers - 1}."
            )

    def width(self, target: Target) -> int:
        """The number of components D of a vector read here."""
        self.check(target)
        return target.d_model

    @torch.no_grad()
    def read(self, target: Target, tokens_BT: Tensor, mask_BT: Tensor | None = None) -> Tensor:
        """Return the raw output of block K as ``vectors_BTD``, in the target's dtype.

        The forward pass ends after block K: later blocks and the output layer never run. Padding
        may be on either side; vectors at padding are meaningless. Raises ``InputError`` when there
        are more tokens than the target's window holds.
        """
        self.check(target)
        _require_window(target, tokens_BT)
        seen: list[Tensor] = []

        def keep(_module: object, _inputs: object, output: Any) -> None:
            seen.append(block_output(output))
            raise _Stop

        switch(target.model, None)
        hook = target.blocks[self.layer].register_forward_hook(keep)
        try:
            target.parts.decoder(**decoder_inputs(tokens_BT, mask_BT, target.takes_positions), use_cache=False)
        except _Stop:
            return seen[0]
        finally:
            hook.remove()
        raise InternalError(f"block {self.layer} of {target.name!r} never ran.")

    @contextmanager
    def watch(self, target: Target) -> Iterator[list[Tensor]]:
        """Look on while the target runs: inside, each forward pass adds the raw output of block K, ``vectors_BTD``, to the list."""
        self.check(target)
        seen: list[Tensor] = []
        switch(target.model, None)
        hook = target.blocks[self.layer].register_forward_hook(
            lambda _module, _inputs, output: seen.append(block_output(output))
        )
        try:
            yield seen
        finally:
            hook.remove()

    @contextmanager
    def write(self, target: Target, vectors_BD: Tensor, positions_B: Tensor) -> Iterator[None]:
        """Let the target go on from other vectors: inside, text b of each forward pass has ``vectors_BD[b]`` at its position.

        The vectors replace the raw output of block K as they are; no norm is set. Raises ``InputError`` for vectors of
        another width or number than the texts, and ``ModelError`` where the target has no such block.
        """
        self.check(target)
        if vectors_BD.ndim != 2 or vectors_BD.shape[1] != target.d_model or len(positions_B) != len(vectors_BD):
            raise InputError(
                f"vectors of shape {tuple(vectors_BD.shape)} at {len(positions_B)} positions cannot be written; a row of width "
                f"{target.d_model} was expected for each position."
            )

        def put(_module: object, _inputs: object, output: Any) -> Any:
            states_BTD = block_output(output)
            if len(states_BTD) != len(vectors_BD):
                raise InputError(f"{len(vectors_BD)} vectors came for a forward pass of {len(states_BTD)} texts.")
            return with_states(output, replaced(states_BTD, positions_B, vectors_BD))

        switch(target.model, None)
        hook = target.blocks[self.layer].register_forward_hook(put)
        try:
            yield
        finally:
            hook.remove()


@torch.no_grad()
def next_logits(target: Target, tokens_BT: Tensor, first: int = 0) -> Tensor:
    """Return the target's logits ``(B, T - first, V)`` of what follows each position from ``first`` on, with all adapters off.

    ``tokens_BT`` may be padded on the right. The output layer runs at these positions alone: for a whole text it takes more
    memory than the rest of a large model.
    """
    _require_window(target, tokens_BT)
    switch(target.model, None)
    inputs = decoder_inputs(tokens_BT, None, target.takes_positions)
    logits_BTV: Tensor = target.model(**inputs, use_cache=False, logits_to_keep=tokens_BT.shape[1] - first).logits
    return logits_BTV[:, first - tokens_BT.shape[1] :]


@torch.no_grad()
def read_blocks(
    target: Target, layers: Sequence[int], tokens_BT: Tensor, texts_N: Sequence[int], positions_N: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """Read several blocks in one forward pass, at chosen places alone: ``(vectors_LND, next_N)``.

    Place n is position ``positions_N[n]`` of text ``texts_N[n]``; ``tokens_BT`` may be padded on the right.
    ``vectors_LND`` are the raw outputs of the blocks in float32, what :meth:`Site.read` gives; ``next_N`` are the ids of the
    tokens that the target itself finds likeliest to come next. Raises ``ModelError`` for a block that the target lacks and
    ``InputError`` when there are more tokens than its window holds.
    """
    for layer in layers:
        Site("resid", layer).check(target)
    _require_window(target, tokens_BT)
    texts, positions = list(texts_N), list(positions_N)
    seen: dict[int, Tensor] = {}
    switch(target.model, None)
    with ExitStack() as hooks:
        for layer in layers:

            def keep(_module: object, _inputs: object, output: Any, layer: int = layer) -> None:
                seen[layer] = block_output(output)[texts, positions].float().cpu()

            hooks.callback(target.blocks[layer].register_forward_hook(keep).remove)
        state_BTD = target.parts.decoder(**decoder_inputs(tokens_BT, None), use_cache=False).last_hidden_state
    # Caps and scales that some families put on their logits keep the order, so the output layer alone tells the first.
    logits_NV = target.model.get_output_embeddings()(state_BTD[texts, positions])
    return torch.stack([seen[layer] for layer in layers]), logits_NV.argmax(dim=-1).cpu()


def default_layer(n_layers: int) -> int:
    """The block K at two-thirds depth (paper, method): blocks 0..K are two thirds of all blocks."""
    return min(max(round(2 * n_layers / 3) - 1, 0), n_layers - 1)


def default_site(target: Target) -> Site:
    """The site at the output of :func:`default_layer`."""
    return Site("resid", default_layer(target.n_layers))


def resolve_site(target: Target, text: str) -> Site:
    """Parse a site, with the empty string meaning :func:`default_site`, and check it against the target."""
    site = Site.parse(text) if text else default_site(target)
    site.check(target)
    return site


def _require_window(target: Target, tokens_BT: Tensor) -> None:
    if tokens_BT.shape[1] > target.max_positions:
        raise InputError(
            f"a text of {tokens_BT.shape[1]} tokens does not fit the window of {target.name!r} ({target.max_positions})."
        )


def decoder_inputs(tokens_BT: Tensor, mask_BT: Tensor | None, takes_positions: bool = True) -> dict[str, Tensor]:
    """Build the inputs of a causal decoder so that padding changes nothing for the real tokens.

    Under right padding no real token can see a pad token, so no mask is passed and attention takes
    its fast causal path; the padding is filled with each row's first token, because some models warn
    of pad tokens without a mask. Under left padding the mask is passed and positions count real tokens.
    """
    if mask_BT is None:
        return {"input_ids": tokens_BT}
    if bool(mask_BT[:, 0].all()):
        return {"input_ids": torch.where(mask_BT.bool(), tokens_BT, tokens_BT[:, :1])}
    inputs = {"input_ids": tokens_BT, "attention_mask": mask_BT.long()}
    if takes_positions:
        inputs["position_ids"] = (mask_BT.long().cumsum(dim=1) - 1).clamp_(min=0)
    return inputs
