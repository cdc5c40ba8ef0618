"""Which coverage each kind of interval must reach, and what the sweeps say of it.

The targets are those of the coverage study of the methods (`benchmarks.coverage`): 93.5 to 96.5 % for contrasts and
rates over tasks, at least 92 % for infrastructure deaths and at least 93 % for variance components and spreads, where
conservative is allowed. The two-way interval errs on the safe side by design.
"""

from __future__ import annotations

from benchmarks.chain.coverage import Judged, monte_carlo
from benchmarks.coverage.judge import Target

DENSE = Target(0.935, 0.965)
RARE = Target(0.92)
COMPONENT = Target(0.93)
SAFE = Target(0.935)
RULES = (
    ("q_trial", RARE),
    ("infra_rate", RARE),
    ("decomposition_infra", RARE),
    ("time_of_day", COMPONENT),
    ("occasion_sd", COMPONENT),
    ("date_sd", COMPONENT),
    ("var_", COMPONENT),
    ("band_by_bucket", COMPONENT),
)


def target_of(kind: str) -> Target:
    """The target of a row."""
    if kind.endswith("tasks and dates") or "together" in kind:
        return SAFE
    return next((target for name, target in RULES if kind.startswith(name)), DENSE)


def verdict(j: Judged, target: Target) -> str:
    """Holds, or too low or too high where the 99 % Monte Carlo interval lies wholly outside the target."""
    low, high = monte_carlo(j)
    return "too low" if high < target.low else "too high" if low > target.high else "holds"
