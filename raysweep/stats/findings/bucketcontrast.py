"""Contrasts that involve time-of-day buckets: bucket against bucket, and band contrasts against each other.

They pair by task (blocks of two buckets are different blocks), with the draws that every contrast shares.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from raysweep.stats.arrays import Bools, Floats
from raysweep.stats.cube import Cube
from raysweep.stats.design import Design
from raysweep.stats.finding import Caution, Finding
from raysweep.stats.findings.contrast import Pair, clip, contrast_finding, pair
from raysweep.stats.methods.interval import Draws, Interval, mean_ratio, tasks_sampled

Label = dict[str, str | None]


def band_by_bucket(cube: Cube, design: Design, how: Draws) -> Iterator[Finding]:
    """Differences of success contrasts: each bucket's minus the first bucket's."""
    for model in cube.models:
        for band in cube.bands(model) if design.reference in cube.bands(model) else ():
            if band != design.reference:
                yield from _by_bucket(cube, design, how, model=model, band=band)


def _by_bucket(cube: Cube, design: Design, how: Draws, *, model: str, band: str) -> Iterator[Finding]:
    arm, reference = cube.column(model, band), cube.column(model, design.reference)
    by = {b: pair(cube, cube.y, arm, reference, cube.in_bucket(b)) for b in cube.buckets}
    for bucket in cube.buckets[1:]:
        here, base = by[bucket], by[cube.buckets[0]]
        both = here.complete | base.complete
        change = cube.task_means(here.difference, here.complete)[0] - cube.task_means(base.difference, base.complete)[0]
        joined = pair(cube, cube.y, arm, reference, both)
        label: Label = {
            "estimand": "success",
            "model": model,
            "arm": band,
            "reference": design.reference,
            "bucket": bucket,
        }
        label["factor"] = f"band x bucket, against {cube.buckets[0]}"
        yield _difference_finding(joined, label, change, how, arms=2, reach=2.0)


def bucket_contrasts(cube: Cube, how: Draws) -> Iterator[Finding]:
    """Success in each bucket minus the first bucket, per model; arms with equal weight, paired by task."""
    for model in cube.models:
        columns = [i for i, a in enumerate(cube.arms) if a.model == model]
        means = {b: _arm_mean(cube, columns, cube.in_bucket(b)) for b in cube.buckets}
        for bucket in cube.buckets[1:]:
            rows = cube.in_bucket(bucket) | cube.in_bucket(cube.buckets[0])
            p = pair(cube, cube.y, columns[0], columns[0], rows)
            label: Label = {"estimand": "success", "model": model, "arm": None, "reference": cube.buckets[0]}
            label |= {"bucket": bucket, "factor": "bucket"}
            yield _difference_finding(
                p, label, means[bucket] - means[cube.buckets[0]], how, arms=len(columns), reach=1.0
            )


def _arm_mean(cube: Cube, columns: list[int], rows: Bools) -> Floats:
    stacked: Floats = np.stack([cube.task_means(cube.y[:, c], rows)[0] for c in columns])
    return np.asarray(stacked.mean(axis=0), dtype=np.float64)


def _difference_finding(p: Pair, label: Label, change: Floats, how: Draws, *, arms: int, reach: float) -> Finding:
    """`change` (T,): the difference per task, nan where either side is missing; `reach`: its largest possible size."""
    used = int(np.sum(np.isfinite(change)))
    ratio = mean_ratio(change)
    interval = tasks_sampled(ratio, None, how) if used else Interval(None, None, "none: no task in both buckets")
    few = Caution(
        "dates_not_resampled",
        f"the interval resamples tasks; the luck of {p.cube.n_dates(p.complete)} date(s) is not in it",
        "read the time-of-day table, which uses dates; run more dates",
    )
    low, high = clip(interval.low, interval.high, -reach, reach)
    plain = contrast_finding(p, label, ratio.value, Interval(None, None, interval.method, interval.cautions), how.level)
    return replace(
        plain,
        low=None if low is None else low * 100,
        high=None if high is None else high * 100,
        n_tasks=used,
        n_attempts=arms * int(p.complete.sum()),
        warnings=(few, *interval.cautions),
    )
