"""A ledger in a bucket, and rows for it."""

from __future__ import annotations

from raysweep.clock import SystemClock
from raysweep.record.ledger import LedgerWriter, Seal
from raysweep.record.objectlock import ObjectLock
from raysweep.record.objectstore import ObjectStore


def row(n):
    return {
        "block_id": f"b{n}", "trial_id": f"t{n}", "attempt_id": f"t{n}-1", "attempt": 1, "block_run": 1,
        "outcome": "scored", "t_queued": 1000.0 + n, "t_stopped": 1001.0 + n,
    }  # fmt: skip


def writer(url, renew_s=60.0, rows=10):
    store = ObjectStore(url)
    lock = ObjectLock(store, SystemClock(), renew_s=renew_s)
    lock.acquire({})
    return store, lock, LedgerWriter(store, lock, SystemClock(), Seal(rows, 3600.0))
