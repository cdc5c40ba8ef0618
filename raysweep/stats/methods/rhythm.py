"""Rhythms of occasion means: harmonics of the day and of the week, and the periodogram. Pure numbers, no ledger.

Belongs here: grids of means and hours in, tests and amplitudes out. Does not: labels of dates, sentences.
Sources: Cornelissen 2014 (cosinor); Fieller 1954 (direction of a pair of coefficients); Scargle 1982 (periodogram).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import fdtri

from raysweep import seeds
from raysweep.stats.arrays import Floats, Ints
from raysweep.stats.methods.variance import TINY, Component, FTest, Squares, effect_component

LEAST_WINDOWS = 4
"""Fewer windows over a day cannot tell a cosine from any other shape: 3 means fit its 3 parameters exactly."""
DRAWS = 999
"""Permutations of the periodogram."""
BLOCK = 512
"""Frequencies at a time: bounds the memory of the periodogram."""
STEPS = 720
"""Directions tried on either side of a peak: half a minute of the day each, up to a quarter of the period."""


@dataclass(frozen=True, slots=True)
class Harmonic:
    """A cosine of one period: joint F test of cosine and sine, amplitude (unit of the means), peak (radians).

    amplitude: largest minus mean, for the rhythm itself: divided by the window factor; biased upward by noise.
    square: its square as a Component (value unbiased). peak: where the cosine is largest; peak_low, peak_high about it
    (unwrapped), None where the test does not reject, for then it has no direction.
    """

    test: FTest
    amplitude: float
    square: Component
    peak: float
    peak_low: float | None
    peak_high: float | None

    @property
    def rejects(self) -> bool:
        """Whether the joint test rejects at the level of the interval."""
        return self.peak_low is not None


def window_factor(windows: int) -> float:
    """What averaging over windows of 1 / windows of the period leaves of an amplitude: sin(pi/B) / (pi/B)."""
    return math.sin(math.pi / windows) / (math.pi / windows)


def even(angles: Floats) -> bool:
    """Whether angles (K,) of window middles, radians, are evenly spaced over the whole turn."""
    gaps = np.diff(np.sort(angles % (2 * math.pi)), append=np.min(angles % (2 * math.pi)) + 2 * math.pi)
    return bool(np.allclose(gaps, 2 * math.pi / len(angles), atol=1e-6))


def harmonic(
    means: Floats, angles: Floats, *, weight: float, noise: float, df: int, factor: float, level: float
) -> Harmonic | None:
    """The first harmonic of means (K,) at angles (K,), by least squares; None without noise or without two directions.

    weight: occasions behind each mean; noise: mean square of one occasion on df degrees of freedom. factor: of the
    windows. The interval inverts the noncentral F (`effect_component`): it excludes 0 exactly where the test rejects.
    """
    x = _centred(angles)
    if np.linalg.matrix_rank(x, tol=1e-6) < 2:
        return None
    inverse = np.linalg.inv(x.T @ x)
    found = np.asarray(inverse @ x.T @ (means - means.mean()), dtype=np.float64)
    size = math.hypot(*found)
    square = weight * float(np.sum((x @ found) ** 2)) / 2
    component = effect_component(square, 2, noise, df, size=1, level=level)
    if component is None:
        return None
    test = FTest(square / noise, 2, df)
    along = float(np.sum((x @ (found / size)) ** 2)) if size > 0 else float(np.sum(x**2)) / 2
    scale = 1 / (weight * along * factor**2)
    limits: tuple[float, float] | tuple[None, None] = (None, None)
    if test.p < 1 - level:
        covariance = np.asarray(inverse * (noise / weight), dtype=np.float64)
        limits = _directions(found, covariance, math.sqrt(float(fdtri(1, df, level))))
    return Harmonic(
        test=test,
        amplitude=size / factor,
        square=Component(component.value * scale, component.low * scale, component.high * scale),
        peak=math.atan2(found[1], found[0]),
        peak_low=limits[0],
        peak_high=limits[1],
    )


def _centred(angles: Floats) -> Floats:
    """Cosine and sine, each about its mean, (K, 2)."""
    x = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return np.asarray(x - x.mean(axis=0), dtype=np.float64)


def _directions(found: Floats, covariance: Floats, quantile: float) -> tuple[float, float]:
    """Fieller's set of directions about that of `found`: those whose perpendicular part does not differ from 0."""
    peak = math.atan2(found[1], found[0])
    steps = np.arange(1, STEPS + 1) * (math.pi / 2 / STEPS)
    ends = []
    for sign in (-1, 1):
        across = np.stack([-np.sin(peak + sign * steps), np.cos(peak + sign * steps)], axis=1)
        spread = np.sqrt(np.sum((across @ covariance) * across, axis=1))
        outside = np.flatnonzero(np.abs(across @ found) > quantile * spread)
        ends.append(peak + sign * float(steps[outside[0]] if len(outside) else steps[-1]))
    return ends[0], ends[1]


