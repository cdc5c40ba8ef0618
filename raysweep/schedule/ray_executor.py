"""Runners as a few async Ray actors that each run many attempts; with ray_embedded all of execution that imports ray.

Nothing is retried here: an actor that dies gives RunnerLostError for each attempt it had in flight, a new actor takes
its place, and the queue decides. That a rerun is always a new row is the point: silent retries would erase the noise
that is being measured. Of Ray's own processes none is replaced: the command ends, resumable.
"""

from __future__ import annotations

import asyncio
import logging
import pickle
from collections.abc import Mapping
from typing import Any

from raysweep.config.model import actor_layout
from raysweep.errors import IncompleteError, RaysweepError
from raysweep.probe import ProbeOrder
from raysweep.record.kept import KeptTasks
from raysweep.record.logs import RunLog
from raysweep.record.place import Remote
from raysweep.record.schema import Row
from raysweep.schedule.executor import RunnerLostError
from raysweep.schedule.ray_embedded import WATCH_S, EmbeddedRay, init_ray
from raysweep.schedule.ray_runner import Order, ProviderFactory, Reply, Runner
from raysweep.schedule.ray_tasks import InObjectStore
from raysweep.tasks.copies import Fetch
from raysweep.trial.order import TrialOrder

_log = logging.getLogger(__name__)

STARTS = 3
"""How often a lost actor's successor is started before the run gives up."""


class _Slot:
    """The driver's side of one actor: what waits to be sent, and who waits for a reply."""

    def __init__(self, actor: Any) -> None:
        self.actor = actor
        self.waiting: dict[str, asyncio.Future[Row]] = {}
        self.reader: asyncio.Task[None] | None = None
        self._outgoing: list[Order] = []
        self._sent: set[asyncio.Future[None]] = set()

    def submit(self, order: Order) -> asyncio.Future[Row]:
        """Send an order with all others of this turn of the event loop; the future gets its row."""
        loop = asyncio.get_running_loop()
        if not self._outgoing:
            loop.call_soon(self._flush)
        self._outgoing.append(order)
        future = self.waiting[order.attempt_id] = loop.create_future()
        return future

    async def cancel(self, order: Order) -> None:
        """Cancel an attempt: at once where it was not sent yet, else its future ends when the actor replies.

        Calls of an async actor may begin in another order than they were sent in (a large argument takes longer to
        arrive), so the cancellation goes out only once the actor has said that it took what came before.
        """
        if order in self._outgoing:
            self._outgoing.remove(order)
            self.waiting.pop(order.attempt_id).cancel()
            return
        if self._sent:
            await asyncio.wait(set(self._sent))
        self.actor.cancel.remote(order.attempt_id)

    def _flush(self) -> None:
        orders, self._outgoing = self._outgoing, []
        if orders:
            sent = asyncio.ensure_future(self._accepted(self.actor.take.remote(pickle.dumps(orders)), orders))
            self._sent.add(sent)
            sent.add_done_callback(self._sent.discard)

    async def _accepted(self, reference: Any, orders: list[Order]) -> None:
        import ray  # noqa: PLC0415 - as in RayExecutor.start

        try:
            await reference
        except ray.exceptions.RayTaskError as error:  # it could not read them
            self.resolve([(order.attempt_id, None, error) for order in orders])
        except ray.exceptions.RayError:
            return  # a dead actor is the reader's news

    def resolve(self, replies: list[Reply]) -> None:
        """Hand out what came back."""
        for name, row, error in replies:
            future = self.waiting.pop(name, None)
            if future is None or future.done():
                continue
            if row is not None:
                future.set_result(row)
            elif isinstance(error, asyncio.CancelledError):
                future.cancel()
            else:
                future.set_exception(error or RuntimeError("a runner replied nothing"))

    def fail(self, error: Exception) -> None:
        """Everything in flight here is lost."""
        for future in self.waiting.values():
            if not future.done():
                future.set_exception(error)
        self.waiting.clear()


