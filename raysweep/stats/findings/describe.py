"""Description without intervals: composition of outcomes, values per task and occasion, what is missing and used.

Every number is a Finding too (`facet` says what it belongs to), so that pictures and JSON show the very same.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from raysweep.stats.arrays import Ints
from raysweep.stats.cube import Cube, final_arm_codes
from raysweep.stats.design import Design
from raysweep.stats.endings import outcomes
from raysweep.stats.facet import Facet, FacetKind
from raysweep.stats.finding import Finding
from raysweep.stats.findings.missing import missing, missing_findings
from raysweep.stats.findings.pair import pair
from raysweep.stats.findings.plain import plain
from raysweep.stats.findings.resources import resources

__all__ = ["composition", "describe", "occasion_points", "plain", "task_cells", "task_contrasts"]


def describe(table: pa.Table, cube: Cube, design: Design) -> tuple[Finding, ...]:
    """All descriptive findings of a ledger (`table`: all attempts, labelled)."""
    arm = final_arm_codes(table, cube.arms)
    return (
        *composition(table, arm, cube),
        *missing_findings(missing(table, cube)),
        *task_cells(cube),
        *task_contrasts(cube, design),
        *occasion_points(cube),
        *resources(table, arm, cube),
    )


def composition(table: pa.Table, arm: Ints, cube: Cube) -> Iterator[Finding]:
    """Share of final attempts per outcome and arm; the order is pass, partial, fail, then the others by name.

    arm: (rows,) as `final_arm_codes` gives them.
    """
    outcome, names = outcomes(table)
    shape = (len(cube.arms), len(names))
    use = arm >= 0
    counts = np.bincount(arm[use] * len(names) + outcome[use], minlength=shape[0] * shape[1])
    order = [*range(3), *sorted(range(3, len(names)), key=lambda code: names[code])]
    for key, row in zip(cube.arms, counts.reshape(shape), strict=True):
        for code in order:
            if row[code]:
                n, total = int(row[code]), int(row.sum())
                yield plain(
                    "composition",
                    key.model,
                    key.band,
                    Facet(FacetKind.OUTCOME, names[code]),
                    n / total,
                    n_attempts=total,
                )


def task_cells(cube: Cube) -> Iterator[Finding]:
    """Mean y of each task in each arm."""
    everything = cube.in_bucket(None)
    for column, arm in enumerate(cube.arms):
        means, counts = cube.task_means(cube.y[:, column], everything)
        for task, mean, n in zip(cube.tasks, means, counts, strict=True):
            value = float(mean) if n else None
            yield plain(
                "success", arm.model, arm.band, Facet(FacetKind.TASK, task), value, n_tasks=1, n_attempts=int(n)
            )


def task_contrasts(cube: Cube, design: Design) -> Iterator[Finding]:
    """Success contrast of each task with a complete block, in points."""
    for column, arm in enumerate(cube.arms):
        if arm.band == design.reference or design.reference not in cube.bands(arm.model):
            continue
        p = pair(cube, cube.y, column, cube.column(arm.model, design.reference), cube.in_bucket(None))
        means, counts = cube.task_means(p.difference, p.complete)
        for task, mean, n in zip(cube.tasks, means, counts, strict=True):
            if n:
                yield plain(
                    "success", arm.model, arm.band, Facet(FacetKind.TASK, task), 100 * float(mean),
                    reference=design.reference, n_tasks=1, n_attempts=2 * int(n),
                )  # fmt: skip


def occasion_points(cube: Cube) -> Iterator[Finding]:
    """Mean y per model and occasion over blocks complete in all of the model's arms with data, tasks equal."""
    shape = (len(cube.buckets), len(cube.dates), len(cube.tasks))
    for model in cube.models:
        columns = [i for i, a in enumerate(cube.arms) if a.model == model and np.isfinite(cube.y[:, i]).any()]
        if not columns:
            continue
        block = cube.y[:, columns].mean(axis=1)
        use = np.isfinite(block)
        cell = np.ravel_multi_index((cube.bucket[use], cube.date[use], cube.task[use]), shape)
        counts = np.bincount(cell, minlength=int(np.prod(shape))).reshape(shape)
        sums = np.bincount(cell, weights=block[use], minlength=int(np.prod(shape))).reshape(shape)
        for b, d in np.argwhere(counts.any(axis=2)):
            seen = counts[b, d] > 0
            yield plain(
                "success", model, None, Facet(FacetKind.DATE, cube.dates[d]),
                float(np.mean(sums[b, d][seen] / counts[b, d][seen])),
                bucket=cube.buckets[b], n_tasks=int(seen.sum()), n_attempts=int(counts[b, d].sum()) * len(columns),
                n_dates=1,
            )  # fmt: skip