def cosinor(grid: Floats, angles: Floats, s: Squares, level: float) -> Harmonic | None:
    """Daily harmonic of the grid (B, D) of task-adjusted means; angles (B,) of the windows' middles, noise: the rest.

    The rest holds no bucket effect, so that a rhythm of another shape cannot widen the interval. Only evenly spaced
    windows are divided by their factor: of others the widths are not known.
    """
    factor = window_factor(s.buckets) if even(angles) else 1.0
    return harmonic(
        grid.mean(axis=1), angles, weight=s.dates, noise=s.under_bucket, df=s.df_rest, factor=factor, level=level
    )


def weekly(grid: Floats, days: Floats, s: Squares, level: float) -> Harmonic | None:
    """Weekly harmonic of the date means; days (D,): days since any Monday. None under 4 dates.

    Noise: the spread of dates about the harmonic, for the luck of a date is shared by its buckets.
    """
    angles = 2 * math.pi * days / 7
    if s.dates < 4:
        return None
    explained = s.buckets * _projected(grid.mean(axis=0), angles)
    left = s.date * s.df_date - explained
    df = s.df_date - 2
    return harmonic(
        grid.mean(axis=0), angles, weight=s.buckets, noise=left / df, df=df, factor=window_factor(7), level=level
    )


def daily_by_weekly(
    grid: Floats, angles: Floats, days: Floats, s: Squares, level: float
) -> tuple[FTest, Component] | None:
    """Whether the daily rhythm differs over the week: 4 products of harmonics within bucket x date.

    Gives the F test and the mean square of the joint effect over occasions; None without noise or room for 4 terms.
    The week is taken as the same all day long: of a smooth weekly course about a fifth would be counted here.
    """
    day, week = _basis(angles), _basis(2 * math.pi * days / 7)
    df1, left = day.shape[1] * week.shape[1], s.df_rest - day.shape[1] * week.shape[1]
    if left < 1 or df1 < 4:
        return None
    explained = float(np.sum((day.T @ grid @ week) ** 2))
    noise = (s.rest * s.df_rest - explained) / left
    component = effect_component(explained / df1, df1, noise, left, size=grid.size, level=level)
    return None if component is None else (FTest(explained / df1 / noise, df1, left), component)


def rhythm_share(grid: Floats, angles: Floats, days: Floats | None, s: Squares) -> float | None:
    """Share of the variance of occasion means that daily, weekly and joint harmonics explain, without what noise gives.

    Signed, so that it is 0 on average where there is no rhythm; days None: the daily one alone. None without variance.
    """
    total = s.bucket * s.df_bucket + s.date * s.df_date + s.rest * s.df_rest
    if total <= TINY:
        return None
    day = _basis(angles)
    daily = s.dates * _projected(grid.mean(axis=1), angles)
    found = daily - day.shape[1] * s.under_bucket
    if days is not None:
        week = _basis(2 * math.pi * days / 7)
        by_date = s.buckets * _projected(grid.mean(axis=0), 2 * math.pi * days / 7)
        joint, df = float(np.sum((day.T @ grid @ week) ** 2)), day.shape[1] * week.shape[1]
        found += by_date - week.shape[1] * (s.date * s.df_date - by_date) / max(1, s.df_date - week.shape[1])
        found += joint - df * (s.rest * s.df_rest - joint) / max(1, s.df_rest - df)
    return float(found / total)


