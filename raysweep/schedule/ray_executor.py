"""Runners as a few async Ray actors that each run many attempts; the only module of execution that imports ray.

Nothing is retried here: an actor that dies gives RunnerLostError for each attempt it had in flight, a new actor takes
its place, and the queue decides. That a rerun is always a new row is the point: silent retries would erase the noise
that is being measured.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Mapping
from typing import Any

from raysweep.clock import SystemClock
from raysweep.record.schema import Row
from raysweep.sandbox.protocol import SandboxProvider
from raysweep.schedule.executor import InProcessExecutor, RunnerLostError
from raysweep.trial.order import TrialOrder

MAX_PER_ACTOR = 64
"""Attempts in flight per actor; far below the 1,000 at which calls begin to queue silently."""

ProviderFactory = Callable[[str], SandboxProvider]
"""Makes the runner's own provider from the runner's name; must be picklable."""


class Runner:
    """What runs inside an actor: an in-process executor of its own."""

    def __init__(self, factory: ProviderFactory, name: str) -> None:
        self._executor = InProcessExecutor(factory(name), SystemClock())

    async def start(self, run_id: str) -> dict[str, Any]:
        """Prepare the sandboxes' common ground on this node."""
        return {**await self._executor.start(run_id), "runner_pid": os.getpid()}

    async def run(self, order: TrialOrder) -> Row:
        """One attempt to its row."""
        return await self._executor.run(order)


class _Slot:
    """One actor and how many attempts it has in flight."""

    def __init__(self, actor: Any) -> None:
        self.actor = actor
        self.load = 0
        self.lost = False


class RayExecutor:
    """A pool of actors on an embedded Ray, or on the cluster that RAY_ADDRESS names.

    concurrency: trial slots over all actors. actors: how many, by default two, or more where each would hold more
    than MAX_PER_ACTOR.
    """

    def __init__(self, factory: ProviderFactory, concurrency: int, actors: int | None = None) -> None:
        wanted = actors or max(2, -(-concurrency // MAX_PER_ACTOR))
        self._count = min(concurrency, wanted)
        self._per_actor = -(-concurrency // self._count)
        self._factory = factory
        self._slots: list[_Slot] = []
        self._run_id = ""
        self._made = 0
        self._embedded = False

    async def start(self, run_id: str) -> Mapping[str, Any]:
        """As Executor.start; starts an embedded Ray unless one is initialised or RAY_ADDRESS is set."""
        import ray  # noqa: PLC0415 - 0.6 s that only a run should pay

        self._run_id = run_id
        if not ray.is_initialized():
            init_ray(self._per_actor * self._count)
            self._embedded = True
        self._slots = [_Slot(self._new_actor()) for _ in range(self._count)]
        facts = await asyncio.gather(*(slot.actor.start.remote(run_id) for slot in self._slots))
        return {**facts[0], "ray": ray.__version__, "runners": self._count}

    def _new_actor(self) -> Any:
        import ray  # noqa: PLC0415 - as above

        self._made += 1
        remote = ray.remote(Runner).options(
            num_cpus=0,
            resources={"trial_slots": self._per_actor},
            max_concurrency=self._per_actor + 2,  # start and bookkeeping calls never wait behind attempts
            max_restarts=0,
            max_task_retries=0,
        )
        return remote.remote(self._factory, f"runner-{self._made}")

    async def run(self, order: TrialOrder) -> Row:
        """As Executor.run, on the least loaded actor."""
        import ray  # noqa: PLC0415 - as above

        slot = min(self._slots, key=lambda s: s.load)
        slot.load += 1
        reference = slot.actor.run.remote(order)
        try:
            row: Row = await reference
        except ray.exceptions.RayTaskError:
            raise
        except ray.exceptions.RayError as error:
            await self._replace(slot)
            raise RunnerLostError(str(error).splitlines()[0]) from error
        except asyncio.CancelledError:
            await self._cancel(reference)
            raise
        else:
            return row
        finally:
            slot.load -= 1

    async def _cancel(self, reference: Any) -> None:
        """Cancel inside the actor and wait until the sandbox is gone."""
        import ray  # noqa: PLC0415 - as above

        ray.cancel(reference)
        try:
            await reference
        except (ray.exceptions.RayError, asyncio.CancelledError):
            return

    async def _replace(self, slot: _Slot) -> None:
        """Put a new actor in the place of a dead one; of several attempts that notice, one does it."""
        if slot.lost:
            return
        slot.lost = True
        fresh = _Slot(self._new_actor())
        self._slots[self._slots.index(slot)] = fresh
        await fresh.actor.start.remote(self._run_id)

    async def close(self) -> None:
        """As Executor.close; an embedded Ray is shut down, a cluster is left as it was."""
        import ray  # noqa: PLC0415 - as above

        for slot in self._slots:
            ray.kill(slot.actor)
        self._slots = []
        if self._embedded:
            ray.shutdown()


def init_ray(trial_slots: int) -> None:
    """Join the cluster of RAY_ADDRESS, or start an embedded Ray with `trial_slots` slots on this machine."""
    # Usage reports, the dashboard and Ray's own memory killer would all be noise in a measurement.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_memory_monitor_refresh_ms", "0")
    os.environ.setdefault("RAY_DISABLE_IMPORT_WARNING", "1")
    embedded = "RAY_ADDRESS" not in os.environ
    if embedded:
        os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    import ray  # noqa: PLC0415 - after its environment is set

    if not embedded:
        ray.init(log_to_driver=False)
        return
    ray.init(
        address="local",
        resources={"trial_slots": trial_slots},
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        object_store_memory=100_000_000,
    )
