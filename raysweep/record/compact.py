"""Merging of old segments into few large ones, by the writer and under its lock; never in place.

A merge is one create-only write of a range of segments as one file (see record.segments), outside the folder that plain
readers look at. On a local disk the file then takes the place of its parts there in one moment; where the place cannot
do that (a bucket), the parts stay for plain readers, and our own read the merged file. A crash leaves what was there or
what is to be there, and files that the next writer puts away.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from raysweep.clock import Clock
from raysweep.record.epoch import counted, read_epochs
from raysweep.record.exchange import MARK
from raysweep.record.lock import Lock
from raysweep.record.sealed import sealed_rows, sealed_text
from raysweep.record.segments import (
    ASIDE,
    FOLDER,
    Part,
    cover,
    listed,
    merged_name,
    read_segment,
    segment_bytes,
)
from raysweep.record.store import Store
from raysweep.record.versions import joined, min_reader_of

if TYPE_CHECKING:
    import pyarrow as pa

_log = logging.getLogger(__name__)

FAN = 32
"""So many files of one size are merged into one of the next size."""
MERGED_ROWS = 1 << 16
"""A file with more rows is merged no further, and no merge is planned that makes one of more than twice as many."""
GRACE_S = 60.0
"""What is superfluous is kept for so long, because a listing takes time and must not miss what stands for it."""


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
    sealed = sealed_text(s for f, t in zip(files, tables, strict=True) for s in sealed_rows(t, f.part))
    epoch, first, last = files[0].part.epoch, files[0].part.first, files[-1].part.last
    name = merged_name(epoch, first, last, len(table))
    try:
        store.put_new(name, segment_bytes(table, min_reader_of(tables), sealed))
    except FileExistsError:  # a writer that died had merged the same range: the same rows
        read_segment(store, name)
    return Part(epoch, first, last, len(table), name)


def put_aside(store: Store, parts: Sequence[Part]) -> None:
    """Take files that do not count out of plain readers' sight; our own still see what they held."""
    for part in parts:
        _log.warning("putting aside %s, which a driver wrote after it had lost the run", part.name)
        data = store.get(part.name)
        with suppress(FileExistsError):
            store.put_new(f"{ASIDE}/{part.name.removeprefix(FOLDER + '/')}", data)
        store.remove(part.name)


@dataclass(slots=True)
class _Earlier:
    """What earlier writers left.

    files: what counts, by epoch. shown: merged files that plain readers do not see yet. covered: files in their sight
    that one of `files` stands for, doubled: those for which one stands that they see too. surplus: files in their sight
    of writers that were fenced off. outdone: merged files for which wider ones stand.
    """

    files: list[list[Sized]] = field(default_factory=list)
    shown: list[Part] = field(default_factory=list)
    covered: list[Part] = field(default_factory=list)
    doubled: list[Part] = field(default_factory=list)
    surplus: list[Part] = field(default_factory=list)
    outdone: list[Part] = field(default_factory=list)


def _earlier(store: Store, epoch: int, sealed_rows: int) -> _Earlier:
    """What the epochs before `epoch` left."""
    epochs = read_epochs(store)
    left = _Earlier()
    for number, parts in listed(store).items():
        if number >= epoch:
            continue
        count = counted(epochs, number)
        plain = [part for part in parts if part.plain]
        taken, covered = cover(parts, count)
        left.files.append([Sized(p, sealed_rows if p.rows is None else p.rows, 0) for p in taken])
        left.shown += [part for part in taken if not part.plain]
        left.covered += [part for part in covered if part.plain]
        left.doubled += cover(plain, count)[1]
        left.surplus += [part for part in plain if count is not None and part.last > count]
        left.outdone += cover([part for part in parts if not part.plain], count)[1]
    return left


