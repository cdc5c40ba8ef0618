"""The asyncio shell around the queue: launches what it says, writes what comes back, stops when told.

It decides nothing about trials. Bounded: never more attempts in flight than the queue's capacity.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from raysweep.clock import Clock
from raysweep.record.evidence import Verdict
from raysweep.record.ledger import LedgerWriter
from raysweep.record.resume import unfinished
from raysweep.record.schema import Row
from raysweep.schedule.calendar import Calendar
from raysweep.schedule.executor import Executor, RunnerLostError
from raysweep.schedule.queue import Ended, Event, Halt, Launch, Queue, Sleep, Tick
from raysweep.trial.attempt import lost_row
from raysweep.trial.order import TrialOrder

PULSE_S = 0.25
"""How often, while nothing else happens, segments are sealed, the heartbeat renewed and progress shown."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Where the run is: trials finished and attempts by outcome in this process, and what is in flight."""

    finished: int
    in_flight: int
    by_outcome: Counter[str]
    waiting_until: float | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """How a run ended. missing: planned blocks without a complete run; stopped: why it was stopped early, if so."""

    missing: int
    stopped: str | None = None
    interrupted: bool = False


@dataclass(slots=True)
class Driver:
    """One run of a sweep. `make_order` turns a launch into an order; `stop` is asked after every attempt."""

    queue: Queue
    executor: Executor
    ledger: LedgerWriter
    calendar: Calendar
    clock: Clock
    make_order: Callable[[Launch, float], TrialOrder]
    observe: Callable[[Progress], None] = lambda _: None
    stop: Callable[[Row], str | None] = lambda _: None
    pulse: float = PULSE_S
    _inbox: asyncio.Queue[tuple[TrialOrder, Row]] = field(default_factory=asyncio.Queue)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _by_outcome: Counter[str] = field(default_factory=Counter)
    _finished: int = 0
    _stopped: str | None = None
    _halted: bool = False
    _interrupted: bool = False
    _failure: BaseException | None = None

    async def run(self) -> Result:
        """Drive the queue to its end. LockLostError when another writer took over; what ran is then stopped."""
        try:
            missing = await self._loop()
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            while not self._inbox.empty():
                self._record(*self._inbox.get_nowait())
            self.ledger.seal()
        return Result(missing, self._stopped, self._interrupted)

    def interrupt(self) -> None:
        """Stop cleanly: in flight is cancelled and recorded as cancelled; safe to call from a signal handler."""
        self._interrupted = True
        self._stopped = self._stopped or "interrupted"
        for task in self._tasks:
            task.cancel()

    async def _loop(self) -> int:
        event: Event = Tick()
        while True:
            until = None
            for instruction in self.queue.handle(event, self.clock.now()):
                if isinstance(instruction, Launch):
                    self._launch(instruction)
                elif isinstance(instruction, Sleep):
                    until = instruction.until
                else:
                    return instruction.missing
            event = await self._next_event(until)

    async def _next_event(self, until: float | None) -> Event:
        """The next attempt that ended, a halt, or a tick when `until` has come."""
        while True:
            if self._failure is not None:
                raise self._failure
            if self._stopped is not None and not self._halted:
                self._halted = True
                return Halt(finish_blocks=not self._interrupted)
            if self._inbox.empty():
                self.observe(Progress(self._finished, self.queue.in_flight, self._by_outcome, until))
            wait = self.pulse if until is None else max(0.0, min(self.pulse, until - self.clock.now()))
            try:
                order, row = await asyncio.wait_for(self._inbox.get(), wait)
            except TimeoutError:
                self.ledger.seal_if_due(self.queue.in_flight)
                if until is not None and self.clock.now() >= until:
                    return Tick()
                continue
            self.ledger.seal_if_due(self.queue.in_flight)
            return self._record(order, row)

    def _record(self, order: TrialOrder, row: Row) -> Ended:
        self._place(row)
        self.ledger.append(row)
        self._by_outcome[row["outcome"]] += 1
        self._stopped = self._stopped or self.stop(row)
        self._finished += not unfinished(row)
        platform = row["cause"] if row["cause_class"] == "platform" else None
        return Ended(order.trial.trial_id, platform, cancelled=row["outcome"] == "cancelled")

    def _place(self, row: Row) -> None:
        """Where in the calendar the attempt really ran."""
        began = self.calendar.at(row["t_queued"])
        ended = self.calendar.at(row["t_stopped"])
        row["actual_bucket"] = began.bucket if began else None
        row["actual_occasion"] = began.label if began else None
        row["crossed_boundary"] = began is None or ended != began

    def _launch(self, launch: Launch) -> None:
        order = self.make_order(launch, self.clock.now())
        task = asyncio.ensure_future(self._attempt(order))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _attempt(self, order: TrialOrder) -> None:
        """One attempt to a row in the inbox, whatever becomes of it; our own bugs stop the run."""
        try:
            row = await self.executor.run(order)
        except RunnerLostError as error:
            row = self._lost(order, Verdict("infra", "runner_lost", None, "platform"), str(error))
        except asyncio.CancelledError:
            row = self._lost(order, Verdict("cancelled"), "interrupted by the user")
        except Exception as error:  # noqa: BLE001 - kept and raised by the loop, which stops the run
            self._failure = error
            return
        self._inbox.put_nowait((order, row))

    def _lost(self, order: TrialOrder, verdict: Verdict, detail: str) -> Row:
        return lost_row(order, verdict, detail, self.clock.now())
