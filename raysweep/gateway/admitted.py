"""One attempt at the gateway: its token, its calls, and what they may cost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from raysweep.config.apis import ModelApi
from raysweep.gateway.call import Call
from raysweep.gateway.gate import Gate
from raysweep.gateway.journal import Journal
from raysweep.gateway.money import Wallet
from raysweep.gateway.sums import Span, sum_calls
from raysweep.record.evidence import ApiFacts


@dataclass(slots=True)
class AdmittedAttempt:
    """An attempt that may call its API until it is dismissed."""

    api: ModelApi
    gate: Callable[[str | None], Gate]
    wallet: Wallet
    token: str = field(repr=False)
    key: str | None = field(repr=False)
    offset: float
    journal: Journal
    calls: list[Call] = field(default_factory=list)
    open: set[asyncio.Task[Any]] = field(default_factory=set)

    def wall(self) -> float:
        """Wall time by the driver's clock, seconds since the epoch."""
        return self.offset + time.monotonic()

    def facts(self, busy: Iterable[Span] = ()) -> ApiFacts:
        """The sums so far; busy: monotonic spans in which a command of the agent ran in the sandbox."""
        return sum_calls(self.calls, self.wall(), [(low + self.offset, high + self.offset) for low, high in busy])
