"""The sandbox as an agent gets it: failures of the platform are remembered, and the agent's time is a bound.

Belongs here: what an agent may ask of its sandbox, from the runner's event loop or from a thread of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine, Mapping, Sequence
from typing import Any, TypeVar

from raysweep.agent.protocol import COMMAND_ID
from raysweep.errors import SandboxError
from raysweep.record.evidence import PhaseCounters
from raysweep.sandbox.protocol import ARCHIVE_LIMIT, Admitted, ExecResult, FinalFacts, Sandbox

T = TypeVar("T")


class GuardedSandbox:
    """The sandbox of one agent, on the runner's event loop.

    end: time of the event loop at which the agent's commands end. lost: the platform failure that the sandbox met, also
    where the agent took no notice of it. busy: when commands other than the agent itself ran, spans of the event loop's
    time.
    """

    def __init__(self, inner: Sandbox, end: float) -> None:
        self.lost: SandboxError | None = None
        self.busy: list[tuple[float, float]] = []
        self._inner = inner
        self._end = end
        self._closed = False
        self._open = 0
        self._none_open = asyncio.Event()
        self._none_open.set()

    @property
    def idle(self) -> bool:
        """Whether no call is open."""
        return not self._open

    async def settled(self) -> None:
        """Return when no call is open: a command that ended in time may still have to wait for a lost stream."""
        await self._none_open.wait()

    def close(self) -> None:
        """The agent's time is over: every further call is a RuntimeError."""
        self._closed = True

    async def start(self) -> Admitted:
        """Not an agent's to call: RuntimeError."""
        raise RuntimeError("the sandbox of an agent is started already")

    async def stop(self) -> FinalFacts:
        """Not an agent's to call: RuntimeError."""
        raise RuntimeError("an agent does not stop its sandbox")

    async def begin_phase(self, phase: str) -> None:
        """Not an agent's to call: RuntimeError."""
        raise RuntimeError(f"an agent does not begin a phase ({phase})")

    async def exec(
        self,
        command_id: str,
        argv: Sequence[str],
        *,
        timeout_s: float | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        output_limit: int = 1 << 20,
    ) -> ExecResult:
        """As Sandbox.exec; no command outlives the agent's time."""
        began = asyncio.get_running_loop().time()
        left = max(0.001, self._end - began)
        bound = left if timeout_s is None else min(timeout_s, left)
        try:
            return await self._ask(
                self._inner.exec(command_id, argv, timeout_s=bound, env=env, cwd=cwd, output_limit=output_limit)
            )
        finally:
            if command_id != COMMAND_ID:
                self.busy.append((began, asyncio.get_running_loop().time()))

    async def put(self, archive: bytes, dest: str) -> None:
        """As Sandbox.put."""
        await self._ask(self._inner.put(archive, dest))

    async def get(self, path: str, *, limit: int = ARCHIVE_LIMIT) -> bytes:
        """As Sandbox.get."""
        return await self._ask(self._inner.get(path, limit=limit))

    async def counters(self) -> PhaseCounters:
        """As Sandbox.counters."""
        return await self._ask(self._inner.counters())

    async def _ask(self, call: Coroutine[Any, Any, T]) -> T:
        if self._closed:
            call.close()
            raise RuntimeError("the agent's time is over")
        self._open += 1
        self._none_open.clear()
        try:
            return await call
        except SandboxError as error:
            self.lost = self.lost or error
            raise
        finally:
            self._open -= 1
            if not self._open:
                self._none_open.set()


class FromThread:
    """A sandbox that lives on another event loop than the caller's: every call is made there and awaited here."""

    def __init__(self, inner: Sandbox, loop: asyncio.AbstractEventLoop) -> None:
        self._inner = inner
        self._loop = loop

    async def start(self) -> Admitted:
        """As Sandbox.start."""
        return await self._there(self._inner.start())

    async def stop(self) -> FinalFacts:
        """As Sandbox.stop."""
        return await self._there(self._inner.stop())

    async def begin_phase(self, phase: str) -> None:
        """As Sandbox.begin_phase."""
        await self._there(self._inner.begin_phase(phase))

    async def exec(
        self,
        command_id: str,
        argv: Sequence[str],
        *,
        timeout_s: float | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        output_limit: int = 1 << 20,
    ) -> ExecResult:
        """As Sandbox.exec."""
        return await self._there(
            self._inner.exec(command_id, argv, timeout_s=timeout_s, env=env, cwd=cwd, output_limit=output_limit)
        )

    async def put(self, archive: bytes, dest: str) -> None:
        """As Sandbox.put."""
        await self._there(self._inner.put(archive, dest))

    async def get(self, path: str, *, limit: int = ARCHIVE_LIMIT) -> bytes:
        """As Sandbox.get."""
        return await self._there(self._inner.get(path, limit=limit))

    async def counters(self) -> PhaseCounters:
        """As Sandbox.counters."""
        return await self._there(self._inner.counters())

    async def _there(self, call: Awaitable[T]) -> T:
        async def made() -> T:
            return await call

        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(made(), self._loop))
