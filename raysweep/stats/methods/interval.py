"""Intervals for means and ratios of task values: tasks sampled (bootstrap or t) and tasks fixed (closed form).

Sources: Hesterberg 2015, Am Stat 69:371 (expanded percentile); Satterthwaite 1946; Miller 2024 (paired s.e.).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from scipy.stats import norm, t

from raysweep.stats.arrays import Bools, Floats, Ints
from raysweep.stats.finding import Caution
from raysweep.stats.methods.draws import Map, matrix, replicates

FEW_TASKS = 20
"""Below this many tasks the t interval is used: the percentile intervals cover too little there."""


@dataclass(frozen=True, slots=True)
class Interval:
    """low and high are None where no interval can be given; then `cautions` says why and what to do."""

    low: float | None
    high: float | None
    method: str
    cautions: tuple[Caution, ...] = ()


@dataclass(frozen=True, slots=True)
class Draws:
    """How tasks are resampled: shared by every estimand of one analysis."""

    seed: int
    replicates: int
    level: float
    map: Map = map
    _chunks: dict[int, list[Floats]] = field(default_factory=dict, repr=False, compare=False)

    def sums(self, columns: Floats) -> Floats:
        """Task sums of `columns` (T, C) under every draw, (R, C); W is made once for each T."""
        tasks = columns.shape[0]
        if tasks not in self._chunks:
            self._chunks[tasks] = matrix(tasks, seed=self.seed, draws=self.replicates, map=self.map)
        return replicates(self._chunks[tasks], columns)


ONE_TASK = Caution(
    "one_task",
    "one task cannot tell what other tasks would do",
    "add tasks; the interval with tasks fixed tells about this one",
)
NO_SPREAD = Caution(
    "no_spread",
    "every task gave the same value, so its spread cannot be estimated from these data",
    "add tasks or repeats",
)


def fmean(values: Floats) -> float:
    """Mean that does not depend on the order of the values (exact sum, rounded once)."""
    return math.fsum(values.tolist()) / len(values)


def t_interval(values: Floats, level: float) -> Interval:
    """Student t on task values, (T,): the paired t when they are contrasts."""
    n = len(values)
    if n < 2:
        return Interval(None, None, "t over tasks", (ONE_TASK,))
    se = float(np.std(values, ddof=1)) / math.sqrt(n)
    if se <= 1e-12:  # rounding of equal values
        return Interval(None, None, "t over tasks", (NO_SPREAD,))
    reach = float(t.ppf(0.5 + level / 2, n - 1)) * se
    centre = fmean(values)
    return Interval(centre - reach, centre + reach, f"t over tasks ({n - 1} df)")


def expanded_probability(n: int, level: float) -> float:
    """Lower tail probability of the expanded percentile interval: Phi(sqrt(n/(n-1)) t quantile) (Hesterberg 2015)."""
    return float(norm.cdf(math.sqrt(n / (n - 1)) * t.ppf(0.5 - level / 2, n - 1)))


def expanded_percentile(draws: Floats, n: int, level: float) -> tuple[float, float]:
    """Expanded percentile interval of `draws` (R,) of a statistic of n resampled units."""
    tail = expanded_probability(n, level)
    low, high = np.quantile(draws, [tail, 1 - tail])
    return float(low), float(high)


@dataclass(frozen=True, slots=True)
class Ratio:
    """sum(num) / sum(den) over tasks; den = 1 makes it a mean. num, den, use: (T,); num = den = 0 on unused tasks."""

    num: Floats
    den: Floats
    use: Bools

    @property
    def value(self) -> float | None:
        """The point estimate; None when no task is in use. Exact in any order of the tasks."""
        total = math.fsum(self.den.tolist())
        return math.fsum(self.num.tolist()) / total if total > 0 else None

    @property
    def influence(self) -> Floats:
        """Linearised value per task in use, (T',); for a mean these are the task values themselves."""
        value, centre = self.value or 0.0, float(np.mean(self.den[self.use]))
        return value + (self.num[self.use] - value * self.den[self.use]) / centre


def mean_ratio(means: Floats) -> Ratio:
    """Task means (nan = task not in use) as a Ratio."""
    use = np.isfinite(means)
    return Ratio(np.where(use, means, 0.0), use.astype(np.float64), use)


def tasks_sampled(first: Ratio, second: Ratio | None, how: Draws) -> Interval:
    """Interval of first - second (or of first alone) over tasks like these.

    Both ratios must be over the same T tasks; the expanded percentile from FEW_TASKS on, else t on the influence.
    """
    values = first.influence if second is None else first.influence - second.influence
    n = len(values)
    plain = t_interval(values, how.level)
    if n < FEW_TASKS or plain.low is None:
        return plain
    columns = [first.num, first.den] + ([] if second is None else [second.num, second.den])
    sums = how.sums(np.stack(columns, axis=1))
    if bool(np.any(sums[:, 1::2] <= 0)):
        return plain  # a draw without any clean trial has no ratio: the linearised t stands
    draws = sums[:, 0] / sums[:, 1]
    if second is not None:
        draws = draws - sums[:, 2] / sums[:, 3]
    low, high = expanded_percentile(draws, n, how.level)
    return Interval(low, high, f"expanded percentile bootstrap ({len(draws)} draws)")


def tasks_fixed(means: Floats, variances: Floats, counts: Ints, level: float) -> Interval:
    """Closed-form interval of the mean of task means on these very tasks, run again.

    means, variances, counts: (T,), the within-task block variance (nan with one block) and K of each task.
    s.e. = sqrt(sum s_t^2 / K_t) / T; t with Satterthwaite's df x (K+1)/(K-1).
    """
    enough = counts > 1
    method = "closed form, t with Satterthwaite df"
    if not bool(np.any(enough)):
        one = Caution("one_block", "one block per task: no repeat-to-repeat noise can be seen", "raise `repeats`")
        return Interval(None, None, method, (one,))
    borrowed = float(np.mean(variances[enough]))
    each = np.where(enough, variances, borrowed) / counts
    total = float(np.sum(each))
    if total <= 1e-18:
        same = Caution("no_spread", "all blocks of each task agree: their noise cannot be estimated", "raise `repeats`")
        return Interval(None, None, method, (same,))
    k = float(np.mean(counts[enough]))
    df = total**2 / float(np.sum(each[enough] ** 2 / (counts[enough] - 1))) * (k + 1) / (k - 1)
    reach = float(t.ppf(0.5 + level / 2, df)) * math.sqrt(total) / len(means)
    single = int(np.sum(~enough))
    borrow = Caution("borrowed", f"{single} tasks have one block and borrow the mean noise", "raise `repeats`")
    centre = fmean(means)
    return Interval(centre - reach, centre + reach, method, (borrow,) if single else ())
