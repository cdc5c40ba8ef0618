"""The ledger's writer and the listing of its segments: numbered Parquet files, one row per attempt, never edited."""

from __future__ import annotations

import io
import re
from collections import Counter
from typing import TYPE_CHECKING

from raysweep.clock import Clock
from raysweep.errors import bad_input
from raysweep.record.lock import LocalLock, read_epochs
from raysweep.record.schema import Row, to_table
from raysweep.record.store import Store

if TYPE_CHECKING:
    import pyarrow as pa

SEAL_ROWS = 100
SEAL_SECONDS = 1.0
"""A segment is sealed at whichever comes first; what a SIGKILL can cost is bounded by the same figures."""

_SEGMENT = re.compile(r"segment-(\d+)-(\d+)\.parquet")


def segment_name(epoch: int, number: int) -> str:
    """Name of the number-th (1, 2, ...) segment of an epoch."""
    return f"ledger/segment-{epoch:04d}-{number:06d}.parquet"


def sealed_counts(store: Store) -> dict[str, int]:
    """Segments per epoch as they are now, for the record that begins the next epoch."""
    found = (_SEGMENT.fullmatch(name) for name in store.names("ledger"))
    return dict(Counter(str(int(m[1])) for m in found if m))


def segments(store: Store) -> list[str]:
    """Names of the segments that count, in order of epoch and number.

    Dropped are those that an epoch sealed after a later epoch had begun (its record says how many it had seen).
    """
    epochs = read_epochs(store)
    names = []
    for name in store.names("ledger"):
        found = _SEGMENT.fullmatch(name)
        if not found:
            continue
        epoch, number = int(found[1]), int(found[2])
        later = [e for e in epochs if e > epoch]
        if later and number > int(epochs[min(later)]["sealed"].get(str(epoch), 0)):
            continue
        names.append(f"ledger/{name}")
    return names


def read_segment(store: Store, name: str) -> pa.Table:
    """One segment, its page checksums verified; InputError names a segment that cannot be read."""
    import pyarrow as pa  # noqa: PLC0415 - the command line starts without pyarrow
    import pyarrow.parquet as pq  # noqa: PLC0415 - as above

    try:
        # Not pq.read_table: it imports pyarrow.dataset and with it pandas, a second at every start.
        return pq.ParquetFile(io.BytesIO(store.get(name)), page_checksum_verification=True).read()
    except (pa.ArrowException, OSError) as error:
        raise bad_input(
            f"this segment of the ledger cannot be read ({error})",
            "restore it from a copy; the other segments are not affected",
            file=name,
        ) from error


class LedgerWriter:
    """Collects rows and seals them into segments; needs the lock, and stops at once when that is lost."""

    def __init__(self, store: Store, lock: LocalLock, clock: Clock) -> None:
        self._store = store
        self._lock = lock
        self._clock = clock
        self._rows: list[Row] = []
        self._oldest = 0.0
        self._sealed = 0
        self._running = 0

    def append(self, row: Row) -> None:
        """Take a row; it is in the ledger once it is sealed (at SEAL_ROWS rows or SEAL_SECONDS seconds)."""
        if not self._rows:
            self._oldest = self._clock.monotonic()
        self._rows.append(row)
        if len(self._rows) >= SEAL_ROWS:
            self.seal()

    def seal_if_due(self, running: int = 0) -> None:
        """Seal what is older than SEAL_SECONDS, and renew the lock's heartbeat (`running`: attempts in flight)."""
        if self._rows and self._clock.monotonic() - self._oldest >= SEAL_SECONDS:
            self.seal()
        self._running = running
        self._lock.beat(running=running)

    def seal(self) -> None:
        """Make everything taken so far durable; LockLostError when another writer took over."""
        if not self._rows:
            return
        import pyarrow.parquet as pq  # noqa: PLC0415 - as above

        self._lock.beat(running=self._running)
        sink = io.BytesIO()
        pq.write_table(to_table(self._rows), sink, compression="zstd", write_page_checksum=True)
        self._store.put_new(segment_name(self._lock.epoch, self._sealed + 1), sink.getvalue())
        self._sealed += 1
        self._rows = []
