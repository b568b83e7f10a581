"""Injection: a vector takes the place of the marker's embedding.

One forward hook on the model's own input embedding overwrites the marker rows, so it works wherever
the embedding is called: training, generation with a cache, gradient checkpointing, adapters, wrappers.
The hook refuses whatever it cannot prove to be the marker.

Axes: B rows of a batch, T tokens, D width of the residual stream.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from nlakit.errors import CardError, InputError, InternalError
from nlakit.models.target import find_parts
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


@contextmanager
def inject(
    model: Any, vectors_BD: Tensor, marker: Marker, scale: float, position: int | None = None
) -> Iterator[Injection]:
    """Overwrite the marker's embedding with each row's vector, at norm ``scale``, inside the block.

    ``position`` is the marker's index in the tokens of the forward pass (without the tokens that are
    already in a cache). With it the marker must stand exactly there in every row, between its
    neighbours, and later tokens are free to repeat it, as sampled text may; without it the marker
    must stand exactly once in every row. Forward passes too short to hold the marker with its
    neighbours (decode steps) and, without ``position``, those without any marker are left alone.

    Raises ``InputError`` for vectors of the wrong shape or not finite, ``InternalError`` when the
    tokens are not as declared or nothing was injected by the end of the block.
    """
    embedding: nn.Module = model.get_input_embeddings()
    width = embedding_width(model)
    if vectors_BD.ndim != 2 or vectors_BD.shape[1] != width:
        raise InputError(
            f"vectors of shape {tuple(vectors_BD.shape)} cannot be injected; rows of width {width} were expected."
        )
    if not bool(torch.isfinite(vectors_BD).all()):
        raise InputError("vectors with NaN or infinite values cannot be injected.")
    rows_BD = scaled(vectors_BD, scale)
    record = Injection()

    def overwrite(_module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor | None:
        tokens_BT: Tensor = inputs[0]
        columns_B = find_marker(tokens_BT, marker, position)
        if columns_B is None:
            return None
        if len(tokens_BT) != len(rows_BD):
            raise InternalError(f"{len(rows_BD)} vectors for a forward pass of {len(tokens_BT)} rows.")
        written = output.clone()
        rows_B = torch.arange(len(tokens_BT), device=output.device)
        written[rows_B, columns_B] = rows_BD.to(output.device, output.dtype)
        record.applied += 1
        return written

    hook = embedding.register_forward_hook(overwrite)
    try:
        yield record
    finally:
        hook.remove()
    if record.applied == 0:
        raise InternalError(
            "nothing was injected: no forward pass inside the block called the model's input embedding on the marker."
        )


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


@torch.no_grad()
def self_check(
    model: Any, prompt_ids: list[int], marker: Marker, scale: float, position: int, *, seed: int = 0
) -> None:
    """Prove that injection works in this model: the row arrives at block 0 at norm ``scale``, and it matters.

    Two random vectors of different norms and a row of zeros go in. At block 0 each must differ from
    the zero row by exactly the vector at norm ``scale`` (differences, because some families add
    position embeddings first), and the logits after the prompt must differ. Raises ``CardError``.
    """
    parts = find_parts(model)
    weight: Tensor = model.get_input_embeddings().weight
    generator = torch.Generator().manual_seed(seed)
    vectors_BD = torch.randn((3, weight.shape[-1]), generator=generator) * torch.tensor([[0.5], [3.0], [0.0]])
    vectors_BD = vectors_BD.to(weight.device)
    seen: list[Tensor] = []

    def keep(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        seen.append(args[0] if args else kwargs["hidden_states"])

    tokens_BT = torch.tensor([prompt_ids] * 3, device=weight.device)
    hook = parts.blocks[0].register_forward_pre_hook(keep, with_kwargs=True)
    try:
        with inject(model, vectors_BD, marker, scale, position):
            logits_BV = model(input_ids=tokens_BT, logits_to_keep=1, use_cache=False).logits[:, -1].float()
    except InternalError as error:
        raise CardError(f"injection does not work in this {type(model).__name__}: {error}") from error
    finally:
        hook.remove()
    arrived_BD = seen[0][:2, position].float() - seen[0][2, position].float()
    expected_BD = scaled(vectors_BD[:2], scale)
    tolerance = 0.02 if weight.dtype == torch.bfloat16 else 1e-3
    worst = float((arrived_BD - expected_BD).norm(dim=-1).max()) / scale
    if not worst < tolerance:
        norms = [round(float(norm), 4) for norm in arrived_BD.norm(dim=-1)]
        raise CardError(
            f"the injected vectors reach block 0 of {type(model).__name__} with norms {norms} and off by {worst:.1%}, where "
            f"the card declares {scale:g}; does this model scale or normalise its embeddings?"
        )
    if bool(torch.equal(logits_BV[0], logits_BV[1])) or not bool(torch.isfinite(logits_BV).all()):
        raise CardError(
            f"changing the injected vector does not change the logits of {type(model).__name__}; it is not used."
        )
