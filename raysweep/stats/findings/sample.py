"""One registered contrast on the data of one look: its value, its standard error over tasks, its repeated interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raysweep.stats.arrays import Bools, Floats, Ints
from raysweep.stats.cube import Cube
from raysweep.stats.endings import is_resource
from raysweep.stats.findings.clean import clean_ratio
from raysweep.stats.findings.dates import date_grid
from raysweep.stats.findings.pair import is_binary, rare, within_unit
from raysweep.stats.methods.interval import Ratio, mean_ratio
from raysweep.stats.methods.rare import RARE_EVENTS, few_tasks, guarded_effect, newcombe, newcombe_by_task
from raysweep.stats.methods.sequential import nominal_level, repeated_interval
from raysweep.stats.methods.twoway import TINY, Grid, missing_dates, two_way


@dataclass(frozen=True, slots=True)
class ContrastSample:
    """A contrast at one look. values: (T,) of the tasks in use, linearised for ratios, fractions, their mean the value.

    pairs: (complete blocks, 2) y of arm and reference where both are 0 or 1 and rare; sides: (T, 2) their
    means by task; counts: (T,) blocks per task.
    rates: (T, 4) events and trials of either arm where they are rare and not paired. bounded: y lies within 0..1.
    over_dates: variance of the value over other tasks and other dates, and its df, from three dates on.
    """

    value: float | None
    values: Floats
    attempts: int
    dates: int
    pairs: Floats | None = None
    sides: Floats | None = None
    counts: Ints | None = None
    rates: Floats | None = None
    bounded: bool = True
    over_dates: tuple[float, float] | None = None

    @property
    def df(self) -> float:
        """Degrees of freedom of the standard error."""
        return len(self.values) - 1 if self.over_dates is None else self.over_dates[1]

    @property
    def over(self) -> str:
        """What the interval is resampled over."""
        return "tasks" if self.over_dates is None or self.rare_events else "tasks and dates"

    @property
    def rare_events(self) -> bool:
        """Events are too few for t."""
        return self.pairs is not None or self.rates is not None

    @property
    def se(self) -> float:
        """Standard error over sampled tasks, and dates where there are three; 0 where it cannot be estimated."""
        if self.over_dates is not None:
            return math.sqrt(self.over_dates[0])
        n = len(self.values)
        error = float(np.std(self.values, ddof=1)) / math.sqrt(n) if n > 1 else 0.0
        return error if error > 1e-12 else 0.0

    @property
    def method(self) -> str:
        """What the interval is made of."""
        return "Newcombe hybrid score" if self.rare_events else f"t over {self.over} ({self.df:.0f} df)"

    def interval(self, boundary: float) -> tuple[float, float] | None:
        """Repeated interval; Newcombe's at the boundary's level where events are rare, else t."""
        plain = repeated_interval(self.value or 0.0, self.se, self.df, boundary)
        if plain is None or self.value is None:
            return None
        if self.pairs is not None and self.sides is not None and self.counts is not None:
            arm, reference = self.pairs.T
            ends = newcombe_by_task(arm, reference, self.sides, self.counts, level=nominal_level(boundary))
            return ends.low, ends.high
        if self.rates is not None:
            return _rare_rates(self.rates, nominal_level(boundary))
        return (max(-1.0, plain[0]), min(1.0, plain[1])) if self.bounded else plain


def sample(cube: Cube, rows: Bools, estimand: str, model: str, bands: tuple[str, str]) -> ContrastSample:
    """The contrast of bands (arm, reference) of a model on the blocks `rows`, for estimands of trials."""
    arm, reference = (cube.column(model, b) for b in bands)
    y = cube.q if estimand == "q_trial" else cube.y
    complete = rows & np.isfinite(y[:, arm]) & np.isfinite(y[:, reference])
    attempts, dates = 2 * int(complete.sum()), cube.n_dates(complete)
    bounded = within_unit(y[:, arm], y[:, reference])
    if estimand == "success_given_clean":
        ratios = [clean_ratio(cube, c, complete) for c in (arm, reference)]
        return _ratio_sample(ratios, attempts, dates, bounded)
    both = [cube.task_means(y[:, c], complete) for c in (arm, reference)]
    difference = np.where(complete, y[:, arm] - y[:, reference], np.nan)
    means, counts = cube.task_means(difference, complete)
    used, pairs = counts > 0, np.stack([y[complete, arm], y[complete, reference]], axis=1)
    sides = np.stack([side[used] for side, _ in both], axis=1)
    few = len(pairs) > 0 and is_binary(pairs) and (rare(*pairs.T) or any(few_tasks(s) for s in sides.T))
    grid = date_grid(cube, difference, complete)
    plain = ContrastSample(mean_ratio(means).value, means[used], attempts, dates, bounded=bounded)
    plain = replace(plain, over_dates=over_dates(means[used], grid))
    return replace(plain, pairs=pairs, sides=sides, counts=counts[used]) if few else plain


def over_dates(means: Floats, grid: Grid) -> tuple[float, float] | None:
    """Variance over other tasks and dates with its df (`methods.twoway.two_way`); None with too few dates or tasks.

    Without it a stop rule takes an arm's bad date for an effect: with arm-by-date sd of 1 and 2 points it erred in 10
    and 25 % of sweeps instead of 5 %.
    """
    if missing_dates(grid) or len(means) < 2:
        return None
    both = two_way(means, [grid], 0.95)
    variance = both.v_task + max(0.0, both.excess)
    return (variance, both.df) if variance > TINY and both.df > 0 else None


def _ratio_sample(sides: Sequence[Ratio], attempts: int, dates: int, bounded: bool = True) -> ContrastSample:
    first, second = sides
    if first.value is None or second.value is None:
        return ContrastSample(None, np.zeros(0), attempts, dates)
    return ContrastSample(
        first.value - second.value, first.influence - second.influence, attempts, dates, bounded=bounded
    )


def infra_sample(table: pa.Table, model: str, bands: tuple[str, str], dates: int) -> ContrastSample:
    """The contrast of the shares of all attempts in `table` (with `_model`) that ended in a resource cause.

    Tasks in which either arm has no attempt are left out.
    """
    mine = table.filter(pc.equal(table["_model"], model))
    tasks = sorted(mine["task"].unique().to_pylist())
    rates = np.stack([x for band in bands for x in _events(mine, band, tasks)], axis=1)
    rates = rates[(rates[:, 1] > 0) & (rates[:, 3] > 0)]
    everyone = np.ones(len(rates), dtype=bool)
    sides = [Ratio(rates[:, i], rates[:, i + 1], everyone) for i in (0, 2)]
    attempts = int(rates[:, 1].sum() + rates[:, 3].sum())
    if not len(rates):
        return ContrastSample(None, np.zeros(0), attempts, dates)
    events, trials = rates.sum(axis=0)[[0, 2]], rates.sum(axis=0)[[1, 3]]
    few = bool(np.any(np.minimum(events, trials - events) < RARE_EVENTS)) or any(
        few_tasks(rates[:, i] / rates[:, i + 1]) for i in (0, 2)
    )
    return replace(_ratio_sample(sides, attempts, dates), rates=rates if few else None)


def _events(table: pa.Table, band: str, tasks: Sequence[str]) -> tuple[Floats, Floats]:
    """Attempts with a resource cause, and all attempts, per task."""
    mine = table.filter(pc.equal(table["band"], band))
    where = np.asarray(pc.index_in(mine["task"], value_set=pa.array(tasks, pa.string())).to_numpy(), dtype=np.int64)
    died = np.asarray(is_resource(mine).to_numpy(), dtype=np.float64)
    both = (np.bincount(where, weights=w, minlength=len(tasks)) for w in (died, np.ones(len(where))))
    events, attempts = (np.asarray(x, dtype=np.float64) for x in both)
    return events, attempts


def _rare_rates(rates: Floats, level: float) -> tuple[float, float]:
    sides = []
    for events, trials in (rates[:, :2].T, rates[:, 2:].T):
        p = float(events.sum() / trials.sum())
        deff = guarded_effect(events / trials, trials.astype(np.int64), p)
        sides.append((p, float(trials.sum()) / deff))
    (p1, n1), (p2, n2) = sides
    return newcombe(p1, n1, p2, n2, level=level)
