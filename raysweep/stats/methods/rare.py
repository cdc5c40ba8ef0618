"""Intervals for rates with few events, where a bootstrap fails: Wilson, Newcombe's hybrid score, design effects.

Sources: Wilson 1927; Newcombe 1998, Stat Med 17:873 (method 10, two rates) and 17:2635 (method 10, paired rates).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from raysweep.stats.arrays import Floats, Ints

RARE_EVENTS = 10
"""Below this many events (or non-events) in either arm, or tasks that have one, no bootstrap is used."""
LEAST_CORRELATION = 0.2
"""Assumed at least between the trials of one task where few tasks have all events: so few cannot show it. Of
benchmarks/coverage, group infra: without it down to 80 % where deaths are concentrated, with 0.1 90, with 0.2 91."""


def wilson(p: float, n: float, level: float) -> tuple[float, float]:
    """Score interval of a rate p seen on n (effective, may be fractional) trials."""
    z = float(ndtri(0.5 + level / 2))
    centre, spread = 2 * n * p + z * z, z * math.sqrt(max(0.0, z * z + 4 * n * p * (1 - p)))
    low, high = (centre - spread) / (2 * (n + z * z)), (centre + spread) / (2 * (n + z * z))
    return min(max(0.0, low), p), max(min(1.0, high), p)  # p itself is inside, also after rounding


def newcombe(p1: float, n1: float, p2: float, n2: float, *, level: float, phi: float = 0.0) -> tuple[float, float]:
    """Hybrid-score interval of p1 - p2; phi is the correlation of paired outcomes, 0 for independent ones."""
    (l1, u1), (l2, u2) = wilson(p1, n1, level), wilson(p2, n2, level)

    def reach(a: float, b: float) -> float:
        return math.sqrt(max(0.0, a * a + b * b - 2 * phi * (a * b)))  # symmetric to the last bit

    d = p1 - p2
    return max(-1.0, d - reach(p1 - l1, u2 - p2)), min(1.0, d + reach(u1 - p1, p2 - l2))


def paired_phi(both: float, first: float, second: float, neither: float) -> float:
    """Newcombe's correlation of a 2 x 2 table of pairs: corrected towards 0 when positive, 0 with an empty margin."""
    n = both + first + second + neither
    product = ((both + first) * (second + neither)) * ((both + second) * (first + neither))
    if product <= 0:
        return 0.0
    cross = both * neither - first * second
    if cross > 0:
        cross = max(cross - n / 2, 0.0)
    return float(cross / math.sqrt(product))


def newcombe_paired(
    both: float, first: float, second: float, neither: float, *, level: float, deff: tuple[float, float] = (1.0, 1.0)
) -> tuple[float, float]:
    """Interval of the difference (first arm minus second) of a table of n pairs, of which each arm has n / deff."""
    n = both + first + second + neither
    n1, n2 = (n / max(1.0, d) for d in deff)
    p1, p2 = (both + first) / n, (both + second) / n
    return newcombe(p1, n1, p2, n2, level=level, phi=paired_phi(both, first, second, neither))


@dataclass(frozen=True, slots=True)
class ByTask:
    """Interval of a difference of rates, and the larger of the design effects behind it."""

    low: float
    high: float
    deff: float


def few_tasks(rates: Floats) -> bool:
    """True when fewer than RARE_EVENTS tasks, and under half of them, have an event (or a non-event); rates: (T,)."""
    return min(int(np.sum(rates > 0)), int(np.sum(rates < 1))) < min(RARE_EVENTS, len(rates) / 2)


def guarded_effect(rates: Floats, counts: Ints, rate: float) -> float:
    """Design effect of the mean of task rates (T,), at least that of LEAST_CORRELATION where `few_tasks` have events.

    A sample that missed the tasks with many events shows too few events and too small a design effect at once.
    """
    deff = design_effect(rates, counts, rate * (1 - rate))
    return max(deff, 1 + (float(np.mean(counts)) - 1) * LEAST_CORRELATION) if few_tasks(rates) else deff


def newcombe_by_task(arm: Floats, reference: Floats, sides: Floats, counts: Ints, *, level: float) -> ByTask:
    """Newcombe's paired interval of the mean over tasks of task differences, for pairs that are clustered in tasks.

    arm, reference: (n,) 0 or 1 of each complete block; sides: (T, 2) their rates by task; counts: (T,) blocks. Each arm
    has its own `guarded_effect`, at least that of the difference. With unequal numbers of blocks the mean of task means
    leaves the pooled difference by a little: the interval moves along.
    """
    table = [float(np.sum((arm == i) & (reference == j))) for i, j in ((1, 1), (1, 0), (0, 1), (0, 0))]
    means, rates = sides[:, 0] - sides[:, 1], (float(arm.mean()), float(reference.mean()))
    least = design_effect(means, counts, float(np.var(arm - reference)))
    d1, d2 = (max(least, guarded_effect(side, counts, p)) for side, p in zip(sides.T, rates, strict=True))
    low, high = newcombe_paired(*table, level=level, deff=(d1, d2))
    value = math.fsum(means.tolist()) / len(means)
    shift = value - (table[1] - table[2]) / len(arm)
    return ByTask(min(low + shift, value), max(high + shift, value), max(d1, d2))


def design_effect(means: Floats, counts: Ints, variance: float) -> float:
    """Variance of the mean of task means over that of a simple mean of sum(counts) draws with `variance`; >= 1.

    means, counts: (T,) of the tasks in use. 1 where it cannot be estimated (one task, or no variance at all).
    """
    tasks = len(means)
    simple = variance / max(1, int(counts.sum()))
    if tasks < 2 or simple <= 0:
        return 1.0
    return max(1.0, float(np.var(means, ddof=1)) / tasks / simple)


def tied_bound(tasks: int, level: float) -> float:
    """Upper bound on the share of discordant tasks when none of `tasks` differed: 1 - (1 - level)^(1/T)."""
    return float(1 - (1 - level) ** (1 / tasks))
