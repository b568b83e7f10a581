"""The routes of the released NLA server: an existing web app or notebook can use this server unchanged.

Frames of streams are lines ``data: {json}``, closed by ``data: [DONE]``. ``explain`` sends {layer_index, total, prompt_length}
first, then partial texts {position, text, done} and one whole result for each position, told from a partial by having
``description``.

Axes: N vectors, D width of a vector.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any

import torch
from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response
from pydantic import BaseModel
from torch import Tensor

from nlakit.errors import InputError
from nlakit.models.pair import resolve_positions
from nlakit.models.readings import ScoredExplanation
from nlakit.models.sampler import Wish
from nlakit.serve.http import Client, Served, events
from nlakit.serve.prompted import Prompted
from nlakit.serve.service import Partial, Service, require_at_most
from nlakit.serve.static import PREFIX, wants_page
from nlakit.serve.wire import (
    CompareRequest,
    CompareResponse,
    CompletionRequest,
    CompletionResponse,
    Described,
    DescribeRequest,
    DescribeResponse,
    ExplainedToken,
    ExplainRequest,
    ExplainResponse,
    ExtractedToken,
    ExtractResponse,
    Input,
    ScoreRequest,
    ScoreResponse,
    TokenizeResponse,
)

SMALLEST_NORM, LARGEST_NORM = 1e-12, 1e12
"""Outside these, squares overflow or vanish in float32, and a vector has no direction."""

router = APIRouter()


@router.get("/", response_model=dict[str, Any])
def status(request: Request, service: Served) -> Any:
    """Say what is served, and what is taken at most; a browser is sent to the page."""
    if wants_page(request):
        return RedirectResponse(PREFIX.lstrip("/"), headers={"Vary": "Accept"})
    card, limits = service.pair.card, service.limits
    target = service.pair.target
    return {
        "status": "ok",
        "verbalizer_model": card.name,
        "d_model": card.target.d_model,
        "source_model": card.target.model if target is None else target.name,
        "extraction_layer": service.site.layer,
        "reconstructor_available": True,
        "completion_available": target is not None,
        "limits": {
            "max_input_chars": limits.max_input_chars,
            "max_positions_per_request": limits.max_positions_per_request,
            "max_new_tokens": limits.max_new_tokens,
            "max_describe_batch": limits.max_describe_batch,
            "max_description_chars": limits.max_description_chars,
            "max_completion_tokens": limits.max_completion_tokens,
        },
        "verbalizer_device": str(service.pair.verbalizer.device),
        "reconstructor_device": str(service.pair.reconstructor.value_head.weight.device),
        "source_device": None if target is None else str(target.device),
        "verbalizer_quantization": None,
        "source_quantization": None,
    }


@router.post("/tokenize")
async def tokenize(given: Input, service: Served) -> TokenizeResponse:
    """Tokenise a prompt, and say what each token belongs to."""
    found = await service.prompt(given)
    return TokenizeResponse(tokens=found.rows, prompt_length=len(found), text=found.text)


@router.post("/extract", response_model=ExtractResponse)
async def extract(given: Input, service: Served, client: Client) -> Response:
    """Return the raw vector of every token of a prompt."""
    found = await service.prompt(given)
    vectors_ND = await service.vectors(client, found.ids)

    def written() -> str:  # megabytes of numbers for a large target: not for the event loop
        tokens = [
            ExtractedToken(
                token=row.token,
                token_id=row.token_id,
                position=row.position,
                activation=vector_D.tolist(),
                l2_norm=float(vector_D.norm()),
            )
            for row, vector_D in zip(found.rows, vectors_ND, strict=True)
        ]
        return ExtractResponse(layer_index=service.site.layer, tokens=tokens).model_dump_json()

    return Response(await asyncio.to_thread(written), media_type="application/json")


@router.post("/explain", response_model=ExplainResponse)
async def explain(given: ExplainRequest, service: Served, client: Client) -> Any:
    """Read some tokens of a prompt, or all."""
    found = await service.prompt(given)
    positions = resolve_positions(given.positions, len(found))
    require_at_most(len(positions), service.limits.max_positions_per_request, "positions", "max_positions_per_request")
    positions = sorted(set(positions), reverse=given.reverse)
    vectors_ND = (await service.vectors(client, found.ids))[positions]
    wishes = _wishes(service, len(positions), given.temperature, given.max_new_tokens)
    written = await service.write(client, vectors_ND, wishes, partial=given.stream)

    async def frames() -> AsyncIterator[BaseModel | dict[str, Any]]:
        yield {"layer_index": service.site.layer, "total": len(positions), "prompt_length": len(found)}
        async for item in written:
            if isinstance(item, Partial):
                yield {"position": positions[item.row], "text": item.text, "done": False}
            else:
                yield _explained(found, positions[item.row], vectors_ND[item.row], item.explanation)

    if given.stream:
        return events(frames(), written)
    async with aclosing(written):
        results = {frame.position: frame async for frame in frames() if isinstance(frame, ExplainedToken)}
    return ExplainResponse(layer_index=service.site.layer, results=[results[position] for position in positions])


@router.post("/describe", response_model=DescribeResponse)
async def describe(given: DescribeRequest, service: Served, client: Client) -> Any:
    """Put raw vectors into words."""
    require_at_most(len(given.activations), service.limits.max_describe_batch, "vectors", "max_describe_batch")
    vectors_ND = _vectors(service, given.activations)
    wishes = _wishes(service, len(vectors_ND), given.temperature, given.max_new_tokens)
    written = await service.write(client, vectors_ND, wishes, partial=given.stream)

    async def frames() -> AsyncIterator[dict[str, Any]]:
        async for item in written:
            if isinstance(item, Partial):
                yield {"index": item.row, "text": item.text, "done": False}
            else:
                yield {"index": item.row, **_described(item.explanation).model_dump()}

    if given.stream:
        return events(frames(), written)
    async with aclosing(written):
        results = {frame.pop("index"): frame async for frame in frames()}
    return DescribeResponse(results=[Described(**results[row]) for row in range(len(results))])


@router.post("/score")
async def score(given: ScoreRequest, service: Served, client: Client) -> ScoreResponse:
    """Say how well a text rebuilds a vector."""
    found = await service.score(client, given.description, _vectors(service, [given.activation])[0])
    return ScoreResponse(mse=found.error, cosine_similarity=found.cosine)


@router.post("/compare")
async def compare(given: CompareRequest, service: Served, client: Client) -> CompareResponse:
    """Put the difference of two vectors into words."""
    first_D, second_D = _vectors(service, [given.activation_a, given.activation_b])
    difference_D = first_D - second_D
    if not bool(difference_D.any()):
        raise InputError("activation_a and activation_b are equal; their difference has no direction to describe.")
    wishes = _wishes(service, 1, given.temperature, given.max_new_tokens)
    async with aclosing(await service.write(client, difference_D[None], wishes)) as items:
        explanations = [item.explanation async for item in items if not isinstance(item, Partial)]
    return CompareResponse(diff_norm=float(difference_D.norm()), **_described(explanations[0]).model_dump())


@router.post("/completion", response_model=CompletionResponse)
async def completion(given: CompletionRequest, service: Served, client: Client) -> Any:
    """Let the target go on with a prompt."""
    found = await service.prompt(given)
    most = min(max(given.completion_tokens, 1), service.limits.max_completion_tokens)
    parts = service.answer(client, found.ids, max_new_tokens=most, temperature=given.temperature)

    async def frames() -> AsyncIterator[dict[str, Any]]:
        yield {
            "type": "prompt",
            "prompt_length": len(found),
            "tokens": [{**row.model_dump(), "generated": False} for row in found.rows],
        }
        written: list[int] = []
        said = 0
        async for step in parts:
            written.append(step.token_id)
            whole = service.decode(written, controls=True)
            # A character of several tokens belongs to the last of them.
            piece = "" if whole.endswith("�") else whole[said:]
            said += len(piece)
            row = {
                "token": piece,
                "token_id": step.token_id,
                "position": len(found) + len(written) - 1,
                "generated": True,
            }
            yield {"type": "token", "token": row}
        yield {"type": "text", "text": service.decode(written)}

    if given.stream:
        return events(frames(), parts)
    tokens: list[dict[str, Any]] = []
    text = ""
    async with aclosing(parts):
        async for frame in frames():
            tokens += frame.get("tokens", [])
            tokens += [frame["token"]] if frame["type"] == "token" else []
            text = frame.get("text", text)
    return CompletionResponse(tokens=tokens, prompt_length=len(found), text=text)


def _vectors(service: Service, given: Sequence[Sequence[float]]) -> Tensor:
    """Return vectors of a request; (N, D). Raises ``InputError`` for another width than the pair's, and for zeros."""
    width = service.pair.card.target.d_model
    for row, values in enumerate(given):
        if len(values) != width:
            raise InputError(f"activation {row} has {len(values)} numbers; this pair reads vectors of {width}.")
        if not any(values):
            raise InputError(f"activation {row} is zero everywhere and has no direction.")
        norm = math.hypot(*values)
        if not SMALLEST_NORM <= norm <= LARGEST_NORM:
            raise InputError(
                f"activation {row} has the norm {norm:.3g}; expected one from {SMALLEST_NORM:g} to {LARGEST_NORM:g}."
            )
    return torch.tensor([list(values) for values in given], dtype=torch.float32)


def _wishes(service: Service, number: int, temperature: float, max_new_tokens: int) -> list[Wish]:
    """The same wish for each row, with as many tokens as the limits, and the verbalizer's window, have room for."""
    most = min(max_new_tokens, service.limits.max_new_tokens, service.pair.verbalizer.room)
    return [Wish(temperature, most, 0)] * number


def _explained(found: Prompted, position: int, vector_D: Tensor, explanation: ScoredExplanation) -> ExplainedToken:
    return ExplainedToken(
        **found.rows[position].model_dump(), l2_norm=float(vector_D.norm()), **_described(explanation).model_dump()
    )


def _described(explanation: ScoredExplanation) -> Described:
    score = explanation.score
    return Described(
        description=explanation.text,
        mse=None if score is None else score.error,
        cosine_similarity=None if score is None else score.cosine,
    )
