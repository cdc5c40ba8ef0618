"""Validity checks: what a reader must know before trusting the numbers, each with a remedy."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raysweep.stats.cube import Cube
from raysweep.stats.design import Design
from raysweep.stats.finding import Check
from raysweep.stats.findings import enforcement
from raysweep.stats.methods.interval import FEW_TASKS
from raysweep.stats.methods.permutation import platform_p


def run_checks(table: pa.Table, planned: pa.Table, cube: Cube, design: Design) -> tuple[Check, ...]:
    """All checks of a ledger, warnings first."""
    found = [
        *_completeness(planned, cube),
        *_tasks(cube),
        *_reference(cube, design),
        *_dates(cube),
        *([_platform(cube, design.seed)] if len(cube.task) else []),
        *_counted(table),
        *enforcement.checks(table, cube),
        *_same(cube),
    ]
    rank = {"warning": 0, "note": 1, "ok": 2}
    return tuple(sorted(found, key=lambda c: rank[c.status]))


def _completeness(planned: pa.Table, cube: Cube) -> Iterator[Check]:
    total, done = len(planned), int(cube.present.sum())
    if not len(cube.task):
        yield Check("empty", "warning", "the ledger holds no attempt", "run the sweep: `raysweep run`")
        return
    incomplete = np.flatnonzero(np.isfinite(cube.y).sum(axis=1) < cube.present.shape[1])
    if total > done or cube.not_started:
        message = f"{done} of {total} planned trials have ended; {cube.not_started} blocks were not started"
        yield Check("unfinished", "warning", message, "go on with the same `raysweep run` command")
    if len(incomplete):
        named = ", ".join(sorted({cube.tasks[cube.task[i]] for i in incomplete})[:5])
        message = f"{len(incomplete)} of {len(cube.task)} started blocks lack a result in some arm (tasks: {named})"
        yield Check(
            "incomplete_blocks", "warning", message,
            "contrasts leave them out and give bounds; see the causes in the composition",
        )  # fmt: skip
    if total <= done and not len(incomplete):
        yield Check("complete", "ok", f"all {done} trials ended with a result, in {len(cube.task)} complete blocks", "")


def _tasks(cube: Cube) -> Iterator[Check]:
    n = len(np.unique(cube.task))
    if 0 < n < FEW_TASKS:
        status = "warning" if n < 5 else "note"
        message = f"{n} task{'s' if n > 1 else ''}: intervals over tasks are wide and rest on Student's t"
        yield Check("few_tasks", status, message, f"use at least {FEW_TASKS} tasks to speak of other tasks")


def _reference(cube: Cube, design: Design) -> Iterator[Check]:
    for column, arm in enumerate(cube.arms):
        if not np.isfinite(cube.y[:, column]).any() and len(cube.task):
            what = "the reference" if arm.band == design.reference else "an arm"
            message = f"{arm.model}/{arm.band} ({what}) has no trial with a result"
            yield Check("missing_arm", "warning", message, "run it, or take it out of the sweep")


def _dates(cube: Cube) -> Iterator[Check]:
    if 0 < len(cube.dates) < 3:
        message = f"{len(cube.dates)} date(s): nothing here tells how much another day would differ"
        yield Check("few_dates", "note", message, "run at least 3 dates to resample dates, 14 for a weekly rhythm")


def _platform(cube: Cube, seed: int) -> Check:
    used = cube.present.any(axis=0)
    events, sizes = cube.first_platform[:, used], cube.present[:, used]
    total = int(events.sum())
    if not total:
        return Check("platform", "ok", "no first attempt ended in a platform cause", "")
    p = platform_p(events, sizes, cube.bucket * max(1, len(cube.dates)) + cube.date, seed)
    each = ", ".join(
        f"{cube.arms[i].model}/{cube.arms[i].band} {int(n)}"
        for i, n in zip(np.flatnonzero(used), events.sum(axis=0), strict=True)
    )
    text = f"platform causes ended {total} first attempts ({each}); permutation within occasions p = {p:.3f}"
    if p < 0.05:
        remedy = "an arm may break its own platform: read success_platform_zero beside success"
        return Check("platform", "warning", f"{text}: the arms differ", remedy)
    return Check("platform", "note", text, "no difference between arms shown; this is no proof of equality")


def _counted(table: pa.Table) -> Iterator[Check]:
    """Simple counts: each line a code, a mask, a status, what it means and what to do."""
    final = table["is_final"]
    lines: tuple[tuple[str, pa.ChunkedArray, str, str, str], ...] = (
        (
            "oom_unknown",
            pc.equal(table["cause"], "oom_unknown"),
            "warning",
            "attempts died with unreadable counters",
            "their y is missing and bounded; run `raysweep doctor` on that machine",
        ),
        (
            "verifier_error",
            pc.equal(table["outcome"], "verifier_error"),
            "warning",
            "attempts have no reward: the verifier failed",
            "mend the task's tests; their y is missing",
        ),
        (
            "model_api",
            pc.equal(table["outcome"], "model_api"),
            "warning",
            "attempts ended in a model API failure and count 0",
            "compare the rate between buckets: it can be the time-of-day effect itself",
        ),
        (
            "superseded",
            pc.invert(final),
            "note",
            "attempts are superseded by a later one and count only in infra rates",
            "they stay in the ledger; nothing to do",
        ),
        (
            "crossed",
            pc.and_kleene(table["crossed_boundary"], final),
            "note",
            "trials ended outside their window; they count in their planned bucket",
            "leave a guard time at the end of each window",
        ),
        (
            "timed_out",
            pc.and_kleene(table["timed_out"], final),
            "note",
            "trials ran into the agent's time limit (scored, never counted as infrastructure)",
            "compare the share between bands",
        ),
    )
    for code, mask, status, text, remedy in lines:
        n = int(pc.sum(pc.cast(pc.fill_null(mask, fill_value=False), pa.int64())).as_py() or 0)
        if n:
            yield Check(code, status, f"{n} {text}", remedy)


def _same(cube: Cube) -> Iterator[Check]:
    values = cube.y[np.isfinite(cube.y)]
    if len(values) > 1 and bool(np.all(values == values[0])):
        message = f"every trial gave {values[0]:g}: these tasks tell no difference between arms"
        yield Check("all_equal", "warning", message, "use harder (or easier) tasks")
