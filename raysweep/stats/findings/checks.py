"""Validity checks: what a reader must know before trusting the numbers, each with a remedy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raysweep.stats.arrays import Bools
from raysweep.stats.columns import flags
from raysweep.stats.cube import Cube
from raysweep.stats.design import Design
from raysweep.stats.finding import Check
from raysweep.stats.findings import balance, enforcement, placement, reruns, voided
from raysweep.stats.findings.factors import factor_checks
from raysweep.stats.findings.missing import Missing, missing
from raysweep.stats.findings.probes import Measured
from raysweep.stats.methods.interval import FEW_TASKS
from raysweep.stats.methods.permutation import platform_p
from raysweep.vocabulary import CheckStatus

SHOWN = 5
"""So many names are listed in a sentence."""


def run_checks(
    table: pa.Table,
    planned: pa.Table,
    cube: Cube,
    design: Design,
    measured: Mapping[str, Measured] | None = None,
) -> tuple[Check, ...]:
    """All checks of a ledger (tables labelled) and its probes, warnings first."""
    found = [
        *_completeness(planned, cube),
        *balance.checks(table, planned, design.confidence),
        *reruns.checks(table, planned),
        *_missing(missing(table, cube)),
        *_tasks(cube),
        *_tasks_without_block(cube, design),
        *_reference(cube, design),
        *_dates(cube),
        *_placed(cube),
        *([_platform(cube, design.seed)] if len(cube.task) else []),
        *_counted(table),
        *(voided.checks(table, cube, design.seed) if len(cube.task) else ()),
        *enforcement.checks(table, cube, measured),
        *placement.checks(table, cube),
        *factor_checks(table, design),
        *_same(cube),
        *_rewards(cube),
    ]
    return by_seriousness(found)


def by_seriousness(checks: Iterable[Check]) -> tuple[Check, ...]:
    """Warnings first, then notes, then what is well; else in their order."""
    return tuple(sorted(checks, key=lambda check: list(CheckStatus).index(check.status)))


def enough(cube: Cube, design: Design) -> tuple[Check, ...]:
    """Checks of whether there are tasks, blocks and dates enough to speak of others."""
    return (*_tasks(cube), *_tasks_without_block(cube, design), *_dates(cube))


def named(names: Iterable[str]) -> str:
    """The first few names, and how many more there are."""
    every = list(names)
    more = len(every) - SHOWN
    return ", ".join(every[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def _completeness(planned: pa.Table, cube: Cube) -> Iterator[Check]:
    total, done = len(planned), int(cube.present.sum())
    if not len(cube.task):
        yield Check("empty", CheckStatus.WARNING, "the ledger holds no attempt", "run the sweep: `raysweep run`")
        return
    incomplete = _incomplete(cube)
    if total > done or cube.not_started:
        message = f"{done} of {total} planned trials have ended; {cube.not_started} blocks were not started"
        yield Check("unfinished", CheckStatus.WARNING, message, "resume with the same `raysweep run` command")
    if incomplete.any():
        tasks = named(cube.tasks[t] for t in np.unique(cube.task[incomplete]))
        message = f"{incomplete.sum()} of {len(cube.task)} started blocks lack a result in some arm (tasks: {tasks})"
        yield Check(
            "incomplete_blocks", CheckStatus.WARNING, message,
            "contrasts leave them out and give bounds; see the causes in the composition",
        )  # fmt: skip
    elif total <= done:
        yield Check(
            "complete",
            CheckStatus.OK,
            f"all {done} trials ended with a result, in {len(cube.task)} complete blocks",
            "",
        )


def _incomplete(cube: Cube) -> Bools:
    """Blocks that lack a result in an arm of their run, (n,); one that was never run there has a check of its own."""
    known, found = np.isfinite(cube.y), np.zeros(len(cube.task), dtype=bool)
    for run in range(max(1, len(cube.runs))):
        rows = cube.of_run(run)
        found[rows] = ~known[rows][:, cube.present[rows].any(axis=0)].all(axis=1)
    return found


def _missing(arms: Sequence[Missing]) -> Iterator[Check]:
    """Every arm's missing results by reason, with what success could be at worst and at best."""
    if not arms:
        return
    parts = []
    for m in arms:
        reasons = ", ".join(f"{reason} {n}" for reason, n in m.reasons.items())
        bounds = (
            f", success {100 * m.low:.1f} to {100 * m.high:.1f} %" if m.low is not None and m.high is not None else ""
        )
        parts.append(f"{m.arm.model}/{m.arm.band} {m.count} of {m.trials} ({reasons}){bounds}")
    message = f"results missing in started blocks, with success if all of them failed or passed: {'; '.join(parts)}"
    yield Check(
        "missing_results",
        CheckStatus.NOTE,
        message,
        "compare with care: results are missing for different reasons in different arms",
    )


def _tasks(cube: Cube) -> Iterator[Check]:
    n = len(np.unique(cube.task))
    if 0 < n < FEW_TASKS:
        status = CheckStatus.WARNING if n < 5 else CheckStatus.NOTE
        message = f"{n} task{'s' if n > 1 else ''}: intervals over tasks are wide and rest on Student's t"
        yield Check("few_tasks", status, message, f"use at least {FEW_TASKS} tasks to speak of other tasks")


def _tasks_without_block(cube: Cube, design: Design) -> Iterator[Check]:
    """Tasks that some contrast has to leave out, named; arms without any result have a check of their own."""
    known = np.isfinite(cube.y)
    absent = np.zeros(len(cube.tasks), dtype=bool)
    for column, arm in enumerate(cube.arms):
        if design.reference not in cube.bands(arm.model):
            continue
        both = known[:, column] & known[:, cube.column(arm.model, design.reference)]
        if both.any():
            absent |= np.bincount(cube.task[both], minlength=len(cube.tasks)) == 0
    if absent.any():
        tasks = named(name for name, lacks in zip(cube.tasks, absent, strict=True) if lacks)
        message = f"{absent.sum()} of {len(cube.tasks)} tasks have no complete block in some contrast ({tasks})"
        yield Check(
            "tasks_without_block", CheckStatus.WARNING, message, "contrasts speak of the other tasks; run these again"
        )


