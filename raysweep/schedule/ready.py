"""Trials that are ready to be launched, and which of them may be launched beside what is in flight. Pure.

Where concurrency is a swept factor, only one level is active at a time: its trials are launched up to its number,
and the next level begins when none of this one is left and nothing is in flight. A batch of blocks shares its turns of
the levels, so that a level has work for a while, and the arms of a block are not far from each other. A batch begins
with the level that ended the one before: no slot is emptied between batches, and no level always comes first. A block
lasts as long as its batch, so that in a window a batch is no longer than a part of it, by the pace of the batches
before. Without the factor it is a line.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from math import ceil, isinf
from typing import TypeAlias

from raysweep.plan.model import Arm, PlannedTrial
from raysweep.schedule.blockrun import BlockRun
from raysweep.schedule.calendar import Occasion

Ready: TypeAlias = tuple[BlockRun, PlannedTrial]
TURNS = 2
"""Trials in a turn of a level, as a multiple of its number: with one each the load would begin to fall at once."""
PART = 0.25
"""Share of a window that a batch may last."""


class ReadyTrials:
    """The ready trials of a queue with `capacity` slots.

    slots: trials at once while an arm runs, for every arm; None: as many as there are slots, whatever runs.
    """

    def __init__(self, capacity: int, slots: Mapping[Arm, int] | None = None) -> None:
        self._slots, self._capacity = slots or {}, capacity
        members = Counter(self._slots.values())
        self._lines: dict[int, deque[Ready]] = {level: deque() for level in sorted(members) or [capacity]}
        self._level = next(iter(self._lines))
        self._batch = max((ceil(TURNS * level / n) for level, n in members.items()), default=1)
        self._room = 0
        self._occasion: Occasion | None = None
        self._began, self._blocks = 0.0, 0
        self._pace: float | None = None

    def __bool__(self) -> bool:
        return any(self._lines.values())

    def begin(self, run: BlockRun) -> None:
        """All that is left of a block run is ready."""
        if not self:
            self._next_batch(run)
        self._room, self._blocks = max(0, self._room - 1), self._blocks + 1
        for trial in run.left:
            self._line(trial).append((run, trial))

    def _next_batch(self, run: BlockRun) -> None:
        """A batch begins with `run`: how many blocks may be in it."""
        if run.occasion == self._occasion:
            self._pace = (run.began - self._began) / self._blocks
        self._occasion, self._began, self._blocks = run.occasion, run.began, 0
        length = run.occasion.closes - run.occasion.opens
        if isinf(length):
            self._room = self._batch
        elif self._pace is None:
            self._room = 1  # nothing is known yet
        else:
            self._room = max(1, min(self._batch, int(PART * length / max(self._pace, 1e-9))))

    def again(self, run: BlockRun, trial: PlannedTrial, *, at_once: bool) -> None:
        """A trial that was launched needs another attempt: before the others of its level, or after them."""
        line = self._line(trial)
        if at_once:
            line.appendleft((run, trial))
        else:
            line.append((run, trial))

    def wants_block(self, in_flight: int, occasion: Occasion | None) -> bool:
        """Whether another block should begin in `occasion` (the open one), if one may.

        That is when the ruling level has a free slot and no ready trial, while its batch has room or has all run.
        """
        if self._lines[self._level] or in_flight >= self._level:
            return False
        return not self or (self._room > 0 and occasion == self._occasion)

    def head(self, in_flight: int) -> Ready | None:
        """The trial that may be launched next beside `in_flight` others; it stays until `pop`."""
        if in_flight == 0 and not self._lines[self._level]:
            self._turn()
        line = self._lines[self._level]
        return line[0] if line and in_flight < self._level else None

    def pop(self) -> None:
        """Take out what `head` gave."""
        self._lines[self._level].popleft()

    def _line(self, trial: PlannedTrial) -> deque[Ready]:
        return self._lines[self._slots.get(trial.arm, self._capacity)]

    def _turn(self) -> None:
        """On to the next level that has a ready trial."""
        levels = list(self._lines)
        at = levels.index(self._level)
        self._level = next((n for n in [*levels[at + 1 :], *levels[:at]] if self._lines[n]), self._level)
