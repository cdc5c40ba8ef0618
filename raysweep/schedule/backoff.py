"""How long a trial waits for its next attempt after a platform failure that came fast, and which trials wait. Pure.

A platform that fails at once (a registry that answers 500, an engine that restarts) would use up a trial's retries
within a second. Belongs here: the lengths of the waits, and the line of those who wait. Does not: whether there is a
next attempt at all (queue.py).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from itertools import count

from raysweep import seeds
from raysweep.plan.model import PlannedTrial
from raysweep.schedule.blockrun import BlockRun


@dataclass(frozen=True, slots=True)
class Backoff:
    """Seconds. An attempt that lasted `fast_s` or longer is followed at once by the next.

    The n-th wait of a trial is first_s * factor^(n - 1), at most longest_s, times a number from 0.5 to 1 that the
    trial's seed and n decide: trials that failed together do not come back together, and the same sweep waits alike.
    """

    first_s: float = 1.0
    factor: float = 3.0
    longest_s: float = 60.0
    fast_s: float = 10.0

    def delay_s(self, seed: int, failures: int, lasted_s: float) -> float:
        """Seconds to wait after the failures-th (1, 2, ...) platform failure of a trial in one run of its block."""
        if lasted_s >= self.fast_s:
            return 0.0
        whole = min(self.longest_s, self.first_s * self.factor ** min(failures - 1, 50))
        return whole * (0.5 + 0.5 * seeds.uniform(seed, "backoff", failures))


AT_ONCE = Backoff(first_s=0.0)
"""No waits."""


@dataclass(slots=True)
class WaitingRetries:
    """Trials that wait for their next attempt, by the moment (epoch seconds) at which it may begin."""

    _line: list[tuple[float, int, BlockRun, PlannedTrial]] = field(default_factory=list)
    _entry: count[int] = field(default_factory=count)

    def __len__(self) -> int:
        return len(self._line)

    def add(self, due: float, run: BlockRun, trial: PlannedTrial) -> None:
        """A trial that waits until `due`."""
        heappush(self._line, (due, next(self._entry), run, trial))

    def next_due(self) -> float | None:
        """When the first of them is due; None where nobody waits."""
        return self._line[0][0] if self._line else None

    def take_due(self, now: float) -> tuple[BlockRun, PlannedTrial] | None:
        """The first that is due, taken out of the line."""
        if not self._line or self._line[0][0] > now:
            return None
        _, _, run, trial = heappop(self._line)
        return run, trial

    def shift(self, seconds: float) -> None:
        """The wall clock was set by so much."""
        self._line = [(due + seconds, entry, run, trial) for due, entry, run, trial in self._line]
        heapify(self._line)
