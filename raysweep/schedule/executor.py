"""Who runs attempts: the protocol, and the in-process executor (tests, `try`, and sweeps on the virtual clock)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol

from raysweep.clock import Clock, VirtualClock
from raysweep.gateway import Gateway
from raysweep.log import ids
from raysweep.probe import ProbeOrder, run_probe
from raysweep.record.schema import Row
from raysweep.sandbox.protocol import SandboxProvider
from raysweep.tasks.copies import TaskCopies
from raysweep.trial.attempt import run_attempt
from raysweep.trial.images import SeenImages
from raysweep.trial.order import TrialOrder
from raysweep.trial.traces import write_traces


class RunnerLostError(Exception):
    """The runner died with the attempt; what became of the attempt is unknown, it has no row of its own."""


class Executor(Protocol):
    """Runs attempts, up to a bound that the queue already respects."""

    async def start(self, run_id: str) -> Mapping[str, Any]:
        """Make ready; returns facts of the node(s). UnsuitableError when the machine cannot enforce the bands."""
        ...

    async def run(self, order: TrialOrder) -> Row:
        """One attempt to its row. RunnerLostError when the runner died.

        Cancelling removes the sandbox first; an attempt that had ended by then still gives its row.
        """
        ...

    async def probe(self, order: ProbeOrder) -> Row:
        """One enforcement probe to its row (columns of record.probes); as `run` in all else."""
        ...

    async def close(self) -> None:
        """End all runners; the driver's owner removes what dead ones left (`gc`)."""
        ...


class InProcessExecutor:
    """Attempts as coroutines of the driver's own event loop.

    api_share: its part of the limits of model APIs. copies: where the tasks that a run keeps lie on this machine; None:
    each task lies where its order says.
    """

    def __init__(
        self, provider: SandboxProvider, clock: Clock, api_share: float = 1.0, copies: TaskCopies | None = None
    ) -> None:
        self._provider = provider
        self._clock = clock
        self._copies = copies
        self._seen = SeenImages()
        self._gateway = Gateway(api_share)

    async def start(self, run_id: str) -> Mapping[str, Any]:
        """As Executor.start."""
        return await self._provider.prepare(run_id)

    async def run(self, order: TrialOrder) -> Row:
        """As Executor.run."""
        with ids(trial_id=order.trial.trial_id, attempt_id=order.attempt_id):
            order = await self._with_copy(order)
            done = await run_attempt(order, self._provider, self._clock, seen=self._seen, gateway=self._gateway)
            if order.traces is not None:
                await write_traces(order.traces, done.traces)
        return done.row

    async def _with_copy(self, order: TrialOrder) -> TrialOrder:
        """The order with the run's own copy of its task, on this machine."""
        task = order.task
        if self._copies is None or task.path is None:
            return order
        if isinstance(self._clock, VirtualClock):  # waits for no thread
            folder = self._copies.folder(task.digest)
        else:
            folder = await asyncio.to_thread(self._copies.folder, task.digest)
        return replace(order, task=replace(task, path=str(folder)))

    async def probe(self, order: ProbeOrder) -> Row:
        """As Executor.probe."""
        with ids(attempt_id=order.attempt_id):
            return await run_probe(order, self._provider, self._clock)

    async def close(self) -> None:
        """As Executor.close; every attempt removes its own sandbox."""
        await self._gateway.close()
