"""Rates of single arms: success, q_trial, success_given_clean, and infrastructure rates over all attempts."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raysweep.stats.arrays import Bools, Floats, Ints
from raysweep.stats.cube import Cube
from raysweep.stats.estimand import is_platform, is_resource
from raysweep.stats.finding import Caution, Finding
from raysweep.stats.findings.contrast import (
    CONTRASTED,
    Clean,
    clean_ratio,
    clip,
    few_clean,
    is_binary,
    rare,
    within_unit,
)
from raysweep.stats.methods.interval import ONE_TASK, Draws, Interval, Ratio, fmean, mean_ratio, tasks_sampled
from raysweep.stats.methods.rare import RARE_EVENTS, design_effect, wilson

NO_TRIALS = Caution("no_trials", "this arm has no trial with a result", "run it, or read the composition for why")


def arm_rates(cube: Cube, how: Draws) -> Iterator[Finding]:
    """Per model and band, over all buckets and in each bucket: success, q_trial and success_given_clean."""
    buckets: tuple[str | None, ...] = (None, *(cube.buckets if len(cube.buckets) > 1 else ()))
    for column in range(len(cube.arms)):
        for bucket in buckets:
            for estimand in CONTRASTED:
                yield _rate(cube, column, estimand, bucket, how)


def _rate(cube: Cube, column: int, estimand: str, bucket: str | None, how: Draws) -> Finding:
    rows = cube.in_bucket(bucket)
    if estimand == "success_given_clean":
        ratio = clean_ratio(cube, column, rows)
        value, interval = ratio.value, _clean_interval(ratio, Clean.of(cube, column, rows), how)
        values = cube.y[:, column]
    else:
        values = (cube.q if estimand == "q_trial" else cube.y)[:, column]
        value, interval = mean_rate(cube, values, rows, how)
    use = rows & np.isfinite(values)
    low, high = clip(interval.low, interval.high, 0.0, 1.0) if within_unit(values) else (interval.low, interval.high)
    return Finding(
        estimand=estimand,
        model=cube.arms[column].model,
        arm=cube.arms[column].band,
        reference=None,
        bucket=bucket,
        factor=None,
        value=value,
        low=low,
        high=high,
        unit="fraction",
        level=how.level,
        method=interval.method,
        resampled_over="tasks",
        n_tasks=len(np.unique(cube.task[use])),
        n_attempts=int(use.sum()),
        n_dates=cube.n_dates(use),
        warnings=interval.cautions,
    )


def _clean_interval(ratio: Ratio, clean: Clean, how: Draws) -> Interval:
    if ratio.value is None:
        why = Caution("no_clean_trials", "no trial that infrastructure did not end", "raise the limits")
        return Interval(None, None, "none: undefined", (why,))
    if not (clean.binary and clean.rare) or int(ratio.use.sum()) < 2:
        return tasks_sampled(ratio, None, how)
    low, high = wilson(clean.rate(), clean.effective, how.level)
    shift = ratio.value - clean.rate()
    return Interval(low + shift, high + shift, "Wilson score with design effect", few_clean([clean]))


def mean_rate(cube: Cube, values: Floats, rows: Bools, how: Draws) -> tuple[float | None, Interval]:
    """Value and tasks-sampled interval of the mean of task means; Wilson with a design effect where events are rare."""
    means, counts = cube.task_means(values, rows)
    if not counts.any():
        return None, Interval(None, None, "none: no trials", (NO_TRIALS,))
    ratio = mean_ratio(means)
    use = rows & np.isfinite(values)
    if int(np.sum(counts > 0)) < 2:
        return ratio.value, Interval(None, None, "none: one task", (ONE_TASK,))
    if ratio.value is not None and is_binary(values[use]) and rare(values[use]):
        return ratio.value, _wilson(means[counts > 0], counts[counts > 0], how.level)
    return ratio.value, tasks_sampled(ratio, None, how)


def _wilson(means: Floats, counts: Ints, level: float) -> Interval:
    p = min(1.0, max(0.0, fmean(means)))
    deff = design_effect(means, counts, p * (1 - p))
    low, high = wilson(p, float(counts.sum()) / deff, level)
    return Interval(low, high, f"Wilson score, design effect {deff:.1f}")


def infra_rates(table: pa.Table, cube: Cube, how: Draws) -> Iterator[Finding]:
    """Shares of all attempts (superseded ones too) that ended in resource and in platform causes, per arm.

    Collapsed in Arrow to (task, arm) counts; the share is pooled over attempts, the interval is over tasks.
    """
    counts = _attempt_counts(table)
    for arm in cube.arms:
        for name in ("resource", "platform"):
            yield _infra_rate(counts, cube, arm.model, arm.band, name, how)


def _attempt_counts(table: pa.Table) -> pa.Table:
    flags = pa.table(
        {
            "task": table["task"],
            "model": table["_model"],
            "band": table["band"],
            "resource": pc.cast(is_resource(table), pa.int64()),
            "platform": pc.cast(is_platform(table), pa.int64()),
        }
    )
    return flags.group_by(["task", "model", "band"]).aggregate(
        [("resource", "sum"), ("platform", "sum"), ("task", "count")]
    )


def _infra_rate(counts: pa.Table, cube: Cube, model: str, band: str, name: str, how: Draws) -> Finding:
    mine = counts.filter(pc.and_(pc.equal(counts["model"], model), pc.equal(counts["band"], band)))
    at = np.searchsorted(np.array(cube.tasks, dtype=object), mine["task"].to_numpy())  # cube.tasks is sorted
    n, events = np.zeros(len(cube.tasks), dtype=np.int64), np.zeros(len(cube.tasks))
    n[at] = mine["task_count"].to_numpy()
    events[at] = mine[f"{name}_sum"].to_numpy()
    value, interval = _pooled(events, n, how)
    column = cube.column(model, band)
    return Finding(
        estimand=f"infra_rate_{name}",
        model=model,
        arm=band,
        reference=None,
        bucket=None,
        factor=None,
        value=value,
        low=interval.low,
        high=interval.high,
        unit="fraction",
        level=how.level,
        method=interval.method,
        resampled_over="tasks",
        n_tasks=int(np.sum(n > 0)),
        n_attempts=int(n.sum()),
        n_dates=cube.n_dates(cube.present[:, column]),
        warnings=interval.cautions,
    )


def _pooled(events: Floats, n: Ints, how: Draws) -> tuple[float | None, Interval]:
    if not n.sum():
        return None, Interval(None, None, "none: no attempts", (NO_TRIALS,))
    value = float(events.sum() / n.sum())
    if int(np.sum(n > 0)) < 2:
        return value, Interval(None, None, "none: one task", (ONE_TASK,))
    if min(float(events.sum()), float(n.sum() - events.sum())) < RARE_EVENTS:
        return value, _pooled_wilson(value, events, n, how.level)
    ratio = Ratio(events, n.astype(np.float64), n > 0)
    interval = tasks_sampled(ratio, None, how)
    low, high = clip(interval.low, interval.high, 0.0, 1.0)
    return value, Interval(low, high, interval.method, interval.cautions)


def _pooled_wilson(value: float, events: Floats, n: Ints, level: float) -> Interval:
    n, events = n[n > 0], events[n > 0]
    deff = design_effect(events / n, n, value * (1 - value))
    low, high = wilson(value, float(n.sum()) / deff, level)
    return Interval(low, high, f"Wilson score, design effect {deff:.1f}")
