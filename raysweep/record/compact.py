"""Merging of old segments into few large ones, by the writer and under its lock; never in place.

A merge is one create-only write of a range of segments as one file (see record.segments). A crash before it leaves
everything as it was; a crash after it leaves superfluous files, which the next writer removes. What a merged file
stands for is kept for GRACE_S, because a listing takes time and must not miss both.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from raysweep.clock import Clock
from raysweep.record.epoch import counted, read_epochs
from raysweep.record.lock import Lock
from raysweep.record.segments import Part, cover, listed, merged_name, read_segment, segment_bytes
from raysweep.record.store import Store
from raysweep.record.versions import joined, min_reader_of

if TYPE_CHECKING:
    import pyarrow as pa

FAN = 32
"""So many files of one size are merged into one of the next size."""
MERGED_ROWS = 1 << 16
"""A file with more rows is merged no further, and no merge is planned that makes one of more than twice as many."""
GRACE_S = 60.0


@dataclass(frozen=True, slots=True)
class Sized:
    """A file, how many rows it has at most, and how often its rows were merged."""

    part: Part
    rows: int
    level: int  # 0 as sealed, 1 merged once, ...
    table: pa.Table | None = None  # where this process sealed it and has it still


def due(files: Sequence[Sized], fan: int = FAN, most: int = MERGED_ROWS) -> Sequence[Sized]:
    """The next files to merge: the first `fan` neighbours of one level; empty when nothing is due."""
    begin = 0
    for at, file in enumerate(files):
        if file.level != files[begin].level or file.rows >= most:
            begin = at + (file.rows >= most)
            continue
        chosen = files[begin : at + 1]
        if len(chosen) >= fan or (len(chosen) > 1 and sum(f.rows for f in chosen) >= most):
            return chosen
    return ()


def leftover(files: Sequence[Sized], most: int = MERGED_ROWS) -> Sequence[Sized]:
    """Of an epoch that has ended: the first neighbours that together make one file of at most `most` rows."""
    chosen: list[Sized] = []
    for file in files:
        if sum(f.rows for f in chosen) + file.rows <= most:
            chosen.append(file)
        elif len(chosen) > 1:
            break
        else:
            chosen = [file] if file.rows <= most else []
    return chosen if len(chosen) > 1 else ()


def merge(store: Store, files: Sequence[Sized]) -> Part:
    """Write neighbouring files of one epoch as one, with all columns of any; what it stands for is left where it is."""
    tables = [read_segment(store, f.part.name) if f.table is None else f.table for f in files]
    table = joined(tables).combine_chunks()
    epoch, first, last = files[0].part.epoch, files[0].part.first, files[-1].part.last
    name = merged_name(epoch, first, last, len(table))
    try:
        store.put_new(name, segment_bytes(table, min_reader_of(tables)))
    except FileExistsError:  # a writer that died had merged the same range: the same rows
        read_segment(store, name)
    return Part(epoch, first, last, len(table), name)


_Earlier: TypeAlias = tuple[list[list[Sized]], list[Part]]


def _earlier(store: Store, epoch: int, sealed_rows: int) -> _Earlier:
    """Files of each epoch before `epoch`, and what is superfluous among them."""
    epochs = read_epochs(store)
    found: list[list[Sized]] = []
    superfluous: list[Part] = []
    for number, parts in listed(store).items():
        if number < epoch:
            taken, more = cover(parts, counted(epochs, number))
            superfluous += more
            found.append([Sized(p, sealed_rows if p.rows is None else p.rows, 0) for p in taken])
    return found, superfluous


class Compactor:
    """Merges beside the writer, one merge at a time in a thread of its own.

    sealed_rows: what a segment of an earlier epoch is taken to hold at most.
    """

    def __init__(self, store: Store, lock: Lock, clock: Clock, sealed_rows: int) -> None:
        self._store, self._lock, self._clock = store, lock, clock
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="raysweep-compact")
        self._files: list[Sized] = []
        self._ended: deque[list[Sized]] = deque()
        self._looking: Future[_Earlier] | None = self._thread.submit(_earlier, store, lock.epoch, sealed_rows)
        self._busy: tuple[list[Sized], list[Sized], Future[Part]] | None = None
        self._superfluous: deque[tuple[float, str]] = deque()

    def sealed(self, part: Part, table: pa.Table) -> None:
        """Tell of a segment that was sealed just now."""
        self._files.append(Sized(part, len(table), 0, table))

    def step(self) -> None:
        """Take in a merge that is done, begin the next that is due, remove what has been superfluous for long enough.

        The error of a merge, and LockLostError, are raised here.
        """
        if self._looking is not None and self._looking.done():
            self._ended, superfluous = deque(self._looking.result()[0]), self._looking.result()[1]
            self._looking = None
            self._retire(superfluous)
        if self._busy is not None:
            if not self._busy[2].done():
                return
            self._finish()
        self._remove_superfluous()
        self._begin()

    def close(self) -> None:
        """Wait for the merge under way, and end; its failure harms nothing and is not told."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _begin(self) -> None:
        chosen, files = due(self._files), self._files
        while not chosen and self._ended:
            files = self._ended[0]
            chosen = leftover(files)
            if not chosen:
                self._ended.popleft()
        if chosen:
            future = self._thread.submit(merge, self._store, list(chosen))
            self._busy = (files, list(chosen), future)

    def _finish(self) -> None:
        assert self._busy is not None  # noqa: S101 - asked by the only caller
        files, chosen, future = self._busy
        self._busy = None
        part = future.result()
        at = files.index(chosen[0])
        files[at : at + len(chosen)] = [Sized(part, part.rows or 0, 1 + max(f.level for f in chosen))]
        self._retire([f.part for f in chosen])

    def _retire(self, parts: Sequence[Part]) -> None:
        now = self._clock.monotonic()
        self._superfluous.extend((now + GRACE_S, part.name) for part in parts)

    def _remove_superfluous(self) -> None:
        now = self._clock.monotonic()
        if not self._superfluous or self._superfluous[0][0] > now:
            return
        self._lock.beat(force=True)  # who lost the lock removes nothing
        for _ in range(FAN):
            if not self._superfluous or self._superfluous[0][0] > now:
                return
            self._store.remove(self._superfluous.popleft()[1])
