"""Contrasts: every band against the reference per model, and buckets against the first, paired within task.

Completeness is per contrast: only blocks in which both arms have a y; what is missing stands beside as bounds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from raysweep.stats.arrays import Bools, Floats, Ints
from raysweep.stats.cube import Cube
from raysweep.stats.design import Design
from raysweep.stats.finding import Caution, Finding
from raysweep.stats.methods.interval import (
    ONE_TASK,
    Draws,
    Interval,
    Ratio,
    fmean,
    mean_ratio,
    tasks_fixed,
    tasks_sampled,
)
from raysweep.stats.methods.rare import RARE_EVENTS, design_effect, newcombe, newcombe_paired, tied_bound

CONTRASTED = ("success", "q_trial", "success_given_clean")


@dataclass(frozen=True, slots=True)
class Pair:
    """Complete blocks of one contrast: values of arm and reference on them, (n,), and which blocks (mask of the cube).

    started: mask of the blocks in which either arm was tried; missing = started without both values.
    """

    cube: Cube
    arm: Floats
    reference: Floats
    complete: Bools
    started: Bools

    @property
    def missing(self) -> int:
        """Started blocks that lack a value in either arm."""
        return int(np.sum(self.started & ~self.complete))

    @property
    def difference(self) -> Floats:
        """Arm minus reference, (n,), nan outside complete blocks."""
        return np.where(self.complete, self.arm - self.reference, np.nan)


def pair(cube: Cube, values: Floats, arm: int, reference: int, rows: Bools) -> Pair:
    """The contrast of two columns of `values` (n, A) on the blocks `rows`."""
    a, r = values[:, arm], values[:, reference]
    started = rows & (cube.present[:, arm] | cube.present[:, reference])
    return Pair(cube, a, r, started & np.isfinite(a) & np.isfinite(r), started)


def bounds(p: Pair) -> tuple[float, float] | None:
    """The contrast with every missing value against it and for it (0 and 1); None without a started block."""
    ends = []
    for for_arm, for_reference in ((0.0, 1.0), (1.0, 0.0)):
        arm = np.where(np.isfinite(p.arm), p.arm, for_arm)
        reference = np.where(np.isfinite(p.reference), p.reference, for_reference)
        means, counts = p.cube.task_means(arm - reference, p.started)
        if not counts.any():
            return None
        ends.append(fmean(means[counts > 0]))
    return ends[0], ends[1]


def band_contrasts(cube: Cube, design: Design, how: Draws) -> Iterator[Finding]:
    """Findings of every band against the reference: per model, estimand and bucket; tasks sampled, then fixed."""
    buckets: tuple[str | None, ...] = (None, *(cube.buckets if len(cube.buckets) > 1 else ()))
    for model in cube.models:
        if design.reference not in cube.bands(model):
            continue
        for band in cube.bands(model):
            for bucket in buckets if band != design.reference else ():
                yield from _contrast(cube, design, how, model=model, band=band, bucket=bucket)


def _contrast(
    cube: Cube, design: Design, how: Draws, *, model: str, band: str, bucket: str | None
) -> Iterator[Finding]:
    arm, reference = cube.column(model, band), cube.column(model, design.reference)
    rows = cube.in_bucket(bucket)
    for estimand in CONTRASTED:
        p = pair(cube, cube.q if estimand == "q_trial" else cube.y, arm, reference, rows)
        cautions = pair_cautions(p, bounded=estimand != "success_given_clean")
        if estimand == "success_given_clean":
            value, interval = _clean_contrast(cube, p, arm, reference, how)
        else:
            value, interval = mean_contrast(p, how)
        registered = estimand == design.primary and bucket is None and design.registered
        label = {"estimand": estimand, "model": model, "arm": band, "reference": design.reference, "bucket": bucket}
        yield contrast_finding(p, label, value, interval, how.level, cautions=cautions, registered=registered)
        if bucket is None and estimand != "success_given_clean":
            yield contrast_finding(
                p, label, value, _fixed(p, how.level), how.level, over="tasks fixed", cautions=cautions
            )


def contrast_finding(
    p: Pair,
    label: dict[str, str | None],
    value: float | None,
    interval: Interval,
    level: float,
    *,
    over: str = "tasks",
    cautions: tuple[Caution, ...] = (),
    registered: bool = False,
) -> Finding:
    """A contrast in points; the interval is kept within what the estimand can reach (rewards in 0..1)."""
    _, counts = p.cube.task_means(p.difference, p.complete)
    low, high = clip(interval.low, interval.high, -1.0, 1.0) if within_unit(p.arm, p.reference) else (
        interval.low, interval.high,
    )  # fmt: skip
    return Finding(
        estimand=str(label["estimand"]),
        model=label["model"],
        arm=label["arm"],
        reference=label["reference"],
        bucket=label["bucket"],
        factor=label.get("factor"),
        value=points(value),
        low=points(low),
        high=points(high),
        unit="points",
        level=level,
        method=interval.method,
        resampled_over=over,
        n_tasks=int(np.sum(counts > 0)),
        n_attempts=2 * int(counts.sum()),
        n_dates=p.cube.n_dates(p.complete),
        registered=registered,
        warnings=(*cautions, *interval.cautions),
    )


def points(value: float | None) -> float | None:
    """A fraction in percentage points."""
    return None if value is None else value * 100


def clip(low: float | None, high: float | None, least: float, most: float) -> tuple[float | None, float | None]:
    """The interval within what is possible."""
    return None if low is None else max(low, least), None if high is None else min(high, most)


def within_unit(*values: Floats) -> bool:
    """True when all finite values lie in 0..1."""
    return all(bool(np.all((v[np.isfinite(v)] >= 0) & (v[np.isfinite(v)] <= 1))) for v in values)


def pair_cautions(p: Pair, *, bounded: bool = True) -> tuple[Caution, ...]:
    """What is missing from a contrast: arms, tasks without a complete block (named), incomplete blocks.

    bounded: say what the contrast would be with the missing at 0 and 1; it has no meaning for a ratio.
    """
    found: list[Caution] = []
    if not p.complete.any():
        return (Caution("no_pairs", "no block has a result in both arms", "run the missing arm, or let the run go on"),)
    if p.missing:
        span, text = bounds(p) if bounded else None, ""
        if span is not None:
            text = f"; with the missing against and for the arm it is {span[0] * 100:+.1f} to {span[1] * 100:+.1f}"
        message = f"{p.missing} of {int(p.started.sum())} blocks lack a result in either arm and are left out{text}"
        found.append(Caution("incomplete_blocks", message, "see the missing causes in the composition; run them again"))
    _, counts = p.cube.task_means(p.difference, p.complete)
    absent = [name for name, count in zip(p.cube.tasks, counts, strict=True) if count == 0]
    if absent:
        named = ", ".join(absent[:5]) + (f" and {len(absent) - 5} more" if len(absent) > 5 else "")
        found.append(Caution("tasks_without_block", f"no complete block for {named}", "run these tasks again"))
    return tuple(found)


def mean_contrast(p: Pair, how: Draws) -> tuple[float | None, Interval]:
    """Value and tasks-sampled interval of a mean contrast: Newcombe where events are rare, else bootstrap or t."""
    means, counts = p.cube.task_means(p.difference, p.complete)
    if not counts.any():
        return None, Interval(None, None, "none: no complete block")
    ratio = mean_ratio(means)
    value = ratio.value
    if int(np.sum(counts > 0)) < 2:
        return value, Interval(None, None, "none: one task", (ONE_TASK,))
    if is_binary(p.arm[p.complete], p.reference[p.complete]):
        tied = not np.any(p.difference[p.complete])
        if tied:
            return value, _tied(int(np.sum(counts > 0)), how.level)
        if rare(p.arm[p.complete], p.reference[p.complete]):
            return value, _newcombe(p, how.level)
    return value, tasks_sampled(ratio, None, how)


def is_binary(*values: Floats) -> bool:
    """True when all values are 0 or 1."""
    return all(bool(np.all((v == 0) | (v == 1))) for v in values)


def rare(*values: Floats) -> bool:
    """True when any arm has fewer than RARE_EVENTS events or fewer than that many non-events."""
    return any(min(float(v.sum()), len(v) - float(v.sum())) < RARE_EVENTS for v in values)


def _tied(tasks: int, level: float) -> Interval:
    bound = tied_bound(tasks, level)
    text = f"all pairs tied: with {tasks} tasks up to {bound * 100:.0f} % of tasks may still differ"
    return Interval(
        -bound, bound, "exact bound on discordant tasks", (Caution("all_tied", text, "add tasks, or harder ones"),)
    )


def _newcombe(p: Pair, level: float) -> Interval:
    a, r = p.arm[p.complete], p.reference[p.complete]
    table = tuple(float(np.sum((a == i) & (r == j))) for i, j in ((1, 1), (1, 0), (0, 1), (0, 0)))
    means, counts = p.cube.task_means(p.difference, p.complete)
    used = counts > 0
    deff = design_effect(means[used], counts[used], float(np.var(a - r)))
    both, first, second, neither = table
    low, high = newcombe_paired(both, first, second, neither, level=level, deff=deff)
    value = fmean(means[used])  # with unequal K the mean of task means leaves the pooled one by a little
    shift = value - (first - second) / len(a)
    method = f"Newcombe hybrid score, paired, design effect {deff:.1f}"
    return Interval(min(low + shift, value), max(high + shift, value), method)


def _fixed(p: Pair, level: float) -> Interval:
    means, counts = p.cube.task_means(p.difference, p.complete)
    used = counts > 0
    if not used.any():
        return Interval(None, None, "none: no complete block")
    squares, _ = p.cube.task_means((p.difference - means[p.cube.task]) ** 2, p.complete)
    variances = squares * counts / np.maximum(counts - 1, 1)
    return tasks_fixed(means[used], variances[used], counts[used], level)


def clean_ratio(cube: Cube, column: int, rows: Bools) -> Ratio:
    """Success given clean of one arm on the blocks `rows` as a ratio of task means: sum(y of clean) / sum(clean)."""
    clean = 1.0 - cube.q[:, column]
    num, counts = cube.task_means(cube.y[:, column] * clean, rows)
    den, _ = cube.task_means(clean, rows)
    use = counts > 0
    return Ratio(np.where(use, num, 0.0), np.where(use, den, 0.0), use)


def _clean_contrast(cube: Cube, p: Pair, arm: int, reference: int, how: Draws) -> tuple[float | None, Interval]:
    first, second = clean_ratio(cube, arm, p.complete), clean_ratio(cube, reference, p.complete)
    if first.value is None or second.value is None:
        why = Caution("no_clean_trials", "an arm has no trial that infrastructure did not end", "raise its limits")
        return None, Interval(None, None, "none: undefined", (why,))
    sides = [Clean.of(cube, c, p.complete) for c in (arm, reference)]
    if (
        all(s.binary for s in sides)
        and min(int(first.use.sum()), int(second.use.sum())) > 1
        and any(s.rare for s in sides)
    ):
        if all(s.everything for s in sides):
            return mean_contrast(p, how)  # nothing died: success given clean is success
        (p1, n1), (p2, n2) = ((s.rate(), s.effective) for s in sides)
        shift = first.value - second.value - (p1 - p2)
        low, high = newcombe(p1, n1, p2, n2, level=how.level)
        method = "Newcombe hybrid score, unpaired, with design effects"
        return first.value - second.value, Interval(low + shift, high + shift, method, few_clean(sides))
    return first.value - second.value, tasks_sampled(first, second, how)


@dataclass(frozen=True, slots=True)
class Clean:
    """The clean trials of one arm: their rewards (n,), task means and counts; everything: no trial was unclean."""

    values: Floats
    means: Floats
    counts: Ints
    everything: bool

    @classmethod
    def of(cls, cube: Cube, column: int, rows: Bools) -> Clean:
        """Those of one column on the blocks `rows`."""
        use = rows & (cube.q[:, column] == 0)
        means, counts = cube.task_means(cube.y[:, column], use)
        every = bool(np.all(cube.q[rows & np.isfinite(cube.y[:, column]), column] == 0))
        return cls(cube.y[use, column], means[counts > 0], counts[counts > 0], every)

    @property
    def binary(self) -> bool:
        """All rewards are 0 or 1."""
        return is_binary(self.values)

    @property
    def rare(self) -> bool:
        """Too few passes or fails for a bootstrap."""
        return rare(self.values)

    def rate(self) -> float:
        """Pooled success of the clean trials."""
        return float(self.values.mean())

    @property
    def effective(self) -> float:
        """Their effective number."""
        variance = self.rate() * (1 - self.rate())
        return len(self.values) / design_effect(self.means, self.counts, variance)


def few_clean(sides: Sequence[Clean]) -> tuple[Caution, ...]:
    """A caution when an arm has hardly any clean trial."""
    least = min(len(s.values) for s in sides)
    if least >= RARE_EVENTS:
        return ()
    return (Caution("few_clean_trials", f"only {least} clean trials in an arm", "treat it as an anecdote"),)
