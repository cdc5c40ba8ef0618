"""A ledger in a local folder, and rows for it."""

from __future__ import annotations

from raysweep.clock import SystemClock
from raysweep.record.ledger import LedgerWriter
from raysweep.record.lock import LocalLock
from raysweep.record.store import LocalStore


def row(trial="t1", attempt=1, block="b1", run=1, outcome="scored", **more):
    return {
        "block_id": block,
        "trial_id": trial,
        "attempt_id": f"{trial}-{attempt}",
        "attempt": attempt,
        "block_run": run,
        "outcome": outcome,
        "t_queued": 1000.0 + attempt,
        "t_stopped": 1001.0 + attempt,
        **more,
    }


def open_ledger(path):
    store = LocalStore(path)
    lock = LocalLock(path, store, SystemClock())
    lock.acquire({})
    return store, lock, LedgerWriter(store, lock, SystemClock())
