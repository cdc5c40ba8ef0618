"""How fast pods are created: a runner's share of the run's rate and of its cap on pods that are not running yet.

Every runner of a run knows how many there are (from their Leases) and takes that part of the whole, so no object is
written for each pod. A runner that the API server throttles slows down by half and recovers with what succeeds.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

_log = logging.getLogger(__name__)

SLOWEST = 1 / 16
"""Throttling slows a runner down to this part of its rate, no further."""

RECOVERY = 1 / 32
"""What each pod that was accepted gives back of the full rate."""


@dataclass(slots=True)
class TokenBucket:
    """Tokens that come back with time; pure arithmetic on times that the caller gives, in seconds.

    rate: tokens per second. burst: how many may be saved up. A taken token may be owed: the caller waits for it.
    """

    rate: float
    burst: float
    now: float
    tokens: float = 1.0
    pace: float = 1.0
    blocked_until: float = 0.0

    def _advance(self, now: float) -> None:
        self.tokens = min(self.burst, self.tokens + max(0.0, now - self.now) * self.rate * self.pace)
        self.now = now

    def take(self, now: float) -> float:
        """Take one token; returns how many seconds to wait until it is there."""
        self._advance(now)
        self.tokens -= 1.0
        owed = max(0.0, -self.tokens) / (self.rate * self.pace)
        return max(owed, self.blocked_until - now)

    def give_back(self, now: float) -> None:
        """Undo a `take` whose token was not used."""
        self._advance(now)
        self.tokens = min(self.burst, self.tokens + 1.0)

    def throttled(self, now: float, retry_after: float) -> None:
        """The server asked to slow down: nothing for `retry_after` seconds, half the pace from then on."""
        self._advance(now)
        if now >= self.blocked_until:  # the refusals of one moment are one
            self.pace = max(SLOWEST, self.pace / 2)
        self.blocked_until = max(self.blocked_until, now + retry_after)
        self.tokens = min(self.tokens, 0.0)

    def accepted(self, now: float) -> None:
        """A creation succeeded."""
        self._advance(now)
        self.pace = min(1.0, self.pace + RECOVERY)

    def change_rate(self, now: float, rate: float, burst: float) -> None:
        """Another rate from `now` on."""
        self._advance(now)
        self.rate, self.burst = rate, burst


class Creator:
    """Lets pods be created at this runner's share of `rate` (pods a second), with at most its share of `max_pending`.

    runners: how many share, asked anew for every pod.
    """

    def __init__(self, rate: float, max_pending: int, runners: Callable[[], int], clock: Callable[[], float]) -> None:
        self._rate = rate
        self._max_pending = max_pending
        self._runners = runners
        self._clock = clock
        self._bucket = TokenBucket(rate, _burst(rate), clock())
        self._pending = 0
        self._freed = asyncio.Event()
        self.throttlings = 0

    @asynccontextmanager
    async def pending(self) -> AsyncIterator[None]:
        """Counts as one of the pods that are not running yet; waits while there are too many."""
        while self._pending >= max(1, self._max_pending // self._runners()):
            self._freed.clear()
            await self._freed.wait()
        self._pending += 1
        try:
            yield
        finally:
            self._pending -= 1
            self._freed.set()

    async def token(self) -> None:
        """Wait for the right to one creation call."""
        rate = self._rate / self._runners()
        self._bucket.change_rate(self._clock(), rate, _burst(rate))
        wait = self._bucket.take(self._clock())
        try:
            while wait > 0:
                await asyncio.sleep(wait)
                wait = self._bucket.blocked_until - self._clock()
        except asyncio.CancelledError:
            self._bucket.give_back(self._clock())
            raise

    def throttled(self, retry_after: float | None) -> None:
        """The API server answered 429 (or 503 with a Retry-After)."""
        self.throttlings += 1
        _log.warning("the API server throttles the creation of pods (%d times so far)", self.throttlings)
        self._bucket.throttled(self._clock(), retry_after or 1.0)

    def accepted(self) -> None:
        """The API server took a pod."""
        self._bucket.accepted(self._clock())


def _burst(rate: float) -> float:
    return max(1.0, rate)
