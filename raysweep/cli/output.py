"""What the terminal shows: results on standard output, progress on standard error; NO_COLOR and pipes respected."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

from raysweep.units import format_duration

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

    from raysweep.schedule.driver import Progress
    from raysweep.study.status import RunStatus

LINE_EVERY_S = 5.0
"""Without a terminal: one line of progress this often."""
IDLE_LINE_EVERY_S = 60.0
"""The same while nothing runs and a window is awaited."""


def emit(value: Any) -> None:
    """JSON on standard output."""
    print(json.dumps(value, indent=1, default=str))  # noqa: T201 - the command's output


def say(line: str) -> None:
    """A line for a person on standard output."""
    print(line)  # noqa: T201 - the command's output


_through: Callable[[str], None] | None = None


def tell(line: str) -> None:
    """A line about what is going on, on standard error."""
    if _through is not None:
        _through(line)
    else:
        with contextlib.suppress(OSError):  # nobody reads it any more: no reason to stop
            print(line, file=sys.stderr, flush=True)  # noqa: T201 - progress


def tell_through(channel: Callable[[str], None] | None) -> None:
    """Send the lines of `tell` to `channel` from now on; None: as plain text to standard error."""
    global _through  # noqa: PLW0603 - where a process's messages go is a fact of the process
    _through = channel


def status_lines(status: RunStatus) -> list[str]:
    """`status` for a person."""
    state = "complete" if status.complete else "incomplete"
    lines = [f"{status.done} of {status.planned} trials done, {status.running} running: {state}"]
    lines += [f"  {count:6d}  {outcome}" for outcome, count in status.by_outcome.items()]
    return lines


class ProgressView:
    """Shows a run's progress: a bar on a terminal, a line every few seconds elsewhere. A context manager.

    planned, done: trials of the plan, and those that were done before. last_opening: when the last planned window opens
    (epoch seconds), None where there are no windows: the run does not end before.
    """

    def __init__(self, planned: int, done: int, last_opening: float | None = None) -> None:
        self._planned, self._before, self._last_opening = planned, done, last_opening
        self._busy_s, self._seen = 0.0, time.monotonic()
        self._last = 0.0
        self._idle = False
        self._bar: Bar | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

            columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
            self._bar = Progress(*columns, console=Console(stderr=True))
            self._bar.start()
            self._task = self._bar.add_task("", total=self._planned, completed=self._before)
        return self

    def __exit__(self, *exc: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, progress: Progress) -> None:
        """Show where the run is."""
        now = time.monotonic()
        if progress.in_flight and not progress.probing:
            self._busy_s += now - self._seen
        self._seen = now
        if now - self._last < (0.2 if self._bar else LINE_EVERY_S):
            return
        idle = progress.in_flight == 0 and progress.waiting_until is not None and not progress.waiting_retries
        if idle and self._bar is None and now - self._last < IDLE_LINE_EVERY_S and self._idle:
            return
        self._last, self._idle = now, idle
        done = min(self._planned, self._before + progress.finished)
        text = self._text(progress)
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=done, description=text)
        else:
            tell(f"{done}/{self._planned} trials, {text}")

    def _text(self, progress: Progress) -> str:
        running = "probes" if progress.probing else f"{progress.in_flight} running"
        parts = [running, f"{progress.by_outcome.get('infra', 0)} infra"]
        if progress.waiting_retries:
            parts.append(f"{progress.waiting_retries} waiting to be tried again")
        if progress.in_flight == 0 and progress.waiting_until is not None and not progress.waiting_retries:
            opens = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(progress.waiting_until))
            parts.append(f"waiting for the window that opens at {opens}")
        elif progress.finished:
            parts.append(f"eta {format_duration(self._eta_s(progress))}")
        return ", ".join(parts)

    def _eta_s(self, progress: Progress) -> float:
        """Seconds until all is done: at the pace of the time in which trials ran, and not before the last window."""
        left = max(0, self._planned - self._before - progress.finished)
        at_pace = left * self._busy_s / progress.finished
        until_last = (self._last_opening - time.time()) if self._last_opening is not None and left else 0.0
        return max(at_pace, until_last, 0.0)
