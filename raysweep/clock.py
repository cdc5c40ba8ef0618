"""Time as an argument: the system's clock, and a virtual one on which days pass in milliseconds.

The virtual clock is an asyncio event loop whose select() jumps to the next timer instead of waiting, so the real
driver, queue and ledger run on it unchanged. It suits work that only sleeps (the simulated sandbox), never real I/O.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Coroutine
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Clock(Protocol):
    """Wall time in seconds since the epoch (UTC) and a monotonic time in seconds of any origin."""

    def now(self) -> float:
        """Wall time, seconds since the epoch."""
        ...

    def monotonic(self) -> float:
        """Monotonic time in seconds."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now(self) -> float:
        """Wall time, seconds since the epoch."""
        return time.time()

    def monotonic(self) -> float:
        """Monotonic time in seconds."""
        return time.monotonic()


class _JumpingSelector(selectors.SelectSelector):
    """A selector that never waits: the time it would have waited is added to its own clock."""

    def __init__(self) -> None:
        super().__init__()
        self.elapsed = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout is not None and timeout > 0:
            self.elapsed += timeout
        elif not ready and timeout is None:
            return super().select(0.001)  # only another thread can wake the loop now
        return ready


class VirtualClock:
    """A clock that starts at `start` (seconds since the epoch) and moves only when everything sleeps."""

    def __init__(self, start: float = 0.0) -> None:
        self._start = start
        self._selector = _JumpingSelector()

    def now(self) -> float:
        """Virtual wall time, seconds since the epoch."""
        return self._start + self._selector.elapsed

    def monotonic(self) -> float:
        """Virtual seconds since the clock was made."""
        return self._selector.elapsed

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Run `main` to its end on this clock, as asyncio.run does on the real one."""
        selector = self._selector

        class Loop(asyncio.SelectorEventLoop):
            def time(self) -> float:
                return selector.elapsed

        with asyncio.Runner(loop_factory=lambda: Loop(selector)) as runner:
            return runner.run(main)
