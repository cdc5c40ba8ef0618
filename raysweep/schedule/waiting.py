"""Blocks that wait for a window: first runs for their own occasion, further runs for a later window of their bucket.

Pure. Does not belong here: whether a window is open or a block still fits into it.
"""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count

from raysweep.plan.model import Block


@dataclass(slots=True)
class Waiting:
    """Blocks not begun (run 1), by bucket and planned date, and blocks to be run again, by bucket and moment."""

    _first: defaultdict[tuple[str, int], deque[Block]] = field(default_factory=lambda: defaultdict(deque))
    _again: defaultdict[str, list[tuple[float, int, int, Block]]] = field(default_factory=lambda: defaultdict(list))
    _entry: count[int] = field(default_factory=count)
    _size: int = 0

    def __len__(self) -> int:
        return self._size

    def add(self, block: Block) -> None:
        """A block that was never run."""
        self._first[block.bucket, block.date].append(block)
        self._size += 1

    def again(self, block: Block, number: int, after: float) -> None:
        """A block for its number-th run (2, 3, ...), from `after` (epoch seconds) on."""
        heappush(self._again[block.bucket], (after, next(self._entry), number, block))
        self._size += 1

    def any(self, bucket: str, date: int, now: float) -> bool:
        """Whether a block waits that may begin now, while this bucket of this date is open."""
        return self._due(bucket, now) or self._missed(bucket, date) is not None

    def take(self, bucket: str, date: int, now: float) -> tuple[Block, int] | None:
        """The next of them with the number of its run.

        This date's own first, as the plan's balance wants it; then what runs again; then what earlier dates missed.
        """
        if not self._first.get((bucket, date)) and self._due(bucket, now):
            self._size -= 1
            _, _, number, block = heappop(self._again[bucket])
            return block, number
        blocks = self._missed(bucket, date)
        if blocks is None:
            return None
        self._size -= 1
        return blocks.popleft(), 1

    def _due(self, bucket: str, now: float) -> bool:
        again = self._again.get(bucket)
        return again is not None and len(again) > 0 and again[0][0] <= now

    def _missed(self, bucket: str, date: int) -> deque[Block] | None:
        """First runs of this date, else of the earliest date before it that has any."""
        for planned in (date, *range(1, date)):
            blocks = self._first.get((bucket, planned))
            if blocks:
                return blocks
        return None
