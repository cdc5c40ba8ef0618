"""A driver on a run directory of its own, composed as the command line composes it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from raysweep import config
from raysweep.clock import Clock, VirtualClock
from raysweep.plan import make_plan
from raysweep.record.ledger import LedgerWriter
from raysweep.record.lock import LocalLock
from raysweep.record.probes import read_probes, rounds_done
from raysweep.record.reader import read_attempts
from raysweep.record.resume import sweep_state, unfinished
from raysweep.record.schema import COLUMNS
from raysweep.record.store import LocalStore
from raysweep.schedule.driver import Driver, Result
from raysweep.schedule.executor import Executor, InProcessExecutor
from raysweep.schedule.messages import Launch
from raysweep.schedule.probing import ProbeBook
from raysweep.schedule.queue import Queue
from raysweep.study import compose, load
from raysweep.tasks.load import load_tasks

ANCHOR = 1_000_000.0
HANGS_S = 10_000.0
"""Far beyond the end of any of these sweeps, on the clock they run on: a driver that hangs fails its test."""
STABLE = [c.name for c in COLUMNS if not c.timing]


@dataclass
class Rig:
    """A sweep and its run directory; `drive` is one process's worth of it, and can be called again to resume."""

    path: Path
    text: str
    run_id: str = "run-rig"
    round_s: float | None = None  # of a round of probes; None for no probes
    launched: list[Launch] = field(default_factory=list)
    driver: Driver | None = None

    def __post_init__(self) -> None:
        sweep = config.parse(self.text)
        tasks = load_tasks(sweep.tasks.source, base=Path())
        self.study = load.Study(sweep, {t.name: t for t in tasks}, make_plan(sweep, tasks))
        self.path.mkdir(parents=True, exist_ok=True)
        self.store = LocalStore(self.path)
        self.lock: LocalLock | None = None

    @property
    def sweep(self):
        return self.study.sweep

    def drive(self, *, wrap=lambda executor: executor, begin=lambda _: None, clock=None, **options: Any) -> Result:
        """One run to its end. wrap: around the executor; begin: told the driver once it is made, on its loop."""
        clock = clock or VirtualClock(max(ANCHOR, self.state().last))
        inner = InProcessExecutor(compose.recipe(self.sweep)("driver", clock), clock)
        main = self.session(clock, wrap(inner), begin, **options)
        return clock.run(main) if isinstance(clock, VirtualClock) else asyncio.run(main)

    async def session(self, clock: Clock, executor: Executor, begin, **options: Any) -> Result:
        self.lock = LocalLock(self.path, self.store, clock)
        self.lock.acquire({})
        ledger = LedgerWriter(self.store, self.lock, clock)
        try:
            await executor.start(self.run_id)
            calendar = compose.calendar(self.sweep, ANCHOR)
            self.driver = Driver(
                queue=self.queue(clock, calendar),
                executor=executor,
                ledger=ledger,
                calendar=calendar,
                clock=clock,
                make_order=self.noting(compose.Orders(self.study, self.run_id, calendar, None)),
                **options,
            )
            begin(self.driver)
            async with asyncio.timeout(HANGS_S):
                return await self.driver.run()
        finally:
            await executor.close()
            ledger.close()
            self.lock.release()

    def queue(self, clock: Clock, calendar) -> Queue:
        return Queue(
            self.study.plan.blocks,
            calendar,
            capacity=self.sweep.runner.concurrency,
            caps=self.sweep.platform_retries,
            reruns=self.sweep.block_reruns,
            now=clock.now(),
            last_planned_date=self.sweep.dates,
            makeup_dates=self.sweep.buckets.makeup_dates if self.sweep.buckets else 0,
            restored=self.state(),
            probes=self.book(),
        )

    def book(self) -> ProbeBook | None:
        return ProbeBook(self.round_s, rounds_done(read_probes(self.store))) if self.round_s is not None else None

    def noting(self, orders: compose.Orders):
        def make(launch: Launch, now: float):
            self.launched.append(launch)
            return orders(launch, now)

        return make

    def state(self):
        return sweep_state(read_attempts(self.store), len(self.study.plan.blocks[0].trials))

    def rows(self) -> list[dict[str, Any]]:
        """All attempts, by trial and attempt."""
        rows = read_attempts(self.store).to_pylist()
        return sorted(rows, key=lambda r: (r["trial_id"], r["attempt"]))

    def stable_rows(self) -> list[dict[str, Any]]:
        return [{name: row[name] for name in STABLE} for row in self.rows()]

    def finished(self) -> list[str]:
        """Trials of all attempts that ended for good, one entry per attempt."""
        return [row["trial_id"] for row in self.rows() if not unfinished(row)]

    def planned(self) -> list[str]:
        return sorted(t.trial_id for b in self.study.plan.blocks for t in b.trials)
