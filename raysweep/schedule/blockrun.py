"""One run of a block: what ended in it, what was lost, and until when its attempts may start. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from raysweep.plan.model import Block, PlannedTrial
from raysweep.schedule.calendar import Occasion

GRACE_S = 900.0
"""How long after its window's end (at most the window's own length) a block that was begun may still be finished."""


@dataclass(slots=True)
class BlockRun:
    """The number-th run (1, 2, ...) of a block, in the occasion in which it began (`began`: epoch seconds).

    ended: trials with an outcome. lost: platform causes so far by (trial, cause). missing: trials that get no further
    attempt in this run. late: begun by an earlier process, so its duration tells nothing.
    """

    block: Block
    number: int
    occasion: Occasion
    began: float
    ended: set[str] = field(default_factory=set)
    lost: Counter[tuple[str, str]] = field(default_factory=Counter)
    missing: set[str] = field(default_factory=set)
    late: bool = False

    @property
    def deadline(self) -> float:
        """Until when attempts of this run may start."""
        return self.occasion.closes + min(self.occasion.closes - self.occasion.opens, GRACE_S)

    @property
    def settled(self) -> bool:
        """Whether every trial has ended or is missing."""
        return len(self.ended) + len(self.missing) == len(self.block.trials)

    @property
    def left(self) -> list[PlannedTrial]:
        """Trials that neither ended nor are missing, in the block's order."""
        return [t for t in self.block.trials if t.trial_id not in self.ended and t.trial_id not in self.missing]

    def lose(self, trial_id: str, cause: str, caps: Mapping[str, int]) -> bool:
        """Count an attempt that a platform cause ended; whether the trial may have another one in this run."""
        self.lost[trial_id, cause] += 1
        return self.lost[trial_id, cause] <= caps.get(cause, 0)

    def give_up(self, caps: Mapping[str, int]) -> None:
        """Mark as missing what has used up its caps by the losses so far, as far as it has not ended."""
        spent = {trial for (trial, cause), n in self.lost.items() if n > caps.get(cause, 0)}
        self.missing |= spent - self.ended
