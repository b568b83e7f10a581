"""Language models behind an endpoint: Anthropic, OpenAI, and any server that speaks the chat format of the latter.

::

    endpoint   the teacher: asks for explanations of contexts
    asker      what is sent, what is kept, where it stops; asks for teachers, judges and paraphrasers
    wire       the two formats of requests and replies
    client     HTTP: retries with growing waits, timeouts, refusals in words
    batches    the batch interfaces of both providers
    answers    what was answered and paid for, on the disk
    spending   tokens, prices and caps

Keys come from environment variables alone. They are sent to the endpoint and go nowhere else: no file, no message.
"""

from __future__ import annotations

from dataclasses import dataclass

from nlakit.config import AnnotateConfig, AskConfig
from nlakit.data.providers.asker import EndpointAsker
from nlakit.data.providers.endpoint import EndpointTeacher
from nlakit.data.providers.wire import AnthropicWire, EndpointOptions, OpenAIWire, Wire
from nlakit.validation import validated


@dataclass(frozen=True)
class EndpointPlugin:
    """Entry point of a teacher behind an endpoint, which answers any other prompt as well."""

    wire: Wire

    def __call__(self, config: AnnotateConfig) -> EndpointTeacher:
        """Make the teacher."""
        return EndpointTeacher(self.wire, config)

    def asker(self, config: AskConfig, *, table: str, wording: str, max_tokens: int) -> EndpointAsker:
        """Make what asks the model behind the endpoint anything else."""
        options = validated(EndpointOptions, {"max_tokens": max_tokens, **config.options}, f"{table}.options")
        return EndpointAsker(self.wire, options, config.calls, wording=wording, table=table)


make_anthropic_teacher = EndpointPlugin(AnthropicWire())
make_openai_teacher = EndpointPlugin(OpenAIWire())
"""OpenAI itself, or any endpoint with its chat format."""
