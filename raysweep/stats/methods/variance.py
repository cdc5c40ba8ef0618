"""Variance components of time of day: bucket, date, occasion; their intervals. Pure numbers, no ledger.

Model of the task-adjusted occasion means m[b, d]: bucket + date + bucket x date, plus the noise of the tasks' cells.
Where dates belong to several runs: bucket + run + bucket x run + date in run + bucket x date in run; runs are fixed.
Sources: noncentral F inversion for a fixed factor; Ting et al. 1990 (modified large sample) for differences of mean
squares; Searle 1971, chapter 7 (least squares of the two-way layout with missing cells).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.special import chdtri, fdtrc, fdtri, ncfdtr

from raysweep.stats.arrays import Bools, Floats, Ints

TINY = 1e-18
"""A mean square of fractions below this is the rounding of equal values."""
FAR = 2.0**12
"""Square root of a noncentrality beyond which its distribution is that of its limit."""
LEAST_SHARE = 0.5
"""A noise corrected for missing cells never falls below this share of the one seen: a small divisor would claim."""


@dataclass(frozen=True, slots=True)
class Component:
    """A variance with its interval; `value` keeps its sign, as an unbiased estimate must."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class FTest:
    """A ratio of mean squares with its degrees of freedom."""

    ratio: float
    df1: int
    df2: int

    @property
    def p(self) -> float:
        """P(F >= ratio) under the central F."""
        return float(fdtrc(self.df1, self.df2, max(0.0, self.ratio)))


@dataclass(frozen=True, slots=True)
class OccasionMeans:
    """Task-adjusted means (O,) and their noise: covariance = square x spread, spread (O, O) centred.

    means: nan for an occasion without cells, and all nan where the occasions share no tasks, so that nothing ties them
    together. square: MS(task x occasion), None where no degree of freedom (df) is left.
    """

    means: Floats
    square: float | None
    df: int
    spread: Floats


@dataclass(frozen=True, slots=True)
class Squares:
    """Mean squares of a B x D grid of occasion means: buckets, dates and the rest (their interaction).

    noise_*: what the noise of the tasks' cells alone puts into each (the same for all three when no cell is missing).
    runs: how many runs the dates belong to; dates and the rest are then those within runs, and run_bucket is the mean
    square of bucket x run.
    """

    bucket: float
    date: float
    rest: float
    buckets: int
    dates: int
    noise_bucket: float = 0.0
    noise_date: float = 0.0
    noise_rest: float = 0.0
    runs: int = 1
    run_bucket: float = 0.0
    noise_run_bucket: float = 0.0

    @property
    def df_bucket(self) -> int:
        """Degrees of freedom between buckets."""
        return self.buckets - 1

    @property
    def df_date(self) -> int:
        """Degrees of freedom between dates of a run."""
        return self.dates - self.runs

    @property
    def df_rest(self) -> int:
        """Degrees of freedom of the interaction."""
        return self.df_bucket * self.df_date

    @property
    def under_bucket(self) -> float:
        """What `bucket` would be without any bucket effect: the rest, corrected for missing cells."""
        return max(self.rest + self.noise_bucket - self.noise_rest, LEAST_SHARE * self.rest)

    @property
    def bucket_test(self) -> FTest:
        """Omnibus test of bucket effects; only for a rest above 0."""
        return FTest(self.bucket / self.under_bucket, self.df_bucket, self.df_rest)

    @property
    def under_date(self) -> float:
        """What `date` would be without any date effect."""
        return max(self.rest + self.noise_date - self.noise_rest, LEAST_SHARE * self.rest)

    @property
    def df_run_bucket(self) -> int:
        """Degrees of freedom of bucket x run."""
        return self.df_bucket * (self.runs - 1)

    @property
    def under_run_bucket(self) -> float:
        """What `run_bucket` would be if buckets did the same in every run."""
        return max(self.rest + self.noise_run_bucket - self.noise_rest, LEAST_SHARE * self.rest)


