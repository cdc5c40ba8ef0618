"""Intervals over dates, and over tasks and dates together: closed forms on the task x date cells of a contrast.

Belongs here: cells in, an interval out. Does not: ledgers, arms, sentences. Model of a cell: task + date + task x date.
Sources: Satterthwaite 1946 (degrees of freedom); Cornfield & Tukey 1956 (expected mean squares of two crossed random
factors); Searle 1971, section 7.1 (least squares of the two-way layout with missing cells).

Why t at every number of dates: whole dates resampled, even with the expanded percentile, cover 75-85 % at 3 dates,
92 % at 5, 94 % at 7 and at 14 no more than t(D - 1), which covers 94-96 % at all of them (benchmarks/compare.py).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from raysweep.stats.arrays import Floats, Ints
from raysweep.stats.finding import Caution
from raysweep.stats.methods.interval import NO_SPREAD, ONE_TASK, Interval

LEAST_DATES = 3
"""Below this many dates their spread has at most one degree of freedom: only the number missing is reported."""
TINY = 1e-18
"""A variance of fractions below this is the rounding of equal values."""
APART = Caution(
    "dates_apart",
    "the dates share no tasks, so a date cannot be separated from its tasks",
    "run every task on every date",
)


@dataclass(frozen=True, slots=True)
class Grid:
    """Cells of a contrast: values (T, D), means of a task's blocks on a date, and counts (T, D) of those blocks.

    A count of 0 is a missing cell, whatever its value. Dates without any block do not count.
    """

    values: Floats
    counts: Ints

    @property
    def dates(self) -> int:
        """Number of dates with a block."""
        return int(np.sum(self.counts.sum(axis=0) > 0))


@dataclass(frozen=True, slots=True)
class DateSpread:
    """What the dates of a grid do to the mean over tasks; variances in squared units of the cells.

    spread: s^2 of the task-adjusted date means. date: the same times the sum of squared date weights, V_date, with
    dates - 1 df. noise: what task x date and repeats alone put into it, V_noise, with noise_df (0: not estimable, noise
    is then 0, which errs on the safe side).
    """

    dates: int
    spread: float
    date: float
    noise: float
    noise_df: int

    @property
    def excess(self) -> float:
        """V_date - V_noise: the variance that dates add beyond what the tasks' spread already holds; signed."""
        return self.date - self.noise

    @property
    def date_variance(self) -> float:
        """Variance between dates themselves, signed: what `excess` would be with one date."""
        return self.excess * self.spread / self.date if self.date > TINY else 0.0


@dataclass(frozen=True, slots=True)
class TwoWay:
    """The interval with its parts: v_task and excess (of all runs) in squared fractions, df of the t quantile."""

    interval: Interval
    v_task: float
    excess: float
    df: float


def missing_dates(grid: Grid) -> int:
    """How many more dates the grid needs before dates can be resampled; 0 when it has enough."""
    return max(0, LEAST_DATES - grid.dates)


def few_dates(grid: Grid) -> Caution:
    """The caution of a grid with too few dates, naming how many are missing."""
    more, had = missing_dates(grid), grid.dates
    return Caution(
        "few_dates",
        f"{had} date{'' if had == 1 else 's'} cannot tell how much another date would differ:"
        f" {more} more {'is' if more == 1 else 'are'} missing",
        f"run {more} more date{'' if more == 1 else 's'}, to have at least {LEAST_DATES}",
    )


def date_spread(grid: Grid) -> DateSpread | None:
    """V_date and V_noise of a grid; None with fewer than 2 dates, or where dates share no tasks.

    Date means are adjusted for tasks by least squares on the cells (every cell with equal weight), after eliminating
    the tasks: L m = r with L = diag(cells of a date) - sum_t p_t p_t' / n_t. A full grid gives s^2(date means) / D and
    MS(task x date) / (T D). With cells missing the mean over tasks weighs date d by w_d = mean_t(n_td / n_t), and the
    variance of the m_d by noise alone is MS x trace(L^+) / (D - 1).
    """
    seen, used = grid.counts.sum(axis=0) > 0, grid.counts.sum(axis=1) > 0
    counts, values = grid.counts[used][:, seen], grid.values[used][:, seen]
    here, dates = (counts > 0).astype(np.float64), int(seen.sum())
    if dates < 2:
        return None
    values, per_task = np.where(counts > 0, values, 0.0), here.sum(axis=1)
    ties = np.diag(here.sum(axis=0)) - (here / per_task[:, None]).T @ here
    roots, vectors = np.linalg.eigh(ties)
    held = roots > 1e-9 * len(counts)
    if int(held.sum()) < dates - 1:
        return None
    inverse = (vectors[:, held] / roots[held]) @ vectors[:, held].T
    centre = values.sum(axis=1) / per_task
    m = inverse @ (here * (values - centre[:, None])).sum(axis=0)
    own = ((values - m) * here).sum(axis=1) / per_task
    rest = (values - own[:, None] - m) * here
    df = int(here.sum()) - len(counts) - (dates - 1)
    square = float(np.sum(rest**2)) / df if df > 0 else 0.0
    weight = float(np.sum((counts / counts.sum(axis=1, keepdims=True)).mean(axis=0) ** 2))
    spread = float(np.sum((m - m.mean()) ** 2)) / (dates - 1)
    noise = square * float(np.sum(1 / roots[held])) / (dates - 1)
    return DateSpread(dates, spread, spread * weight, noise * weight, df)


