"""An endpoint on 127.0.0.1 that answers as it is told to, well or badly."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

GOOD = "<explanation>\n1. A short tale about a cat.\n- **The end** is open.\n</explanation>"
USAGE = (500, 40)
"""Tokens that a good answer reports."""


@dataclass(frozen=True)
class Asked:
    """One request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    data: bytes

    @property
    def body(self) -> Any:
        return json.loads(self.data)

    @property
    def prompt(self) -> str:
        return str(self.body["messages"][0]["content"])


@dataclass(frozen=True)
class Answer:
    """What to send back; ``cut`` closes the connection in the middle of the body, ``wait_s`` comes first."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False
    wait_s: float = 0.0

    def data(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


def anthropic(text: str = GOOD, stop: str = "end_turn", usage: tuple[int, int] | None = USAGE) -> Answer:
    """A reply in Anthropic's format."""
    body: dict[str, Any] = {"type": "message", "content": [{"type": "text", "text": text}], "stop_reason": stop}
    if usage is not None:
        body["usage"] = {"input_tokens": usage[0], "output_tokens": usage[1]}
    return Answer(body=body)


def openai(text: str | None = GOOD, stop: str = "stop", refusal: str | None = None) -> Answer:
    """A reply in OpenAI's format."""
    message = {"role": "assistant", "content": text, "refusal": refusal}
    usage = {"prompt_tokens": USAGE[0], "completion_tokens": USAGE[1]}
    return Answer(body={"choices": [{"message": message, "finish_reason": stop}], "usage": usage})


def failure(status: int, message: str = "no", code: str = "", **headers: str) -> Answer:
    """An error in the format that both providers share."""
    return Answer(status, {"error": {"type": "error", "code": code, "message": message}}, headers)


class Endpoint:
    """Counts what it is asked; ``answer(request, n)`` decides, with n the number of requests before it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.asked: list[Asked] = []
        self.answer: Callable[[Asked, int], Answer] = lambda asked, n: anthropic()
        self.most_at_once = 0
        self.at_once = 0

    def script(self, *answers: Answer) -> None:
        """Give these answers in turn, the last one for ever."""
        self.answer = lambda asked, n: answers[min(n, len(answers) - 1)]


@contextmanager
def serving() -> Iterator[Endpoint]:
    """Serve on a free port of 127.0.0.1 for the length of the block."""
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            data = self.rfile.read(int(self.headers.get("content-length", 0)))
            asked = Asked(self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, data)
            with lock:
                number = len(endpoint.asked)
                endpoint.asked.append(asked)
                endpoint.at_once += 1
                endpoint.most_at_once = max(endpoint.most_at_once, endpoint.at_once)
            answer = endpoint.answer(asked, number)
            time.sleep(answer.wait_s)
            with lock:
                endpoint.at_once -= 1  # before the reply, upon which the next request comes
            self.reply(answer)

        do_GET = do_POST

        def reply(self, answer: Answer) -> None:
            data = answer.data()
            try:
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name.replace("_", "-"), value)
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data[: len(data) // 2] if answer.cut else data)
            except (BrokenPipeError, ConnectionResetError):
                pass  # who asked has given up
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    endpoint = Endpoint(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield endpoint
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