def occasion_means(values: Floats, counts: Ints) -> OccasionMeans:
    """Task-adjusted occasion means by least squares task + occasion (occasion = bucket + date + bucket x date).

    values, counts: (T, O) means of a task's blocks in an occasion and their numbers (0 = none). Cells weigh the same
    whatever their number of blocks: then MS(task x occasion) / T is exactly what noise puts into the occasion means,
    however unequal the numbers are. Means are centred on the mean of all cells.
    """
    tasks, occasions = values.shape
    filled = counts > 0
    if filled.all() and values.size:
        means = values.mean(axis=0)
        rest = values - means - values.mean(axis=1)[:, None] + means.mean()
        spread = (np.eye(occasions) - 1 / occasions) / tasks
        return _means(means, rest, (tasks - 1) * (occasions - 1), spread)
    return _unbalanced(np.where(filled, values, 0.0), filled)


def _unbalanced(values: Floats, filled: Bools) -> OccasionMeans:
    """Normal equations with the tasks eliminated; one ridge per connected part makes them regular at no bias."""
    tasks, occasions = values.shape
    t, o = np.nonzero(filled)
    edges = coo_array((np.ones(len(t)), (t, tasks + o)), shape=(tasks + occasions,) * 2)
    _, part = connected_components(edges, directed=False)
    member = (part[tasks:, None] == np.unique(part)).astype(np.float64)
    per_task, per_occasion = filled.sum(axis=1), filled.sum(axis=0)
    weight = filled / np.maximum(per_task, 1)[:, None]
    ridge = member / np.maximum(member.sum(axis=0), 1) @ member.T
    inverse = np.linalg.inv(np.diag(per_occasion) - filled.T.astype(np.float64) @ weight + ridge)
    effects = inverse @ ((values - filled * (values.sum(axis=1) / np.maximum(per_task, 1))[:, None]).sum(axis=0))
    level = (values - filled * effects).sum(axis=1) / np.maximum(per_task, 1)
    rest = np.where(filled, values - effects - level[:, None], 0.0)
    seen = per_occasion > 0
    parts = len(np.unique(part[tasks:][seen]))
    df = len(t) - int((per_task > 0).sum()) - int(seen.sum()) + parts
    means = np.full(occasions, np.nan)
    if parts == 1:
        means[seen] = effects[seen] - effects[seen].mean() + values[filled].mean()
    return _means(means, rest, df, inverse - ridge)


def _means(means: Floats, rest: Floats, df: int, spread: Floats) -> OccasionMeans:
    return OccasionMeans(means, float(np.sum(rest**2)) / df if df > 0 else None, df, spread)


def mean_squares(
    m: Floats, spread: Floats | None = None, square: float | None = None, run: Ints | None = None
) -> Squares:
    """Mean squares of the grid m (B, D), all finite; B at least 2, D more than the runs.

    spread (B x D, B x D), square: the noise of m as OccasionMeans gives it; None = not known, taken as equal in all.
    run: (D,) code of the run of each date; None: one run.
    """
    buckets, dates = m.shape
    member = _members(np.zeros(dates, dtype=np.int64) if run is None else run)
    runs, sizes = member.shape[0], member.sum(axis=1)
    grand, by_bucket, by_date = m.mean(), m.mean(axis=1), m.mean(axis=0)
    by_both = m @ member.T / sizes
    by_run = by_both.mean(axis=0)
    rest = m - by_both @ member - by_date[None, :] + by_run @ member
    across = by_both - by_bucket[:, None] - by_run[None, :] + grand
    df_date, df_across = dates - runs, (buckets - 1) * (runs - 1)
    noise = (0.0, 0.0, 0.0, 0.0)
    if spread is not None and square is not None:
        noise = _noise(spread.reshape(buckets, dates, buckets, dates) * square, member)
    return Squares(
        bucket=float(dates * np.sum((by_bucket - grand) ** 2) / (buckets - 1)),
        date=float(buckets * np.sum((by_date - by_run @ member) ** 2) / df_date),
        rest=float(np.sum(rest**2) / ((buckets - 1) * df_date)),
        buckets=buckets,
        dates=dates,
        noise_bucket=noise[0],
        noise_date=noise[1],
        noise_rest=noise[2],
        runs=runs,
        run_bucket=float(np.sum(sizes * across**2) / df_across) if df_across else 0.0,
        noise_run_bucket=noise[3],
    )


