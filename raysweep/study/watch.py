"""Following a run while its sweep goes on: a look at its main intervals whenever there is news."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from raysweep.study.sources import design_of

if TYPE_CHECKING:
    import pyarrow as pa

    from raysweep.record.place import RunPath
    from raysweep.stats.design import Design
    from raysweep.stats.live import Rows, Snapshot

SHARE = 0.2
"""Of one processor that reducing may take at most: a sweep may run on the same machine."""


BACKLOG_S = 10.0
"""So much later than due a look is shown although more rows are there already."""


class SweepState(StrEnum):
    """Where the sweep is at a look: it goes on, it is over, or trials are missing and no driver came."""

    RUNNING = "running"
    OVER = "over"
    ABANDONED = "abandoned"


@dataclass(frozen=True, slots=True)
class LiveLook:
    """A look at unfinished data; only the last one of a run is not RUNNING."""

    snapshot: Snapshot
    state: SweepState


def live_looks(path: RunPath, every_s: float, patience_s: float | None) -> Iterator[LiveLook]:
    """Looks at a run until its sweep ends.

    Args:
        path: where the run is.
        every_s: least time between two looks; more where reducing and showing take long.
        patience_s: how long to wait for a driver to come back; None: for ever.

    Yields:
        A look whenever there are new rows; the last one says how the sweep ended.

    """
    from raysweep.dataset.ending import Live
    from raysweep.record.reader import open_run, read_run
    from raysweep.stats.live import Rows

    frame = read_run(open_run(path), str(path), attempts=False)
    design, rows = design_of(frame), Rows()
    live = Live(path, patience_s=patience_s)
    shown, due = 0, time.monotonic()
    for piece in live:
        if piece is not None:
            rows.add(piece.table)
        now = time.monotonic()
        # What is there already is taken whole before the first look, unless that takes long.
        if len(rows) > shown and now >= (due if piece is None else due + BACKLOG_S):
            yield LiveLook(_snapshot(rows, frame.planned, design), SweepState.RUNNING)
            shown, took = len(rows), time.monotonic() - now
            due = time.monotonic() + max(every_s, took / SHARE - took)
    last = _snapshot(rows, frame.planned, design)
    yield LiveLook(last, SweepState.OVER if live.complete or last.stopped else SweepState.ABANDONED)


def _snapshot(rows: Rows, planned: pa.Table, design: Design) -> Snapshot:
    from raysweep.record.reader import with_is_final
    from raysweep.record.resume import count_done
    from raysweep.stats.live import snapshot

    table = rows.table()
    if table is None:
        return snapshot(None, planned, design, 0)
    table = with_is_final(table, planned)
    return snapshot(table, planned, design, count_done(table))
