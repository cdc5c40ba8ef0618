"""The plan as values: trials in blocks, blocks in occasions. Pure data; `plan.design` makes it."""

from __future__ import annotations

from dataclasses import dataclass

from raysweep.units import Resources


@dataclass(frozen=True)  # no slots: it travels, and Python pickles slots slowly
class Arm:
    """Model + agent + band (+ the level of each other factor that is not at its reference, by name of the factor)."""

    model: str
    band: str
    factors: tuple[tuple[str, str], ...] = ()

    @property
    def key(self) -> str:
        """Name that is unique within a sweep."""
        return "/".join([self.model, self.band, *(f"{k}={v}" for k, v in self.factors)])


@dataclass(frozen=True, slots=True)
class PlannedTrial:
    """One (task, arm, repeat, occasion). `position` is the arm's place within its block (0, 1, ...)."""

    trial_id: str
    block_id: str
    arm: Arm
    position: int
    seed: int
    request: Resources
    limit: Resources


@dataclass(frozen=True, slots=True)
class Block:
    """The pairing unit: every arm of one task and repeat in one occasion.

    date: 1..D, index of the planned date (or cycle). order: place within the occasion (0, 1, ...).
    """

    block_id: str
    task: str
    repeat: int
    bucket: str
    date: int
    order: int
    trials: tuple[PlannedTrial, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """All blocks, ordered by (date, bucket in the order of the windows, order). plan_id: digest of all of it."""

    plan_id: str
    blocks: tuple[Block, ...]

    @property
    def trials(self) -> int:
        """Number of planned trials."""
        return sum(len(b.trials) for b in self.blocks)