def _members(run: Ints) -> Floats:
    """(R, D): 1 where a date belongs to a run."""
    return np.asarray(run == np.unique(run)[:, None], dtype=np.float64)


def _noise(covariance: Floats, member: Floats) -> tuple[float, float, float, float]:
    """Expected mean squares (bucket, date, rest, bucket x run) of noise with this covariance (B, D, B, D), centred.

    Traces of the projections; the grand mean has none.
    """
    buckets, dates = covariance.shape[:2]
    runs, same = member.shape[0], member.T @ (member / member.sum(axis=1)[:, None])  # (D, D): averages within runs
    bucket = float(np.einsum("bdbe->", covariance)) / dates
    between = np.einsum("bdce->de", covariance) / buckets
    run = float(np.sum(between * same))
    date = float(np.trace(between)) - run
    cells = float(np.einsum("bdbe,de->", covariance, same))
    rest = float(np.einsum("bdbd->", covariance)) - cells - date
    df_date, df_across = dates - runs, (buckets - 1) * (runs - 1)
    across = (cells - bucket - run) / df_across if df_across else 0.0
    return bucket / (buckets - 1), date / df_date, rest / ((buckets - 1) * df_date), across


def bucket_component(s: Squares, level: float) -> Component | None:
    """var_bucket = sum of squared bucket effects / B; None when the rest is exactly 0."""
    return effect_component(s.bucket, s.df_bucket, s.under_bucket, s.df_rest, size=s.buckets * s.dates, level=level)


def date_component(s: Squares, level: float) -> Component:
    """var_date, with the interval of `difference_component`."""
    return difference_component(s.date, s.df_date, s.under_date, s.df_rest, divisor=s.buckets, level=level)


def occasion_component(s: Squares, df_noise: int, level: float) -> Component | None:
    """var_occasion = MSR - its noise, MS(task x occasion) / T when balanced, on df_noise; None without a noise."""
    if df_noise < 1 or s.noise_rest <= 0:
        return None
    return difference_component(s.rest, s.df_rest, s.noise_rest, df_noise, divisor=1.0, level=level)


def effect_component(ms1: float, df1: int, ms2: float, df2: int, *, size: int, level: float) -> Component | None:
    """Mean square over `size` cells of fixed effects with mean square ms1 against a noise ms2; None when that is 0.

    value = df1 / size (ms1 - ms2), unbiased. The interval inverts the noncentral F test of ms1 / ms2 at every
    noncentrality; its tails taper from one-sided at 0 to equal ones far from 0 (`noncentrality`), so that its lower
    limit exceeds 0 exactly where the central F test rejects at 1 - level, and no upper limit is ever 0.
    """
    if ms2 <= TINY:
        return None
    tail = (1 - level) / 2
    low = noncentrality(ms1 / ms2, df1, df2, 1 - tail, taper=tail)
    high = noncentrality(ms1 / ms2, df1, df2, tail, taper=tail)
    return Component(df1 / size * (ms1 - ms2), low * ms2 / size, high * ms2 / size)


