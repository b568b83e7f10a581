"""What a server takes from its clients at most; every string, list and number of a request is held against these."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of requests and of the work that waits; the defaults are those of the released server where it has them."""

    max_input_chars: int = 32_768
    max_positions_per_request: int = 512
    max_new_tokens: int = 4_096
    max_describe_batch: int = 512
    max_description_chars: int = 8_192
    max_completion_tokens: int = 512
    max_messages: int = 256
    max_body_bytes: int = 16 * 2**20
    waiting: int = 4_096
    """Explanations that may wait, of all clients together; more are refused at once with 429."""
    requests_per_minute: int = 600
    """Requests that a client, told by its address, may send."""
    streams: int = 32
    """Answers of the target that may be written at the same time, those that wait for their turn included; more are refused."""
    batch_rows: int = 128
    """Explanations that are decoded together."""
    request_seconds: float = 120.0
    """A request that takes longer is given up and answered with 504."""
    cached_readings: int = 100_000
    """Explanations that are kept; the ones not asked for longest go first."""
