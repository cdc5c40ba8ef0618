"""The circuit breaker: pauses a sweep while the platform fails so often that attempts only use up their retries. Pure.

It begins clean with each driver: whoever starts the sweep again says that what was wrong is over.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

PLACES = 3
"""So many nodes are named."""


@dataclass(slots=True)
class Breaker:
    """The last `window` attempts; open once more than `rate` (0..1) of that many ended in a platform cause."""

    rate: float
    window: int
    _last: deque[tuple[str, str | None] | None] = field(default_factory=deque)
    _lost: int = 0

    def add(self, row: Mapping[str, Any]) -> str | None:
        """Count one attempt (cancelled ones say nothing); the reason to pause while the breaker is open."""
        if row["outcome"] == "cancelled":
            return None
        lost = (row["cause"] or "unknown", _place(row)) if row["cause_class"] == "platform" else None
        self._last.append(lost)
        self._lost += lost is not None
        if len(self._last) > self.window:
            self._lost -= self._last.popleft() is not None
        return self.reason()

    def reason(self) -> str | None:
        """Why to pause, if the rate is exceeded: how many of how many, by cause, and on which nodes."""
        if len(self._last) < self.window or self._lost <= self.rate * self.window:
            return None
        losses = [one for one in self._last if one is not None]
        causes = _counted(cause for cause, _ in losses)
        nodes = Counter(node for _, node in losses if node is not None)
        where = f", most of them on {_counted(nodes.elements(), PLACES)}" if nodes else ""
        return (
            f"the circuit breaker opened: {self._lost} of the last {self.window} attempts ended in a platform cause,"
            f" more than {100 * self.rate:g} % ({causes}{where})"
        )


def _place(row: Mapping[str, Any]) -> str | None:
    name = (row.get("node") or {}).get("name")
    return str(name) if name else None


def _counted(names: Iterable[str], most: int | None = None) -> str:
    """`7 node_lost, 2 image`, the most frequent first, ties by name."""
    counts = sorted(Counter(names).items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{n} {name}" for name, n in counts[:most])
