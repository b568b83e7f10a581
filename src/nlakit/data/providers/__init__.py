"""Teachers and judges behind an endpoint: Anthropic, OpenAI, and any server that speaks the chat format of the latter.

::

    endpoint   the teacher: asks for explanations of contexts
    judge      the judge: asks which claims of an explanation a text bears out
    asker      what both share: what is sent, what is kept, where it stops
    wire       the two formats of requests and replies
    client     HTTP: retries with growing waits, timeouts, refusals in words
    batches    the batch interfaces of both providers
    answers    what was answered and paid for, on the disk
    spending   tokens, prices and caps

Keys come from environment variables alone. They are sent to the endpoint and go nowhere else: no file, no message.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nlakit.config import AnnotateConfig

if TYPE_CHECKING:
    from nlakit.data.providers.endpoint import EndpointTeacher


def make_anthropic_teacher(config: AnnotateConfig) -> EndpointTeacher:
    """Entry point of the teacher ``anthropic``."""
    from nlakit.data.providers.endpoint import EndpointTeacher
    from nlakit.data.providers.wire import AnthropicWire

    return EndpointTeacher(AnthropicWire(), config)


def make_openai_teacher(config: AnnotateConfig) -> EndpointTeacher:
    """Entry point of the teacher ``openai``: OpenAI itself, or any endpoint with its chat format."""
    from nlakit.data.providers.endpoint import EndpointTeacher
    from nlakit.data.providers.wire import OpenAIWire

    return EndpointTeacher(OpenAIWire(), config)
