"""Which window of a plan runs what: one entry per planned occasion, and when the last of it will be done. Pure.

Belongs here: the planned occasions as values, the load of each against its length. Does not: what really ran (the
ledger), how a table is printed (cli).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from raysweep.plan.model import Block
from raysweep.schedule.calendar import Calendar, Occasion

SHORTER, LONGER, SKIPPED = "shorter", "longer", "skipped"


@dataclass(frozen=True, slots=True)
class Entry:
    """One planned occasion. seconds: what its trials take at the concurrency; nominal_s: its length on other dates.

    change: what a clock change does to the window: `shorter`, `longer`, `skipped` (it never opens), or None.
    """

    occasion: Occasion
    blocks: int
    trials: int
    seconds: float
    nominal_s: float

    @property
    def fits(self) -> bool:
        """Whether its trials fit into the window."""
        return self.seconds <= self.occasion.length

    @property
    def change(self) -> str | None:
        """See the class."""
        if self.occasion.length <= 0:
            return SKIPPED
        if abs(self.occasion.length - self.nominal_s) < 1.0:
            return None
        return SHORTER if self.occasion.length < self.nominal_s else LONGER


@dataclass(frozen=True, slots=True)
class Agenda:
    """The planned occasions in the order in which they open, and the end.

    planned_end: the last planned closing. end: until when everything is done at the stated load, make-up dates
    included; None where they do not suffice. Seconds since the epoch.
    """

    entries: tuple[Entry, ...]
    planned_end: float
    end: float | None


def agenda(
    blocks: Iterable[Block],
    calendar: Calendar,
    seconds: Callable[[Sequence[Block]], float],
    nominal: Mapping[str, float],
    makeup_dates: int,
) -> Agenda:
    """The agenda of a plan.

    seconds: how long these blocks take at the concurrency. nominal: length of each bucket's window on a day without a
    clock change, seconds. makeup_dates: dates after the last planned one on which missed blocks may run.
    """
    by_occasion: defaultdict[tuple[int, str], list[Block]] = defaultdict(list)
    for block in blocks:
        by_occasion[block.date, block.bucket].append(block)
    entries = sorted(
        (
            Entry(
                calendar.occasion(bucket, date), len(held), sum(len(b.trials) for b in held), seconds(held),
                nominal[bucket],
            )
            for (date, bucket), held in by_occasion.items()
        ),
        key=lambda entry: (entry.occasion.opens, entry.occasion.closes),
    )  # fmt: skip
    last = max(e.occasion.date for e in entries) + makeup_dates
    ends = [_end([e for e in entries if e.occasion.bucket == bucket], calendar, last) for bucket in nominal]
    known = [end for end in ends if end is not None]
    return Agenda(
        tuple(entries), max(e.occasion.closes for e in entries), max(known) if len(known) == len(ends) else None
    )


def _end(entries: Sequence[Entry], calendar: Calendar, last: int) -> float | None:
    """When a bucket's work is done: what does not fit into its window waits for the next ones of the bucket."""
    waiting, end = 0.0, -math.inf
    coming = {e.occasion.date: e for e in entries}
    for date in range(1, last + 1):
        entry = coming.get(date)
        waiting += entry.seconds if entry else 0.0
        if waiting <= 0:
            continue
        occasion = entry.occasion if entry else calendar.occasion(entries[0].occasion.bucket, date)
        done = min(waiting, occasion.length)
        waiting -= done
        end = occasion.opens + done
    return None if waiting > 0 else end
