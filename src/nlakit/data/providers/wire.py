"""The two formats in which endpoints take requests and give replies: Anthropic Messages and OpenAI chat completions."""

from __future__ import annotations

from typing import Any, Protocol

from nlakit.config import Settings
from nlakit.data.instruction import End, Reply

PROVIDER_TEMPERATURE = 1.0
"""What both providers sample at when a request names none; some of their models refuse a request that does."""


class EndpointOptions(Settings):
    """The options of the teachers ``anthropic`` and ``openai``, also as judge and paraphraser: all that decides what is written."""

    model: str
    """Name of the model, as the endpoint knows it."""
    base_url: str = ""
    """Address of the endpoint, for ``openai`` with the version, as in ``http://127.0.0.1:8000/v1``; empty for the provider's."""
    temperature: float = 1.0
    """Sampling temperature (paper: 1)."""
    max_tokens: int = 300
    """Longest reply, in tokens (paper: 300; another default where another length is needed); thoughts need room as well."""


class Wire(Protocol):
    """How one kind of endpoint is spoken to."""

    name: str
    """Name of the teacher."""
    address: str
    """The provider's own address."""
    key_env: str
    """The environment variable in which people keep the provider's key."""
    path: str
    """Where, below the address, a single request goes."""

    def headers(self, key: str | None) -> dict[str, str]:
        """Return the headers of every request."""

    def body(self, prompt: str, options: EndpointOptions) -> dict[str, Any]:
        """Return the body of a request."""

    def read(self, body: Any) -> Reply | None:
        """Read the body of a reply; None when it is not in the format."""


class AnthropicWire:
    """Anthropic Messages."""

    name = "anthropic"
    address = "https://api.anthropic.com"
    key_env = "ANTHROPIC_API_KEY"
    path = "/v1/messages"

    def headers(self, key: str | None) -> dict[str, str]:
        """Return the version of the interface, and the key."""
        return {"anthropic-version": "2023-06-01"} | ({"x-api-key": key} if key else {})

    def body(self, prompt: str, options: EndpointOptions) -> dict[str, Any]:
        """Ask in one user message."""
        return {
            "model": options.model,
            "max_tokens": options.max_tokens,
            "messages": [{"role": "user", "content": prompt}],
            **_temperature(options),
        }

    def read(self, body: Any) -> Reply | None:
        """Join the blocks of text; how it ended is ``stop_reason``."""
        ends: dict[str, End] = {
            "end_turn": "done",
            "stop_sequence": "done",
            "max_tokens": "length",
            "model_context_window_exceeded": "length",
            "refusal": "refused",
        }
        try:
            end = ends.get(body["stop_reason"])
            text = "".join(block["text"] for block in body["content"] if block["type"] == "text")
        except (KeyError, TypeError):
            return None
        if end is None:
            return None
        return Reply(text, end, *_usage(body, "input_tokens", "output_tokens"))


class OpenAIWire:
    """OpenAI chat completions."""

    name = "openai"
    address = "https://api.openai.com/v1"
    key_env = "OPENAI_API_KEY"
    path = "/chat/completions"

    def headers(self, key: str | None) -> dict[str, str]:
        """Return the key, if there is one."""
        return {"authorization": f"Bearer {key}"} if key else {}

    def body(self, prompt: str, options: EndpointOptions) -> dict[str, Any]:
        """Ask in one user message; only OpenAI itself knows the newer name of the length limit."""
        limit = "max_tokens" if options.base_url else "max_completion_tokens"
        return {
            "model": options.model,
            limit: options.max_tokens,
            "messages": [{"role": "user", "content": prompt}],
            **_temperature(options),
        }

    def read(self, body: Any) -> Reply | None:
        """Read the first choice; a refusal has a field of its own, a content filter may also come as an error."""
        try:
            if "error" in body:
                return Reply("", "refused", 0, 0) if body["error"]["code"] == "content_filter" else None
            choice = body["choices"][0]
            text, refusal = choice["message"].get("content") or "", choice["message"].get("refusal")
            reason = choice["finish_reason"]
        except (KeyError, TypeError, IndexError, AttributeError):
            return None
        if not isinstance(text, str) or reason not in ("stop", "length", "content_filter"):
            return None
        usage = _usage(body, "prompt_tokens", "completion_tokens")
        if refusal or reason == "content_filter":
            return Reply(str(refusal or text), "refused", *usage)
        return Reply(text, "length" if reason == "length" else "done", *usage)


def _temperature(options: EndpointOptions) -> dict[str, float]:
    """Name the temperature, unless it is what the provider takes anyway."""
    default = not options.base_url and options.temperature == PROVIDER_TEMPERATURE
    return {} if default else {"temperature": options.temperature}


def _usage(body: Any, *names: str) -> tuple[int | None, int | None]:
    """Return the counts of input and output tokens, None where the endpoint gives no whole number."""
    usage = body.get("usage")
    first, second = (usage.get(name) if isinstance(usage, dict) else None for name in names)
    return _count(first), _count(second)


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