def dates_sampled(value: float, grid: Grid, level: float) -> Interval:
    """Interval of the contrast `value` for these very tasks on other such dates: t(D - 1) on date means.

    value: mean over tasks, in the unit of the grid. No interval below LEAST_DATES dates, or without any spread.
    """
    if missing_dates(grid):
        return Interval(None, None, "none: too few dates", (few_dates(grid),))
    parts = date_spread(grid)
    if parts is None:
        return Interval(None, None, "none: dates share no tasks", (APART,))
    method = f"t over dates ({parts.dates - 1} df)"
    if parts.date <= TINY:
        same = Caution("no_spread", "every date gave the same value: no spread to estimate", "run more dates")
        return Interval(None, None, method, (same,))
    reach = float(stdtrit(parts.dates - 1, 0.5 + level / 2)) * math.sqrt(parts.date)
    return Interval(value - reach, value + reach, method)


def two_way(means: Floats, grids: Sequence[Grid], level: float, *, stated: float | None = None) -> TwoWay:
    """Interval of the mean of task contrasts over other such tasks and other such dates.

    means: (T,) task contrasts, finite. grids: cells whose dates were drawn apart, one for a contrast within one run,
    one for each of two runs; the tasks of each are those of `means`. V = V_task + sum(V_date - V_noise), truncated
    below at V_task = s^2(means) / T; t with Satterthwaite's df, which are never fewer than those of the least informed
    mean square: V_noise enters with a minus, so that the formula alone gives less than 1 df, and intervals a hundred
    times too wide, when V_date - V_noise is a small difference of large terms. stated: variance between dates, known
    from elsewhere: it takes the place of what the grids show, and then their dates may be fewer than LEAST_DATES.
    """
    tasks = len(means)
    if tasks < 2:
        return TwoWay(Interval(None, None, "none: one task", (ONE_TASK,)), 0.0, 0.0, 0.0)
    v_task = float(np.var(means, ddof=1)) / tasks
    known = 0.0
    parts: list[DateSpread] = []
    for grid in grids:
        if stated is not None:
            known += stated / max(1, grid.dates)
            continue
        if missing_dates(grid):
            return TwoWay(Interval(None, None, "none: too few dates", (few_dates(grid),)), v_task, 0.0, 0.0)
        found = date_spread(grid)
        if found is None:
            return TwoWay(Interval(None, None, "none: dates share no tasks", (APART,)), v_task, 0.0, 0.0)
        parts.append(found)
    excess = known + sum(p.excess for p in parts)
    variance, df = _satterthwaite(v_task, tasks - 1, parts, known)
    return TwoWay(_interval(means, variance, df, level, stated is not None), v_task, excess, df)


def _satterthwaite(v_task: float, df: int, parts: Sequence[DateSpread], known: float) -> tuple[float, float]:
    """Variance, truncated below at v_task, and its degrees of freedom; `known` has no uncertainty of its own."""
    excess = known + sum(p.excess for p in parts)
    if excess <= 0:
        return v_task, float(df)
    variance = v_task + excess
    terms = v_task**2 / df + sum(p.date**2 / (p.dates - 1) for p in parts)
    terms += sum(p.noise**2 / p.noise_df for p in parts if p.noise_df)
    least = min([df, *(p.dates - 1 for p in parts)])
    return variance, max(float(least), variance**2 / terms) if terms > 0 else math.inf


def _interval(means: Floats, variance: float, df: float, level: float, stated: bool) -> Interval:
    value = math.fsum(means.tolist()) / len(means)
    if variance <= TINY:
        return no_spread(value, len(means), level, bool(np.all(np.abs(means) <= 1)))
    reach = float(stdtrit(df, 0.5 + level / 2)) * math.sqrt(variance)
    low, high = value - reach, value + reach
    method = f"two-way t ({df:.0f} df)" + (", date spread as stated" if stated else "")
    apart = int(np.sum(np.abs(means) > 1e-12))
    if 2.0 ** (1 - apart) > 1 - level:
        few = Caution(
            "few_discordant",
            f"only {apart} tasks differ at all: by exchanging their signs no result at this level excludes 0",
            "add tasks, or harder (or easier) ones",
        )
        return Interval(min(low, 0.0), max(high, 0.0), method, (few,))
    return Interval(low, high, method)


def no_spread(value: float, tasks: int, level: float, bounded: bool) -> Interval:
    """The interval where every task gave `value`: at most the share 1 - (1 - level)^(1/T) of tasks gives another.

    bounded: contrasts cannot leave -1..1, so that those others bound the mean; else there is no interval.
    """
    if not bounded:
        return Interval(None, None, "none: no spread", (NO_SPREAD,))
    share = 1 - (1 - level) ** (1 / tasks)
    text = f"every task gave the same value: with {tasks} tasks up to {100 * share:.0f} % of tasks may still differ"
    why = Caution("all_tied", text, "add tasks, or harder (or easier) ones")
    return Interval(value - share * (value + 1), value + share * (1 - value), "exact bound on other tasks", (why,))
