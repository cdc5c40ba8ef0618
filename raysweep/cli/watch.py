"""`raysweep watch`: the main intervals of a run while its sweep goes on, each look labelled as what it is."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from raysweep.errors import ExitCode
from raysweep.study.sources import design_of
from raysweep.units import format_duration

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa
    from rich.console import Console
    from rich.live import Live as Screen

    from raysweep.record.place import RunPath
    from raysweep.stats.design import Design
    from raysweep.stats.live import Rows, Snapshot

SHARE = 0.2
"""Of one processor that reducing may take at most: a sweep may run on the same machine."""


BACKLOG_S = 10.0
"""So much later than due a look is shown although more rows are there already."""


class View(Protocol):
    """Where looks are shown."""

    def show(self, found: Snapshot, state: str) -> None:
        """Show a look; state: one line on where the sweep is."""
        ...


def watch_command(path: RunPath, every_s: float, patience_s: float | None, *, as_json: bool) -> int:
    """Show a look whenever there is news, every_s seconds apart at least, until the sweep ends; the exit code.

    0: complete, or stopped by the registered rule; 3: trials are missing and no driver came for patience_s seconds.
    """
    from raysweep.dataset.ending import Live
    from raysweep.record.reader import open_run, read_run
    from raysweep.stats.live import Rows

    frame = read_run(open_run(path), str(path), attempts=False)
    design, rows = design_of(frame), Rows()
    live = Live(path, patience_s=patience_s)
    shown, due = 0, time.monotonic()
    with _view(as_json=as_json) as view:
        for piece in live:
            if piece is not None:
                rows.add(piece.table)
            now = time.monotonic()
            # What is there already is taken whole before the first look, unless that takes long.
            if len(rows) > shown and now >= (due if piece is None else due + BACKLOG_S):
                view.show(_look(rows, frame.planned, design), "the sweep goes on")
                shown, took = len(rows), time.monotonic() - now
                due = time.monotonic() + max(every_s, took / SHARE - took)
        last = _look(rows, frame.planned, design)
        over = live.complete or last.stopped
        view.show(last, "the sweep is over" if over else _gone(patience_s))
    return ExitCode.OK if over else ExitCode.INCOMPLETE


def _gone(patience_s: float | None) -> str:
    return f"trials are missing, and no driver has been running for {format_duration(patience_s or 0.0)}"


def _look(rows: Rows, planned: pa.Table, design: Design) -> Snapshot:
    from raysweep.record.reader import with_is_final
    from raysweep.record.resume import count_done
    from raysweep.stats.live import snapshot

    table = rows.table()
    if table is None:
        return snapshot(None, planned, design, 0)
    table = with_is_final(table, planned)
    return snapshot(table, planned, design, count_done(table))


@contextmanager
def _view(*, as_json: bool) -> Iterator[View]:
    if as_json:
        yield _Lines()
        return
    from rich.console import Console
    from rich.live import Live as Screen

    console = Console()
    if not console.is_terminal:
        yield _Blocks(console)
        return
    with Screen(console=console, auto_refresh=False, vertical_overflow="visible") as screen:
        yield _Refreshed(screen)


class _Lines:
    def show(self, found: Snapshot, state: str) -> None:
        from raysweep.report.live import snapshot_line

        print(json.dumps(snapshot_line(found, time=time.time(), state=state)), flush=True)  # noqa: T201 - the output


class _Blocks:
    """Where there is no terminal: one look below the other."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def show(self, found: Snapshot, state: str) -> None:
        from raysweep.report.live import live_view

        self._console.print(live_view(found, state))


class _Refreshed:
    """One table that changes."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen

    def show(self, found: Snapshot, state: str) -> None:
        from raysweep.report.live import live_view

        self._screen.update(live_view(found, state), refresh=True)
