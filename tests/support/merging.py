"""Run directories in memory, as merge takes them: drawn from a stated truth, whole or in parts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raysweep.record.probes import COLUMNS
from raysweep.record.reader import LedgerView
from raysweep.record.run_facts import RunFacts
from raysweep.record.schema import to_table
from raysweep.stats import simulate
from raysweep.stats.design import Design
from raysweep.stats.merge import Run

BANDS = ("1x", "3x")
FACTS = {
    "seed": 20260205, "reference": "1x", "bands": list(BANDS), "timezone": "UTC", "bucket_hours": [],
    "period_hours": 24.0, "sandbox": "local", "concurrency": 2, "schema_version": 1,
}  # fmt: skip
ENVIRONMENT = {"raysweep": "0", "kernel": "6.1", "machine": "x86_64", "cgroup": 2}
ENFORCEMENT = [("memory", "enforced"), ("cpu", "enforced"), ("pids", "enforced"), ("disk", "enospc"), ("oom", "group")]


def truth(*models: tuple[str, float], gain: float = 0.1, **more: Any) -> simulate.Truth:
    """Arms of every model at 1x and, `gain` higher, at 3x; some trials at 1x die."""
    arms = tuple(
        simulate.SimArm(m, b, p + gain * i, infra=0.15 * (1 - i), limit=1.0 + 2 * i)
        for m, p in models
        for i, b in enumerate(BANDS)
    )
    return simulate.Truth(arms=arms, **({"tasks": 21, "dates": 3, "repeats": 2, "date_sd": 0.02} | more))


def tables(stated: simulate.Truth, seed: int) -> tuple[pa.Table, pa.Table]:
    """Attempts (with is_final) and plan, with all that methodology reads."""
    rng = np.random.default_rng(seed)
    table, _ = simulate.tables_of(stated, simulate.draw(stated, rng), rng)
    digest = pc.binary_join_element_wise("digest of", table["task"], " ")
    for name, values in (
        ("task_digest", digest),
        ("enforcement", pa.array([ENFORCEMENT] * len(table), pa.map_(pa.string(), pa.string()))),
    ):
        table = table.set_column(table.column_names.index(name), name, values)
    return table, table.drop_columns(["is_final"])


def run(
    name: str,
    table: pa.Table,
    planned: pa.Table,
    *,
    created: float = 0.0,
    facts: dict[str, Any] | None = None,
    **design: Any,
) -> Run:
    """A run of these rows; models and buckets of the design are those of the plan."""
    models, buckets = (planned[c].unique().to_pylist() for c in ("model", "bucket"))
    given = {"reference": "1x", "bands": BANDS, "models": tuple(models), "buckets": tuple(buckets), "seed": 20260205}
    told = FACTS | {"run_id": f"run-{name}", "plan_id": "p", "created": created, "models": models, "buckets": buckets}
    sweep = {"name": "made", "seed": 20260205, "reference": "1x", "bands": BANDS}
    stated = RunFacts(**(told | sweep | (facts or {})))
    view = LedgerView(table, planned, stated, {"sha256": "0"}, ENVIRONMENT, "", to_table([], COLUMNS))
    return Run(name, view, Design(**(given | {"replicates": 2000} | design)))


def part(name: str, whole: tuple[pa.Table, pa.Table], column: str, *values: str, **more: Any) -> Run:
    """The run that did only the rows with these values of a column."""
    keep = (t.filter(pc.is_in(t[column], value_set=pa.array(values))) for t in whole)
    return run(name, *keep, **more)
