"""What calls cost: tokens, prices that the user gives, and a cap that is never passed."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from nlakit.config import CallsConfig
from nlakit.errors import ConfigError, SpendingError

BYTES_PER_TOKEN = 4
"""Bytes of English in one token, for the estimate in a plan (our choice); a cap trusts no estimate."""
ENVELOPE_TOKENS = 200
"""Tokens that an endpoint may add to a message of its own accord, counted against the cap (our choice)."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens read and written."""

    input: int = 0
    output: int = 0

    def __add__(self, other: Tokens) -> Tokens:
        return Tokens(self.input + other.input, self.output + other.output)

    def __sub__(self, other: Tokens) -> Tokens:
        return Tokens(self.input - other.input, self.output - other.output)


def most(text_bytes: int, max_tokens: int) -> Tokens:
    """Return the most that a request can use: no tokenizer makes more tokens of a text than it has bytes."""
    return Tokens(text_bytes + ENVELOPE_TOKENS, max_tokens)


def about(text_bytes: int, max_tokens: int) -> Tokens:
    """Return about what a request uses, with the longest reply."""
    return Tokens(-(-text_bytes // BYTES_PER_TOKEN), max_tokens)


def cost(tokens: Tokens, calls: CallsConfig) -> float | None:
    """Return the price of tokens in the user's currency; None when a price is unknown."""
    if calls.price_input is None or calls.price_output is None:
        return None
    return (tokens.input * calls.price_input + tokens.output * calls.price_output) / 1e6


def require_caps(calls: CallsConfig, table: str) -> None:
    """Raise ConfigError for half a price, and for a cap on money without prices, in the table ``table`` of the settings."""
    if (calls.price_input is None) != (calls.price_output is None):
        raise ConfigError(
            f"{table}.calls has price_input = {calls.price_input} and price_output = {calls.price_output}; give both prices, "
            "of a million tokens each, or neither."
        )
    if calls.max_cost is not None and calls.price_input is None:
        raise ConfigError(
            f"{table}.calls.max_cost is {calls.max_cost:g}, and without prices no cost can be known. Give "
            f"{table}.calls.price_input and price_output, or cap tokens with {table}.calls.max_tokens."
        )


class Ledger:
    """Counts what is spent and what requests under way may still spend; for use by many threads.

    A request is let through when all that is under way, at its most, fits below the caps together with it.
    """

    def __init__(self, calls: CallsConfig, spent: Tokens, table: str) -> None:
        self._calls, self._table = calls, table
        self._changed = threading.Condition()
        self._pending = Tokens()
        self._under_way = 0
        self.spent = spent

    def reserve(self, tokens: Tokens) -> None:
        """Wait until a request fits below the caps; SpendingError when it will not fit once all others are done."""
        with self._changed:
            while not self._fits(self._pending + tokens):
                if not self._under_way:
                    raise self.reached()
                self._changed.wait()
            self._pending += tokens
            self._under_way += 1

    def fits(self, tokens: Tokens) -> bool:
        """Whether a request fits below the caps now."""
        with self._changed:
            return self._fits(self._pending + tokens)

    def settle(self, reserved: Tokens, used: Tokens) -> None:
        """Replace what a request might have used by what it did use."""
        with self._changed:
            self._pending -= reserved
            self._under_way -= 1
            self.spent += used
            self._changed.notify_all()

    def lost(self, tokens: Tokens) -> None:
        """Count a request that may have been billed and brought nothing; SpendingError when no more is left for another."""
        with self._changed:
            self.spent += tokens
            if not self._fits(self._pending):
                raise self.reached()

    def reached(self) -> SpendingError:
        """Return the error that says which cap leaves no room."""
        caps = {"max_cost": self._calls.max_cost, "max_tokens": self._calls.max_tokens}
        shown = " and ".join(f"{self._table}.calls.{name} = {cap:g}" for name, cap in caps.items() if cap is not None)
        return SpendingError(
            f"the cap {shown} is reached: spent are {describe(self.spent, self._calls)}, and the next request might pass it. "
            "What was answered is kept; raise the cap and give the same command again to go on."
        )

    def _fits(self, more: Tokens) -> bool:
        total = self.spent + more
        price = cost(total, self._calls)
        tokens_fit = self._calls.max_tokens is None or total.input + total.output <= self._calls.max_tokens
        return tokens_fit and (self._calls.max_cost is None or price is None or price <= self._calls.max_cost)


def describe(tokens: Tokens, calls: CallsConfig) -> str:
    """Say tokens, and their price where it is known, for people."""
    price = cost(tokens, calls)
    said = f"{tokens.input:,} input and {tokens.output:,} output tokens"
    return said if price is None else f"{said}, which cost {price:,.2f}"
