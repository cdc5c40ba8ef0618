"""`raysweep status`: how far a run is, from its ledger and the heartbeat of its driver."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from raysweep.cli.balance import missed_lines
from raysweep.cli.output import emit, say, status_lines
from raysweep.clock import SystemClock

if TYPE_CHECKING:
    from raysweep.record.place import RunPath


def read_status(path: RunPath) -> dict[str, Any]:
    """{planned, done, running, by_outcome, complete, missed} of the run directory; InputError when it is none.

    missed: what windows that closed lack, see cli.balance.missed_windows; null for nothing.
    """
    from raysweep.cli.balance import missed_windows
    from raysweep.record.place import running_at
    from raysweep.record.reader import read_progress
    from raysweep.record.resume import status

    table, planned = read_progress(path)
    clock = SystemClock()
    told = status(table, planned, running_at(path, clock))
    return {**told, "missed": None if told["complete"] else missed_windows(path, table, clock.now())}


def status_command(path: RunPath, *, as_json: bool) -> None:
    """Print the status."""
    told = read_status(path)
    if as_json:
        emit(told)
    else:
        for line in (*status_lines(told), *missed_lines(told["missed"])):
            say(line)
