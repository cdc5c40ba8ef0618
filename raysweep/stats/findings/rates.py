"""Rates of single arms: success, q_trial, success_given_clean; infrastructure rates over all attempts, and contrasts.

What needs draws is asked for all at once, as in `findings.contrast`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raysweep.stats.arrays import Bools, Floats, Ints
from raysweep.stats.cube import ArmKey, Cube
from raysweep.stats.design import Design, is_registered
from raysweep.stats.endings import is_platform, is_resource
from raysweep.stats.finding import Caution, Finding
from raysweep.stats.findings.clean import Clean, clean_ratio, few_clean
from raysweep.stats.findings.contrast import CONTRASTED, clip, points
from raysweep.stats.findings.pair import is_binary, rare, within_unit
from raysweep.stats.methods.interval import ONE_TASK, Ask, Draws, Interval, Ratio, fmean, mean_ratio, settle
from raysweep.stats.methods.rare import RARE_EVENTS, few_tasks, guarded_effect, newcombe, wilson

NO_TRIALS = Caution("no_trials", "this arm has no trial with a result", "run it, or read the composition for why")


def arm_rates(cube: Cube, how: Draws) -> Iterator[Finding]:
    """Per model and band, over all buckets and in each bucket: success, q_trial and success_given_clean."""
    buckets: tuple[str | None, ...] = (None, *(cube.buckets if len(cube.buckets) > 1 else ()))
    cells = [(c, b, e) for c in range(len(cube.arms)) for b in buckets for e in CONTRASTED]
    asks = [_rate_ask(cube, c, e, cube.in_bucket(b), how.level) for c, b, e in cells]
    for (column, bucket, estimand), (value, interval) in zip(cells, settle(asks, how), strict=True):
        yield _rate(cube, column, estimand, bucket, value, interval, how.level)


def _rate_ask(cube: Cube, column: int, estimand: str, rows: Bools, level: float) -> Ask:
    if estimand == "success_given_clean":
        return _clean_ask(clean_ratio(cube, column, rows), Clean.of(cube, column, rows), level)
    return rate_ask(cube, (cube.q if estimand == "q_trial" else cube.y)[:, column], rows, level)


def _rate(
    cube: Cube, column: int, estimand: str, bucket: str | None, value: float | None, interval: Interval, level: float
) -> Finding:
    values = (cube.q if estimand == "q_trial" else cube.y)[:, column]
    use = cube.in_bucket(bucket) & np.isfinite(values)
    low, high = clip(interval.low, interval.high, 0.0, 1.0) if within_unit(values) else (interval.low, interval.high)
    return Finding(
        estimand=estimand,
        model=cube.arms[column].model,
        arm=cube.arms[column].band,
        reference=None,
        bucket=bucket,
        facet=None,
        value=value,
        low=low,
        high=high,
        level=level,
        method=interval.method,
        resampled_over="tasks",
        n_tasks=int(np.count_nonzero(np.bincount(cube.task[use], minlength=1))),
        n_attempts=int(use.sum()),
        n_dates=cube.n_dates(use),
        warnings=interval.cautions,
    )


def _clean_ask(ratio: Ratio, clean: Clean, level: float) -> Ask:
    if ratio.value is None:
        why = Caution("no_clean_trials", "no trial that infrastructure did not end", "raise the limits")
        return Ask(None, Interval(None, None, "none: undefined", (why,)))
    if not (clean.binary and clean.rare) or int(ratio.use.sum()) < 2:
        return Ask(ratio.value, asked=(ratio, None))
    low, high = wilson(clean.rate(), clean.effective, level)
    shift = ratio.value - clean.rate()
    interval = Interval(low + shift, high + shift, "Wilson score with design effect", few_clean([clean]))
    return Ask(ratio.value, interval)


def rate_ask(cube: Cube, values: Floats, rows: Bools, level: float) -> Ask:
    """Value and tasks-sampled interval of the mean of task means; Wilson with a design effect where events are rare."""
    means, counts = cube.task_means(values, rows)
    if not counts.any():
        return Ask(None, Interval(None, None, "none: no trials", (NO_TRIALS,)))
    ratio = mean_ratio(means)
    seen = values[rows & np.isfinite(values)]
    if int(np.sum(counts > 0)) < 2:
        return Ask(ratio.value, Interval(None, None, "none: one task", (ONE_TASK,)))
    if is_binary(seen) and (rare(seen) or few_tasks(means[counts > 0])):
        return Ask(ratio.value, _wilson(means[counts > 0], counts[counts > 0], level))
    return Ask(ratio.value, asked=(ratio, None))


def _wilson(means: Floats, counts: Ints, level: float) -> Interval:
    p = min(1.0, max(0.0, fmean(means)))
    deff = guarded_effect(means, counts, p)
    low, high = wilson(p, float(counts.sum()) / deff, level)
    return Interval(low, high, f"Wilson score, design effect {deff:.1f}")


@dataclass(frozen=True, slots=True)
class Attempts:
    """Attempts of an arm by task, (T,): how many, and how many ended in the causes asked for."""

    events: Floats
    n: Ints

    @property
    def used(self) -> Bools:
        """Tasks with an attempt."""
        return np.asarray(self.n > 0, dtype=np.bool_)

    @property
    def by_task(self) -> Floats:
        """Events over attempts of each task with an attempt."""
        return np.asarray(self.events[self.used] / self.n[self.used], dtype=np.float64)

    @property
    def rate(self) -> float:
        """Events over attempts, pooled over tasks; there must be one attempt."""
        return float(self.events.sum() / self.n.sum())

    @property
    def few(self) -> bool:
        """Too few events, or attempts without, for a bootstrap."""
        least = min(float(self.events.sum()), float(self.n.sum() - self.events.sum()))
        return least < RARE_EVENTS or few_tasks(self.by_task)

    @property
    def effective(self) -> float:
        """Effective number of attempts: their number over the design effect of tasks."""
        return float(self.n.sum()) / guarded_effect(self.by_task, self.n[self.used], self.rate)

    def on(self, use: Bools) -> Ratio:
        """The pooled rate as a ratio over tasks, on those in `use`."""
        return Ratio(np.where(use, self.events, 0.0), np.where(use, self.n, 0).astype(np.float64), use)


def infra_rates(table: pa.Table, cube: Cube, how: Draws) -> Iterator[Finding]:
    """Shares of all attempts (superseded ones too) that ended in resource and in platform causes, per arm.

    Collapsed in Arrow to (task, arm) counts; the share is pooled over attempts, the interval is over tasks.
    """
    seen = _attempts(table, cube)
    found = [(arm, name, by[arm]) for arm in cube.arms for name, by in seen.items()]
    asks = [_pooled(attempts, how.level) for _, _, attempts in found]
    for (arm, name, attempts), (value, interval) in zip(found, settle(asks, how), strict=True):
        low, high = clip(interval.low, interval.high, 0.0, 1.0)
        yield Finding(
            estimand=f"infra_rate_{name}",
            model=arm.model,
            arm=arm.band,
            reference=None,
            bucket=None,
            facet=None,
            value=value,
            low=low,
            high=high,
            level=how.level,
            method=interval.method,
            resampled_over="tasks",
            n_tasks=int(attempts.used.sum()),
            n_attempts=int(attempts.n.sum()),
            n_dates=cube.n_dates(cube.present[:, cube.column(arm.model, arm.band)]),
            warnings=interval.cautions,
        )


def infra_contrasts(table: pa.Table, cube: Cube, design: Design, how: Draws) -> Iterator[Finding]:
    """Resource infra rates of every band against the reference, in points, over tasks with attempts in both.

    Rates are pooled over attempts (superseded ones too), so that nothing is paired but the tasks.
    """
    by = _attempts(table, cube)["resource"]
    arms = [a for a in cube.arms if a.band != design.reference and design.reference in cube.bands(a.model)]
    pairs = [(by[a], by[ArmKey(a.model, design.reference)]) for a in arms]
    asks = [_pooled_contrast(first, second, how.level) for first, second in pairs]
    for arm, (first, second), (value, interval) in zip(arms, pairs, settle(asks, how), strict=True):
        both = first.used & second.used
        low, high = clip(interval.low, interval.high, -1.0, 1.0)
        yield Finding(
            estimand="infra_rate_resource",
            model=arm.model,
            arm=arm.band,
            reference=design.reference,
            bucket=None,
            facet=None,
            value=points(value),
            low=points(low),
            high=points(high),
            level=how.level,
            method=interval.method,
            resampled_over="tasks",
            n_tasks=int(both.sum()),
            n_attempts=int((first.n + second.n)[both].sum()),
            n_dates=cube.n_dates(cube.present[:, cube.column(arm.model, arm.band)]),
            registered=is_registered(design, "infra_rate_resource", arm.band, design.reference, None),
            warnings=interval.cautions,
        )


def _attempts(table: pa.Table, cube: Cube) -> dict[str, Mapping[ArmKey, Attempts]]:
    """Per class of causes ("resource", "platform") the attempts of every arm of the cube."""
    flags = pa.table(
        {
            "task": table["task"],
            "model": table["_model"],
            "band": table["band"],
            "resource": pc.cast(is_resource(table), pa.int64()),
            "platform": pc.cast(is_platform(table), pa.int64()),
        }
    )
    rows = flags.group_by(["task", "model", "band"]).aggregate(
        [("resource", "sum"), ("platform", "sum"), ("task", "count")]
    )
    task = {name: i for i, name in enumerate(cube.tasks)}
    arm = {(a.model, a.band): i for i, a in enumerate(cube.arms)}
    names = [["" if v is None else v for v in rows[c].to_pylist()] for c in ("model", "band", "task")]
    at = np.array([(arm[m, b], task[t]) for m, b, t in zip(*names, strict=True)], dtype=np.int64).reshape(-1, 2).T
    grids = {
        name: np.zeros((len(cube.arms), len(cube.tasks))) for name in ("task_count", "resource_sum", "platform_sum")
    }
    for name, grid in grids.items():
        grid[at[0], at[1]] = rows[name].to_numpy()
    n = grids["task_count"].astype(np.int64)
    return {
        name: {a: Attempts(grids[f"{name}_sum"][i], n[i]) for i, a in enumerate(cube.arms)}
        for name in ("resource", "platform")
    }


def _pooled(attempts: Attempts, level: float) -> Ask:
    if not attempts.used.any():
        return Ask(None, Interval(None, None, "none: no attempts", (NO_TRIALS,)))
    if int(attempts.used.sum()) < 2:
        return Ask(attempts.rate, Interval(None, None, "none: one task", (ONE_TASK,)))
    if not attempts.few:
        return Ask(attempts.rate, asked=(attempts.on(attempts.used), None))
    low, high = wilson(attempts.rate, attempts.effective, level)
    deff = float(attempts.n.sum()) / attempts.effective
    return Ask(attempts.rate, Interval(low, high, f"Wilson score, design effect {deff:.1f}"))


def _pooled_contrast(arm: Attempts, reference: Attempts, level: float) -> Ask:
    both = arm.used & reference.used
    first, second = (Attempts(np.where(both, a.events, 0.0), np.where(both, a.n, 0)) for a in (arm, reference))
    if not both.any():
        why = Caution("no_pairs", "no task has an attempt in both arms", "run the missing arm, or let the run go on")
        return Ask(None, Interval(None, None, "none: no attempts", (why,)))
    value = first.rate - second.rate
    if int(both.sum()) < 2:
        return Ask(value, Interval(None, None, "none: one task", (ONE_TASK,)))
    if not (first.few or second.few):
        return Ask(value, asked=(first.on(both), second.on(both)))
    low, high = newcombe(first.rate, first.effective, second.rate, second.effective, level=level)
    return Ask(value, Interval(low, high, "Newcombe hybrid score, unpaired, with design effects"))
