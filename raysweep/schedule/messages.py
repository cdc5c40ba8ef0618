"""Events that a queue receives and instructions that it returns. Pure values.

Does not belong here: what either means for the state of a sweep (queue.py), or how it is carried out (driver.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from raysweep.plan.model import Block, PlannedTrial
from raysweep.record.probes import Round


@dataclass(frozen=True, slots=True)
class Tick:
    """Time passed, nothing else happened."""


@dataclass(frozen=True, slots=True)
class Ended:
    """An attempt ended. cause: its platform cause, else None. cancelled: it counts for nothing and may run again."""

    trial_id: str
    cause: str | None = None
    cancelled: bool = False


@dataclass(frozen=True, slots=True)
class Halt:
    """Release no more blocks; those begun are finished, or left as they are."""

    finish_blocks: bool = True


@dataclass(frozen=True, slots=True)
class Probed:
    """The round of probes that was asked for is over, whatever its result."""


@dataclass(frozen=True, slots=True)
class Stepped:
    """The wall clock was set, or the machine slept: it shows `by` seconds more than time has passed."""

    by: float


Event: TypeAlias = Tick | Ended | Halt | Probed | Stepped


@dataclass(frozen=True, slots=True)
class Launch:
    """Run this attempt now."""

    block: Block
    trial: PlannedTrial
    attempt: int
    block_run: int


@dataclass(frozen=True, slots=True)
class Probe:
    """Run this round of probes now; nothing else is asked for until it is over."""

    round: Round


@dataclass(frozen=True, slots=True)
class Sleep:
    """Nothing to launch before `until` (seconds since the epoch) unless an attempt ends."""

    until: float


@dataclass(frozen=True, slots=True)
class Finish:
    """Nothing is running and nothing more will. missing: planned blocks without a complete run."""

    missing: int


Instruction: TypeAlias = Launch | Probe | Sleep | Finish
