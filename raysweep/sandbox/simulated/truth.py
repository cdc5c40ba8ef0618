"""What is true in a simulated sweep, as probabilities and seeded draws; pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from statistics import NormalDist

from raysweep.seeds import uniform

REST = "*"
_NORMAL = NormalDist()


@lru_cache(maxsize=4096)
def _standard(seed: int, path: tuple[str, ...]) -> float:
    """A standard normal number for this place; kept, as a task, a date and an occasion are asked for by many trials."""
    return _NORMAL.inv_cdf(max(1e-12, uniform(seed, "truth", *path)))


@dataclass(frozen=True, slots=True)
class Truth:
    """Rates and spreads as fractions; maps by band take "*" for the rest. See the config's `sandbox.truth` keys.

    phases: middle of each bucket as a share of the period, for the time-of-day cosine. seed: the sweep's.
    """

    seed: int = 0
    success: Mapping[str, float] = field(default_factory=lambda: {REST: 0.5})
    infra: Mapping[str, float] = field(default_factory=lambda: {REST: 0.0})
    models: Mapping[str, float] = field(default_factory=dict)
    factors: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    task_sd: float = 0.2
    date_sd: float = 0.0
    occasion_sd: float = 0.0
    amplitude: float = 0.0
    peak: float = 0.0
    duration: tuple[float, float] = (0.5, 1.5)
    platform: Mapping[str, float] = field(default_factory=dict)
    phases: Mapping[str, float] = field(default_factory=dict)

    def _normal(self, sd: float, *path: str) -> float:
        return sd * _standard(self.seed, path) if sd else 0.0

    def success_rate(self, labels: Mapping[str, str]) -> float:
        """Success over all trials like this one (infrastructure deaths count 0), clipped to [0, 1 - infra rate]."""
        band, bucket, occasion = labels["band"], labels["bucket"], labels["occasion"]
        p = self.success.get(band, self.success.get(REST, 0.5)) + self.models.get(labels["model"], 0.0)
        p += sum(levels.get(labels.get(f"factor.{name}", ""), 0.0) for name, levels in self.factors.items())
        p += self._normal(self.task_sd, "task", labels["task"])
        p += self.luck(occasion, bucket)
        if self.amplitude and bucket in self.phases:
            p += self.amplitude * math.cos(2 * math.pi * (self.phases[bucket] - self.peak))
        return min(max(p, 0.0), 1.0 - self.infra_rate(labels))

    def luck(self, occasion: str, bucket: str) -> float:
        """What the date and the occasion themselves add to success."""
        of_date = self._normal(self.date_sd, "date", occasion)
        return of_date + self._normal(self.occasion_sd, "occasion", occasion, bucket)

    def infra_rate(self, labels: Mapping[str, str]) -> float:
        """Share of trials like this one that die of their own memory."""
        return self.infra.get(labels["band"], self.infra.get(REST, 0.0))

    def outcome_of(self, labels: Mapping[str, str]) -> str:
        """One of "dies", "solves" and "fails": one uniform draw per trial."""
        u = uniform(self.seed, "fate", labels["trial"])
        q = self.infra_rate(labels)
        if u < q:
            return "dies"
        return "solves" if u < q + self.success_rate(labels) else "fails"

    def platform_fault(self, labels: Mapping[str, str]) -> str | None:
        """The platform cause that this attempt meets, if any: one uniform draw per attempt."""
        u = uniform(self.seed, "platform", labels["trial"], labels["attempt"])
        for cause in sorted(self.platform):
            if u < self.platform[cause]:
                return cause
            u -= self.platform[cause]
        return None

    def seconds(self, labels: Mapping[str, str]) -> float:
        """Duration of this attempt's agent."""
        low, high = self.duration
        return low + (high - low) * uniform(self.seed, "seconds", labels["trial"], labels["attempt"])
