"""Intervals with tasks fixed ("this benchmark, run again") from the blocks themselves.

Belongs here: the closed form on block values, with buckets pooled where a cell has one block a task; the equivalent
bootstrap for any statistic. Source of the bootstrap: Rao & Wu 1988, JASA 83:231, section 2.1 with m = K - 1 of K (which
keeps every weight at least 0, so that ratios stand; other m give negative ones).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from raysweep import seeds
from raysweep.stats.arrays import Bools, Floats, Ints
from raysweep.stats.finding import Caution
from raysweep.stats.methods.draws import Counts, Map, column_sums
from raysweep.stats.methods.interval import Interval, percentile, tasks_fixed

CHUNK_CELLS = 2**21
"""Draws times blocks of one chunk of block weights: 16 MB as floats, whatever the number of blocks."""
POOLED = Caution(
    "buckets_pooled",
    "one block per task in a bucket: the noise is read from the blocks of all buckets, so that differences between"
    " buckets widen the interval",
    "raise `repeats` to at least 2 per bucket",
)


def blocks_fixed(values: Floats, task: Ints, bucket: Ints, cell: Bools, level: float) -> Interval:
    """Closed-form interval of the mean of task means of the blocks in `cell`, with these very tasks.

    values: (n,) block contrasts, nan where incomplete; task, bucket: (n,) codes; cell: (n,) mask of the analysed
    blocks. A task with one block in the cell takes its noise from its blocks in all buckets (conservative, with a
    caution); one with a single block in all borrows the mean noise. A cell over several buckets pools them as well.
    """
    finite, size = np.isfinite(values), int(task.max(initial=-1)) + 1
    here = finite & cell
    means, counts, variances = _by_task(values, task, here, size)
    used, behind = counts > 0, counts
    cautions: tuple[Caution, ...] = ()
    if not used.any():
        return Interval(None, None, "none: no complete block")
    if _thin(task[here], bucket[here]):
        cautions = (POOLED,)
    if bool(np.any(counts == 1)):
        _, all_counts, all_variances = _by_task(values, task, finite, size)
        alone = (counts == 1) & (all_counts > 1)
        behind, variances = np.where(alone, all_counts, counts), np.where(alone, all_variances, variances)
        cautions = (POOLED,) if bool(alone.any()) else cautions
    found = tasks_fixed(means[used], variances[used], counts[used], level, behind[used])
    return Interval(found.low, found.high, found.method, (*cautions, *found.cautions))


def _thin(task: Ints, bucket: Ints) -> bool:
    """True when the blocks lie in several buckets with never more than one of a task in a bucket."""
    buckets = int(bucket.max()) + 1
    grid = np.bincount(task * buckets + bucket, minlength=buckets)
    return int(grid.max()) == 1 and bool(np.any(bucket != bucket[0]))


def _by_task(values: Floats, task: Ints, rows: Bools, size: int) -> tuple[Floats, Ints, Floats]:
    """Mean, number and variance (nan below two) of the values of each task among `rows`, (T,)."""
    at, x = task[rows], values[rows]
    counts = np.bincount(at, minlength=size)
    means = np.bincount(at, weights=x, minlength=size) / np.maximum(counts, 1)
    squares = np.bincount(at, weights=(x - means[at]) ** 2, minlength=size)
    return means, counts, np.where(counts > 1, squares / np.maximum(counts - 1, 1), np.nan)


def block_counts(sizes: tuple[int, ...], rows: int, child: np.random.SeedSequence) -> Counts:
    """How often each block is in draws of K - 1 of the K blocks of every task, (rows, n); a task's only block: once.

    sizes: K of each task, whose blocks stand together. A module function, so that process pools can carry it.
    """
    rng = np.random.Generator(np.random.PCG64(child))
    k, start = np.array(sizes), np.concatenate([[0], np.cumsum(sizes)[:-1]])
    found = np.zeros((rows, int(k.sum())), dtype=np.min_scalar_type(int(k.max())))
    for size in np.unique(k):
        first = start[k == size]
        if size == 1:
            found[:, first] = 1
            continue
        drawn = rng.integers(0, size, size=(rows, len(first), size - 1))
        drawn += (np.arange(rows)[:, None] * len(first) + np.arange(len(first)))[:, :, None] * size
        counted = np.bincount(drawn.ravel(), minlength=rows * len(first) * int(size))
        found[:, (first[:, None] + np.arange(size)).ravel()] = counted.reshape(rows, -1)
    return found


def block_draws(columns: Floats, task: Ints, *, seed: int, draws: int, map: Map = map) -> Floats:  # noqa: A002 - as draws
    """Replicates of the mean over tasks of task means of each column, tasks fixed, (C, R); jointly for all columns.

    columns: (n, C) finite block values of complete blocks; task: (n,) codes. In each draw K - 1 of a task's K blocks
    are drawn with replacement, each with weight K / (K - 1). R is `draws` rounded up to whole chunks, whose shape
    depends on n alone: the same bits whatever `map` is.
    """
    order = np.argsort(task, kind="stable")
    _, sizes = np.unique(task, return_counts=True)
    rows = max(1, CHUNK_CELLS // len(task))
    children = seeds.sequence(seed, "stats", "blocks").spawn(-(-draws // rows))
    share = 1.0 / (np.maximum(sizes - 1, 1) * len(sizes))  # K / (K - 1) x 1 / K x 1 / T
    made: Iterator[Counts] = map(partial(block_counts, tuple(sizes.tolist()), rows), children)
    return column_sums(made, columns[order] * np.repeat(share, sizes)[:, None], rows * len(children))


def blocks_bootstrap(values: Floats, task: Ints, level: float, *, seed: int, draws: int, map: Map = map) -> Interval:  # noqa: A002
    """Percentile interval of the mean of task means of block values (n,), all finite, tasks fixed.

    Covers less than the closed form where K is small; there for comparison and as the pattern for other statistics.
    None where every task has one block, or no spread.
    """
    method = "bootstrap of K - 1 of K blocks"
    found = block_draws(values[:, None], task, seed=seed, draws=draws, map=map)[0]
    if float(np.ptp(found)) <= 1e-12:
        none = Caution(
            "no_spread", "the blocks of each task agree, or are single: no noise to resample", "raise `repeats`"
        )
        return Interval(None, None, method, (none,))
    low, high = percentile(found, level)
    return Interval(low, high, f"{method} ({len(found)} draws)")
