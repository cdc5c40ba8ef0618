"""Holds an attempt to its money before it is spent: what calls under way may cost at most is reserved; pure."""

from __future__ import annotations

from collections.abc import Mapping

from raysweep.config.apis import Prices
from raysweep.gateway.call import Call
from raysweep.gateway.sums import MILLION

OUTPUT_TOKENS = 32_768
"""Output tokens reserved for a call that names no bound of its own."""


class Wallet:
    """The money of one attempt. most: USD, None for no bound.

    A call is refused where its price is unknown, or where it could go beyond: a body of n bytes has at most n tokens.
    """

    def __init__(self, prices: Mapping[str, Prices], most: float | None) -> None:
        self._prices = prices
        self._most = most
        self._reserved = 0.0
        self.spent = 0.0
        """USD of the calls that ended; one of unknown cost counts as what was reserved for it."""

    def price(self, call: Call) -> Prices | None:
        """The prices of the call's model."""
        return self._prices.get(call.model or "")

    def reserve(self, call: Call, most_output: int | None) -> tuple[float, str | None]:
        """(USD that are reserved for the call, why it is refused or None)."""
        if self._most is None:
            return 0.0, None
        prices = self.price(call)
        if prices is None:
            return 0.0, f"`prices` of the sweep do not name the model {call.model!r}, and its trials have a money bound"
        dearest = max(prices.input, prices.cache_write or 0.0, prices.cached or 0.0)
        worst = (call.request_bytes * dearest + (most_output or OUTPUT_TOKENS) * prices.output) / MILLION
        left = self._most - self.spent - self._reserved
        if worst > left:
            return 0.0, f"the trial's money bound: this call may cost {worst:.4f} USD, {max(left, 0.0):.4f} are left"
        self._reserved += worst
        return worst, None

    def settle(self, reserved: float, usd: float | None) -> None:
        """A call ended and cost `usd`, None for unknown."""
        self._reserved -= reserved
        self.spent += reserved if usd is None else usd
