"""Which window of a plan runs what: one entry per planned occasion, and when the last of it will be done. Pure.

Belongs here: the planned occasions as values, the load of each against its length, what is left of them at a moment.
Does not: reading what really ran (the ledger), how a table is printed (cli).
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
class SoFar:
    """Where a sweep is that has begun. now: seconds since the epoch; complete: ids of blocks that need no more run."""

    now: float
    complete: frozenset[str]


NOT_BEGUN = SoFar(-math.inf, frozenset())


@dataclass(frozen=True, slots=True)
class Entry:
    """One planned occasion. seconds: what its trials take at the concurrency; nominal_s: its length on other dates.

    left, left_s: its blocks that are not complete, and what they take; waiting: whether they missed it, as it is over.
    change: what a clock change does to the window: `shorter`, `longer`, `skipped` (it never opens), or None.
    """

    occasion: Occasion
    blocks: int
    trials: int
    seconds: float
    nominal_s: float
    left: int
    left_s: float
    waiting: bool

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
    included; None where they do not suffice, and where nothing is left. Seconds since the epoch.
    """

    entries: tuple[Entry, ...]
    planned_end: float
    end: float | None

    @property
    def left(self) -> int:
        """Blocks that are not complete."""
        return sum(entry.left for entry in self.entries)

    @property
    def waiting(self) -> int:
        """Those of them whose own window is over."""
        return sum(entry.left for entry in self.entries if entry.waiting)


def agenda(
    blocks: Iterable[Block],
    calendar: Calendar,
    seconds: Callable[[Sequence[Block]], float],
    nominal: Mapping[str, float],
    makeup_dates: int,
    so_far: SoFar = NOT_BEGUN,
) -> Agenda:
    """The agenda of a plan.

    seconds: how long these blocks take at the concurrency. nominal: length of each bucket's window on a day without a
    clock change, seconds. makeup_dates: dates after the last planned one, or after the present one where that is later,
    on which missed blocks may run. so_far: where the sweep is, which tells what is left and from when on.
    """
    by_occasion: defaultdict[tuple[int, str], list[Block]] = defaultdict(list)
    for block in blocks:
        by_occasion[block.date, block.bucket].append(block)
    entries = sorted(
        (
            _entry(calendar.occasion(bucket, date), held, seconds, nominal[bucket], so_far)
            for (date, bucket), held in by_occasion.items()
        ),
        key=lambda entry: (entry.occasion.opens, entry.occasion.closes),
    )
    last = max(*(e.occasion.date for e in entries), _present_date(calendar, so_far.now)) + makeup_dates
    buckets = [[e for e in entries if e.occasion.bucket == bucket] for bucket in nominal]
    ends = [_end(own, calendar, last, so_far.now) for own in buckets if any(e.left for e in own)]
    known = [end for end in ends if end is not None]
    whole = bool(known) and len(known) == len(ends)
    return Agenda(tuple(entries), max(e.occasion.closes for e in entries), max(known) if whole else None)


def _entry(
    occasion: Occasion, held: Sequence[Block], seconds: Callable[[Sequence[Block]], float], nominal: float, at: SoFar
) -> Entry:
    left = [block for block in held if block.block_id not in at.complete]
    return Entry(
        occasion,
        blocks=len(held),
        trials=sum(len(block.trials) for block in held),
        seconds=seconds(held),
        nominal_s=nominal,
        left=len(left),
        left_s=seconds(left) if left else 0.0,
        waiting=bool(left) and occasion.closes <= at.now,
    )


def _present_date(calendar: Calendar, now: float) -> int:
    """The date of the window that is open or opens next; 0 before the sweep."""
    if math.isinf(now):
        return 0
    opening = calendar.next_opening(now)
    occasion = calendar.at(now) or (None if opening is None else calendar.at(opening))
    return 0 if occasion is None else occasion.date


def _end(entries: Sequence[Entry], calendar: Calendar, last: int, now: float) -> float | None:
    """When a bucket's work is done: what does not fit into its window waits for the next ones of the bucket."""
    waiting, end = 0.0, -math.inf
    coming = {e.occasion.date: e for e in entries}
    for date in range(1, last + 1):
        entry = coming.get(date)
        waiting += entry.left_s if entry else 0.0
        occasion = entry.occasion if entry else calendar.occasion(entries[0].occasion.bucket, date)
        begin = max(occasion.opens, now)
        done = min(waiting, occasion.closes - begin)
        if done > 0:
            waiting -= done
            end = begin + done
    return None if waiting > 0 else end
