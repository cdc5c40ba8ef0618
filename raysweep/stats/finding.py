"""The one type in which a number reaches a reader: report, JSON and terminal print Findings and nothing else."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Caution:
    """Something a reader must know before using a number, and what to do about it."""

    code: str
    message: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Finding:
    """A value with its interval and how both came about.

    value, low, high are in `unit` ("fraction", "points" = percentage points, "seconds", "bytes", ...); None where
    it cannot be said (a warning says why), never NaN. arm: band (or "band/model"); reference: the band a contrast is
    against. resampled_over: "tasks", "tasks fixed", "dates", "tasks and dates" or "" for a plain value.
    """

    estimand: str
    model: str | None
    arm: str | None
    reference: str | None
    bucket: str | None
    factor: str | None
    value: float | None
    low: float | None
    high: float | None
    unit: str
    level: float | None
    method: str
    resampled_over: str
    n_tasks: int
    n_attempts: int
    n_dates: int
    registered: bool = False
    warnings: tuple[Caution, ...] = ()
