"""Variance components of time of day: bucket, date, occasion; their intervals. Pure numbers, no ledger.

Model of the task-adjusted occasion means m[b, d]: bucket + date + bucket x date. Sources: noncentral F inversion for a
fixed factor; Ting et al. 1990 (modified large sample) for differences of mean squares.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.stats import chi2, f, ncf

from raysweep.stats.arrays import Floats, Ints


@dataclass(frozen=True, slots=True)
class Component:
    """A variance with its interval; `value` keeps its sign, as an unbiased estimate must."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Squares:
    """Mean squares of a B x D grid of occasion means: buckets, dates and the rest (their interaction)."""

    bucket: float
    date: float
    rest: float
    buckets: int
    dates: int

    @property
    def df_rest(self) -> int:
        """Degrees of freedom of the interaction."""
        return (self.buckets - 1) * (self.dates - 1)


def occasion_means(values: Floats, counts: Ints) -> tuple[Floats, float | None, int]:
    """Task-adjusted occasion means by least squares task + occasion, and MS(task x occasion) with its df.

    values, counts: (T, O) means of a task's blocks in an occasion and their numbers (0 = none). Returns means (O,)
    centred on the mean of all cells (nan for an occasion without blocks); the mean square is None where no degree of
    freedom is left. All means are nan where the occasions share no tasks, so that nothing ties them together.
    """
    tasks, occasions = values.shape
    weight = (counts > 0).astype(np.float64)
    t, o = np.nonzero(weight)
    design = np.zeros((len(t), tasks + occasions))
    design[np.arange(len(t)), t] = 1.0
    design[np.arange(len(t)), tasks + o] = 1.0
    observed = values[t, o]
    fitted, _, rank, _ = np.linalg.lstsq(design, observed, rcond=None)
    effects = fitted[tasks:]
    seen = weight.sum(axis=0) > 0
    means = np.where(seen, effects - effects[seen].mean() + observed.mean(), np.nan)
    if int(rank) < int(seen.sum()) + int((weight.sum(axis=1) > 0).sum()) - 1:
        means = np.full(occasions, np.nan)
    df = len(t) - int(rank)
    square = float(np.sum((observed - design @ fitted) ** 2)) / df if df > 0 else None
    return means, square, df


def mean_squares(m: Floats) -> Squares:
    """Mean squares of the grid m (B, D), both at least 2, all finite."""
    buckets, dates = m.shape
    grand = m.mean()
    by_bucket, by_date = m.mean(axis=1), m.mean(axis=0)
    rest = m - by_bucket[:, None] - by_date[None, :] + grand
    return Squares(
        bucket=float(dates * np.sum((by_bucket - grand) ** 2) / (buckets - 1)),
        date=float(buckets * np.sum((by_date - grand) ** 2) / (dates - 1)),
        rest=float(np.sum(rest**2) / ((buckets - 1) * (dates - 1))),
        buckets=buckets,
        dates=dates,
    )


def bucket_component(s: Squares, level: float) -> Component | None:
    """var_bucket = (B-1)/(B D) (MSB - MSR), interval by inverting the noncentral F; None when the rest is exactly 0."""
    if s.rest <= 1e-18:
        return None
    value = (s.buckets - 1) / (s.buckets * s.dates) * (s.bucket - s.rest)
    ratio, tail = s.bucket / s.rest, (1 - level) / 2
    scale = s.rest / (s.dates * s.buckets)
    low = noncentrality(ratio, s.buckets - 1, s.df_rest, 1 - tail)
    high = noncentrality(ratio, s.buckets - 1, s.df_rest, tail)
    return Component(value, low * scale, high * scale)


def noncentrality(ratio: float, df1: int, df2: int, probability: float) -> float:
    """The noncentrality at which P(F <= ratio) = probability; 0 where even the central F lies below that."""

    def excess(square_root: float) -> float:
        return float(ncf.cdf(ratio, df1, df2, square_root**2)) - probability

    if float(f.cdf(ratio, df1, df2)) <= probability:
        return 0.0
    top = 1.0
    while excess(top) > 0 and top < 1e4:
        top *= 2
    return top**2 if top >= 1e4 else float(brentq(excess, 0.0, top)) ** 2


def difference_component(ms1: float, df1: float, ms2: float, df2: float, *, divisor: float, level: float) -> Component:
    """(ms1 - ms2) / divisor with the modified large sample interval of Ting et al. 1990, unclipped."""
    a = (1 - level) / 2
    g1, g2 = 1 - df1 / chi2.isf(a, df1), 1 - df2 / chi2.isf(a, df2)
    h1, h2 = df1 / chi2.ppf(a, df1) - 1, df2 / chi2.ppf(a, df2) - 1
    up, down = float(f.isf(a, df1, df2)), float(f.ppf(a, df1, df2))
    g12 = ((up - 1) ** 2 - (g1 * up) ** 2 - h2**2) / up
    h12 = ((1 - down) ** 2 - (h1 * down) ** 2 - g2**2) / down
    below = (g1 * ms1) ** 2 + (h2 * ms2) ** 2 + g12 * ms1 * ms2
    above = (h1 * ms1) ** 2 + (g2 * ms2) ** 2 + h12 * ms1 * ms2
    value = ms1 - ms2
    return Component(
        value / divisor,
        (value - math.sqrt(max(0.0, float(below)))) / divisor,
        (value + math.sqrt(max(0.0, float(above)))) / divisor,
    )


def dates_needed(s: Squares, floor: float, *, rms: float, level: float, power: float = 0.8) -> int | None:
    """Fewest dates for `power` to find a bucket effect of `rms` (same unit as the means) by the F test; None over 400.

    The noise of an occasion is taken as the larger of the interaction seen and `floor` (what the repeats alone give).
    """
    noise = max(s.rest, floor)
    if noise <= 0:
        return None
    for dates in range(2, 401):
        df1, df2 = s.buckets - 1, (s.buckets - 1) * (dates - 1)
        ncp = dates * s.buckets * rms**2 / noise
        if float(ncf.sf(f.ppf(level, df1, df2), df1, df2, ncp)) >= power:
            return dates
    return None
