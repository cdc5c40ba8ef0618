"""`raysweep status`: how far a run is, from its ledger and the heartbeat of its driver."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from raysweep.cli.output import emit, say, status_lines


def read_status(path: Path) -> dict[str, Any]:
    """{planned, done, running, by_outcome, complete} of the run directory; InputError when it is none."""
    from raysweep.record.lock import LocalLock
    from raysweep.record.reader import read_ledger
    from raysweep.record.resume import status

    view = read_ledger(path)
    return status(view.table, len(view.planned), LocalLock.running(path))


def status_command(path: Path, *, as_json: bool) -> None:
    """Print the status."""
    told = read_status(path)
    if as_json:
        emit(told)
    else:
        for line in status_lines(told):
            say(line)
