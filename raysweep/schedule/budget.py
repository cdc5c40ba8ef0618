"""The budget as a running sum over rows; pure. Says when to stop, never what anything is worth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from raysweep.units import GIB

COUNTED = (
    "t_created", "t_stopped", "t_agent_start", "t_agent_end", "request_cpu_asked", "request_memory_asked", "cost_usd",
)  # fmt: skip
"""Columns of an attempt that `Meter.add` looks at."""


@dataclass(slots=True)
class Meter:
    """What has been spent. Bounds of None are no bounds; prices are per requested cpu-hour and GiB-hour.

    in_flight_usd: what the model calls of all trials in flight may cost together, 0 where trials have no money bound.
    """

    usd_bound: float | None
    hours_bound: float | None
    usd_per_cpu_hour: float
    usd_per_gib_hour: float
    usd: float = 0.0
    hours: float = 0.0
    in_flight_usd: float = 0.0

    @property
    def bounded(self) -> bool:
        """Whether there is anything to count for."""
        return self.usd_bound is not None or self.hours_bound is not None

    def add(self, row: Mapping[str, Any]) -> str | None:
        """Count one attempt; the reason to stop once a bound is reached."""
        seconds = _span(row, "t_created", "t_stopped")
        cpu, memory = row.get("request_cpu_asked") or 0, row.get("request_memory_asked") or 0
        rate = cpu / 1000 * self.usd_per_cpu_hour + memory / GIB * self.usd_per_gib_hour
        self.usd += seconds / 3600 * rate + (row.get("cost_usd") or 0.0)
        self.hours += _span(row, "t_agent_start", "t_agent_end") / 3600
        return self.reason()

    def reason(self) -> str | None:
        """Why to stop now, if a bound is reached."""
        if self.usd_bound is not None and self.usd >= self.usd_bound:
            return f"the budget of {self.usd_bound:g} usd is spent ({self.usd:.2f})"
        if self.usd_bound is not None and self.usd + self.in_flight_usd > self.usd_bound:
            return (
                f"{self.usd:.2f} of the budget of {self.usd_bound:g} usd are spent, and the trials in flight could "
                f"spend {self.in_flight_usd:.2f} more; a lower runner.concurrency uses more of it"
            )
        if self.hours_bound is not None and self.hours >= self.hours_bound:
            return f"the budget of {self.hours_bound:g} agent hours is spent ({self.hours:.2f})"
        return None


def _span(row: Mapping[str, Any], begin: str, end: str) -> float:
    if row.get(begin) is None or row.get(end) is None:
        return 0.0
    return float(row[end] - row[begin])