def _basis(angles: Floats) -> Floats:
    """Orthonormal basis of the centred cosine and sine, (K, rank)."""
    u, size, _ = np.linalg.svd(_centred(angles), full_matrices=False)
    return np.asarray(u[:, size > 1e-6], dtype=np.float64)


def _projected(means: Floats, angles: Floats) -> float:
    """Sum of squares of the means' part within the first harmonic."""
    return float(np.sum((_basis(angles).T @ means) ** 2))


@dataclass(frozen=True, slots=True)
class Periodogram:
    """Power at each period, over its mean under permutation; the largest with its false-alarm probability.

    periods: (F,), the unit of the times. relative: (F,). level: what the largest relative power exceeds by chance with
    probability 1 - confidence. p: chance of a largest relative power as large as the one seen, (b + 1) / (R + 1).
    """

    periods: Floats
    relative: Floats
    level: float
    p: float

    @property
    def peak(self) -> float:
        """The period that stands out most."""
        return float(self.periods[int(np.argmax(self.relative))])


def periods_of(days: float, per_day: int) -> Floats:
    """Periods in days, from half of `days` down to above two windows, two per independent frequency."""
    return 2 * days / np.arange(4, math.ceil(per_day * days))


def powers(times: Floats, values: Floats, periods: Floats) -> Floats:
    """Lomb-Scargle power of rows of values (R, n), centred, at periods (F,): (R, F), as scipy.signal.lombscargle.

    That function takes one series; here the sines of a set of times serve all permutations of its values at once.
    """
    found = []
    for first in range(0, len(periods), BLOCK):
        omega = 2 * math.pi / periods[first : first + BLOCK]
        turn = times[:, None] * omega
        tau = np.arctan2(np.sin(2 * turn).sum(axis=0), np.cos(2 * turn).sum(axis=0)) / 2
        cos, sin = np.cos(turn - tau), np.sin(turn - tau)
        each = [(values @ part) ** 2 / np.maximum(np.sum(part**2, axis=0), 1e-12) for part in (cos, sin)]
        found.append((each[0] + each[1]) / 2)
    return np.concatenate(found, axis=1)


def periodogram(
    times: Floats, values: Floats, date: Ints, periods: Floats, *, seed: int, confidence: float, draws: int = DRAWS
) -> Periodogram | None:
    """Lomb-Scargle periodogram of values (n,) at times (n,), with a false-alarm level by permutation.

    date: (n,) codes. Under "no rhythm" the dates' means may be exchanged, and within a date the deviations from its
    mean; so dates that differ by luck alone raise no alarm. As their luck makes slow periods stronger, each period's
    power is taken over its mean under permutation. None with no spread or no period.
    """
    centred = values - values.mean()
    if len(values) < 4 or len(periods) == 0 or float(np.sum(centred**2)) <= TINY:
        return None
    order = np.argsort(date, kind="stable")
    times, centred, date = times[order], centred[order], np.unique(date[order], return_inverse=True)[1]
    by_date = np.bincount(date, weights=centred) / np.bincount(date)
    within = centred - by_date[date]
    rng = seeds.generator(seed, "stats", "periodogram")
    shuffled = rng.permuted(np.broadcast_to(by_date, (draws, len(by_date))), axis=1)[:, date]
    shuffled = shuffled + within[np.argsort(date + rng.random((draws, len(date))), axis=1)]
    shuffled -= shuffled.mean(axis=1, keepdims=True)
    every = powers(times, np.concatenate([centred[None], shuffled]), periods)
    relative = every / np.maximum(every.mean(axis=0), 1e-300)
    largest = relative.max(axis=1)
    p = float(np.sum(largest >= largest[0] - 1e-12)) / (draws + 1)
    return Periodogram(periods, relative[0], float(np.quantile(largest[1:], confidence)), p)
