"""`raysweep watch`: the main intervals of a run while its sweep goes on, each look labelled as what it is."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from raysweep.errors import ExitCode
from raysweep.study.watch import SweepState, live_looks
from raysweep.units import format_duration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console
    from rich.live import Live as Screen

    from raysweep.record.place import RunPath
    from raysweep.stats.live import Snapshot


class View(Protocol):
    """Where looks are shown."""

    def show(self, snapshot: Snapshot, state: str) -> None:
        """Show a look; state: one line on where the sweep is."""
        ...


def watch_command(path: RunPath, every_s: float, patience_s: float | None, *, as_json: bool) -> int:
    """Show a look whenever there is news, every_s seconds apart at least, until the sweep ends; the exit code.

    0: complete, or stopped by the registered rule; 3: trials are missing and no driver came for patience_s seconds.
    """
    lines = {
        SweepState.RUNNING: "the sweep goes on",
        SweepState.OVER: "the sweep is over",
        SweepState.ABANDONED: "trials are missing, and no driver has been running for "
        f"{format_duration(patience_s or 0.0)}",
    }
    state = SweepState.RUNNING
    with _view(as_json=as_json) as view:
        for look in live_looks(path, every_s, patience_s):
            state = look.state
            view.show(look.snapshot, lines[state])
    return ExitCode.OK if state is SweepState.OVER else ExitCode.INCOMPLETE


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
    def show(self, snapshot: Snapshot, state: str) -> None:
        from raysweep.report.live import snapshot_line

        print(json.dumps(snapshot_line(snapshot, time=time.time(), state=state)), flush=True)  # noqa: T201 - the output


class _Blocks:
    """Where there is no terminal: one look below the other."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def show(self, snapshot: Snapshot, state: str) -> None:
        from raysweep.report.live import live_view

        self._console.print(live_view(snapshot, state))


class _Refreshed:
    """One table that changes."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen

    def show(self, snapshot: Snapshot, state: str) -> None:
        from raysweep.report.live import live_view

        self._screen.update(live_view(snapshot, state), refresh=True)