def interaction_component(arms: Sequence[Squares], level: float) -> tuple[FTest, Component] | None:
    """Arm x bucket: F test and mean square over arms and buckets, from the squares of each arm's deviations.

    arms: at least 2, of the grids of (arm minus the mean of the arms). Noise: arm x bucket x date. None when it is 0.
    """
    free, one = len(arms) - 1, arms[0]
    seen = sum(s.bucket for s in arms) / free
    noise = sum(s.under_bucket for s in arms) / free
    df1, df2, size = free * one.df_bucket, free * one.df_rest, len(arms) * one.buckets * one.dates
    component = effect_component(seen, df1, noise, df2, size=size, level=level)
    return None if component is None else (FTest(seen / noise, df1, df2), component)


def noncentrality(ratio: float, df1: int, df2: int, probability: float, *, taper: float = 0.0) -> float:
    """The noncentrality x at which P(F <= ratio) = probability - taper exp(-x / df1); 0 where none is that small.

    The left side falls in x, the right side rises: one solution, so that a taper keeps the set of x an interval.
    """

    def excess(square_root: float) -> float:
        x = square_root**2
        return float(ncfdtr(df1, df2, x, ratio)) - probability + taper * math.exp(-x / df1)

    if excess(0.0) <= 0:
        return 0.0
    top = 1.0
    while excess(top) > 0 and top < FAR:
        top *= 2
    if top >= FAR:  # there x / (df1 ratio) is chi-square over its degrees of freedom: the effects have no noise
        return df1 * ratio / df2 * float(chdtri(df2, probability))
    return float(brentq(excess, 0.0, top)) ** 2


def difference_component(ms1: float, df1: float, ms2: float, df2: float, *, divisor: float, level: float) -> Component:
    """(ms1 - ms2) / divisor with the modified large sample interval of Ting et al. 1990, unclipped."""
    a = (1 - level) / 2
    g1, g2 = (1 - df / float(chdtri(df, a)) for df in (df1, df2))
    h1, h2 = (df / float(chdtri(df, 1 - a)) - 1 for df in (df1, df2))
    up, down = float(fdtri(df1, df2, 1 - a)), float(fdtri(df1, df2, a))
    g12 = ((up - 1) ** 2 - (g1 * up) ** 2 - h2**2) / up
    h12 = ((1 - down) ** 2 - (h1 * down) ** 2 - g2**2) / down
    below = (g1 * ms1) ** 2 + (h2 * ms2) ** 2 + g12 * ms1 * ms2
    above = (h1 * ms1) ** 2 + (g2 * ms2) ** 2 + h12 * ms1 * ms2
    value = ms1 - ms2
    return Component(
        value / divisor,
        (value - math.sqrt(max(0.0, below))) / divisor,
        (value + math.sqrt(max(0.0, above))) / divisor,
    )


def dates_needed(s: Squares, floor: float, *, rms: float, level: float, power: float = 0.8) -> int | None:
    """`dates_for` with the larger of the interaction seen and `floor` (what the repeats alone give) as noise."""
    return dates_for(max(s.rest, floor), s.buckets, rms=rms, level=level, power=power)


def dates_for(noise: float, buckets: int, *, rms: float, level: float, power: float = 0.8) -> int | None:
    """Fewest dates for `power` to claim a bucket effect of `rms` (same unit as the means); None over 400.

    noise: variance of an occasion mean about bucket + date; None is returned too where it is not positive.
    """
    if noise <= 0:
        return None
    dates = np.arange(2, 401)
    chance = bucket_power(dates, noise, buckets, rms=rms, level=level)
    enough = np.flatnonzero(chance >= power)
    return int(dates[enough[0]]) if len(enough) else None


def bucket_power(dates: Ints, noise: float, buckets: int, *, rms: float, level: float) -> Floats:
    """Power of the F test between buckets at each number of dates (at least 2); noise, rms as in `dates_for`."""
    df1, df2 = buckets - 1, (buckets - 1) * (dates - 1)
    return np.asarray(1 - ncfdtr(df1, df2, dates * buckets * rms**2 / noise, fdtri(df1, df2, level)), dtype=np.float64)
