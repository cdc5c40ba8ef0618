"""Tasks whose verifier fails whatever the arm does: which they are, and a ledger without them.

A verifier's failure counts 0, because an agent can bring it about. A verifier that fails in nearly every trial of every
arm says nothing of any arm. Belongs here: finding and leaving out such tasks. Does not: what a failure counts as
(`endings`), or what is said of it (`findings.voided`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raysweep.stats.columns import flags
from raysweep.stats.cube import with_labels
from raysweep.vocabulary import Outcome

NEARLY_EVERY = 0.9
"""From this share of the trials of every arm a task's verifier counts as broken."""
LEAST_TRIALS = 10
"""A task with fewer trials is never left out: an agent that breaks the tests whenever it fails could look the same."""


@dataclass(frozen=True, slots=True)
class Usable:
    """Labelled tables without the tasks whose verifier is broken, and the names of these tasks."""

    table: pa.Table
    planned: pa.Table
    broken: tuple[str, ...]


def usable(table: pa.Table, planned: pa.Table) -> Usable:
    """A ledger and its plan with labels, without the tasks whose verifier is broken.

    Args:
        table: all attempts with is_final.
        planned: one row per planned trial, or no rows.

    """
    table, planned = with_labels(table), with_labels(planned)
    broken = broken_tasks(table)
    if broken:
        names = pa.array(broken, pa.string())
        table = table.filter(pc.invert(pc.is_in(table["task"], value_set=names)))
        if "task" in planned.column_names and len(table):  # where nothing is left, the plan still names the arms
            planned = planned.filter(pc.invert(pc.is_in(planned["task"], value_set=names)))
    return Usable(table, planned, broken)


def broken_tasks(table: pa.Table) -> tuple[str, ...]:
    """Tasks whose verifier failed in nearly every final trial of every arm that ran them; table: labelled."""
    failed = flags(pc.equal(table["outcome"], Outcome.VERIFIER_ERROR))
    if not failed.any():
        return ()
    suspects = pc.unique(table["task"].filter(pa.array(failed)))
    kept = flags(table["is_final"]) & flags(pc.is_in(table["task"], value_set=suspects))
    rows = pa.table(
        {
            "task": table["task"].filter(pa.array(kept)),
            "model": table["_model"].filter(pa.array(kept)),
            "band": table["band"].filter(pa.array(kept)),
            "failed": pa.array(failed[kept].astype(np.int64)),
        }
    )
    by_arm = rows.group_by(["task", "model", "band"]).aggregate([("failed", "sum"), ("failed", "count")])
    trials: dict[str, int] = {}
    sound: set[str] = set()
    for task, lost, n in zip(
        *(by_arm[name].to_pylist() for name in ("task", "failed_sum", "failed_count")), strict=True
    ):
        trials[task] = trials.get(task, 0) + n
        if lost < NEARLY_EVERY * n:
            sound.add(task)
    return tuple(sorted(task for task, n in trials.items() if task and n >= LEAST_TRIALS and task not in sound))
