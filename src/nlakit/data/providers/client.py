"""HTTP to one endpoint: what may pass is tried again with growing waits, what will not is said in a sentence.

No message holds the key, whatever the endpoint writes back.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from ssl import SSLContext
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from nlakit.config import CallsConfig, derive_seed
from nlakit.errors import EndpointError, missing_extra

if TYPE_CHECKING:
    from httpx2 import Response

FIRST_WAIT_S = 1.0
"""Seconds before the second attempt; doubles with each (our choice)."""
LONGEST_WAIT_S = 60.0
"""Longest wait of our own choosing (our choice)."""
LONGEST_ASKED_WAIT_S = 900.0
"""Longest wait that an endpoint may ask for with ``Retry-After`` (our choice)."""
CONNECT_TIMEOUT_S = 15.0

_PASSING = (408, 409, 425, 429)
"""Statuses besides 5xx after which the same request may succeed."""
_FINAL_CODES = ("insufficient_quota", "billing_hard_limit_reached")
"""Error codes of status 429 that waiting does not mend."""


def require_http() -> None:
    """Raise MissingExtraError unless the HTTP library is installed."""
    try:
        import httpx2  # noqa: F401
    except ImportError as error:
        raise missing_extra("httpx2", "providers", "a teacher behind an endpoint") from error


class Client:
    """Sends requests to one endpoint, from many threads; a context manager that closes its connections.

    ``key`` is used to keep it out of messages; ``headers`` carry it. ``key_env`` and ``address`` are for messages.
    """

    def __init__(
        self, address: str, headers: dict[str, str], calls: CallsConfig, *, key: str | None, key_env: str, table: str
    ) -> None:
        import httpx2

        self._errors = httpx2
        self._address, self._calls, self._key, self._key_env = address, calls, key, key_env
        self.table = table
        """The table of the settings, for messages."""
        timeout = httpx2.Timeout(calls.timeout_s, connect=min(calls.timeout_s, CONNECT_TIMEOUT_S))
        limits = httpx2.Limits(max_connections=calls.concurrency)
        self._http = httpx2.Client(headers=headers, timeout=timeout, limits=limits, verify=_certificates())
        self.stopping = threading.Event()
        """Set when nothing more shall be sent."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stopping.set()
        self._http.close()

    def send(
        self, method: str, path: str, *, label: str = "", lost: Callable[[], None] = lambda: None, **content: Any
    ) -> Response:
        """Send a request until it is answered, and return the answer: a success, or a refusal of this one text.

        ``label`` keys the random part of the waits. ``lost`` is called after each attempt that the endpoint may have
        worked on without our hearing of it. Raises :class:`~nlakit.errors.EndpointError` when the endpoint refuses the
        key or the request, and when it has not answered after all attempts.
        """
        problem = "nothing was sent"
        for attempt in range(self._calls.attempts):
            if self.stopping.is_set():
                break
            asked: float | None = None
            try:
                response = self._http.request(method, self._address + path, **content)
            except self._errors.TransportError as error:
                problem = self.clean(f"{type(error).__name__}: {error}")
                if not isinstance(error, self._errors.ConnectError | self._errors.ConnectTimeout):
                    lost()
            except (self._errors.HTTPError, self._errors.InvalidURL) as error:
                raise EndpointError(f"a request to {self._address} cannot be sent: {self.clean(str(error))}") from None
            else:
                if response.is_success or _filtered(response):
                    return response
                self._require_passing(response)
                problem = f"HTTP {response.status_code}{self._said(response)}"
                asked = _asked_wait(response)
            if attempt + 1 < self._calls.attempts:
                self.stopping.wait(_wait(attempt, asked, label))
        raise EndpointError(
            f"{self._address} gave no answer in {self._calls.attempts} attempts; the last ended with {problem}. What was answered "
            f"before is kept: give the same command again to go on, with {self.table}.calls.attempts or timeout_s raised if "
            "need be."
        )

    def _require_passing(self, response: Response) -> None:
        """Raise EndpointError for a status that another attempt will not change."""
        status = response.status_code
        if status in (401, 403):
            raise EndpointError(
                f"{self._address} refuses the key in the environment variable {self._key_env} (HTTP {status}); set it to a key "
                "that is valid there and may use the model."
                if self._key
                else f"{self._address} wants a key (HTTP {status}) and none was sent; put it into an environment variable and name "
                f"that variable with {self.table}.calls.key_env."
            )
        final = status == 429 and _error(response).get("code") in _FINAL_CODES
        if final or not (status in _PASSING or status >= 500):
            raise EndpointError(
                f"{self._address} refuses the request (HTTP {status}){self._said(response)}. Check {self.table}.options (model, "
                "base_url, max_tokens, temperature) and the account; what was answered before is kept."
            )

    def _said(self, response: Response) -> str:
        """Return the endpoint's own words about an error, if it has any."""
        message = _error(response).get("message")
        return f": {self.clean(message)}" if isinstance(message, str) and message.strip() else ""

    def clean(self, text: str) -> str:
        """Shorten foreign words to one line and take the key out of them."""
        if self._key:
            text = text.replace(self._key, "[key]")
        text = " ".join(text.split())
        return text if len(text) <= 300 else f"{text[:300]}..."


@cache
def _certificates() -> SSLContext:
    """Read the certificates that are trusted, once for all clients: that takes longer than a request."""
    import httpx2

    return httpx2.create_ssl_context()


def parsed(response: Response) -> Any:
    """Return the JSON of an answer; None when it is none."""
    try:
        return json.loads(response.content)
    except ValueError:
        return None


def _error(response: Response) -> dict[str, Any]:
    """Return the mapping that both formats put errors into."""
    body = parsed(response)
    error = body.get("error") if isinstance(body, dict) else None
    return error if isinstance(error, dict) else {}


def _filtered(response: Response) -> bool:
    """Whether a content filter refuses this one text, which says nothing against the next."""
    return response.status_code == 400 and _error(response).get("code") == "content_filter"


def _wait(attempt: int, asked: float | None, label: str) -> float:
    """Return the seconds to wait after an attempt: what was asked for, else doubling, less a keyed part of up to half."""
    if asked is not None:
        return min(asked, LONGEST_ASKED_WAIT_S)
    share = derive_seed(0, "wait", label, attempt) / 2**63
    return float(min(FIRST_WAIT_S * 2**attempt, LONGEST_WAIT_S) * (1 - share / 2))


def _asked_wait(response: Response) -> float | None:
    """Read ``Retry-After``: seconds, or a date."""
    text = response.headers.get("retry-after", "").strip()
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError):
            return None
    return max(0.0, seconds) if seconds < float("inf") else None
