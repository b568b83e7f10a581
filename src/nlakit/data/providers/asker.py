"""Asking a model behind an endpoint: sends what is not yet answered, keeps every answer, stops at a cap.

What is asked, and what becomes of a reply, is the business of the teacher (:mod:`nlakit.data.providers.endpoint`), the judge
(:mod:`nlakit.data.judgement`) and the paraphraser (:mod:`nlakit.data.rewordings`).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from nlakit.config import CallsConfig, fingerprint
from nlakit.data.instruction import Reply
from nlakit.data.providers.answers import Answers, Job
from nlakit.data.providers.batches import JOB_REQUESTS, batch_wire, wait_for
from nlakit.data.providers.client import Client, parsed, require_http
from nlakit.data.providers.spending import Ledger, Tokens, about, describe, most, require_caps
from nlakit.data.providers.wire import EndpointOptions, Wire
from nlakit.data.teachers import Plan
from nlakit.errors import ConfigError, EndpointError

READS = 2
"""Times that a request is sent when its reply is not in the format."""
UNREADABLE = 5
"""Replies out of format, and none in it, after which the endpoint is taken for another kind of server."""
ROWS = 256
"""Requests sent together; their answers are awaited before the next (our choice)."""


class EndpointAsker:
    """Asks a language model behind an endpoint, in the format of a wire.

    ``wording`` is the instruction around every prompt, and part of the fingerprint; ``table`` is the table of the settings,
    for messages. Raises :class:`~nlakit.errors.ConfigError` for prices and caps that cannot be kept, and an address or a name of a
    variable that is none. The key is looked up when it is first needed.
    """

    def __init__(
        self, wire: Wire, options: EndpointOptions, calls: CallsConfig, *, wording: str, table: str = "annotate"
    ) -> None:
        self.name, self.wording = wire.name, wording
        self._wire, self._options, self._calls, self._table = wire, options, calls, table
        self._address = _address(options.base_url or wire.address, table)
        self._key_env = calls.key_env or ("" if options.base_url else wire.key_env)
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*|", self._key_env):
            # Not shown: people paste keys here.
            raise ConfigError(
                f"{table}.calls.key_env is no name of an environment variable; it must be a name such as MY_API_KEY, never the "
                "key itself."
            )
        require_caps(calls, table)
        self.batch_rows = JOB_REQUESTS if calls.batch else ROWS
        self._use(None)

    def fingerprint(self) -> str:
        """Hash the format, the address, the wording and the options."""
        return fingerprint(self.name, self._address, self.wording, self._options)

    def record(self) -> dict[str, Any]:
        """Say who is asked and how."""
        return {"model": self._options.model, "endpoint": self._address, "instruction": self.wording}

    def check(self) -> None:
        """Raise ConfigError for a missing key and MissingExtraError for a missing package."""
        require_http()
        self._key()

    def plan(self, prompts: Iterable[str], answers: Path | None) -> Plan:
        """Count the requests without an answer in the folder ``answers``, and keep new answers there."""
        self._use(answers)
        estimate = Tokens()
        asked = 0
        sizes = {self._name_of(body): _size(body) for body in map(self._body, prompts)}
        for key in self._answers.missing(sizes):
            asked += 1
            estimate += about(sizes[key], self._options.max_tokens)
        kept = f" ({len(sizes) - asked:,} more are answered already)" if asked < len(sizes) else ""
        how = "requests in batches" if self._calls.batch else "requests"
        known = self._calls.price_input is not None
        price = "" if known else f"; the price is unknown without {self._table}.calls.price_input and price_output"
        who = f"{self.name}, {self._options.model} at {self._address}"
        return Plan(asked, f"{who}: {asked:,} {how}{kept}, at most about {describe(estimate, self._calls)}{price}")

    def receipt(self) -> str:
        """Say what all answers that are kept have used."""
        if not self._answers.calls:
            return ""
        return f"{self.name}: {self._answers.calls:,} answers, {describe(self._answers.spent, self._calls)}"

    def ask(self, prompts: Sequence[str]) -> list[Reply]:
        """Return a reply to each prompt, asking for those that have no answer yet.

        Raises :class:`~nlakit.errors.EndpointError` when the endpoint refuses or is silent, and
        :class:`~nlakit.errors.SpendingError` at a cap; what was answered until then is kept.
        """
        size = self.batch_rows
        return [
            reply
            for start in range(0, len(prompts), size)
            for reply in self._ask_together(prompts[start : start + size])
        ]

    def _ask_together(self, prompts: Sequence[str]) -> list[Reply]:
        keyed = [(self._name_of(body), body) for body in map(self._body, prompts)]
        bodies = dict(keyed)
        if any(key not in self._answers for key in bodies):
            self.check()
            with self._client() as client:
                if self._calls.batch:
                    self._ask_in_batches(client, bodies)
                else:
                    self._ask_each(client, {key: bodies[key] for key in bodies if key not in self._answers})
        return [self._answers[key] for key, _ in keyed]

    def _ask_each(self, client: Client, bodies: Mapping[str, Mapping[str, Any]]) -> None:
        """Send requests, several at once; the first failure stops the others, and those under way are kept."""
        with ThreadPoolExecutor(self._calls.concurrency) as pool:
            futures = [pool.submit(self._ask, client, key, body) for key, body in bodies.items()]
            try:
                for future in as_completed(futures):
                    future.result()
            except BaseException:
                client.stopping.set()
                for future in futures:
                    future.cancel()
                raise

    def _ask(self, client: Client, key: str, body: Mapping[str, Any]) -> None:
        """Send one request and keep its answer."""
        bound = most(_size(body), self._options.max_tokens)

        def lost() -> None:
            self._answers.add_lost(bound)
            self._ledger.lost(bound)

        for _ in range(READS):
            self._ledger.reserve(bound)
            used = Tokens()
            try:
                reply = self._wire.read(parsed(client.send("POST", self._wire.path, json=body, label=key, lost=lost)))
                if reply is not None:
                    reply, used = _counted(reply, bound)
                    self._answers.add(key, reply)
                    self._readable = True
                    return
                used = bound
                self._answers.add_lost(used)
            finally:
                self._ledger.settle(bound, used)
        self._require_readable()
        self._answers.add(key, Reply("", "malformed", 0, 0))

    def _ask_in_batches(self, client: Client, bodies: Mapping[str, Mapping[str, Any]]) -> None:
        """Fetch what is under way, then send the rest until everything is answered or a job brings nothing new."""
        for job in list(self._answers.jobs()):
            self._fetch(client, job)
        while missing := [key for key in bodies if key not in self._answers]:
            reserved = Tokens()
            sent: dict[str, Mapping[str, Any]] = {}
            for key in missing:
                bound = most(_size(bodies[key]), self._options.max_tokens)
                if not self._ledger.fits(reserved + bound):
                    break
                reserved += bound
                sent[key] = bodies[key]
            if not sent:
                raise self._ledger.reached()
            job = Job(batch_wire(self._wire, self._table).submit(client, sent), tuple(sent))
            self._answers.add_job(job)
            self._fetch(client, job)
            if not any(key in self._answers for key in sent):
                raise EndpointError(
                    f"none of the {len(sent):,} requests of the batch {job.id} at {self._address} was answered. What was answered "
                    "before is kept: give the same command again to go on."
                )

    def _fetch(self, client: Client, job: Job) -> None:
        """Wait for a job and keep its answers; EndpointError for a request that is itself at fault."""
        batches = batch_wire(self._wire, self._table)
        fault = ""
        ended = wait_for(batches, client, job.id)
        for key, body, error in batches.results(client, ended):
            fault = fault or error or ""
            if key in self._answers or key not in job.keys or error is not None:
                continue
            reply, used = _counted(self._wire.read(body) or Reply("", "malformed", 0, 0), Tokens())
            self._answers.add(key, reply)
            self._ledger.spent += used
        self._answers.remove_job(job)
        if fault:
            raise EndpointError(
                f"{self._address} refuses a request of the batch {job.id}: {client.clean(fault)}. Check {self._table}.options; "
                "what was answered is kept."
            )

    def _use(self, folder: Path | None) -> None:
        """Take the answers of a folder, and count what they used as spent."""
        self._answers = Answers(folder, self.fingerprint())
        self._ledger = Ledger(self._calls, self._answers.spent, self._table)
        self._readable = self._answers.calls > 0
        self._unreadable = 0

    def _require_readable(self) -> None:
        self._unreadable += 1
        if self._unreadable >= UNREADABLE and not self._readable:
            raise EndpointError(
                f"{self._address} answers, and no reply has the format of {self.name!r}; check {self._table}.options.base_url."
            )

    def _body(self, prompt: str) -> dict[str, Any]:
        return self._wire.body(prompt, self._options)

    def _name_of(self, body: Mapping[str, Any]) -> str:
        """Name a request by its content: where it goes, and every word of it."""
        content = json.dumps([self._address, body], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:32]

    def _client(self) -> Client:
        key = self._key()
        return Client(
            self._address, self._wire.headers(key), self._calls, key=key, key_env=self._key_env, table=self._table
        )

    def _key(self) -> str | None:
        """Return the key; None where the address needs none. ConfigError when its variable holds no usable key."""
        if not self._key_env:
            return None
        key = os.environ.get(self._key_env, "").strip()
        if not key:
            raise ConfigError(
                f"{self.name!r} needs a key and the environment variable {self._key_env} is not set; set it, or name "
                f"another variable with {self._table}.calls.key_env."
            )
        if not re.fullmatch(r"[!-~]+", key):
            raise ConfigError(
                f"the environment variable {self._key_env} holds white space or characters outside ASCII, which no key has."
            )
        return key


def _counted(reply: Reply, bound: Tokens) -> tuple[Reply, Tokens]:
    """Fill counts that the endpoint does not give with the most that they can be; returns the tokens used as well.

    Half a surrogate pair, which JSON can spell and no file can hold, becomes a question mark.
    """
    read = bound.input if reply.input_tokens is None else reply.input_tokens
    written = bound.output if reply.output_tokens is None else reply.output_tokens
    text = reply.text.encode("utf-8", "replace").decode()
    return replace(reply, text=text, input_tokens=read, output_tokens=written), Tokens(read, written)


def _size(body: Mapping[str, Any]) -> int:
    """Return the bytes of the messages of a request."""
    return sum(len(message["content"].encode()) for message in body["messages"])


def _address(url: str, table: str) -> str:
    """Return the address of an endpoint without its last slash; ConfigError for what is none, or holds a secret."""
    parts = urlsplit(url)
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ConfigError(
            f"{table}.options.base_url holds a user, a password or a query, which records would keep; give the plain address, and "
            f"the key through {table}.calls.key_env."
        )
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(
            f"{table}.options.base_url is {url!r}; it must begin with http:// or https:// and name a host."
        )
    return url.rstrip("/")
