"""Task x occasion cells of a cube and their decomposition into bucket, date and occasion: what time of day rests on.

Belongs here: cells, task-adjusted occasion means, why there are none, and the Finding that speaks of such cells.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from raysweep.stats.arrays import Floats, Ints
from raysweep.stats.cube import Cube
from raysweep.stats.facet import Facet
from raysweep.stats.finding import Caution, Finding
from raysweep.stats.findings.pair import within_unit
from raysweep.stats.methods.variance import Squares, dates_for, mean_squares, occasion_means

TARGET_RMS = 0.02 / math.sqrt(2)
"""What "how many more dates" is asked for: a cosine amplitude of 2 points, its root mean square over the day."""
ONE_DATE = "a bucket cannot be separated from the luck of its date"


@dataclass(frozen=True, slots=True)
class Occasions:
    """Task x occasion cells: values, means over the blocks in use, and counts of those blocks, both (T, B, D).

    arms: trials per block, the mean over runs. bounded: rewards lie in 0..1. run: (D,) code of the run of each date.
    """

    values: Floats
    counts: Ints
    arms: float
    bounded: bool
    run: Ints

    @property
    def full_dates(self) -> list[int]:
        """Dates on which every bucket has at least half of the tasks that it has on its fullest date.

        A date that was cut short would bring means of few tasks, far noisier than the others: intervals cannot hold.
        """
        filled = np.sum(self.counts > 0, axis=0)
        fullest = filled.max(axis=1, keepdims=True, initial=1)
        return np.flatnonzero((2 * filled >= fullest).all(axis=0)).tolist()

    @property
    def seen_dates(self) -> int:
        """Dates with a block."""
        return int((self.counts.sum(axis=(0, 1)) > 0).sum())

    @property
    def tasks(self) -> int:
        """Tasks with a block."""
        return int((self.counts.sum(axis=(1, 2)) > 0).sum())


@dataclass(frozen=True, slots=True)
class Decomposed:
    """Task-adjusted occasion means (B, D) on the full dates (codes of the cube), and their mean squares.

    residual, df: MS(task x occasion), None without a degree of freedom. filled: share of task x occasion cells.
    """

    grid: Floats
    dates: list[int]
    squares: Squares
    residual: float | None
    df: int
    filled: float


def cells_of(cube: Cube, block: Floats, arms: float) -> Occasions:
    """Cells of one value per block, (n,), nan where a block is not in use."""
    shape = (len(cube.tasks), len(cube.buckets), len(cube.dates))
    ok, size = np.isfinite(block), math.prod(shape)
    cell = (cube.task[ok] * shape[1] + cube.bucket[ok]) * shape[2] + cube.date[ok]
    counts = np.bincount(cell, minlength=size)
    sums = np.bincount(cell, weights=block[ok], minlength=size)
    values = (sums / np.maximum(counts, 1)).reshape(shape)
    return Occasions(values, counts.reshape(shape), arms, within_unit(cube.y), cube.run_of_date)


def occasions(cube: Cube, model: str | None = None) -> Occasions:
    """Cells over the blocks in which every arm with data (of one model, or of all) has a y; the arms' mean.

    In merged runs those arms are the ones with data in the block's own run.
    """
    mine = np.array([model in {None, a.model} for a in cube.arms], dtype=bool)
    block, trials = np.full(len(cube.task), np.nan), 0
    for run in range(max(1, len(cube.runs))):
        rows = cube.of_run(run)
        used = mine & np.isfinite(cube.y[rows]).any(axis=0)
        if used.any():
            block[rows] = cube.y[rows][:, used].mean(axis=1)
            trials += int(used.sum()) * int(np.isfinite(block[rows]).sum())
    known = int(np.isfinite(block).sum())
    return cells_of(cube, block, trials / known if known else 0.0)


def decompose(cells: Occasions, level: float) -> Decomposed | Caution:
    """Occasion means and mean squares over the full dates, or why there are none."""
    tasks, buckets, _ = cells.values.shape
    dates = cells.full_dates
    if not cells.counts.any():
        return Caution("no_data", "no block has a result in every arm", "run the sweep, or let it go on")
    if buckets < 2:
        return Caution("one_bucket", "one time-of-day bucket: nothing can be said about time of day", "add buckets")
    run = cells.run[dates]
    runs = len(np.unique(run))
    if len(dates) < 2:
        return Caution("one_date", f"{len(dates)} date(s) with every bucket: {ONE_DATE}", _first_dates(cells, level))
    if len(dates) == runs:
        text = f"{runs} runs with one date each that has every bucket: {ONE_DATE}"
        return Caution("one_date", text, "complete at least 2 dates in a run")
    flat = (tasks, buckets * len(dates))
    counts = cells.counts[:, :, dates].reshape(flat)
    adjusted = occasion_means(cells.values[:, :, dates].reshape(flat), counts)
    if not np.isfinite(adjusted.means).all():
        return Caution("occasions_apart", "occasions share no tasks", "let every task run in every bucket")
    grid = adjusted.means.reshape(buckets, len(dates))
    squares = mean_squares(grid, adjusted.spread, adjusted.square, run)
    filled = np.count_nonzero(counts) / (max(1, cells.tasks) * flat[1])
    return Decomposed(grid, dates, squares, adjusted.square, adjusted.df, filled)


def _first_dates(cells: Occasions, level: float) -> str:
    """How many dates it would take, from the noise of repeats alone, when there is no second date to see others."""
    tasks, buckets, _ = cells.counts.shape
    seen = occasion_means(cells.values.reshape(tasks, -1), cells.counts.reshape(tasks, -1))
    noise = 0.0 if seen.square is None else seen.square / cells.tasks
    need = dates_for(noise, buckets, rms=TARGET_RMS, level=level)
    if need is None:
        return "complete at least 2 dates, better 7 or more"
    more = max(need, 2) - len(cells.full_dates)
    return f"complete at least {more} more date(s): about {need} or more would find a swing of 2 points with 80 % power"


def plain(
    cells: Occasions,
    estimand: str,
    facet: Facet,
    value: float | None,
    method: str,
    *,
    low: float | None = None,
    high: float | None = None,
    level: float | None = None,
    over: str = "",
    model: str | None = None,
    cautions: tuple[Caution, ...] = (),
) -> Finding:
    """A Finding about the cells."""
    return Finding(
        estimand=estimand, model=model, arm=None, reference=None, bucket=None, facet=facet,
        value=value, low=low, high=high, level=level, method=method, resampled_over=over,
        n_tasks=cells.tasks, n_attempts=round(int(cells.counts.sum()) * cells.arms), n_dates=cells.seen_dates,
        warnings=cautions,
    )  # fmt: skip
