"""The asyncio shell around the queue: carries out its instructions, writes the rows, stops on request.

It decides nothing about trials. Bounded: never more attempts in flight than the queue's capacity.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal

from raysweep.clock import Clock
from raysweep.log import ids
from raysweep.probe import ProbeOrder, lost_probe
from raysweep.record.evidence import Verdict
from raysweep.record.ledger import LedgerWriter
from raysweep.record.probes import Round
from raysweep.record.resume import unfinished
from raysweep.record.schema import Row
from raysweep.schedule.calendar import Calendar
from raysweep.schedule.executor import Executor, RunnerLostError
from raysweep.schedule.messages import Ended, Event, Halt, Instruction, Launch, Probe, Probed, Sleep, Stepped, Tick
from raysweep.schedule.queue import Queue
from raysweep.trial.attempt import lost_row
from raysweep.trial.order import TrialOrder
from raysweep.vocabulary import Cause, CauseClass, Outcome

_log = logging.getLogger(__name__)

PULSE_S = 0.25
"""How often, while nothing else happens, segments are sealed, the heartbeat renewed and progress shown."""


STEP_S = 1.0
"""The wall clock was set, or the machine slept, where it leaves the monotonic clock by more in between two events."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Where the run is: trials finished and attempts by outcome in this process, and what is in flight.

    waiting_until: what nothing can begin before. waiting_retries: trials that wait to be tried again after a platform
    failure that came fast. probing: a round of enforcement probes runs.
    """

    finished: int
    in_flight: int
    by_outcome: Counter[str]
    waiting_until: float | None = None
    waiting_retries: int = 0
    probing: bool = False


@dataclass(frozen=True, slots=True)
class Stop:
    """That a run is to end early, and why.

    kind: whose word it is. finish_blocks: blocks that were begun are finished; else nothing more is launched, and what
    is in flight ends.
    """

    reason: str
    kind: Literal["budget", "breaker", "rule", "interrupted"]
    finish_blocks: bool = True


@dataclass(frozen=True, slots=True)
class Result:
    """How a run ended. missing: planned blocks without a complete run; stopped: why it was stopped early, if so.

    for_good: how many of the missing have used up their runs.
    """

    missing: int
    stopped: Stop | None = None
    interrupted: bool = False
    for_good: int = 0


@dataclass(frozen=True, slots=True)
class Probes:
    """How a round of probes is made and kept. slots: most probes at once."""

    make: Callable[[Round, float], Sequence[ProbeOrder]]
    keep: Callable[[Round, Sequence[Row]], object]
    slots: int


@dataclass(slots=True)
class Driver:
    """One run of a sweep. `make_order` turns a launch into an order; `stop` is asked after every attempt.

    stopped: why to begin no block at all, if there is a reason before the first attempt (a budget that is spent). The
    first reason stands, unless a later one wants blocks that were begun left unfinished.
    probes: what makes and keeps the rounds of probes that the queue asks for; needed where it asks for any.
    rest: called while nothing is in flight, with the time until which nothing will be asked for.
    """

    queue: Queue
    executor: Executor
    ledger: LedgerWriter
    calendar: Calendar
    clock: Clock
    make_order: Callable[[Launch, float], TrialOrder]
    observe: Callable[[Progress], None] = lambda _: None
    stop: Callable[[Row], Stop | None] = lambda _: None
    pulse: float = PULSE_S
    stopped: Stop | None = None
    probes: Probes | None = None
    rest: Callable[[float], Awaitable[None]] | None = None
    _inbox: asyncio.Queue[tuple[TrialOrder, Row] | Probed] = field(default_factory=asyncio.Queue)
    _tasks: set[asyncio.Future[Row]] = field(default_factory=set)
    _round: asyncio.Task[None] | None = None
    _by_outcome: Counter[str] = field(default_factory=Counter)
    _finished: int = 0
    _halt: Halt | None = None
    _ahead: float | None = None
    _interrupted: bool = False
    _failure: BaseException | None = None

    async def run(self) -> Result:
        """Drive the queue to its end. LockLostError when another writer took over; what ran is then stopped."""
        try:
            missing = await self._loop()
        finally:
            self._cancel()
            await asyncio.gather(*self._tasks, *([self._round] if self._round else []), return_exceptions=True)
            while not self._inbox.empty():
                self._take(self._inbox.get_nowait())
            self.ledger.seal()
        return Result(missing, self.stopped, self._interrupted, self.queue.for_good)

    def interrupt(self) -> None:
        """Stop cleanly: in flight is cancelled and recorded as cancelled. To be called on the event loop."""
        _log.warning("interrupted: what is in flight is cancelled")
        self._interrupted = True
        self.stopped = self.stopped or Stop("interrupted", "interrupted", finish_blocks=False)
        self._cancel()

    def _cancel(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._round is not None:
            self._round.cancel()

    async def _loop(self) -> int:
        event: Event = Tick()
        while True:
            until = None
            for instruction in self._instructions(event):
                if isinstance(instruction, Launch):
                    self._launch(instruction)
                elif isinstance(instruction, Probe):
                    self._begin_round(instruction.round)
                elif isinstance(instruction, Sleep):
                    until = instruction.until
                else:
                    return instruction.missing
            if self.rest is not None and until is not None and self.queue.in_flight == 0:
                await self.rest(until)
            event = await self._next_event(until)

    def _instructions(self, event: Event) -> list[Instruction]:
        """What the queue says to `event`, asked first to halt when that is due: no launch may slip in between."""
        before: list[Instruction] = []
        if (due := self._due_halt()) is not None:
            self._halt = due
            before += self.queue.handle(due, self.clock.now())
        if (stepped := self._stepped()) is not None:
            _log.warning("the clock was set, or the machine slept: %+.1f s", stepped.by)
            before += self.queue.handle(stepped, self.clock.now())
        return [*before, *self.queue.handle(event, self.clock.now())]

    def _stepped(self) -> Stepped | None:
        """By how much the wall clock has left the monotonic one behind since the last look, if by more than drift."""
        ahead = self.clock.now() - self.clock.monotonic()
        before, self._ahead = self._ahead, ahead
        return Stepped(ahead - before) if before is not None and abs(ahead - before) > STEP_S else None

    def _due_halt(self) -> Halt | None:
        """The halt that the queue has yet to hear of; an interruption goes beyond a stop that finishes blocks."""
        if self.stopped is None:
            return None
        halt = Halt(finish_blocks=self.stopped.finish_blocks and not self._interrupted)
        return halt if halt != self._halt else None

    async def _next_event(self, until: float | None) -> Event:
        """The next attempt that ended, or a tick when `until` has come or the queue must be asked to halt."""
        while True:
            if self._failure is not None:
                raise self._failure
            if self._due_halt() is not None:
                return Tick()
            self.ledger.seal_if_due(self.queue.in_flight)
            if not self._inbox.empty():  # what is ready is taken at once: no timer, no turn of the loop
                return self._take(self._inbox.get_nowait())
            self.observe(self._progress(until))
            wait = self.pulse if until is None else max(0.0, min(self.pulse, until - self.clock.now()))
            try:
                came = await asyncio.wait_for(self._inbox.get(), wait)
            except TimeoutError:
                if until is not None and self.clock.now() >= until:
                    return Tick()
                continue
            self.ledger.seal_if_due(self.queue.in_flight)  # a lost lock is noticed before anything more is launched
            return self._take(came)

    def _progress(self, until: float | None) -> Progress:
        return Progress(
            finished=self._finished,
            in_flight=self.queue.in_flight,
            by_outcome=self._by_outcome,
            waiting_until=until,
            waiting_retries=self.queue.waiting_retries,
            probing=self._round is not None and not self._round.done(),
        )

    def _take(self, came: tuple[TrialOrder, Row] | Probed) -> Ended | Probed:
        return came if isinstance(came, Probed) else self._record(*came)

    def _record(self, order: TrialOrder, row: Row) -> Ended:
        self._place(row)
        self.ledger.append(row)
        self._by_outcome[row["outcome"]] += 1
        self._heed(self.stop(row))
        self._finished += not unfinished(row)
        platform = row["cause"] if row["cause_class"] == "platform" else None
        if platform is not None:
            with ids(trial_id=order.trial.trial_id, attempt_id=order.attempt_id):
                _log.warning("the platform ended attempt %d (%s): %s", order.attempt, platform, row["detail"])
        return Ended(order.trial.trial_id, platform, cancelled=row["outcome"] == "cancelled")

    def _heed(self, stop: Stop | None) -> None:
        if stop is not None and (self.stopped is None or (self.stopped.finish_blocks and not stop.finish_blocks)):
            _log.warning("stopping (%s): %s", stop.kind, stop.reason)
            self.stopped = stop

    def _place(self, row: Row) -> None:
        """Where in the calendar the attempt really ran."""
        began = self.calendar.at(row["t_queued"])
        ended = self.calendar.at(row["t_stopped"])
        row["actual_bucket"] = began.bucket if began else None
        row["actual_occasion"] = began.label if began else None
        row["crossed_boundary"] = began is None or ended != began

    def _launch(self, launch: Launch) -> None:
        order = self.make_order(launch, self.clock.now())
        if order.attempt > 1:
            with ids(trial_id=order.trial.trial_id, attempt_id=order.attempt_id):
                _log.info("retrying trial %s: attempt %d", order.trial.trial_id, order.attempt)
        task = asyncio.ensure_future(self.executor.run(order))
        self._tasks.add(task)
        task.add_done_callback(partial(self._over, order))

    def _over(self, order: TrialOrder, task: asyncio.Future[Row]) -> None:
        """An attempt's row into the inbox, whatever became of it; our own bugs stop the run.

        A callback, because an attempt that is cancelled before it began never runs a line of its own.
        """
        self._tasks.discard(task)
        if task.cancelled():
            row = self._lost(order, Verdict(Outcome.CANCELLED), "interrupted by the user")
        elif (error := task.exception()) is None:
            row = task.result()
        elif isinstance(error, RunnerLostError):
            row = self._lost(order, Verdict(Outcome.INFRA, Cause.RUNNER_LOST, None, CauseClass.PLATFORM), str(error))
        else:
            self._failure = error
            return
        self._inbox.put_nowait((order, row))

    def _lost(self, order: TrialOrder, verdict: Verdict, detail: str) -> Row:
        return lost_row(order, verdict, detail, self.clock.now())

    def _begin_round(self, due: Round) -> None:
        assert self.probes is not None  # noqa: S101 - a queue with probes comes with a driver that makes them
        self._round = asyncio.ensure_future(self._probe(self.probes, due))
        self._round.add_done_callback(self._round_over)

    async def _probe(self, probes: Probes, due: Round) -> None:
        """One round: its bands side by side in the slots; kept whole, or not at all where it was interrupted."""
        slots = asyncio.Semaphore(probes.slots)

        async def one(order: ProbeOrder) -> Row:
            async with slots:
                try:
                    return await self.executor.probe(replace(order, now=self.clock.now()))
                except RunnerLostError as error:
                    return lost_probe(order, Cause.RUNNER_LOST, str(error), self.clock.now())

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(order)) for order in probes.make(due, self.clock.now())]
        self.ledger.seal_if_due(self.queue.in_flight)  # a lost lock is noticed before anything is written
        probes.keep(due, [task.result() for task in tasks])

    def _round_over(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failure = error.exceptions[0] if isinstance(error, BaseExceptionGroup) else error
            return
        self._inbox.put_nowait(Probed())
