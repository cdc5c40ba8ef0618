"""Fault processes of a simulated sweep: nodes lost in bursts, outages of the API server, latency by hour.

Every one is a pure function of the seed, the virtual time and the node. So a sweep that is interrupted and resumed
meets the same faults at the same times, and two sweeps of one seed and the same dates live in the same world.
Times are seconds since the epoch, durations seconds.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from raysweep.seeds import uniform

_CELLS = 4096
"""Cells of a process that are remembered; a sweep only moves forward, and looks at a few around the present."""


@lru_cache(maxsize=_CELLS)
def _events(seed: int, process: str, every: float, cell: int) -> tuple[float, ...]:
    """Times of a Poisson process with one event per `every` seconds in its cell [cell, cell + 1) x every, ascending."""
    u, count = uniform(seed, "faults", process, cell), 0
    below = chance = math.exp(-1.0)
    while u >= below and count < 20:  # the twenty-first event in one cell has a chance of 1e-20
        count += 1
        chance /= count
        below += chance
    return tuple(sorted((cell + uniform(seed, "faults", process, cell, n)) * every for n in range(count)))


def events(seed: int, process: str, every: float, begin: float, end: float) -> Iterator[float]:
    """Events of one process in [begin, end), ascending: a Poisson process that can be read at any time."""
    for cell in range(math.floor(begin / every), math.floor(end / every) + 1):
        yield from (t for t in _events(seed, process, every, cell) if begin <= t < end)


@dataclass(frozen=True, slots=True)
class NodeLoss:
    """A burst every `every` seconds on average takes each node with chance `share`; it comes back after `lasts`."""

    every: float
    share: float
    lasts: float


@dataclass(frozen=True, slots=True)
class ApiOutage:
    """An outage every `every` seconds on average, `lasts` long; who waits for the API server gives up after `patience`.

    A shorter outage only delays. A longer one is the platform cause api_server.
    """

    every: float
    lasts: float
    patience: float


@dataclass(frozen=True, slots=True)
class Faults:
    """All fault processes; the default has none.

    nodes: number of simulated nodes. latency: factors of the duration by hour of the day in `timezone`, 24 or none.
    """

    seed: int = 0
    nodes: int = 1
    node_loss: NodeLoss | None = None
    api_outage: ApiOutage | None = None
    latency: Sequence[float] = ()
    timezone: str = "UTC"

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Faults:
        """The same from plain values, nested maps included."""
        given = dict(options)
        for key, kind in (("node_loss", NodeLoss), ("api_outage", ApiOutage)):
            if given.get(key) is not None:
                given[key] = kind(**given[key])
        return cls(**given)

    def lost(self, node: int, begin: float, end: float) -> float | None:
        """When `node` is lost first in [begin, end), if it is."""
        if self.node_loss is None:
            return None
        bursts = events(self.seed, "node-loss", self.node_loss.every, begin, end)
        return next((t for t in bursts if self._takes(self.node_loss, t, node)), None)

    def _takes(self, loss: NodeLoss, burst: float, node: int) -> bool:
        return uniform(self.seed, "faults", "node", repr(burst), node) < loss.share

    def up(self, node: int, now: float) -> bool:
        """Whether `node` is there at `now`."""
        loss = self.node_loss
        return loss is None or self.lost(node, now - loss.lasts, math.nextafter(now, math.inf)) is None

    def place(self, trial: str, attempt: str, now: float) -> int | None:
        """The node (0, 1, ...) of an attempt: the first that is up from a drawn one on; None when all are down."""
        first = int(uniform(self.seed, "faults", "place", trial, attempt) * self.nodes)
        return next((n for k in range(self.nodes) if self.up(n := (first + k) % self.nodes, now)), None)

    def back(self, now: float) -> float:
        """When the API server answers again: `now` where it does; outages that overlap count as one."""
        api = self.api_outage
        while api is not None:
            begun = events(self.seed, "api-outage", api.every, now - api.lasts, math.nextafter(now, math.inf))
            last = max(begun, default=None)
            if last is None or last + api.lasts <= now:
                break
            now = last + api.lasts
        return now

    def silence(self, begin: float, end: float) -> float:
        """Seconds of [begin, end) without the API server."""
        api = self.api_outage
        if api is None:
            return 0.0
        total, reached = 0.0, begin
        for t in events(self.seed, "api-outage", api.every, begin - api.lasts, end):
            low, high = max(t, reached), min(t + api.lasts, end)
            total += max(0.0, high - low)
            reached = max(reached, high)
        return total

    def slowness(self, now: float) -> float:
        """What the duration of a trial that begins at `now` is multiplied by."""
        return self.latency[dt.datetime.fromtimestamp(now, ZoneInfo(self.timezone)).hour] if self.latency else 1.0
