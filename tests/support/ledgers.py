"""Ledgers made file by file, and the lock of a driver that is not there."""

from __future__ import annotations

import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from raysweep.clock import SystemClock
from raysweep.record.compact import Sized, merge
from raysweep.record.epoch import begin_epoch
from raysweep.record.lock import LocalLock
from raysweep.record.schema import to_table
from raysweep.record.segments import Part, cover, listed, sealed_counts, segment_bytes, segment_name
from raysweep.record.store import LocalStore
from support.run_facts import RUN_FACTS


def row(n: int, **more) -> dict:
    """The only attempt of trial n, its block's only trial."""
    ids = {"trial_id": f"t{n}", "block_id": f"b{n}", "attempt_id": f"t{n}-1"}
    return {**ids, "attempt": 1, "block_run": 1, "outcome": "scored", "reward": 1.0, **more}


class Ledger:
    """A run directory whose writer does one step at a time; trials are numbered as they are sealed."""

    def __init__(self, path: Path, planned: int = 0) -> None:
        self.path, self.store = path, LocalStore(path)
        self.epoch, self.number, self.trials = 0, 0, 0
        plan = pa.table({"trial_id": [f"t{n}" for n in range(planned)], "block_id": [f"b{n}" for n in range(planned)]})
        sink = io.BytesIO()
        pq.write_table(plan, sink)
        self.store.put_new("plan.parquet", sink.getvalue())
        self.store.put_new("run.json", RUN_FACTS.to_json())
        self.begin()

    def begin(self) -> None:
        """Another writer, in the next epoch."""
        self.epoch, self.number = self.epoch + 1, 0
        begin_epoch(self.store, self.epoch, 0.0, sealed_counts(self.store), {})

    def seal(self, count: int, epoch: int | None = None) -> list[str]:
        """One segment with `count` new trials; their attempts."""
        rows = [row(n) for n in range(self.trials, self.trials + count)]
        self.trials += count
        return self.seal_rows(rows, epoch)

    def seal_rows(self, rows: list[dict], epoch: int | None = None) -> list[str]:
        if epoch is None:
            self.number += 1
            name = segment_name(self.epoch, self.number)
        else:
            name = segment_name(epoch, max(p.last for p in listed(self.store)[epoch]) + 1)
        self.store.put_new(name, segment_bytes(to_table(rows)))
        return [r["attempt_id"] for r in rows]

    def files(self, epoch: int) -> list[Part]:
        return cover(listed(self.store).get(epoch, ()), None)[0]

    def merge(self, epoch: int, begin: int, end: int) -> None:
        """The files begin..end-1 of an epoch as one."""
        merge(self.store, [Sized(part, 0, 0) for part in self.files(epoch)[begin:end]])

    def sweep_up(self) -> None:
        """Remove what merged files stand for."""
        for parts in listed(self.store).values():
            for part in cover(parts, None)[1]:
                self.store.remove(part.name)

    def lock(self) -> LocalLock:
        return LocalLock(self.path, self.store, SystemClock())


def attempts(pieces) -> list[str]:
    return [a for piece in pieces for a in piece.table["attempt_id"].to_pylist()]
