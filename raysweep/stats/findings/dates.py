"""Band contrasts over other dates, and over other tasks and other dates: what tasks alone cannot tell.

Belongs here: success contrasts against the reference with dates as sampled units. Does not: time of day.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from raysweep.stats.arrays import Bools, Floats
from raysweep.stats.cube import Cube
from raysweep.stats.design import Design
from raysweep.stats.finding import Caution, Finding
from raysweep.stats.findings.contrast import contrast_finding
from raysweep.stats.findings.pair import Pair, pair, pair_cautions, pooled_caution
from raysweep.stats.methods.interval import Draws, Interval, fmean
from raysweep.stats.methods.twoway import Grid, dates_sampled, few_dates, missing_dates, two_way

STRAY = 0.25
"""A date with fewer blocks than this share of the median date's, like a make-up date, is left out of date means."""


def stray_dates(cube: Cube, values: Floats, rows: Bools) -> Bools:
    """Which dates, (D,), have so few of the blocks `rows` that their mean is noise beside the others' (STRAY).

    A date mean counts as much as any other in s^2 between dates: eight blocks of 1,344 on a make-up date made an sd of
    0 points one of 8.9. What ran on such dates stays in the value.
    """
    blocks = np.bincount(cube.date[rows & np.isfinite(values)], minlength=len(cube.dates))
    if not np.any(blocks):
        return np.zeros(len(blocks), dtype=bool)
    return np.asarray((blocks > 0) & (blocks < STRAY * np.median(blocks[blocks > 0])))


def date_grid(cube: Cube, values: Floats, rows: Bools) -> Grid:
    """Task x date cells, (T, D), of `values` (n,) over the blocks `rows` where they are finite; buckets are pooled.

    Cells of `stray_dates` are empty.
    """
    rows = rows & ~stray_dates(cube, values, rows)[cube.date] if len(cube.dates) else rows
    use = rows & np.isfinite(values)
    shape = (len(cube.tasks), len(cube.dates))
    cell, size = cube.task[use] * shape[1] + cube.date[use], shape[0] * shape[1]
    counts = np.bincount(cell, minlength=size)
    sums = np.bincount(cell, weights=values[use], minlength=size)
    return Grid((sums / np.maximum(counts, 1)).reshape(shape), counts.reshape(shape))


def date_contrasts(cube: Cube, design: Design, how: Draws) -> Iterator[Finding]:
    """Success of every band against the reference per model: "dates", then "tasks and dates", over all buckets.

    With fewer than 3 dates one Finding per contrast: the value, no interval, and how many dates are missing. Dates of
    merged runs are taken together, so that what lies between runs widens the interval and never narrows it.
    """
    for model in cube.models:
        for band in cube.bands(model) if design.reference in cube.bands(model) else ():
            if band != design.reference:
                columns = cube.column(model, band), cube.column(model, design.reference)
                label = {"estimand": "success", "model": model, "arm": band, "reference": design.reference}
                p = pair(cube, cube.y, *columns, cube.in_bucket(None))
                yield from _contrast(p, {**label, "bucket": None}, how.level)


def _stray(p: Pair) -> tuple[Caution, ...]:
    """The dates that are left out of the spread between dates."""
    stray = stray_dates(p.cube, p.difference, p.complete)
    names = [d for d, few in zip(p.cube.dates, stray, strict=True) if few]
    if not names:
        return ()
    text = f"{', '.join(names)} had few blocks and {'is' if len(names) == 1 else 'are'} left out of the spread of dates"
    return (Caution("stray_dates", text, "their results count in the value; nothing to do"),)


def _contrast(p: Pair, label: dict[str, str | None], level: float) -> Iterator[Finding]:
    means, counts = p.cube.task_means(p.difference, p.complete)
    used = counts > 0
    if not used.any():
        none = Interval(None, None, "none: no complete block")
        yield contrast_finding(p, label, None, none, level, over="dates", cautions=pair_cautions(p))
        return
    value, grid = fmean(means[used]), date_grid(p.cube, p.difference, p.complete)
    if missing_dates(grid):
        none = Interval(None, None, "none: too few dates", (few_dates(grid),))
        yield contrast_finding(p, label, value, none, level, over="dates")
        return
    pooled = (*pooled_caution(p), *_stray(p))
    yield contrast_finding(p, label, value, dates_sampled(value, grid, level), level, over="dates", cautions=pooled)
    both = two_way(means[used], [grid], level).interval
    yield contrast_finding(p, label, value, both, level, over="tasks and dates", cautions=pooled)
