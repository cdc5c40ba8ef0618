"""Running a study in its run directory, or resuming it: to the end of its plan, or as far as was asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from raysweep.clock import SystemClock
from raysweep.record.place import store_at
from raysweep.record.stopped import read_stop
from raysweep.study.bring import bring_images_of
from raysweep.study.directory import run_directory
from raysweep.study.doctor import refuse_unsuitable
from raysweep.study.drive import Watchers, run_session
from raysweep.study.environment import environment
from raysweep.study.notes import Note, silent
from raysweep.study.rule import Rule, refuse_without_looks
from raysweep.study.session import for_one_window, new_session, nothing_begun, open_session, result_of_nothing

if TYPE_CHECKING:
    from raysweep.record.place import RunPath
    from raysweep.record.store import Store
    from raysweep.schedule.driver import Result
    from raysweep.study.load import Study
    from raysweep.study.session import Session


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How far to run.

    blocks: a pilot, only the first so many blocks. until_window_end: begin only what the window that is open now holds,
    nothing where none is open. stop_when_decided: end at a registered look at which the registered rule decides.
    go_on: run the rest of a sweep that the rule stopped before.
    """

    blocks: int | None = None
    until_window_end: bool = False
    stop_when_decided: bool = False
    go_on: bool = False


@dataclass(frozen=True, slots=True)
class RunEnd:
    """How a run ended that could begin trials, or had none to begin."""

    session: Session
    result: Result


@dataclass(frozen=True, slots=True)
class StoppedBefore:
    """Nothing was begun: the registered rule had ended the sweep. record: what stopped.json says of it."""

    record: Mapping[str, Any]


Watch = Callable[["Session"], AbstractContextManager[Watchers]]
"""Opens what watches a run, for as long as its driver lives."""


@contextmanager
def unwatched(_: Session) -> Iterator[Watchers]:
    """Watch nothing."""
    yield Watchers()


def run_study(
    study: Study, path: RunPath, options: RunOptions, watch: Watch = unwatched, note: Note = silent
) -> RunEnd | StoppedBefore:
    """Run a study, or resume it.

    Args:
        study: what to run.
        path: its run directory, made where it is missing.
        options: how far to run.
        watch: who hears of the run while it goes on.
        note: gets lines for the user before and after that.

    Raises:
        InputError: the directory is another sweep's or cannot be written, or a rule is to stop a sweep without looks.
        UnsuitableError: this machine or cluster cannot enforce the bands.
        LockHeldError: another driver runs it now.

    """
    if options.stop_when_decided:
        refuse_without_looks(study.sweep)
    over = _over_before(study, path, options, note)
    if over is not None:
        return over
    refuse_unsuitable(study)
    if not store_at(path).exists("run.json"):
        bring_images_of(study, note)
    store, facts = run_directory(study, path, note)
    from raysweep.record.ledger import LedgerWriter
    from raysweep.record.place import lock_of

    system = SystemClock()
    lock = lock_of(store, system, waiting=note)
    lock.acquire({"environment": environment()})
    try:
        stopped = _stopped(store, options)  # by the driver that held the lock until now
        if stopped is not None:
            return StoppedBefore(stopped)
        session = open_session(study, path, store, facts, options.blocks)
        if options.until_window_end:
            session = for_one_window(session)
        if options.stop_when_decided and not options.go_on:
            session = replace(session, rule=_rule(session))
        ledger = LedgerWriter(store, lock, system)
        try:
            with watch(session) as watchers:
                result = run_session(session, ledger, watchers)
        finally:
            ledger.close()
    finally:
        lock.release()
    return RunEnd(session, result)


def _over_before(study: Study, path: RunPath, options: RunOptions, note: Note) -> RunEnd | StoppedBefore | None:
    """The end where nothing is to begin; None where something may.

    Nothing is written but a new run's directory, so no lock is taken, and the sandbox host is left alone.
    """
    session = new_session(study, path, options.blocks)
    if store_at(path).exists("run.json"):
        store, facts = run_directory(study, path, note)
        stopped = _stopped(store, options)
        if stopped is not None:
            return StoppedBefore(stopped)
        if options.until_window_end:
            session = open_session(study, path, store, facts, options.blocks)
    if not options.until_window_end or not nothing_begun(session := for_one_window(session)):
        return None
    run_directory(study, path, note)
    return RunEnd(session, result_of_nothing(session))


def _stopped(store: Store, options: RunOptions) -> dict[str, Any] | None:
    """The record that the registered rule ended the sweep, unless it is to go on."""
    return None if options.go_on else read_stop(store)


def _rule(session: Session) -> Rule:
    from raysweep.record.reader import read_attempts, read_run
    from raysweep.stats.live import COLUMNS
    from raysweep.study.sources import design_of

    frame = read_run(session.store, str(session.path), attempts=False)
    return Rule(read_attempts(session.store, COLUMNS), frame.planned, design_of(frame))
