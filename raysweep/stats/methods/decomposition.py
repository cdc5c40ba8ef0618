"""What a success contrast is made of: infrastructure deaths rescued, and other successes.

Belongs here: arithmetic on p, q, c (p = (1 - q) c: success, share of trials that infrastructure ended, success of the
others). PartBounds come first: they need one assumption. Kitagawa 1955 splits exactly but is accounting, not causal: it
credits rescued trials with the average success of clean ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from raysweep.stats.arrays import Floats


@dataclass(frozen=True, slots=True)
class PartBounds:
    """Ends of what rescued trials and other successes contribute to dp; each pair ascending."""

    rescued: tuple[float, float]
    other: tuple[float, float]


def bounds(dp: float, dq: float) -> PartBounds:
    """Bounds on the parts of dp: rescued trials between 0 and -dq, other successes the rest, dp + dq to dp.

    They assume that a higher limit neither turns a success into a failure nor kills what the lower limit spared. dq > 0
    (more deaths) turns the ends around: then it is trials lost, by the same assumption read the other way.
    """
    rescued = (min(0.0, -dq), max(0.0, -dq))
    other = (min(dp, dp + dq), max(dp, dp + dq))
    return PartBounds(rescued, other)


@dataclass(frozen=True, slots=True)
class Kitagawa:
    """infra + clean = dp exactly: through fewer deaths, and through success among the trials that lived."""

    infra: float
    clean: float


def clean_success(p: float, q: float) -> float | None:
    """Success given clean, c = p / (1 - q); None where q = 1: without a living trial it is undefined."""
    return p / (1 - q) if q < 1 else None


def kitagawa(arm: tuple[float, float], reference: tuple[float, float]) -> Kitagawa | None:
    """Split of dp = -c_mean dq + (1 - q)_mean dc for (p, q) of arm and reference; None where a c is undefined."""
    (p1, q1), (p0, q0) = arm, reference
    c1, c0 = clean_success(p1, q1), clean_success(p0, q0)
    if c1 is None or c0 is None:
        return None
    return Kitagawa(-(c1 + c0) / 2 * (q1 - q0), (1 - (q1 + q0) / 2) * (c1 - c0))


def infra_draws(means: Floats) -> Floats | None:
    """The infra part for draws of (p1, q1, p0, q0), (R, 4) -> (R,); None where a draw leaves c undefined."""
    p1, q1, p0, q0 = means.T
    if bool(np.any(q1 >= 1) or np.any(q0 >= 1)):
        return None
    return np.asarray(-(p1 / (1 - q1) + p0 / (1 - q0)) / 2 * (q1 - q0), dtype=np.float64)


def infra_influence(tasks: Floats) -> Floats:
    """Linearised infra part per task, (T,), from task means (p1, q1, p0, q0), (T, 4): its mean is the infra part.

    Only where c is defined on both sides.
    """
    p1, q1, p0, q0 = (float(v) for v in tasks.mean(axis=0))
    c1, c0, dq = p1 / (1 - q1), p0 / (1 - q0), q1 - q0
    gradient = np.array(
        [
            -dq / (1 - q1) / 2,
            -c1 * dq / (1 - q1) / 2 - (c1 + c0) / 2,
            -dq / (1 - q0) / 2,
            -c0 * dq / (1 - q0) / 2 + (c1 + c0) / 2,
        ]
    )
    return np.asarray(-(c1 + c0) / 2 * dq + (tasks - tasks.mean(axis=0)) @ gradient, dtype=np.float64)
