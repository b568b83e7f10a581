"""Injection: a vector takes the place of the marker's embedding, or is added to a block's output there.

One forward hook on the model's own input embedding overwrites the marker rows, so it works wherever
the embedding is called: training, generation with a cache, gradient checkpointing, adapters, wrappers.
Pairs made elsewhere may instead add the vector to the output of an early block, at a multiple of the
norm that the state has there (``block``). The hooks refuse whatever they cannot prove to be the marker.

Axes: B rows of a batch, T tokens, D width of the residual stream.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from nlakit.card import REPLACE
from nlakit.errors import CardError, InputError, InternalError
from nlakit.models.decoder import block_output, find_parts, replaced, with_states
from nlakit.prompts import Marker


@dataclass(slots=True)
class Injection:
    """The record of one ``inject`` block: how many forward passes were written to."""

    applied: int = 0


def embedding_width(model: Any) -> int:
    """Width D of a model's input embedding, and so of the vectors that can be injected."""
    return int(model.get_input_embeddings().weight.shape[-1])


def scaled(vectors_ND: Tensor, scale: float) -> Tensor:
    """Set the norm of each row to ``scale`` (paper, injection scale), in float32.

    A row of zeros stays zero: it is the control in which the verbalizer gets no vector at all.
    """
    vectors_ND = vectors_ND.float()
    # By the largest value first: squares of very large or very small numbers leave float32.
    vectors_ND = vectors_ND / vectors_ND.abs().amax(dim=-1, keepdim=True).clamp_min(torch.finfo(torch.float32).tiny)
    norms_N1 = vectors_ND.norm(dim=-1, keepdim=True)
    return torch.where(norms_N1 > 0, vectors_ND * (scale / norms_N1.clamp_min(1e-30)), 0.0)


def block_of(injection: str) -> int | None:
    """Return the block that a card's ``injection`` names (``resid.K``), or ``None`` for replacing the embedding."""
    return None if injection == REPLACE else int(injection.removeprefix("resid."))


