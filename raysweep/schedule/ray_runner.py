"""What runs inside a Ray actor: an in-process executor, fed and emptied in batches. Ray itself is not imported here."""

from __future__ import annotations

import asyncio
import logging
import os
import pickle
import socket
import traceback
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

from raysweep.clock import SystemClock
from raysweep.probe import ProbeOrder
from raysweep.record.logs import RunLog
from raysweep.record.schema import Row
from raysweep.sandbox.protocol import SandboxProvider
from raysweep.schedule.executor import InProcessExecutor
from raysweep.tasks.copies import Fetch, TaskCopies
from raysweep.trial.order import TrialOrder

_log = logging.getLogger(__name__)

ProviderFactory = Callable[[str], SandboxProvider]
"""Makes the runner's own provider from the runner's name; must be picklable."""

Order: TypeAlias = TrialOrder | ProbeOrder

Reply = tuple[str, Row | None, BaseException | None]
"""Attempt id, and its row or what was raised instead."""


class Runner:
    """What runs inside an actor: an in-process executor of its own, fed and emptied in batches."""

    def __init__(
        self,
        factory: ProviderFactory,
        name: str,
        log: RunLog | None = None,
        api_share: float = 1.0,
        fetch: Fetch | None = None,
    ) -> None:
        self._handler = None if log is None else log.begin(name)
        copies = None if fetch is None else TaskCopies(fetch)
        self._executor = InProcessExecutor(factory(name), SystemClock(), api_share, copies)
        self._tasks: dict[str, asyncio.Task[Row]] = {}
        self._outbox: list[Reply] = []
        self._filled = asyncio.Event()
        self._ready = asyncio.Event()

    async def start(self, run_id: str) -> dict[str, Any]:
        """Prepare the sandboxes' common ground on this node; attempts that came before wait for it."""
        facts = {**await self._executor.start(run_id), "runner_pid": os.getpid()}
        _log.info("ready on node %s", facts.get("name") or socket.gethostname())
        self._ready.set()
        return facts

    async def take(self, orders: bytes) -> None:
        """Begin these attempts (a pickled list of orders) and return at once."""
        for order in pickle.loads(orders):  # noqa: S301 - from our own driver
            _log.debug("beginning attempt %s", order.attempt_id)
            task = self._tasks[order.attempt_id] = asyncio.ensure_future(self._one(order))
            task.add_done_callback(partial(self._over, order.attempt_id))

    async def _one(self, order: Order) -> Row:
        await self._ready.wait()
        if isinstance(order, ProbeOrder):
            return await self._executor.probe(order)
        return await self._executor.run(order)

    def _over(self, name: str, task: asyncio.Task[Row]) -> None:
        """A reply whatever became of the attempt; a callback, as one cancelled before it began runs no line."""
        del self._tasks[name]
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if error is not None and not task.cancelled():
            _log.error("attempt %s ended in an error of ours", name, exc_info=error)
        if self._handler is not None and not self._tasks:
            self._handler.flush()
        self._outbox.append((name, None, _portable(error)) if error is not None else (name, task.result(), None))
        self._filled.set()

    async def results(self) -> bytes:
        """Wait for at least one attempt to end; a pickled list of the replies of all that have."""
        await self._filled.wait()
        self._filled.clear()
        replies, self._outbox = self._outbox, []
        return pickle.dumps(replies)

    async def cancel(self, attempt_id: str) -> None:
        """Cancel an attempt; its reply comes once its sandbox is gone."""
        task = self._tasks.get(attempt_id)
        if task is not None:
            task.cancel()


def _portable(error: BaseException) -> BaseException:
    """The error as it can travel, with its traceback as a note."""
    trace = "".join(traceback.format_exception(error))
    try:
        told: BaseException = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    except Exception:  # noqa: BLE001 - exceptions of libraries fail here in every way
        told = RuntimeError(f"{type(error).__name__}: {error}")
    told.add_note(f"in a runner:\n{trace}")
    return told
