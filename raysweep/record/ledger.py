"""The ledger's writer: rows of attempts, one each, sealed into numbered Parquet segments that are never edited."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from raysweep.clock import Clock
from raysweep.errors import LockLostError
from raysweep.record.compact import Compactor, put_aside
from raysweep.record.epoch import counted, epoch_name, read_epochs
from raysweep.record.lock import Lock
from raysweep.record.objectstore import ObjectStore
from raysweep.record.schema import Row, to_table
from raysweep.record.segments import Part, segment_bytes, segment_name
from raysweep.record.store import Store

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Seal:
    """A segment is sealed at so many rows or seconds, whichever comes first; a SIGKILL can cost as much."""

    rows: int
    seconds: float


LOCAL = Seal(100, 1.0)
REMOTE = Seal(1000, 15.0)
"""In a bucket, where 1 s would be more than a million objects in fourteen days."""


def seal_of(store: Store) -> Seal:
    """When segments are sealed in this store."""
    return REMOTE if isinstance(store, ObjectStore) else LOCAL


class LedgerWriter:
    """Collects rows and seals them into segments; needs the lock, and stops at once when that is lost."""

    def __init__(self, store: Store, lock: Lock, clock: Clock, seal: Seal | None = None) -> None:
        self._store = store
        self._lock = lock
        self._clock = clock
        self._when = seal or seal_of(store)
        self._compactor = Compactor(store, lock, clock, self._when.rows)
        self._rows: list[Row] = []
        self._oldest = 0.0
        self._sealed = 0
        self._running = 0

    def append(self, row: Row) -> None:
        """Take a row; it is in the ledger once it is sealed."""
        if not self._rows:
            self._oldest = self._clock.monotonic()
        self._rows.append(row)
        if len(self._rows) >= self._when.rows:
            self.seal()

    def seal_if_due(self, running: int = 0) -> None:
        """Seal what is old enough, and renew the lock's heartbeat (`running`: attempts in flight)."""
        if self._rows and self._clock.monotonic() - self._oldest >= self._when.seconds:
            self.seal()
        self._running = running
        self._lock.beat(running=running)

    def seal(self) -> None:
        """Make everything taken so far durable.

        LockLostError when another writer took over; InputError when the store refuses, and the rows are kept for the
        next call.
        """
        if not self._rows:
            return
        self._lock.beat(running=self._running)
        name = segment_name(self._lock.epoch, self._sealed + 1)
        try:
            table = to_table(self._rows)
            self._store.put_new(name, segment_bytes(table))
        except FileExistsError:
            raise LockLostError(f"{self._store.where}: another writer wrote {name}") from None
        self._sealed += 1
        _log.info("sealed %d rows as %s", len(self._rows), name)
        part = Part(self._lock.epoch, self._sealed, self._sealed, None, name)
        self._put_aside_where_fenced(part)
        self._compactor.sealed(part, table)
        self._rows = []
        self._compactor.step()

    def _put_aside_where_fenced(self, part: Part) -> None:
        """LockLostError where another writer began meanwhile; the segment goes out of sight where it does not count."""
        if not self._store.exists(epoch_name(part.epoch + 1)):
            return
        count = counted(read_epochs(self._store), part.epoch)
        _log.error("epoch %d began: this driver has lost the run to another", part.epoch + 1)
        if count is not None and part.last > count:
            put_aside(self._store, [part])
        raise LockLostError(f"{self._store.where}: another writer took over (epoch {part.epoch + 1} began)")

    def close(self) -> None:
        """Wait for a merge that is under way; to be called before the lock is released."""
        self._compactor.close()
