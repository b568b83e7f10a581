"""Requests and responses of the routes that the released server has, with its field names and defaults.

Shapes are checked here and answered with 422; what depends on the pair (positions, widths, the window) is checked where it is
known and answered with 400. The bounds of :class:`~nlakit.serve.limits.Limits` are held against both.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Text = Annotated[str, Field(max_length=1_000_000)]
"""Longer than any limit that a server is started with; what is longer is not even looked at."""
Temperature = Annotated[float, Field(ge=0, le=5, allow_inf_nan=False)]
NewTokens = Annotated[int, Field(ge=1, le=4_096)]
Vector = Annotated[list[Annotated[float, Field(allow_inf_nan=False)]], Field(min_length=1, max_length=65_536)]


class Wire(BaseModel):
    """Base of all requests: fields that are not known are passed over, since clients of other servers send more."""

    model_config = ConfigDict(extra="ignore")


class ChatMessage(Wire):
    """One message of a chat."""

    role: Annotated[str, Field(min_length=1, max_length=64)]
    content: Text
    channel: Annotated[str, Field(max_length=64)] | None = None


class Input(Wire):
    """A text, or messages that the server puts through the target's chat template."""

    text: Text | None = None
    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=4_096)] | None = None
    add_generation_prompt: bool = True
    continue_final_message: bool = False
    enable_thinking: bool | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Input:
        if (self.text is None) == (self.messages is None):
            raise ValueError("give either text or messages, not both and not neither")
        return self


class ExplainRequest(Input):
    """Read some tokens, or all."""

    positions: Annotated[list[int], Field(max_length=100_000)] | None = None
    temperature: Temperature = 0.7
    max_new_tokens: NewTokens = 200
    reverse: bool = True
    """Later positions first."""
    stream: bool = False


class DescribeRequest(Wire):
    """Put raw vectors into words."""

    activations: Annotated[list[Vector], Field(min_length=1, max_length=512)]
    temperature: Temperature = 0.7
    max_new_tokens: NewTokens = 200
    stream: bool = False


class ScoreRequest(Wire):
    """How well a text rebuilds a vector."""

    description: Text
    activation: Vector


class CompareRequest(Wire):
    """Put the difference of two vectors into words."""

    activation_a: Vector
    activation_b: Vector
    temperature: Temperature = 0.7
    max_new_tokens: NewTokens = 200


class CompletionRequest(Input):
    """Let the target go on; more tokens than allowed are as many as allowed."""

    completion_tokens: int = 16
    temperature: Temperature = 0.7
    stream: bool = False


class TokenRow(BaseModel):
    """One token of a prompt, and where it stands."""

    token: str
    token_id: int
    position: int
    fragment_index: int
    """Which piece of a character of several tokens it is."""
    fragment_count: int
    role: str | None = None
    section: Literal["header", "content", "footer", "scaffold"] | None = None
    channel: str | None = None
    message_index: int | None = None


class Scored(BaseModel):
    """How well words rebuild a vector; nothing where the pair wrote none."""

    mse: float | None
    """2(1 - cos), in [0, 4]."""
    cosine_similarity: float | None


class ExplainedToken(TokenRow, Scored):
    """One reading."""

    l2_norm: float
    description: str
    generated: bool = False


class Described(Scored):
    """One vector in words."""

    description: str


class ExplainResponse(BaseModel):
    """Readings of a prompt."""

    layer_index: int
    results: list[ExplainedToken]


class DescribeResponse(BaseModel):
    """Vectors in words."""

    results: list[Described]


class ScoreResponse(BaseModel):
    """How well a text rebuilds a vector."""

    mse: float
    cosine_similarity: float


class CompareResponse(Described):
    """The difference of two vectors in words."""

    diff_norm: float


class ExtractedToken(BaseModel):
    """One token with its raw vector."""

    token: str
    token_id: int
    position: int
    activation: list[float]
    l2_norm: float


class ExtractResponse(BaseModel):
    """Raw vectors of a prompt."""

    layer_index: int
    tokens: list[ExtractedToken]


class TokenizeResponse(BaseModel):
    """Tokens of a prompt."""

    tokens: list[TokenRow]
    prompt_length: int
    text: str


class CompletionResponse(BaseModel):
    """Tokens of a prompt and of what the target wrote after it."""

    tokens: list[dict[str, Any]]
    prompt_length: int
    text: str
