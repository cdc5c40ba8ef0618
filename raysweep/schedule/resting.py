"""Letting runners go while no window is open for long, so that their nodes can scale down, and having them back.

Belongs here: when runners are released and started again. Does not: how (the executor), what a window is (the queue).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from raysweep.clock import Clock
from raysweep.probe import ProbeOrder
from raysweep.record.schema import Row
from raysweep.schedule.executor import Executor
from raysweep.trial.order import TrialOrder

_log = logging.getLogger(__name__)

GAP_S = 600.0
"""A shorter rest is not worth new runners: autoscalers wait about as long before they take an idle node away."""
LEAD_S = 180.0
"""So long before a window opens runners are started again: a new node of a cluster takes a minute or three."""
LOOK_S = 30.0
"""How often the wall clock is looked at while nothing runs: it may be set, or the machine may sleep."""


class Releasable(Executor, Protocol):
    """An executor whose runners can be let go in between."""

    async def release(self) -> None:
        """End all runners; nothing is in flight. `start` makes new ones."""
        ...


class Resting:
    """An executor that has no runners while it rests. cleared: called once they are gone, for what they leave."""

    def __init__(
        self,
        inner: Releasable,
        clock: Clock,
        cleared: Callable[[], Awaitable[object]],
        *,
        gap_s: float = GAP_S,
        lead_s: float = LEAD_S,
    ) -> None:
        self._inner, self._clock, self._cleared = inner, clock, cleared
        self._gap_s, self._lead_s = gap_s, lead_s
        self._run_id = ""
        self._wanted = asyncio.Event()
        self._waking: asyncio.Task[None] | None = None

    async def start(self, run_id: str) -> Mapping[str, Any]:
        """As Executor.start."""
        self._run_id = run_id
        return await self._inner.start(run_id)

    async def rest(self, until: float) -> None:
        """Nothing is in flight, and nothing will be asked for before `until` (epoch seconds): let runners go."""
        if self._waking is not None and not self._waking.done():
            return
        if self._waking is not None:
            self._waking.result()  # runners that could not be had are told of before the next rest
        if until - self._clock.now() <= self._gap_s:
            return
        _log.info("no window for %.0f s: runners are let go until then", until - self._clock.now())
        await self._inner.release()
        self._wanted.clear()
        self._waking = asyncio.ensure_future(self._wake(until - self._lead_s))
        await self._cleared()

    async def _wake(self, moment: float) -> None:
        """New runners at `moment`, or as soon as an order comes."""
        while not self._wanted.is_set() and (left := moment - self._clock.now()) > 0:
            try:
                await asyncio.wait_for(self._wanted.wait(), min(left, LOOK_S))
            except TimeoutError:
                continue
        await self._inner.start(self._run_id)

    async def _awake(self) -> None:
        if self._waking is None:
            return
        self._wanted.set()
        waking = self._waking
        await asyncio.shield(waking)
        if self._waking is waking:
            self._waking = None

    async def run(self, order: TrialOrder) -> Row:
        """As Executor.run."""
        await self._awake()
        return await self._inner.run(order)

    async def probe(self, order: ProbeOrder) -> Row:
        """As Executor.probe."""
        await self._awake()
        return await self._inner.probe(order)

    async def close(self) -> None:
        """As Executor.close."""
        if self._waking is not None:
            self._waking.cancel()
            await asyncio.gather(self._waking, return_exceptions=True)
        await self._inner.close()
