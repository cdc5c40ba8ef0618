"""Run directories made by hand from a stated truth, for commands that read them."""

from __future__ import annotations

import io

import numpy as np
import pyarrow.parquet as pq

from raysweep.clock import SystemClock
from raysweep.record.ledger import LedgerWriter
from raysweep.record.lock import LocalLock
from raysweep.record.run_facts import SweepFacts
from raysweep.record.rundir import create_or_resume
from raysweep.record.schema import to_table
from raysweep.stats import simulate

BANDS = ("1x", "3x")
PLAN = (
    "plan_id", "block_id", "trial_id", "task", "task_digest", "model", "agent", "band", "factors", "bucket",
    *(f"{side}_{resource}_{what}" for side in ("request", "limit") for resource in ("cpu", "memory", "storage")
      for what in ("mult", "asked")),
)  # fmt: skip
ENFORCEMENT = {"memory": "enforced", "cpu": "enforced", "pids": "enforced", "disk": "enospc", "oom": "process"}
FACTS = {
    "name": "made", "seed": 1, "reference": "1x", "bands": list(BANDS), "buckets": ["all"], "dates": 3, "repeats": 1,
    "timezone": "UTC", "bucket_hours": [], "period_hours": 24.0, "sandbox": "local",
}  # fmt: skip
ENVIRONMENT = {"raysweep": "0", "kernel": "6.1", "machine": "x86_64", "cgroup": 2, "cpus": 8, "memory_bytes": 2**34}
ANALYSIS = {"primary": "success", "delta": 0.02, "confidence": 0.95, "reference": "1x", "registered": False}


def truth(*models, tasks=12, dates=3, repeats=2):
    arms = tuple(simulate.SimArm(m, b, p) for m, p in models for b in BANDS)
    return simulate.Truth(arms=arms, tasks=tasks, dates=dates, repeats=repeats, date_sd=0.02)


def make_run(path, stated, *, seed=1, keep=lambda row: True, edit=None, facts=None, environment=None):
    """A run directory whose ledger is drawn from `stated`, written by the record package's own writer."""
    rng = np.random.default_rng(seed)
    table, _ = simulate.tables_of(stated, simulate.draw(stated, rng), rng, run_id=f"run-{path.name}")
    rows = table.drop_columns(["is_final"]).to_pylist()
    for row in rows:
        row.update({k: v.timestamp() for k, v in row.items() if k.startswith("t_") and v is not None})
        row.update(task_digest=f"digest of {row['task']}", enforcement=ENFORCEMENT, factors={}, node={})
        row.update(edit(row) if edit else {})
    sink = io.BytesIO()
    pq.write_table(to_table(rows).select(list(PLAN)), sink)
    models = list(dict.fromkeys(a.model for a in stated.arms))
    store, _ = create_or_resume(
        path, sweep_text="name: made\n", plan_id="p", plan_parquet=sink.getvalue(), analysis=ANALYSIS,
        environment=ENVIRONMENT | (environment or {}), facts=SweepFacts(**FACTS | {"models": models} | (facts or {})),
        clock=SystemClock(),
    )  # fmt: skip
    lock = LocalLock(path, store, SystemClock())
    lock.acquire({})
    ledger = LedgerWriter(store, lock, SystemClock())
    for row in rows:
        if keep(row):
            ledger.append(row)
    ledger.seal()
    lock.release()
    return path
