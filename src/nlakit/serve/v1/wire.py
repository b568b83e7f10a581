"""Requests and responses of the project's own routes.

A reading over the wire is what ``nlakit read --json`` writes: :class:`~nlakit.models.readings.Reading`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, model_validator

from nlakit.models.readings import Reading
from nlakit.serve.v1.sessions import TrueAt
from nlakit.serve.wire import Input, NewTokens, Temperature, Text, TokenRow, Wire

Seed = Annotated[int, Field(ge=0, lt=2**63)]
Samples = Annotated[int, Field(ge=1, le=16)]
Position = Annotated[int, Field(ge=-(2**31), lt=2**31)]


class ReadingsRequest(Input):
    """Read some tokens, or all, as ``Pair.read`` does."""

    positions: Annotated[list[Position], Field(max_length=100_000)] | None = None
    samples: Samples = 1
    temperature: Temperature = 1.0
    max_new_tokens: NewTokens | None = None
    """As many as the pair was trained with, if it is not said."""
    seed: Seed = 0
    support: bool = False
    """Whether every claim comes with how far to believe it, for which more is sampled."""
    stream: bool = False


class ReadingsResponse(BaseModel):
    """Readings of a prompt, in the order of its tokens."""

    layer: int
    tokens: list[TokenRow]
    norms: list[float]
    """Of the vectors of all tokens, those that were not read included."""
    readings: list[Reading]


class ReadWhere(Wire):
    """Which tokens of an answer are read while it is written: those that any of these rules names."""

    every: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """Every n-th token."""
    sentence_ends: bool = False
    watch: Annotated[list[Annotated[str, Field(min_length=1, max_length=64)]], Field(max_length=64)] = Field(
        default_factory=list
    )
    """Words; a token is read when one of them has just been written, whatever its case."""
    most: Annotated[int, Field(ge=1, le=512)] = 64
    """Tokens that are read at most."""
    samples: Samples = 1
    temperature: Temperature = 1.0
    support: bool = False
    """Whether every claim comes with how far to believe it; a reading is then sent once this is known."""


class TextPart(Wire):
    """A piece of a message; other kinds than text are refused."""

    type: Literal["text"]
    text: Text


class CompletionMessage(Wire):
    """One message of a chat, as OpenAI's clients send it."""

    role: Annotated[str, Field(min_length=1, max_length=64)]
    content: Text | Annotated[list[TextPart], Field(max_length=256)]

    @property
    def said(self) -> str:
        """All of its text."""
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)


class ChatRequest(Wire):
    """OpenAI's chat completion, as far as one model that answers alone has a use for it."""

    model: Annotated[str, Field(max_length=256)] = ""
    messages: Annotated[list[CompletionMessage], Field(min_length=1, max_length=4_096)]
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Temperature = 1.0
    seed: Seed = 0
    n: Literal[1] = 1
    stop: str | Annotated[list[Annotated[str, Field(min_length=1, max_length=256)]], Field(max_length=16)] | None = None
    stream: bool = False
    nlakit: ReadWhere | None = None
    """Ours: which tokens of the answer are read."""

    @property
    def stops(self) -> list[str]:
        """Texts at which the answer ends."""
        return [] if not self.stop else [self.stop] if isinstance(self.stop, str) else self.stop


class SteerRequest(Input):
    """Let the target go on from a vector that says something else."""

    position: Position
    original: Text
    """What the reading at the position says."""
    edited: Text
    """What it is to say instead."""
    strength: Annotated[float, Field(ge=-100, le=100, allow_inf_nan=False)] = 1.0
    """1 adds the difference of the two reconstructions at the norm of the vector."""
    completion_tokens: Annotated[int, Field(ge=1, le=4_096)] = 32
    temperature: Temperature = 0.0
    seed: Seed = 0

    @model_validator(mode="after")
    def _differ(self) -> SteerRequest:
        if self.original == self.edited:
            raise ValueError("original and edited are equal; change a word of the reading")
        return self


class SteerResponse(BaseModel):
    """Three continuations of one prompt."""

    position: int
    norm: float
    """Of the vector that was there."""
    added: float
    """Norm of what was added to it."""
    unsteered: str
    steered: str
    random: str
    """With a random direction of the same norm added: what any push does."""


class TruthRequest(Wire):
    """What is so at the tokens of an example."""

    id: Annotated[str, Field(max_length=256)]


class TruthResponse(BaseModel):
    """What is so at each token of an example."""

    truth: list[TrueAt]


class Shared(BaseModel):
    """Where a session can be found."""

    id: str


class Listed(BaseModel):
    """A list of what there is, as OpenAI's lists are."""

    object: Literal["list"] = "list"
    data: list[dict[str, Any]]