def _reference(cube: Cube, design: Design) -> Iterator[Check]:
    for column, arm in enumerate(cube.arms):
        if not np.isfinite(cube.y[:, column]).any() and len(cube.task):
            what = "the reference" if arm.band == design.reference else "an arm"
            message = f"{arm.model}/{arm.band} ({what}) has no trial with a result"
            yield Check("missing_arm", CheckStatus.WARNING, message, "run it, or take it out of the sweep")


def _placed(cube: Cube) -> Iterator[Check]:
    """Blocks that did not run where they were planned: analysed where they ran, or left where they were planned."""
    blocks = len(cube.task)
    if moved := int(cube.moved.sum()):
        message = f"{moved} of {blocks} blocks started wholly in another occasion than planned and are analysed there"
        yield Check("moved", CheckStatus.NOTE, message, "nothing to do; wider windows or more slots keep to the plan")
    if crossed := int(cube.crossed.sum()):
        message = (
            f"{crossed} of {blocks} blocks hold trials that started in different occasions or outside every window;"
            " they stay in their planned one"
        )
        yield Check("crossed", CheckStatus.NOTE, message, "leave a guard time at the end of each window")


def _dates(cube: Cube) -> Iterator[Check]:
    if 0 < len(cube.dates) < 3:
        message = f"{len(cube.dates)} date(s): nothing here tells how much another day would differ"
        yield Check(
            "few_dates", CheckStatus.NOTE, message, "run at least 3 dates to resample dates, 14 for a weekly rhythm"
        )


def _platform(cube: Cube, seed: int) -> Check:
    used = cube.present.any(axis=0)
    events, sizes = cube.first_platform[:, used], cube.present[:, used]
    total = int(events.sum())
    if not total:
        return Check("platform", CheckStatus.OK, "no first attempt ended in a platform cause", "")
    p = platform_p(events, sizes, cube.bucket * max(1, len(cube.dates)) + cube.date, seed)
    each = ", ".join(
        f"{cube.arms[i].model}/{cube.arms[i].band} {int(n)}"
        for i, n in zip(np.flatnonzero(used), events.sum(axis=0), strict=True)
    )
    text = f"platform causes ended {total} first attempts ({each}); permutation within occasions p = {p:.3f}"
    if p < 0.05:
        remedy = "an arm may break its own platform: read success_platform_zero beside success"
        return Check("platform", CheckStatus.WARNING, f"{text}: the arms differ", remedy)
    return Check("platform", CheckStatus.NOTE, text, "no difference between arms shown; this is no proof of equality")


def _counted(table: pa.Table) -> Iterator[Check]:
    """Simple counts: each line a code, a mask, a status, what it means and what to do."""
    final = table["is_final"]
    lines: tuple[tuple[str, pa.ChunkedArray, CheckStatus, str, str], ...] = (
        (
            "oom_unknown",
            pc.equal(table["cause"], "oom_unknown"),
            CheckStatus.WARNING,
            "attempts died with unreadable counters",
            "their y is missing and bounded; run `raysweep doctor` on that machine",
        ),
        (
            "verifier_error",
            pc.equal(table["outcome"], "verifier_error"),
            CheckStatus.WARNING,
            "attempts have no reward: the verifier failed",
            "they count 0 in success; read success_verified beside it, and mend the tests or the agent",
        ),
        (
            "model_api",
            pc.equal(table["outcome"], "model_api"),
            CheckStatus.WARNING,
            "attempts ended in a model API failure and count 0",
            "compare the rate between buckets: it can be the time-of-day effect itself",
        ),
        (
            "superseded",
            pc.invert(final),
            CheckStatus.NOTE,
            "attempts are superseded by a later one and count only in infra rates",
            "they stay in the ledger; nothing to do",
        ),
        (
            "ended_outside",
            pc.and_kleene(table["crossed_boundary"], final),
            CheckStatus.NOTE,
            "trials ended in another window than they started in, or started outside; they count where they started",
            "leave a guard time at the end of each window",
        ),
        (
            "timed_out",
            pc.and_kleene(table["timed_out"], final),
            CheckStatus.NOTE,
            "trials ran into the agent's time limit (scored, never counted as infrastructure)",
            "compare the share between bands",
        ),
    )
    for code, mask, status, text, remedy in lines:
        n = int(flags(mask).sum())
        if n:
            yield Check(code, status, f"{n} {text}", remedy)


def _same(cube: Cube) -> Iterator[Check]:
    values = cube.y[np.isfinite(cube.y)]
    if len(values) > 1 and bool(np.all(values == values[0])):
        message = f"every trial gave {values[0]:g}: these tasks cannot distinguish the arms"
        yield Check("all_equal", CheckStatus.WARNING, message, "use harder (or easier) tasks")


def _rewards(cube: Cube) -> Iterator[Check]:
    """Rewards that are no shares of a success: differences are still hundredths of a reward, but not percentages."""
    values = cube.y[np.isfinite(cube.y)] + 0.0  # -0 reads as 0
    outside = int(np.sum((values < 0) | (values > 1)))
    if outside:
        message = (
            f"{outside} trials have a reward outside 0 to 1 (from {values.min():g} to {values.max():g});"
            " a point is a hundredth of a reward, and missing results have no bounds"
        )
        yield Check("rewards_outside", CheckStatus.WARNING, message, "let the verifier give a reward between 0 and 1")