class RayExecutor:
    """A pool of actors on an embedded Ray, or on the cluster that RAY_ADDRESS names.

    Orders and rows travel in batches: all orders of one turn of the event loop in one call, all rows that are ready
    in one reply to a call that waits for them. A slow trial pays nothing for it, thousands of short ones share the
    cost of a Ray call (see benchmarks/engine.py).

    concurrency: trial slots over all actors. actors: how many; `config.model.actor_layout` says the rest.
    log: where runners log; None where they do not. kept: the tasks of the run; None: each lies where its order says, on
    every node.
    """

    def __init__(
        self,
        factory: ProviderFactory,
        concurrency: int,
        actors: int | None = None,
        log: RunLog | None = None,
        kept: KeptTasks | None = None,
    ) -> None:
        self._log, self._kept = log, kept
        self._fetch: Fetch | None = None
        self._count, self._per_actor = actor_layout(concurrency, actors)
        self._factory = factory
        self._slots: list[_Slot] = []
        self._lost: list[_Slot] = []  # whose successors are being started
        self._run_id = ""
        self._made = 0
        self._embedded: EmbeddedRay | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._broken: Exception | None = None

    async def start(self, run_id: str) -> Mapping[str, Any]:
        """As Executor.start; starts an embedded Ray unless one is initialised or RAY_ADDRESS is set.

        Comes again after `release`.
        """
        import ray  # noqa: PLC0415 - 0.6 s that only a run should pay

        self._run_id = run_id
        if not ray.is_initialized():
            self._embedded = EmbeddedRay() if init_ray(self._per_actor * self._count) else None
        self._fetch = self._fetch or self._fetching()
        self._slots = [_Slot(self._new_actor()) for _ in range(self._count)]
        if self._embedded is not None and self._watcher is None:
            self._watcher = asyncio.ensure_future(self._watch(self._embedded))
        facts = await self._unless_broken(asyncio.gather(*(slot.actor.start.remote(run_id) for slot in self._slots)))
        for slot in self._slots:
            slot.reader = asyncio.ensure_future(self._read(slot))
        return {**facts[0], "ray": ray.__version__, "runners": self._count}

    def _fetching(self) -> Fetch | None:
        """How runners get tasks: from the run's own store where all of them see it, else from Ray's."""
        if self._kept is None or self._embedded is not None or isinstance(self._kept.run, Remote):
            return self._kept
        return InObjectStore(self._kept)

    def _new_actor(self) -> Any:
        import ray  # noqa: PLC0415 - as above

        self._made += 1
        remote = ray.remote(Runner).options(
            num_cpus=0,
            resources={"trial_slots": self._per_actor},
            max_concurrency=self._per_actor + 8,  # the waiting reader and cancellations never queue behind orders
            max_restarts=0,
            max_task_retries=0,
        )
        _log.info("starting runner-%d with %d slots", self._made, self._per_actor)
        return remote.remote(self._factory, f"runner-{self._made}", self._log, 1.0 / self._count, self._fetch)

    async def run(self, order: TrialOrder) -> Row:
        """As Executor.run, on the least loaded actor."""
        return await self._send(order)

    async def probe(self, order: ProbeOrder) -> Row:
        """As Executor.probe, on the least loaded actor."""
        return await self._send(order)

    async def _send(self, order: Order) -> Row:
        if self._broken is not None:
            raise self._broken
        slot = min(self._slots, key=lambda s: len(s.waiting))
        future = slot.submit(order)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            if not future.done():  # we are cancelled: cancel inside the actor and wait until the sandbox is gone
                await slot.cancel(order)
                await asyncio.wait([future])
            if future.cancelled() or future.exception() is not None:
                raise
            return future.result()  # it had ended already: what was measured is kept

    async def _read(self, slot: _Slot) -> None:
        """Take replies from one actor until it dies; then another takes its place."""
        import ray  # noqa: PLC0415 - as above

        try:
            while True:
                slot.resolve(pickle.loads(await slot.actor.results.remote()))  # noqa: S301 - from our own runner
        except ray.exceptions.RayTaskError as error:
            self._break(error, slot)
        except ray.exceptions.RayError as error:
            await self._replace(slot, str(error).splitlines()[0])
        except Exception as error:  # noqa: BLE001 - nobody awaits a reader: what is wrong goes to those who wait
            self._break(error, slot)

    async def _unless_broken(self, started: asyncio.Future[Any]) -> Any:
        """What the runners say once they are ready; IncompleteError where Ray or one of them died before that."""
        import ray  # noqa: PLC0415 - as in start

        watching = {self._watcher} if self._watcher is not None else set()
        await asyncio.wait({started, *watching}, return_when=asyncio.FIRST_COMPLETED)
        if self._broken is not None:
            started.cancel()
            raise self._broken
        try:
            return await started
        except ray.exceptions.RayTaskError as error:  # what the runner itself raised; Ray's message is a traceback
            _log.warning("a runner could not start", exc_info=error)
            if isinstance(error.cause, RaysweepError):
                raise error.cause from None
            raise
        except ray.exceptions.RayError as error:
            told = str(error).splitlines()[0]
            raise IncompleteError(f"a runner died while it started ({told}); the same command resumes") from error

    async def _watch(self, embedded: EmbeddedRay) -> None:
        """End the run where a process of the embedded Ray died: Ray itself waits for it for ever, and says nothing."""
        while (dead := embedded.dead_process()) is None:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(WATCH_S)
        error = IncompleteError(
            f"Ray's {dead[0]} (process {dead[1]}) ended, and with it every runner; nothing sealed is lost. If the "
            "kernel ended it for want of memory, lower runner.concurrency; the same command resumes"
        )
        self._break(error, *self._slots, *self._lost)

    async def _replace(self, slot: _Slot, why: str) -> None:
        """A new actor in the place of a lost one, ready before the lost attempts are told, as they may come again.

        It takes the place at once, so that no order goes to the lost one meanwhile.
        """
        import ray  # noqa: PLC0415 - as above

        _log.error("lost a runner with %d attempts: %s; starting another", len(slot.waiting), why)
        # Unavailable is not dead: what may still run there must not go on beside its own second attempt.
        ray.kill(slot.actor)
        fresh = _Slot(self._new_actor())
        self._slots[self._slots.index(slot)] = fresh
        self._lost.append(slot)
        for left in reversed(range(STARTS)):
            try:
                await fresh.actor.start.remote(self._run_id)
            except ray.exceptions.RayError as error:
                if left == 0 or isinstance(error, ray.exceptions.RayTaskError):
                    self._break(error, slot, fresh)
                    return
                _log.error("its successor was lost, too: %s", error)
                fresh.actor = self._new_actor()
            else:
                break
        fresh.reader = asyncio.ensure_future(self._read(fresh))
        self._lost.remove(slot)
        slot.fail(RunnerLostError(why))

    def _break(self, error: Exception, *slots: _Slot) -> None:
        """No runner can be had any more: whoever waits, or comes later, is told why."""
        _log.error("no runner can be had any more: %s", error)
        self._broken = error
        for slot in slots:
            slot.fail(error)

    async def close(self) -> None:
        """As Executor.close; an embedded Ray is shut down, a cluster is left as it was."""
        if self._watcher is not None:
            self._watcher.cancel()
        await self.release()
        if self._embedded is not None:
            self._embedded.end()

    async def release(self) -> None:
        """End all runners, none of which has an attempt, and leave Ray as it is: a live actor keeps its node up."""
        import ray  # noqa: PLC0415 - as above

        _log.info("ending %d runners", len(self._slots))
        for slot in (*self._slots, *self._lost):
            if slot.reader is not None:
                slot.reader.cancel()
            ray.kill(slot.actor)
        self._slots, self._lost = [], []
