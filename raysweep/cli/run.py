"""`raysweep run`: begin a sweep or go on with it, to the exit code that says how it ended."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raysweep.cli.drive import drive
from raysweep.cli.ending import exit_code, window_json
from raysweep.cli.output import emit, say, tell
from raysweep.cli.status import look, status_command
from raysweep.cli.telemetry import Logs, log_as
from raysweep.clock import SystemClock
from raysweep.errors import ExitCode, UnsuitableError
from raysweep.record.stopped import read_stop
from raysweep.study import compose
from raysweep.study.directory import run_directory
from raysweep.study.environment import environment
from raysweep.study.load import load_study, refuse_missing_keys
from raysweep.study.rule import Rule, refuse_without_looks
from raysweep.study.session import for_one_window, new_session, nothing_begun, open_session, result_of_nothing

if TYPE_CHECKING:
    from raysweep.record.place import RunPath
    from raysweep.record.store import Store
    from raysweep.schedule.driver import Result
    from raysweep.study.load import Study
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
    study = load_study(config)
    if stop_when_decided:
        refuse_without_looks(study.sweep)
    asked = _Asked(config, run_dir or Path("runs") / study.sweep.name, blocks, as_json, until_window_end, go_on)
    _give_memory_back()
    over = _over_before(study, asked)
    if over is not None:
        return over
    refuse_unsuitable(study)
    store, facts = run_directory(study, asked.path, tell)
    from raysweep.record.ledger import LedgerWriter
    from raysweep.record.place import lock_of

    system = SystemClock()
    lock = lock_of(store, system, waiting=tell)
    lock.acquire({"environment": environment()})
    try:
        stopped = _stopped(store, asked)  # by the driver that held the lock until now
        if stopped is not None:
            return _already_stopped(asked, stopped)
        session = open_session(study, asked.path, store, facts, blocks)
        if until_window_end:
            session = for_one_window(session)
        if stop_when_decided and not go_on:
            session = replace(session, rule=_rule(session))
        ledger = LedgerWriter(store, lock, system)
        try:
            result = drive(session, ledger, metrics_port, logs)
        finally:
            ledger.close()
    finally:
        lock.release()
    return _end(asked, session, result)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What one command line asked for."""

    config: Path
    path: RunPath
    blocks: int | None
    as_json: bool
    until_window_end: bool
    go_on: bool


def _give_memory_back() -> None:
    """Arrow's own allocator keeps what a long ledger took to read, for days; the system's gives it back."""
    import pyarrow as pa

    pa.set_memory_pool(pa.system_memory_pool())


def _over_before(study: Study, asked: _Asked) -> int | None:
    """The exit code where nothing is to begin, said as at any end; None where something may.

    Nothing is written but a new run's directory, so no lock is taken, and the sandbox host is left alone.
    """
    from raysweep.record.place import store_at

    seen = new_session(study, asked.path, asked.blocks)
    if store_at(asked.path).exists("run.json"):
        store, facts = run_directory(study, asked.path, tell)
        stopped = _stopped(store, asked)
        if stopped is not None:
            return _already_stopped(asked, stopped)
        if asked.until_window_end:
            seen = open_session(study, asked.path, store, facts, asked.blocks)
    if not asked.until_window_end or not nothing_begun(seen := for_one_window(seen)):
        return None
    run_directory(study, asked.path, tell)
    return _end(asked, seen, result_of_nothing(seen))


def _end(asked: _Asked, session: Session, result: Result) -> int:
    """Say how far the run is; the exit code."""
    status, lines = look(asked.path)
    if asked.as_json:
        emit({**status, **_window_json(session)})
    else:
        for line in lines:
            say(line)
    return exit_code(result, status, session, asked.config)


def _stopped(store: Store, asked: _Asked) -> dict[str, Any] | None:
    """The record that the registered rule ended the sweep, unless it is to go on."""
    return None if asked.go_on else read_stop(store)


def _already_stopped(asked: _Asked, stopped: dict[str, Any]) -> int:
    """The registered rule ended the sweep before: nothing is begun."""
    status_command(asked.path, as_json=asked.as_json)
    tell(f"stopped before by the registered rule: {stopped['reason']}; to run the rest all the same, beyond the")
    tell(f"registered analysis: raysweep run {asked.config} --run-dir {asked.path} --go-on")
    return ExitCode.OK


def _rule(session: Session) -> Rule:
    from raysweep.record.reader import read_attempts, read_run
    from raysweep.stats.live import COLUMNS
    from raysweep.study.sources import design_of

    frame = read_run(session.store, str(session.path), attempts=False)
    return Rule(read_attempts(session.store, COLUMNS), frame.planned, design_of(frame))


def refuse_unsuitable(study: Study) -> None:
    """Exit 4 before anything is written where the sandbox cannot enforce the bands here; 2 where a key is missing."""
    refuse_missing_keys(study)
    checks = compose.recipe(study.sweep)("driver").doctor(compose.planned_sandboxes(study))
    failed = [c for c in checks if c.required and not c.ok]
    if failed:
        raise UnsuitableError(
            "; ".join(f"{c.name}: {c.found}" for c in failed),
            " | ".join(dict.fromkeys(c.remedy for c in failed if c.remedy)) or "see raysweep doctor",
        )


def _window_json(session: Session) -> dict[str, Any]:
    return {} if session.invocation is None else window_json(session.invocation)
