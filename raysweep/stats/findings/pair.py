"""Two arms on the same blocks: their values, the mean of their differences with its interval, and what is missing.

Completeness is per pair: only blocks in which both arms have a value; what is missing stands beside as bounds. Does not
belong here: which arms are held against which, and Findings (`findings.contrast`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from raysweep.stats.arrays import Bools, Floats, Ints
from raysweep.stats.cube import Cube
from raysweep.stats.finding import Caution
from raysweep.stats.methods.interval import ONE_TASK, Ask, Draws, Interval, fmean, mean_ratio, settle
from raysweep.stats.methods.rare import RARE_EVENTS, few_tasks, newcombe_by_task, tied_bound


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


def _tied(tasks: int, level: float) -> Interval:
    bound = tied_bound(tasks, level)
    text = f"all pairs tied: with {tasks} tasks up to {bound * 100:.0f} % of tasks may still differ"
    return Interval(
        -bound, bound, "exact bound on discordant tasks", (Caution("all_tied", text, "add tasks, or harder ones"),)
    )


def within_unit(*values: Floats) -> bool:
    """True when all finite values lie in 0..1."""
    return not any(bool(np.any((v < 0) | (v > 1))) for v in values)


def is_binary(*values: Floats) -> bool:
    """True when all values are 0 or 1."""
    return all(bool(np.all((v == 0) | (v == 1))) for v in values)


def rare(*values: Floats) -> bool:
    """True when any arm has fewer than RARE_EVENTS events or fewer than that many non-events."""
    return any(min(float(v.sum()), len(v) - float(v.sum())) < RARE_EVENTS for v in values)