@contextmanager
def inject(
    model: Any,
    vectors_BD: Tensor,
    marker: Marker,
    scale: float,
    position: int | None = None,
    *,
    block: int | None = None,
) -> Iterator[Injection]:
    """Put each row's vector in at the marker inside the ``with`` block.

    Without ``block`` the vector, at norm ``scale``, overwrites the marker's embedding; with it the vector is added to
    the output of that block at the marker, at ``scale`` times the norm of the state that is there.

    ``position`` is the marker's index in the tokens of the forward pass (without the tokens that are
    already in a cache). With it the marker must stand exactly there in every row, between its
    neighbours, and later tokens are free to repeat it, as sampled text may; without it the marker
    must stand exactly once in every row. Forward passes too short to hold the marker with its
    neighbours (decode steps) and, without ``position``, those without any marker are left alone.

    Raises ``InputError`` for vectors of the wrong shape or not finite, ``CardError`` when the model has no
    such block, and ``InternalError`` when the tokens are not as declared or nothing was injected by the end.
    """
    embedding: nn.Module = model.get_input_embeddings()
    width = embedding_width(model)
    if vectors_BD.ndim != 2 or vectors_BD.shape[1] != width:
        raise InputError(
            f"vectors of shape {tuple(vectors_BD.shape)} cannot be injected; rows of width {width} were expected."
        )
    if not bool(torch.isfinite(vectors_BD).all()):
        raise InputError("vectors with NaN or infinite values cannot be injected.")
    record = Injection()
    columns_B: list[Tensor | None] = [None]  # of the forward pass under way, from the embedding to the block

    def find(tokens_BT: Tensor) -> Tensor | None:
        columns_B[0] = find_marker(tokens_BT, marker, position)
        if columns_B[0] is not None and len(tokens_BT) != len(vectors_BD):
            raise InternalError(f"{len(vectors_BD)} vectors for a forward pass of {len(tokens_BT)} rows.")
        return columns_B[0]

    def overwrite(_module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor | None:
        found_B = find(inputs[0])
        if block is not None or found_B is None:
            return None
        record.applied += 1
        return replaced(output, found_B, scaled(vectors_BD, scale))

    def add(_module: nn.Module, _inputs: tuple[Any, ...], output: Any) -> Any:
        if columns_B[0] is None:
            return None
        states_BTD = block_output(output)
        at_B = (torch.arange(len(states_BTD), device=states_BTD.device), columns_B[0].to(states_BTD.device))
        here_BD = states_BTD[at_B].float()
        added_BD = scaled(vectors_BD, scale).to(here_BD.device) * here_BD.norm(dim=-1, keepdim=True)
        record.applied += 1
        return with_states(output, replaced(states_BTD, columns_B[0], here_BD + added_BD))

    hooks = [embedding.register_forward_hook(overwrite)]
    if block is not None:
        hooks.append(_block(model, block).register_forward_hook(add))
    try:
        yield record
    finally:
        for hook in hooks:
            hook.remove()
    if record.applied == 0:
        raise InternalError(
            "nothing was injected: no forward pass inside the block called the model's input embedding on the marker."
        )


def _block(model: Any, block: int) -> nn.Module:
    """Return a block of a model; raises ``CardError`` when it has no such block."""
    blocks = find_parts(model).blocks
    if not 0 <= block < len(blocks):
        raise CardError(f"the card adds vectors at block {block}, and {type(model).__name__} has {len(blocks)} blocks.")
    return blocks[block]


def find_marker(tokens_BT: Tensor, marker: Marker, position: int | None) -> Tensor | None:
    """Return the marker's column in every row, or ``None`` for a forward pass that is to be left alone.

    Raises ``InternalError``, naming the first offending row, when the marker is missing, repeated, or
    has other neighbours than declared.
    """
    n_tokens = tokens_BT.shape[1]
    if position is not None:
        if n_tokens < position + 2:
            return None
        columns_B = torch.full((len(tokens_BT),), position, device=tokens_BT.device)
        right_B = tokens_BT[:, position] == marker.id
    else:
        hits_BT = tokens_BT == marker.id
        if n_tokens < 3 or not bool(hits_BT.any()):
            return None
        columns_B = hits_BT.int().argmax(dim=1)
        right_B = (hits_BT.sum(dim=1) == 1) & (columns_B > 0) & (columns_B < n_tokens - 1)
    left_B1, right_B1 = (columns_B[:, None] - 1).clamp_min(0), (columns_B[:, None] + 1).clamp_max(n_tokens - 1)
    right_B = right_B & (tokens_BT.gather(1, left_B1)[:, 0] == marker.left_id)
    right_B = right_B & (tokens_BT.gather(1, right_B1)[:, 0] == marker.right_id)
    if not bool(right_B.all()):
        row = int((~right_B).nonzero()[0, 0])
        where = "once" if position is None else f"at position {position}"
        raise InternalError(
            f"row {row} does not hold the marker {marker.id} {where} between {marker.left_id} and {marker.right_id}: "
            f"{tokens_BT[row, :64].tolist()}."
        )
    return columns_B


@dataclass(frozen=True, slots=True)
class Arrival:
    """What became of two injected vectors on their way into a model; axes: 2 vectors, D width, V vocabulary."""

    raw_2D: Tensor
    """The vectors as they were given, of different norms."""
    norm: float
    """The norm that they should have been set to."""
    written_2D: Tensor
    """What the injection put into the model."""
    arrived_2D: Tensor
    """What the next block reads; the same as ``written_2D`` where vectors are added to a block's output."""
    logits_2V: Tensor
    """Logits after the prompt, a row for each vector."""

    @property
    def off(self) -> float:
        """Largest distance of a vector that arrived from where it should be, as a share of the declared norm."""
        expected_2D = scaled(self.raw_2D, self.norm).to(self.arrived_2D.device)
        return float((self.arrived_2D - expected_2D).norm(dim=-1).max()) / self.norm

    @property
    def used(self) -> bool:
        """Whether the logits are finite and differ between the vectors."""
        different = not torch.equal(self.logits_2V[0], self.logits_2V[1])
        return different and bool(torch.isfinite(self.logits_2V).all())


@torch.no_grad()
def measure_injection(
    model: Any,
    prompt_ids: list[int],
    marker: Marker,
    scale: float,
    position: int,
    *,
    block: int | None = None,
    seed: int = 0,
) -> Arrival:
    """Inject two random vectors of different norms and a row of zeros, and see what reaches the blocks and the logits.

    Vectors are taken as differences from the zero row, because some families add position embeddings to what they embed.
    Raises ``InternalError`` where nothing is injected.
    """
    parts = find_parts(model)
    embedding = model.get_input_embeddings()
    weight: Tensor = embedding.weight
    generator = torch.Generator().manual_seed(seed)
    vectors_BD = torch.randn((3, weight.shape[-1]), generator=generator) * torch.tensor([[0.5], [3.0], [0.0]])
    vectors_BD = vectors_BD.to(weight.device)
    seen: dict[str, Tensor] = {}

    def keep_input(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        seen["arrived"] = args[0] if args else kwargs["hidden_states"]

    def keep_output(_module: nn.Module, _inputs: object, output: Any) -> None:
        seen["written"] = block_output(output)

    tokens_BT = torch.tensor([prompt_ids] * 3, device=weight.device)
    with inject(model, vectors_BD, marker, scale, position, block=block):
        # Registered after the injection, so that they see what the injection wrote.
        hooks = [(embedding if block is None else parts.blocks[block]).register_forward_hook(keep_output)]
        if block is None:
            hooks.append(parts.blocks[0].register_forward_pre_hook(keep_input, with_kwargs=True))
        try:
            logits_BV = model(input_ids=tokens_BT, logits_to_keep=1, use_cache=False).logits[:, -1].float()
        finally:
            for hook in hooks:
                hook.remove()
    rows = {name: states_BTD[:, position].float() for name, states_BTD in seen.items()}
    written_BD, arrived_BD = rows["written"], rows.get("arrived", rows["written"])
    return Arrival(
        raw_2D=vectors_BD[:2],
        norm=scale if block is None else scale * float(written_BD[2].norm()),
        written_2D=written_BD[:2] - written_BD[2],
        arrived_2D=arrived_BD[:2] - arrived_BD[2],
        logits_2V=logits_BV[:2],
    )


def tolerance(model: Any) -> float:
    """Share of its size by which a number of a model may differ between two ways of computing it."""
    return 0.02 if next(model.parameters()).dtype == torch.bfloat16 else 1e-3


def self_check(
    model: Any,
    prompt_ids: list[int],
    marker: Marker,
    scale: float,
    position: int,
    *,
    block: int | None = None,
    seed: int = 0,
) -> None:
    """Prove that injection works in this model: the vector arrives at the norm it is declared with, and it matters.

    Where the next block reads (block 0, or the one behind ``block``) each vector of :func:`measure_injection` must be
    there at its norm, and the logits after the prompt must differ. Raises ``CardError``.
    """
    try:
        found = measure_injection(model, prompt_ids, marker, scale, position, block=block, seed=seed)
    except InternalError as error:
        raise CardError(f"injection does not work in this {type(model).__name__}: {error}") from error
    if not found.off < tolerance(model):
        norms = [round(float(norm), 4) for norm in found.arrived_2D.norm(dim=-1)]
        where = "block 0" if block is None else f"the output of block {block}"
        raise CardError(
            f"the injected vectors reach {where} of {type(model).__name__} with norms {norms} and off by {found.off:.1%}, "
            f"where the card declares {found.norm:g}; does this model scale or normalise its embeddings?"
        )
    if not found.used:
        raise CardError(
            f"changing the injected vector does not change the logits of {type(model).__name__}; it is not used."
        )
