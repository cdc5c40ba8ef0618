"""`raysweep status`: how far a run is, from its ledger and the heartbeat of its driver."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from raysweep.cli.output import emit, say, status_lines
from raysweep.clock import SystemClock

if TYPE_CHECKING:
    import pyarrow as pa

    from raysweep.record.place import RunPath

SHOWN = 8
"""Windows named one by one to a person."""


def read_status(path: RunPath) -> dict[str, Any]:
    """{planned, done, running, by_outcome, complete, missed} of the run directory; InputError when it is none.

    missed: what windows that closed lack, see cli.balance.missed_windows; null for nothing.
    """
    return look(path)[0]


def look(path: RunPath) -> tuple[dict[str, Any], list[str]]:
    """The status of the run directory, and the lines that say the same and what was superseded to a person."""
    from raysweep.record.place import running_at
    from raysweep.record.reader import read_progress
    from raysweep.record.resume import status
    from raysweep.study.balance import missed_windows

    table, planned = read_progress(path)
    clock = SystemClock()
    told = status(table, planned, running_at(path, clock))
    told["missed"] = None if told["complete"] else missed_windows(path, table, clock.now())
    return told, [*status_lines(told), *missed_lines(told["missed"]), *_rerun_lines(path, table)]


def _rerun_lines(path: RunPath, table: pa.Table) -> list[str]:
    """What was superseded, blocks that lack trials by name, and that the registered rule stopped the sweep."""
    from raysweep.record.reader import open_run, read_plan
    from raysweep.record.reruns import named, reruns, sentence
    from raysweep.record.stopped import read_stop

    found, store = reruns(table), open_run(path)
    lines = [said] if (said := sentence(found)) is not None else []
    if found.lacking:
        planned = read_plan(store, str(path), ["block_id", "task", "repeat", "bucket", "date"])
        lines.append(f"{len(found.lacking)} blocks lack trials that the platform took: {named(found.lacking, planned)}")
    stopped = read_stop(store)
    return [*lines, f"stopped by the registered rule: {stopped['reason']}"] if stopped is not None else lines


def status_command(path: RunPath, *, as_json: bool) -> None:
    """Print the status."""
    told, lines = look(path)
    if as_json:
        emit(told)
    else:
        for line in lines:
            say(line)


def missed_lines(missed: Mapping[str, Any] | None) -> list[str]:
    """What windows that closed lack, for a person."""
    if missed is None:
        return []
    windows, price = missed["windows"], missed["smallest_contrast"]
    lines = [f"{missed['blocks']} blocks of {len(windows)} windows that have closed lack a complete run:"]
    lines += [f"  {w['bucket']} of {w['occasion']}: {w['missing']} of {w['planned']}" for w in windows[:SHOWN]]
    lines += [f"  and {len(windows) - SHOWN} more windows (--json has all)"] if len(windows) > SHOWN else []
    if price["planned"] is not None and price["now"] is not None:
        lines.append(
            f"  if they are not made up, the smallest contrast that can be detected is {price['now']:.2f} instead of "
            f"{price['planned']:.2f} points"
        )
    return lines
