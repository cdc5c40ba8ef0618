"""Time of day as findings: how much bucket, date and occasion move the score, beside noise and the band effect."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import f

from raysweep.stats.arrays import Floats, Ints
from raysweep.stats.cube import Cube
from raysweep.stats.finding import Caution, Finding
from raysweep.stats.findings.contrast import within_unit
from raysweep.stats.methods.variance import (
    Component,
    Squares,
    bucket_component,
    dates_needed,
    difference_component,
    mean_squares,
    occasion_means,
)

TARGET_RMS = 0.02 / math.sqrt(2)
"""What "how many more dates" is asked for: a cosine amplitude of 2 points, its root mean square over the day."""


@dataclass(frozen=True, slots=True)
class Occasions:
    """Task x occasion cells of a cube: values and counts (T, B, D), means over blocks that are complete in all arms."""

    values: Floats
    counts: Ints
    arms: int

    @property
    def full_dates(self) -> list[int]:
        """Dates on which every bucket has a block."""
        return np.flatnonzero((self.counts.sum(axis=0) > 0).all(axis=0)).tolist()


def occasions(cube: Cube) -> Occasions:
    """Cells over the blocks in which every arm with data has a y."""
    used = np.isfinite(cube.y).any(axis=0)
    block = cube.y[:, used].mean(axis=1) if used.any() else np.full(len(cube.task), np.nan)
    shape = (len(cube.tasks), len(cube.buckets), len(cube.dates))
    cell = np.ravel_multi_index((cube.task, cube.bucket, cube.date), shape) if len(cube.task) else cube.task
    ok = np.isfinite(block)
    size = math.prod(shape)
    counts = np.bincount(cell[ok], minlength=size)
    sums = np.bincount(cell[ok], weights=block[ok], minlength=size)
    return Occasions((sums / np.maximum(counts, 1)).reshape(shape), counts.reshape(shape), int(used.sum()))


def time_of_day(cube: Cube, level: float, band_effect: float | None) -> Iterator[Finding]:
    """Components in points (square roots of variances): time_of_day, occasion_sd, date_sd, repeat_sd, band_effect.

    band_effect: the largest success contrast in points, repeated here so that one table tells what moves the score.
    """
    cells = occasions(cube)
    yield from _components(cube, cells, level)
    yield _repeat_noise(cube, cells)
    if band_effect is not None:
        yield _plain(cells, "band_effect", "band", abs(band_effect), "largest success contrast, in size")


def _components(cube: Cube, cells: Occasions, level: float) -> Iterator[Finding]:
    dates = cells.full_dates
    reason = _why_not(cube, dates)
    if reason is not None:
        yield _plain(cells, "time_of_day", "bucket", None, "none", cautions=(reason,))
        return
    tasks, buckets = len(cube.tasks), len(cube.buckets)
    flat = (tasks, buckets * len(dates))
    means, residual, df = occasion_means(
        cells.values[:, :, dates].reshape(flat), cells.counts[:, :, dates].reshape(flat)
    )
    if not np.isfinite(means).all():
        apart = Caution("occasions_apart", "occasions share no tasks", "let every task run in every bucket")
        yield _plain(cells, "time_of_day", "bucket", None, "none", cautions=(apart,))
        return
    grid = means.reshape(buckets, len(dates))
    squares = mean_squares(grid)
    floor = 0.0 if residual is None else residual / tasks
    need = dates_needed(squares, floor, rms=TARGET_RMS, level=level)
    yield _bucket(cube, cells, squares, level, _needs(len(dates), buckets, need, within_unit(cube.y)))
    spread = grid.mean(axis=1)
    span = float(spread.max() - spread.min()) * 100
    yield _plain(cells, "time_of_day_range", "bucket", span, "largest minus smallest bucket mean")
    if residual is not None and floor > 0:
        rest = difference_component(squares.rest, squares.df_rest, floor, df, divisor=1.0, level=level)
        yield _component(cube, cells, "occasion_sd", "occasion", rest, level)
    if squares.rest > 0:
        date = difference_component(
            squares.date, len(dates) - 1, squares.rest, squares.df_rest, divisor=buckets, level=level
        )
        yield _component(cube, cells, "date_sd", "date", date, level)


def _why_not(cube: Cube, dates: Sequence[int]) -> Caution | None:
    if not len(cube.task):
        return Caution("no_data", "no trial has run", "run the sweep")
    if len(cube.buckets) < 2:
        return Caution("one_bucket", "one time-of-day bucket: nothing can be said about time of day", "add buckets")
    if len(dates) < 2:
        return Caution(
            "one_date",
            f"{len(dates)} date(s) with every bucket: a bucket cannot be told from the luck of its date",
            "run at least 1 more complete date, better 7 or more" if dates else "complete at least 2 dates",
        )
    return None


def _needs(dates: int, buckets: int, need: int | None, bounded: bool) -> tuple[Caution, ...]:
    enough = need is not None and dates >= need
    if enough:
        return ()
    more = "more than 400 dates" if need is None else f"about {need} dates ({need - dates} more)"
    return (
        Caution(
            "few_occasions",
            f"{dates * buckets} occasions on {dates} dates can claim little about time of day",
            f"{more} would find a swing of 2 points with 80 % power, at the noise seen"
            + ("" if bounded else " (rewards outside 0 to 1)"),
        ),
    )


def _bucket(cube: Cube, cells: Occasions, s: Squares, level: float, cautions: tuple[Caution, ...]) -> Finding:
    component = bucket_component(s, level)
    if component is None:
        flat = Caution(
            "no_spread", "all occasions gave the same score: nothing to estimate a noise from", "run more dates"
        )
        return _plain(cells, "time_of_day", "bucket", 0.0 if s.bucket <= 1e-18 else None, "none",
                      cautions=(flat, *cautions))  # fmt: skip
    p = float(f.sf(s.bucket / s.rest, s.buckets - 1, s.df_rest))
    method = f"noncentral F inversion; F({s.buckets - 1}, {s.df_rest}) = {s.bucket / s.rest:.2f}, p = {p:.3f}"
    return _component(cube, cells, "time_of_day", "bucket", component, level, method=method, cautions=cautions)


def _component(
    cube: Cube,
    cells: Occasions,
    estimand: str,
    factor: str,
    c: Component,
    level: float,
    *,
    method: str = "modified large sample (Ting et al. 1990)",
    cautions: tuple[Caution, ...] = (),
) -> Finding:
    """A variance as a spread in points; negative variances are shown as 0, and a spread cannot exceed 50 points."""
    most = 50.0 if within_unit(cube.y) else math.inf
    value, low, high = (min(most, 100 * math.sqrt(max(0.0, v))) for v in (c.value, c.low, c.high))
    clipped = () if c.high < 0.25 or most > 50 else (
        Caution("unbounded", "no upper limit can be set; 50 points is the most there can be", "run more dates"),
    )  # fmt: skip
    return _plain(
        cells, estimand, factor, value, method, low=low, high=high, level=level, cautions=(*clipped, *cautions)
    )


def _plain(
    cells: Occasions,
    estimand: str,
    factor: str,
    value: float | None,
    method: str,
    *,
    low: float | None = None,
    high: float | None = None,
    level: float | None = None,
    cautions: tuple[Caution, ...] = (),
) -> Finding:
    return Finding(
        estimand=estimand,
        model=None,
        arm=None,
        reference=None,
        bucket=None,
        factor=factor,
        value=value,
        low=low,
        high=high,
        unit="points",
        level=level,
        method=method,
        resampled_over="dates" if level is not None else "",
        n_tasks=int((cells.counts.sum(axis=(1, 2)) > 0).sum()),
        n_attempts=int(cells.counts.sum()) * cells.arms,
        n_dates=int((cells.counts.sum(axis=(0, 1)) > 0).sum()),
        warnings=cautions,
    )


def _repeat_noise(cube: Cube, cells: Occasions) -> Finding:
    """Spread of the score of one pass (every task once, one arm) that repeating alone makes."""
    occasion = cube.bucket * max(1, len(cube.dates)) + cube.date
    key = cube.task * (int(occasion.max(initial=0)) + 1) + occasion
    method, found = "within task, arm and occasion", _within(cube.y, key)
    if found is None:
        method, found = "within task and arm, over all occasions", _within(cube.y, cube.task)
    if found is None:
        one = Caution("one_block", "no task was repeated: its noise cannot be seen", "raise `repeats`")
        return _plain(cells, "repeat_sd", "repeat", None, "none", cautions=(one,))
    tasks = max(1, int((cells.counts.sum(axis=(1, 2)) > 0).sum()))
    value = 100 * math.sqrt(found / tasks)
    return _plain(cells, "repeat_sd", "repeat", value, f"one pass over the tasks; variance {method}")


def _within(y: Floats, key: Ints) -> float | None:
    """Pooled variance of each column of y within the groups of `key`; None without a degree of freedom."""
    squares, df = 0.0, 0
    for column in y.T:
        ok = np.isfinite(column)
        _, group = np.unique(key[ok], return_inverse=True)
        n = np.bincount(group)
        mean = np.bincount(group, weights=column[ok]) / n if len(n) else np.zeros(0)
        squares += float(np.sum((column[ok] - mean[group]) ** 2)) if len(n) else 0.0
        df += int(np.sum(n - 1)) if len(n) else 0
    return squares / df if df else None
