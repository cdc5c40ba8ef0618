"""`raysweep run`: run a sweep or resume it, to the exit code that says how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raysweep.cli.drive import shown
from raysweep.cli.ending import exit_code, window_json
from raysweep.cli.output import tell
from raysweep.cli.status import print_status, status_command
from raysweep.cli.telemetry import Logs, log_as
from raysweep.errors import ExitCode
from raysweep.study.load import load_study
from raysweep.study.run import RunOptions, StoppedBefore, run_study
from raysweep.study.status import read_status

if TYPE_CHECKING:
    from raysweep.record.place import RunPath
    from raysweep.study.drive import Watchers
    from raysweep.study.session import Session


def run_command(
    config: Path,
    run_dir: RunPath | None,
    blocks: int | None,
    *,
    as_json: bool,
    until_window_end: bool = False,
    stop_when_decided: bool = False,
    go_on: bool = False,
    metrics_port: int | None = None,
    logs: Logs = "plain",
) -> int:
    """Run or resume a sweep; returns the exit code.

    until_window_end: begin only what the window that is open now holds, then end; INCOMPLETE while more is to come,
    and at once where no window is open. The JSON then has the keys of cli.ending.window_json, too.
    stop_when_decided: end at a registered look at which the registered rule decides; later calls then begin nothing
    unless go_on. metrics_port: as Telemetry's `port`.
    """
    log_as(logs)
    study = load_study(config, run_dir, for_run=True, note=tell)
    path = run_dir or Path("runs") / study.sweep.name
    _give_memory_back()

    def watch(session: Session) -> AbstractContextManager[Watchers]:
        return shown(session, metrics_port, logs)

    options = RunOptions(blocks, until_window_end, stop_when_decided, go_on)
    end = run_study(study, path, options, watch, tell)
    if isinstance(end, StoppedBefore):
        return _stopped_before(config, path, end.record, as_json=as_json)
    status = read_status(path)
    invocation = end.session.invocation
    print_status(status, None if invocation is None else window_json(invocation), as_json=as_json)
    return exit_code(end, config, complete=status.complete)


def _give_memory_back() -> None:
    """Arrow's own allocator keeps what a long ledger took to read, for days; the system's gives it back."""
    import pyarrow as pa

    pa.set_memory_pool(pa.system_memory_pool())


def _stopped_before(config: Path, path: RunPath, stopped: Mapping[str, Any], *, as_json: bool) -> int:
    """The registered rule ended the sweep before: nothing was begun."""
    status_command(path, as_json=as_json)
    tell(f"stopped before by the registered rule: {stopped['reason']}; to run the rest all the same, beyond the")
    tell(f"registered analysis: raysweep run {config} --run-dir {path} --go-on")
    return ExitCode.OK
