"""The one type in which a number reaches a reader: report, JSON and terminal print Findings and nothing else."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

from raysweep.stats.estimand import estimand
from raysweep.stats.facet import Facet, FacetKind
from raysweep.vocabulary import CheckStatus


@dataclass(frozen=True, slots=True)
class Caution:
    """Something a reader must know before using a number, and what to do about it."""

    code: str
    message: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Finding:
    """A value with its interval and how both came about.

    estimand: a name of the registry, which gives the unit ("fraction", "points" = percentage points, "seconds",
    "bytes", ...) of value, low and high; they are None where
    it cannot be said (a warning says why), never NaN. arm: band (or "band/model"); reference: the band (for a
    contrast between buckets: the bucket) a contrast is against; of levels of another swept factor both are the band
    with the level ("1x [agent_timeout=2x]"), and the facet names that factor. facet: what else the number is about.
    resampled_over: "tasks", "tasks fixed", "dates", "tasks and dates", "runs", "tasks and runs" or "" for a
    plain value.
    """

    estimand: str
    model: str | None
    arm: str | None
    reference: str | None
    bucket: str | None
    facet: Facet | None
    value: float | None
    low: float | None
    high: float | None
    unit: str = field(init=False)
    level: float | None
    method: str
    resampled_over: str
    n_tasks: int
    n_attempts: int
    n_dates: int
    registered: bool = False
    warnings: tuple[Caution, ...] = ()

    def __post_init__(self) -> None:
        unit = estimand(self.estimand).unit_of(contrast=self.reference is not None)
        object.__setattr__(self, "unit", unit)
        for name in ("value", "low", "high"):
            number = getattr(self, name)
            if number is not None and not math.isfinite(number):
                raise ValueError(f"a finding's {name} must be finite or None, not {number} ({self.estimand})")

    @property
    def id(self) -> str:
        """What the finding is of, as one text without spaces: unique within a report, the same in every report."""
        sides = f"{self.arm or ''}{f'-{self.reference}' if self.reference else ''}"
        parts = (self.estimand, self.model, sides, self.bucket, self.facet and str(self.facet), self.resampled_over)
        return ":".join(str(part or "").replace(" ", "_") for part in parts).rstrip(":")

    def document(self) -> dict[str, Any]:
        """As report.json holds it: the fields, and the id by which sentences name it."""
        return {"id": self.id, **asdict(self)}

    def is_of(self, kind: FacetKind) -> bool:
        """Whether the facet is of this kind."""
        return self.facet is not None and self.facet.kind is kind

    @property
    def facet_name(self) -> str:
        """Which one of its kind the facet is, as text; "" where there is none or it is about all of the kind."""
        return "" if self.facet is None else "/".join(self.facet.names)

    @property
    def excludes_zero(self) -> bool:
        """True when the interval of a contrast lies wholly on one side of 0; False where there is no interval."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


@dataclass(frozen=True, slots=True)
class Check:
    """One validity check of the data, with what to do about it."""

    code: str
    status: CheckStatus
    message: str
    remedy: str
