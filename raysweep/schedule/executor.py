"""Who runs attempts: the protocol, and the in-process executor (tests, `try`, and sweeps on the virtual clock)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from raysweep.clock import Clock
from raysweep.gateway import Gateway
from raysweep.log import ids
from raysweep.probe import ProbeOrder, run_probe
from raysweep.record.schema import Row
from raysweep.sandbox.protocol import SandboxProvider
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
    """Attempts as coroutines of the driver's own event loop. api_share: its part of the limits of model APIs."""

    def __init__(self, provider: SandboxProvider, clock: Clock, api_share: float = 1.0) -> None:
        self._provider = provider
        self._clock = clock
        self._seen = SeenImages()
        self._gateway = Gateway(api_share)

    async def start(self, run_id: str) -> Mapping[str, Any]:
        """As Executor.start."""
        return await self._provider.prepare(run_id)

    async def run(self, order: TrialOrder) -> Row:
        """As Executor.run."""
        with ids(trial_id=order.trial.trial_id, attempt_id=order.attempt_id):
            done = await run_attempt(order, self._provider, self._clock, seen=self._seen, gateway=self._gateway)
            if order.traces is not None:
                await write_traces(order.traces, done.traces)
        return done.row

    async def probe(self, order: ProbeOrder) -> Row:
        """As Executor.probe."""
        with ids(attempt_id=order.attempt_id):
            return await run_probe(order, self._provider, self._clock)

    async def close(self) -> None:
        """As Executor.close; every attempt removes its own sandbox."""
        await self._gateway.close()
