"""The supervisor's once-a-second readings, parsed from its lines (pure)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from raysweep.record.evidence import Sample

UNKNOWN = -1


@dataclass(frozen=True, slots=True)
class Row:
    """One line; `boottime` in seconds, memory in bytes, cpu and throttling in microseconds; None unknown.

    mem_available: MemAvailable of the machine.
    """

    boottime: float
    memory: int | None = None
    unreclaimable: int | None = None
    anon: int | None = None
    cpu_usec: int | None = None
    throttled_us: int | None = None
    nr_throttled: int | None = None
    pids: int | None = None
    oom_kills: int | None = None
    mem_available: int | None = None

    def sample(self, ready: float) -> Sample:
        """As a sample of a sandbox that was ready at the boottime `ready`."""
        return Sample(self.boottime - ready, self.memory, self.unreclaimable, self.anon, self.cpu_usec, self.pids)


def parse_rows(text: str) -> list[Row]:
    """Rows of a piece of the list; a line that was cut off or makes no sense is left out."""
    rows = []
    for line in text.splitlines():
        words = line.split()
        if len(words) != 10 or not all(word.removeprefix("-").isdecimal() for word in words):
            continue
        numbers = [int(word) for word in words]
        rows.append(Row(numbers[0] / 1e6, *(None if value == UNKNOWN else value for value in numbers[1:])))
    return rows


def row_before_kill(rows: Sequence[Row], kills_before: int | None, kills_now: int | None) -> Row | None:
    """The last row before the last kill, where kills went from `kills_before` to `kills_now` over `rows`.

    None when there was no kill or no row before it. A kill that no row shows yet came after the last row.
    """
    if kills_before is None or kills_now is None or kills_now <= kills_before:
        return None
    before = [row for row in rows if row.oom_kills is None or row.oom_kills < kills_now]
    return before[-1] if before else None
