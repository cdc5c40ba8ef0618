"""The main intervals of a sweep that goes on: rows in as they come, a snapshot with its label out.

Belongs here: what a look at an unfinished sweep may say, and how it must be labelled. Does not: where rows come from,
when to look, how it is shown. Of each attempt only the columns are kept that these intervals need (about 200 bytes), so
memory is bounded by the plan and its retries; the numbers are those that `analyse` gives for the same rows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from raysweep.stats.broken import usable
from raysweep.stats.cube import Cube, build_cube
from raysweep.stats.design import Design
from raysweep.stats.finding import Check, Finding
from raysweep.stats.findings.contrast import band_contrasts
from raysweep.stats.findings.looks import looks
from raysweep.stats.findings.progress import progress
from raysweep.stats.findings.rates import arm_rates, infra_contrasts, infra_rates
from raysweep.stats.levels import reference_part
from raysweep.stats.methods.interval import Draws
from raysweep.stats.stop import decide, peek_label
from raysweep.vocabulary import CheckStatus

COLUMNS = (
    "block_id", "trial_id", "attempt_id", "attempt", "block_run", "task", "model", "factors", "band", "bucket",
    "occasion", "actual_bucket", "actual_occasion", "crossed_boundary", "outcome", "cause_class", "reward",
)  # fmt: skip
"""Of record.schema: what `snapshot` reads."""

CHUNK_ROWS = 1 << 14
"""Segments are joined to chunks of at least so many rows: every kernel pays for each chunk."""

REPEATED = (
    "each look at the intervals of a sweep that goes on is another chance to err: one that is looked at again and again"
    " excludes 0 by chance far more often than its level says"
)
FINAL = Check(
    "final", CheckStatus.NOTE, "the sweep is complete: these are the figures of its report", "see `raysweep report`"
)
EMPTY = Check("empty", CheckStatus.NOTE, "no attempt has ended yet", "wait")
ENDED = Check(
    "ended", CheckStatus.WARNING, "trials are missing and the sweep's dates are over: what is below lacks them",
    "run the sweep again to make them up, or read the report for why they are missing",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A look at a sweep.

    label: what must stand beside every number of the look (codes of `stop.peek_label`, and final, ended, empty).
    findings: success per arm; success contrasts of every band to the reference, over tasks; at registered looks the
    repeated intervals, with the facet of their look; shares of attempts that ended in infrastructure, and the
    contrasts of the arms' own. stopped: the registered rule has decided.
    """

    label: Check
    attempts: int
    done: int
    planned: int
    findings: tuple[Finding, ...]
    stopped: bool

    @property
    def complete(self) -> bool:
        """Every planned trial is done."""
        return self.done == self.planned


class Rows:
    """The attempts so far, in the columns that a snapshot needs."""

    def __init__(self) -> None:
        self._chunks: list[pa.Table] = []
        self._waiting: list[pa.Table] = []

    def add(self, table: pa.Table) -> None:
        """Take new attempts (columns of record.schema)."""
        self._waiting.append(table.select(COLUMNS).combine_chunks())
        if sum(map(len, self._waiting)) >= CHUNK_ROWS:
            self._chunks.append(pa.concat_tables(self._waiting).combine_chunks())
            self._waiting = []

    def __len__(self) -> int:
        return sum(map(len, self._chunks)) + sum(map(len, self._waiting))

    def table(self) -> pa.Table | None:
        """All of them; None before the first."""
        tables = [*self._chunks, *self._waiting]
        return pa.concat_tables(tables) if tables else None


def snapshot(table: pa.Table | None, planned: pa.Table, design: Design, done: int) -> Snapshot:
    """What the attempts so far say. table: `Rows.table` with is_final; done: final attempts that are outcomes."""
    if table is None or not len(table):
        return Snapshot(EMPTY, 0, done, len(planned), (), stopped=False)
    attempts, trials, whole = len(table), len(planned), usable(table, planned)
    table, planned = whole.table, whole.planned
    cube = build_cube(table, planned, design)
    label = peek_label(table, planned, design, cube)
    if label is None:
        label = FINAL if done == trials else ENDED
    return Snapshot(
        label=label,
        attempts=attempts,
        done=done,
        planned=trials,
        findings=tuple(_findings(table, planned, cube, design)),
        stopped=decide(table, planned, design, cube) is not None,
    )


def _findings(table: pa.Table, planned: pa.Table, cube: Cube, design: Design) -> list[Finding]:
    how = Draws(seed=design.seed, replicates=design.replicates, level=design.confidence)
    at, (table, cube) = progress(table, planned), reference_part(table, cube, design)
    whole = _one_bucket(cube)
    rates = [f for f in arm_rates(whole, how) if f.estimand == "success"]
    contrasts = [
        f for f in band_contrasts(whole, design, how) if f.estimand == "success" and f.resampled_over == "tasks"
    ]
    repeated = [f for look in looks(table, planned, design, at, cube) for f in look.findings]
    return [*rates, *contrasts, *repeated, *infra_rates(table, cube, how), *infra_contrasts(table, cube, design, how)]


def _one_bucket(cube: Cube) -> Cube:
    """The cube with all buckets as one: nothing here is reported by bucket."""
    return replace(cube, buckets=("all",), bucket=np.zeros_like(cube.bucket))