class Compactor:
    """Merges beside the writer, one merge at a time in a thread of its own.

    sealed_rows: what a segment of an earlier epoch is taken to hold at most.
    """

    def __init__(self, store: Store, lock: Lock, clock: Clock, sealed_rows: int) -> None:
        self._store, self._lock, self._clock = store, lock, clock
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="raysweep-compact")
        self._files: list[Sized] = []
        self._busy: tuple[list[Sized], list[Sized], Future[Part]] | None = None
        self._superfluous: deque[tuple[float, str]] = deque()
        self._ended = deque(self._put_in_order(_earlier(store, lock.epoch, sealed_rows)))

    def sealed(self, part: Part, table: pa.Table) -> None:
        """Take note of a segment that was sealed just now."""
        self._files.append(Sized(part, len(table), 0, table))

    def step(self) -> None:
        """Take in a merge that is done, begin the next that is due, remove what has been superfluous for long enough.

        The error of a merge, and LockLostError, are raised here.
        """
        if self._busy is not None:
            if not self._busy[2].done():
                return
            self._finish()
        self._remove_superfluous()
        self._begin()

    def close(self) -> None:
        """Wait for the merge under way, and end; its failure harms nothing and is not reported."""
        self._thread.shutdown(wait=True, cancel_futures=True)
        for (
            _,
            name,
        ) in self._superfluous:  # none of ours looks into a folder that was exchanged; a run leaves none behind
            if MARK in name:
                self._store.remove(name)

    def _put_in_order(self, left: _Earlier) -> list[list[Sized]]:
        """Let plain readers see what counts, once each, before this writer's first row; the files by epoch."""
        self._retire(name for name in self._store.names("") if name.startswith(FOLDER + MARK))
        self._retire(part.name for part in left.outdone)
        put_aside(self._store, left.surplus)
        if not (left.shown or left.covered):
            return left.files
        if not self._show(left.shown, left.covered):
            for part in left.doubled:
                self._store.remove(part.name)
            return left.files
        return [[Sized(_plain(f.part), f.rows, f.level) for f in files] for files in left.files]

    def _show(self, merged: Sequence[Part], parts: Sequence[Part]) -> bool:
        """Let merged files take the place of their parts in one moment; False where the place cannot do that."""
        before = self._store.regroup(FOLDER, [_file(part) for part in parts], [part.name for part in merged])
        if before is None:
            return False
        self._retire([before])
        for part in merged:
            self._store.remove(part.name)  # it has a second name now
        return True

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
        _log.info("merged %d files of %d rows as %s", len(chosen), part.rows or 0, part.name)
        self._lock.beat(force=True)  # who lost the lock changes no names
        if self._show([part], self._covered(part, chosen)):
            part = _plain(part)
        self._retire(f.part.name for f in chosen if not f.part.plain)
        at = files.index(chosen[0])
        files[at : at + len(chosen)] = [Sized(part, part.rows or 0, 1 + max(f.level for f in chosen))]

    def _covered(self, part: Part, chosen: Sequence[Sized]) -> list[Part]:
        """The files in plain readers' sight that the merged one stands for."""
        parts = [file.part for file in chosen]
        if not all(one.plain for one in parts):
            parts = listed(self._store).get(part.epoch, [])
        return [one for one in parts if one.plain and part.first <= one.first and one.last <= part.last]

    def _retire(self, names: Iterable[str]) -> None:
        now = self._clock.monotonic()
        self._superfluous.extend((now + GRACE_S, name) for name in names)

    def _remove_superfluous(self) -> None:
        now = self._clock.monotonic()
        if not self._superfluous or self._superfluous[0][0] > now:
            return
        self._lock.beat(force=True)  # who lost the lock removes nothing
        for _ in range(FAN):
            if not self._superfluous or self._superfluous[0][0] > now:
                return
            self._store.remove(self._superfluous.popleft()[1])


def _file(part: Part) -> str:
    return part.name.rpartition("/")[2]


def _plain(part: Part) -> Part:
    """The part as plain readers see it."""
    return replace(part, name=f"{FOLDER}/{_file(part)}")
