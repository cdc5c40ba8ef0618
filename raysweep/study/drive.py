"""The driver of one session from its start to its end: who hears of it, what may stop it, what it leaves behind."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from raysweep.clock import VirtualClock
from raysweep.kind import find_kind
from raysweep.study import compose
from raysweep.study.bring import bring_images
from raysweep.study.directory import traces_of
from raysweep.study.notes import Note, silent
from raysweep.study.rule import write_record
from raysweep.study.session import executor_of, nothing_begun, queue_of

if TYPE_CHECKING:
    from raysweep.record.ledger import LedgerWriter
    from raysweep.record.schema import Row
    from raysweep.sandbox.protocol import SandboxProvider
    from raysweep.schedule.driver import Driver, Progress, Result, Stop
    from raysweep.schedule.executor import Executor
    from raysweep.schedule.queue import Queue
    from raysweep.stats.stop import Decision
    from raysweep.study.session import Session

VIRTUAL_PULSE_S = 3600.0
"""Pulse of the driver on the virtual clock: nothing there is sealed or shown by time."""


class Stops:
    """What may end a sweep before its plan does: the registered rule, the budget, the breaker."""

    def __init__(self, session: Session) -> None:
        self._meter = compose.budget_meter(session.study, session.store)
        self._breaker = compose.breaker(session.study.sweep)
        self._rule = session.rule
        self.decided: Decision | None = None

    def at_start(self) -> Stop | None:
        """What the attempts of the ledger have decided or spent."""
        return self._ruled(self._rule.decided if self._rule else None) or _spent(self._meter.reason())

    def after(self, row: Row) -> Stop | None:
        """What one more attempt decides; trouble of the platform comes first, as begun blocks do not outlast it."""
        spent = _spent(self._meter.add(row))
        ruled = self._ruled(self._rule.add(row) if self._rule else None)
        trouble = self._breaker.add(row) if self._breaker else None
        return _troubled(trouble) or ruled or spent

    def _ruled(self, decision: Decision | None) -> Stop | None:
        from raysweep.schedule.driver import Stop

        self.decided = self.decided or decision
        return None if decision is None else Stop(decision.reason, "rule")


def _spent(reason: str | None) -> Stop | None:
    from raysweep.schedule.driver import Stop

    return None if reason is None else Stop(reason, "budget")


def _troubled(reason: str | None) -> Stop | None:
    from raysweep.schedule.driver import Stop

    return None if reason is None else Stop(reason, "breaker", finish_blocks=False)


def _ignore(_: object) -> None:
    """Watch nothing."""


@dataclass(frozen=True, slots=True)
class Watchers:
    """Who hears of a run.

    observe: called as the run goes on. started: gets the driver, on its event loop, before its first trial. ended: gets
    the row of each attempt. note: gets lines for the user.
    """

    observe: Callable[[Progress], None] = _ignore
    started: Callable[[Driver], None] = _ignore
    ended: Callable[[Row], None] = _ignore
    note: Note = silent


def run_session(session: Session, ledger: LedgerWriter, watchers: Watchers) -> Result:
    """Run what is left of the session's blocks."""
    from raysweep.record.logs import run_log

    with run_log(session.path, session.facts.run_id).of("driver"):
        main = _run(session, ledger, watchers)
        return session.clock.run(main) if isinstance(session.clock, VirtualClock) else asyncio.run(main)


async def _run(session: Session, ledger: LedgerWriter, watchers: Watchers) -> Result:
    from raysweep.schedule.driver import Result

    run_id = session.facts.run_id
    provider = compose.recipe(session.study.sweep)("driver")
    # What an earlier driver of this run left behind goes first: nothing of it is alive in the ledger's eyes.
    await provider.gc(run_id)
    queue = queue_of(session)
    done = queue.missing == queue.for_good
    if done or (session.invocation is not None and nothing_begun(session)):
        return Result(queue.missing, for_good=queue.for_good)  # no runner is started for nothing
    result = await _with_runners(session, queue, ledger, provider, watchers)
    # What a lost runner left behind. Not after an error: the run may be another driver's by then.
    await provider.gc(run_id)
    return result


async def _with_runners(
    session: Session,
    queue: Queue,
    ledger: LedgerWriter,
    provider: SandboxProvider,
    watchers: Watchers,
) -> Result:
    await bring_images(provider, session.study, session.images.of)
    stops, executor = Stops(session), executor_of(session, provider, watchers.note)
    try:
        await executor.start(session.facts.run_id)
        driver = _driver(session, queue, executor, ledger, stops, watchers)
        watchers.started(driver)
        result = await driver.run()
        if stops.decided is not None:  # only now: a record must not stand without the rows that decided
            write_record(session.store, stops.decided, session.clock.now())
    finally:
        await executor.close()
    return result


def _driver(
    session: Session,
    queue: Queue,
    executor: Executor,
    ledger: LedgerWriter,
    stops: Stops,
    watchers: Watchers,
) -> Driver:
    from raysweep.schedule.driver import PULSE_S, Driver, Probes
    from raysweep.schedule.resting import Resting

    study, sweep, run_id = session.study, session.study.sweep, session.facts.run_id
    calendar = compose.calendar(sweep, session.facts.created)
    rounds = compose.ProbeRounds(study, session.store, run_id, session.images)
    traces = None if not find_kind(sweep.sandbox.kind).real else traces_of(session.path)

    def count(row: Row) -> Stop | None:
        session.images.note(row)
        watchers.ended(row)
        return stops.after(row)

    return Driver(
        queue=queue,
        executor=executor,
        ledger=ledger,
        calendar=calendar,
        clock=session.clock,
        make_order=compose.Orders(study, run_id, calendar, traces, session.images),
        observe=watchers.observe,
        stop=count,
        stopped=stops.at_start(),
        pulse=VIRTUAL_PULSE_S if session.virtual else PULSE_S,
        probes=Probes(rounds.make, rounds.keep, sweep.runner.concurrency),
        rest=executor.rest if isinstance(executor, Resting) else None,
    )


def stop_on_signals(driver: Driver, note: Note) -> None:
    """First Ctrl-C (or SIGTERM) stops cleanly; a second one ends the process, which is safe too, only less tidy."""
    loop = asyncio.get_running_loop()

    def interrupt(number: int) -> None:
        note("stopping: what is in flight is cancelled and recorded; the same command resumes")
        loop.remove_signal_handler(number)
        driver.interrupt()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupt, number)
