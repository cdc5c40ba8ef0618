"""Contrasts: every band against the reference per model, and buckets against the first, paired within task.

Completeness is per contrast: only blocks in which both arms have a y; what is missing stands beside as bounds. What
needs draws is asked for all at once (`settle`), so that one product with the shared draws serves every finding.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from raysweep.stats.arrays import Bools, Floats, Ints
from raysweep.stats.cube import Cube
from raysweep.stats.design import Design, is_registered
from raysweep.stats.finding import Caution, Finding
from raysweep.stats.methods.interval import (
    ONE_TASK,
    Ask,
    Draws,
    Interval,
    Ratio,
    fmean,
    mean_ratio,
    settle,
)
from raysweep.stats.methods.rare import RARE_EVENTS, few_tasks, guarded_effect, newcombe, newcombe_by_task, tied_bound
from raysweep.stats.methods.tasksfixed import blocks_fixed

Label = dict[str, str | None]
CONTRASTED = ("success", "q_trial", "success_given_clean")


@dataclass(frozen=True)
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

    @cached_property
    def difference(self) -> Floats:
        """Arm minus reference, (n,), nan outside complete blocks."""
        return np.where(self.complete, self.arm - self.reference, np.nan)

    @cached_property
    def in_unit(self) -> bool:
        """All values of both arms lie in 0..1."""
        return within_unit(self.arm, self.reference)

    @cached_property
    def by_task(self) -> tuple[Floats, Ints]:
        """Mean difference of each task (nan without a complete block) and its number of complete blocks, (T,)."""
        return self.cube.task_means(self.difference, self.complete)

    @property
    def sides(self) -> Floats:
        """Means of arm and of reference by task with a complete block, (T', 2)."""
        sides = [self.cube.task_means(v, self.complete) for v in (self.arm, self.reference)]
        return np.stack([means[counts > 0] for means, counts in sides], axis=1)


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
    cells = [
        cell
        for model in cube.models
        if design.reference in cube.bands(model)
        for band in cube.bands(model)
        if band != design.reference
        for estimand in CONTRASTED
        for cell in _cells(cube, design.reference, buckets, estimand=estimand, model=model, band=band, level=how.level)
    ]
    for cell, (value, interval) in zip(cells, settle([c.ask for c in cells], how), strict=True):
        of = cell.label
        registered = is_registered(design, str(of["estimand"]), of["arm"], of["reference"], of["bucket"])
        cautions = pair_cautions(cell.pair, bounded=of["estimand"] != "success_given_clean")
        yield contrast_finding(cell.pair, of, value, interval, how.level, cautions=cautions, registered=registered)
        yield contrast_finding(cell.pair, of, value, cell.fixed, how.level, over="tasks fixed", cautions=cautions)


@dataclass(frozen=True, slots=True)
class Cell:
    """One contrast in one bucket (or over all), before its draws."""

    label: Label
    pair: Pair
    ask: Ask
    fixed: Interval


def _cells(
    cube: Cube, reference: str, buckets: Sequence[str | None], *, estimand: str, model: str, band: str, level: float
) -> Iterator[Cell]:
    columns = cube.column(model, band), cube.column(model, reference)
    values, clean = cube.q if estimand == "q_trial" else cube.y, estimand == "success_given_clean"
    whole = pair(cube, values, *columns, cube.in_bucket(None))
    for bucket in buckets:
        p = whole if bucket is None else pair(cube, values, *columns, cube.in_bucket(bucket))
        ask, blocks = mean_ask(p, level), whole.difference
        if clean:
            sides = [clean_ratio(cube, c, p.complete) for c in columns]
            ask, blocks = _clean_ask(cube, p, columns, sides, level), _clean_blocks(cube, whole, columns, sides)
        fixed = blocks_fixed(blocks, cube.task, cube.bucket, p.complete, level)
        label: Label = {"estimand": estimand, "model": model, "arm": band, "reference": reference, "bucket": bucket}
        yield Cell(label, p, ask, ask.interval if ask.value is None and ask.interval is not None else fixed)


def contrast_finding(
    p: Pair,
    label: Label,
    value: float | None,
    interval: Interval,
    level: float,
    *,
    over: str = "tasks",
    cautions: tuple[Caution, ...] = (),
    registered: bool = False,
) -> Finding:
    """A contrast in points; the interval is kept within what the estimand can reach (rewards in 0..1)."""
    _, counts = p.by_task
    low, high = clip(interval.low, interval.high, -1.0, 1.0) if p.in_unit else (
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
    return not any(bool(np.any((v < 0) | (v > 1))) for v in values)


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
    _, counts = p.by_task
    absent = [name for name, count in zip(p.cube.tasks, counts, strict=True) if count == 0]
    if absent:
        named = ", ".join(absent[:5]) + (f" and {len(absent) - 5} more" if len(absent) > 5 else "")
        found.append(Caution("tasks_without_block", f"no complete block for {named}", "run these tasks again"))
    return (*found, *pooled_caution(p))


def pooled_caution(p: Pair) -> tuple[Caution, ...]:
    """What a contrast of several merged runs does not hold."""
    blocks = np.bincount(p.cube.run[p.complete], minlength=len(p.cube.runs))
    if np.count_nonzero(blocks) < 2:
        return ()
    runs = [f"{name} {n}" for name, n in zip(p.cube.runs, blocks, strict=True) if n]
    text = f"blocks of {len(runs)} runs are pooled ({', '.join(runs)}): how another run would differ is not in it"
    return (Caution("runs_pooled", text, "read each run's own contrast, and those over runs"),)


def mean_contrast(p: Pair, how: Draws) -> tuple[float | None, Interval]:
    """Value and tasks-sampled interval of a mean contrast: Newcombe where events are rare, else bootstrap or t."""
    return settle([mean_ask(p, how.level)], how)[0]


def mean_ask(p: Pair, level: float) -> Ask:
    """The same as an Ask, so that many contrasts share one product."""
    means, counts = p.by_task
    tasks = int(np.sum(counts > 0))
    if not tasks:
        return Ask(None, Interval(None, None, "none: no complete block"))
    ratio = mean_ratio(means)
    if tasks < 2:
        return Ask(ratio.value, Interval(None, None, "none: one task", (ONE_TASK,)))
    arm, reference = p.arm[p.complete], p.reference[p.complete]
    if is_binary(arm, reference):
        if not np.any(arm != reference):
            return Ask(ratio.value, _tied(tasks, level))
        sides = p.sides
        if rare(arm, reference) or any(few_tasks(s) for s in sides.T):
            ends = newcombe_by_task(arm, reference, sides, counts[counts > 0], level=level)
            method = f"Newcombe hybrid score, paired, design effect {ends.deff:.1f}"
            return Ask(ratio.value, Interval(ends.low, ends.high, method))
    return Ask(ratio.value, asked=(ratio, None))


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


def clean_ratio(cube: Cube, column: int, rows: Bools) -> Ratio:
    """Success given clean of one arm on the blocks `rows` as a ratio of task means: sum(y of clean) / sum(clean)."""
    clean = 1.0 - cube.q[:, column]
    num, counts = cube.task_means(cube.y[:, column] * clean, rows)
    den, _ = cube.task_means(clean, rows)
    use = counts > 0
    return Ratio(np.where(use, num, 0.0), np.where(use, den, 0.0), use)


def _clean_ask(cube: Cube, p: Pair, columns: tuple[int, int], ratios: Sequence[Ratio], level: float) -> Ask:
    first, second = ratios
    if first.value is None or second.value is None:
        why = Caution("no_clean_trials", "an arm has no trial that infrastructure did not end", "raise its limits")
        return Ask(None, Interval(None, None, "none: undefined", (why,)))
    value, sides = first.value - second.value, [Clean.of(cube, c, p.complete) for c in columns]
    if not all(s.binary for s in sides) or not any(s.rare for s in sides) or int(first.use.sum()) < 2:
        return Ask(value, asked=(first, second))
    if all(s.everything for s in sides):
        return mean_ask(p, level)  # nothing died: success given clean is success
    (p1, n1), (p2, n2) = ((s.rate(), s.effective) for s in sides)
    low, high = newcombe(p1, n1, p2, n2, level=level)
    shift = value - (p1 - p2)
    method = "Newcombe hybrid score, unpaired, with design effects"
    return Ask(value, Interval(low + shift, high + shift, method, few_clean(sides)))


def _clean_blocks(cube: Cube, whole: Pair, columns: tuple[int, int], ratios: Sequence[Ratio]) -> Floats:
    """Linearised contrast of success given clean per block, (n,), nan outside complete blocks.

    The mean over tasks of its task means, on the blocks of the `ratios`, is the contrast itself.
    """
    found = np.zeros(len(cube.task))
    for column, r, sign in zip(columns, ratios, (1.0, -1.0), strict=True):
        clean, value = 1.0 - cube.q[:, column], r.value or 0.0
        share = float(np.mean(r.den[r.use])) if r.value is not None else 1.0
        found = found + sign * (value + (cube.y[:, column] - value) * clean / share)
    return np.where(whole.complete, found, np.nan)


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
        return rare(self.values) or few_tasks(self.means)

    def rate(self) -> float:
        """Pooled success of the clean trials."""
        return float(self.values.mean())

    @property
    def effective(self) -> float:
        """Their effective number."""
        return len(self.values) / guarded_effect(self.means, self.counts, self.rate())


def few_clean(sides: Sequence[Clean]) -> tuple[Caution, ...]:
    """A caution when an arm has hardly any clean trial."""
    least = min(len(s.values) for s in sides)
    if least >= RARE_EVENTS:
        return ()
    return (Caution("few_clean_trials", f"only {least} clean trials in an arm", "treat it as an anecdote"),)
