"""How many calls may be under way and how fast they may come, per API and model; state machines without a clock.

The limit on calls in flight adapts as in Inspect's adaptive connections: x 0.8 at a 429, at most once per COOL_DOWN_S,
up by one after as many successes as it allows at once. An error of the server's does not change it, and Retry-After
does not lengthen the cool-down: the client that got it waits by itself.
"""

from __future__ import annotations

from dataclasses import dataclass

from raysweep.config.apis import Connections

SHRINK = 0.8
COOL_DOWN_S = 5.0


class AdaptiveLimit:
    """Calls in flight that are allowed now. share: this runner's part of the API's limits, 0 < share <= 1."""

    def __init__(self, bounds: Connections, share: float = 1.0) -> None:
        self._least = max(1, round(bounds.least * share))
        self._most = max(self._least, int(bounds.most * share))
        self.allowed = min(self._most, max(self._least, round(bounds.start * share)))
        self._successes = 0
        self._shrunk_at: float | None = None

    def succeeded(self) -> None:
        """A call was answered."""
        self._successes += 1
        if self._successes >= self.allowed:
            self.allowed = min(self._most, self.allowed + 1)
            self._successes = 0

    def rate_limited(self, now: float) -> None:
        """A call was answered 429 at `now` (monotonic seconds)."""
        if self._shrunk_at is not None and now - self._shrunk_at < COOL_DOWN_S:
            return
        self._shrunk_at = now
        self._successes = 0
        self.allowed = max(self._least, int(self.allowed * SHRINK))


@dataclass(slots=True)
class Bucket:
    """A token bucket: `per_minute` flow in evenly, a tenth of a minute's worth may come at once.

    An amount above what the bucket holds passes when it is full and leaves a debt, so that no call waits for ever.
    """

    per_minute: float
    level: float = 0.0
    at: float | None = None

    def delay(self, amount: float, now: float) -> float:
        """Seconds until `amount` may pass, 0 for now."""
        self._fill(now)
        missing = min(amount, self._room) - self.level
        return max(0.0, missing * 60.0 / self.per_minute)

    def take(self, amount: float, now: float) -> None:
        """`amount` passes; a negative one gives back what was reserved too much."""
        self._fill(now)
        self.level = min(self._room, self.level - amount)

    @property
    def _room(self) -> float:
        return max(1.0, self.per_minute / 10)

    def _fill(self, now: float) -> None:
        if self.at is None:
            self.level = self._room
        else:
            self.level = min(self._room, self.level + (now - self.at) * self.per_minute / 60.0)
        self.at = now
