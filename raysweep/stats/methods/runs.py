"""Runs as sampled units: intervals over other such runs, and what is between runs beyond their dates.

Belongs here: cells and adjusted date means in, numbers out. Does not: ledgers, names, sentences.
Model of a date's adjusted mean: run + date in run. Sources: Satterthwaite 1946; Ting et al. 1990 for the difference of
two mean squares; Searle 1971, chapter 10 (the coefficient of an unbalanced one-way layout).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from raysweep.stats.arrays import Floats, Ints
from raysweep.stats.finding import Caution
from raysweep.stats.methods.interval import Interval
from raysweep.stats.methods.twoway import LEAST_DATES, TINY, Grid, date_spread, two_way
from raysweep.stats.methods.variance import Component, FTest, difference_component

LEAST_RUNS = LEAST_DATES
"""Below this many runs their spread has at most one degree of freedom: nothing is said of other runs."""


@dataclass(frozen=True, slots=True)
class RunSpread:
    """Variance between runs beyond that of their dates, signed, and the F test that there is none."""

    component: Component
    test: FTest


def few_runs(runs: int) -> Caution:
    """The caution of too few runs, naming how many are missing."""
    more = LEAST_RUNS - runs
    return Caution(
        "few_runs",
        f"{runs} run{'' if runs == 1 else 's'} cannot tell how much another cluster or installation would differ",
        f"run it {more} more time{'' if more == 1 else 's'} elsewhere, to have at least {LEAST_RUNS} runs",
    )


def runs_sampled(value: float, grid: Grid, level: float) -> Interval:
    """Interval of the contrast `value` for these very tasks in other such runs: t(R - 1) on the runs' means.

    grid: (T, R) cells, one column per run; what dates do to a run's mean is in its spread. Runs weigh as in `value`.
    """
    if grid.dates < LEAST_RUNS:
        return Interval(None, None, "none: too few runs", (few_runs(grid.dates),))
    parts = date_spread(grid)
    if parts is None:
        return Interval(None, None, "none: runs share no tasks", (_apart(),))
    method = f"t over runs ({parts.dates - 1} df)"
    if parts.date <= TINY:
        same = Caution("no_spread", "every run gave the same value: no spread to estimate", "add runs")
        return Interval(None, None, method, (same,))
    reach = float(stdtrit(parts.dates - 1, 0.5 + level / 2)) * math.sqrt(parts.date)
    return Interval(value - reach, value + reach, method)


def tasks_and_runs(means: Floats, grid: Grid, level: float) -> Interval:
    """Interval of the mean of the task contrasts `means` (T,) over other such tasks in other such runs.

    `methods.twoway.two_way` with runs in the place of dates.
    """
    if grid.dates < LEAST_RUNS:
        return Interval(None, None, "none: too few runs", (few_runs(grid.dates),))
    if date_spread(grid) is None:
        return Interval(None, None, "none: runs share no tasks", (_apart(),))
    return two_way(means, [grid], level).interval


def _apart() -> Caution:
    return Caution(
        "runs_apart", "the runs share no tasks, so a run cannot be separated from its tasks", "run the same tasks"
    )


def run_spread(m: Floats, run: Ints, level: float) -> RunSpread | None:
    """Between runs beyond dates: m (D,) task-adjusted date means, run (D,) codes.

    None with one run, without a run of two dates, or where dates within runs are all alike. Dates weigh the same; with
    unequally many per run the F test and the interval are approximate.
    """
    names, at = np.unique(run, return_inverse=True)
    runs, dates = len(names), len(m)
    if runs < 2 or dates <= runs:
        return None
    sizes = np.bincount(at).astype(np.float64)
    means = np.bincount(at, weights=m) / sizes
    between = float(np.sum(sizes * (means - m.mean()) ** 2)) / (runs - 1)
    within = float(np.sum((m - means[at]) ** 2)) / (dates - runs)
    if within <= TINY:
        return None
    size = float(dates - np.sum(sizes**2) / dates) / (runs - 1)
    component = difference_component(between, runs - 1, within, dates - runs, divisor=size, level=level)
    return RunSpread(component, FTest(between / within, runs - 1, dates - runs))
