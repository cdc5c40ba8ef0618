"""Windows and dates as wall time: which occasion is open at a moment, and when the next one opens. Pure.

A date is counted per sweep: 1 is the first date (or cycle) on which no window has closed yet when the sweep begins,
`dates` is the last planned one, later ones are for making up what was missed. With a period below 24 h a date is a
cycle, and windows are offsets from the sweep's start (or the minute of it).
"""

from __future__ import annotations

import datetime as dt
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import Protocol
from zoneinfo import ZoneInfo

DAY = 86400.0
MINUTE = 60.0
ALWAYS = "all"


@dataclass(frozen=True, slots=True)
class Occasion:
    """One bucket on one date: [opens, closes) in seconds since the epoch; date 1, 2, ...; label for the ledger."""

    bucket: str
    date: int
    label: str
    opens: float
    closes: float

    @property
    def length(self) -> float:
        """Seconds for which it is open; 0 where a clock change leaves nothing of it."""
        return self.closes - self.opens


@dataclass(frozen=True, slots=True)
class Window:
    """A time-of-day window: seconds from the start of the date; `end` may pass the period (over midnight)."""

    name: str
    start: float
    end: float


class Calendar(Protocol):
    """Occasions in time."""

    def at(self, now: float) -> Occasion | None:
        """The occasion that is open at `now`, if any."""
        ...

    def next_opening(self, now: float) -> float | None:
        """When the next window after `now` opens; None when nothing will change (always open)."""
        ...

    def occasion(self, bucket: str, date: int) -> Occasion:
        """The occasion of a bucket on a date (1, 2, ...)."""
        ...


class AlwaysOpen:
    """One bucket `all`, open from the start for ever; one date."""

    def __init__(self, anchor: float) -> None:
        self._occasion = Occasion(ALWAYS, 1, "always", anchor, float("inf"))

    def at(self, now: float) -> Occasion | None:  # noqa: ARG002 - always the same
        """As Calendar.at."""
        return self._occasion

    def next_opening(self, now: float) -> float | None:  # noqa: ARG002 - nothing ever opens
        """As Calendar.next_opening."""
        return None

    def occasion(self, bucket: str, date: int) -> Occasion:  # noqa: ARG002 - there is only one
        """As Calendar.occasion."""
        return self._occasion


class Until:
    """A calendar that ends at a moment: nothing is open from `end` on, and nothing opens. What was before stays."""

    def __init__(self, calendar: Calendar, end: float) -> None:
        self._calendar, self._end = calendar, end

    def at(self, now: float) -> Occasion | None:
        """As Calendar.at."""
        return self._calendar.at(now) if now < self._end else None

    def next_opening(self, now: float) -> float | None:
        """As Calendar.next_opening."""
        opening = self._calendar.next_opening(now)
        return opening if opening is not None and opening < self._end else None

    def occasion(self, bucket: str, date: int) -> Occasion:
        """As Calendar.occasion."""
        return self._calendar.occasion(bucket, date)


class Cycles:
    """Windows within a period shorter than a day, repeating from the anchor; the date is the number of the cycle."""

    def __init__(self, anchor: float, period: float, windows: Sequence[Window]) -> None:
        self._anchor, self._period = anchor, period
        self._windows = {w.name: w for w in windows}

    def occasion(self, bucket: str, date: int) -> Occasion:
        """As Calendar.occasion."""
        window = self._windows[bucket]
        begin = self._anchor + (date - 1) * self._period
        return Occasion(bucket, date, f"cycle {date}", begin + window.start, begin + window.end)

    def at(self, now: float) -> Occasion | None:
        """As Calendar.at."""
        cycle = int((now - self._anchor) // self._period) + 1
        for date in (cycle, cycle - 1):  # a window that wraps still belongs to the cycle in which it opened
            for name in self._windows:
                occasion = self.occasion(name, date)
                if date >= 1 and occasion.opens <= now < occasion.closes:
                    return occasion
        return None

    def next_opening(self, now: float) -> float | None:
        """As Calendar.next_opening."""
        cycle = max(1, int((now - self._anchor) // self._period) + 1)
        opens = (self.occasion(name, date).opens for date in (cycle, cycle + 1) for name in self._windows)
        return min(t for t in opens if t > now)


def on_the_minute(anchor: float, windows: Sequence[Window]) -> float:
    """Where the first of cycles begins that are driven by cron: with the minute of `anchor`, seconds since the epoch.

    A driver that cron starts then has the same part of each cycle before it, every time. With the next minute where a
    window would have closed before `anchor`: a sweep begins with a cycle of which every window is to come, or open.
    """
    begin = anchor // MINUTE * MINUTE
    return begin + MINUTE if any(begin + w.end <= anchor for w in windows) else begin


class Days:
    """Windows of the day in an IANA zone, on the permitted weekdays (0 = Monday) from a first date on.

    Windows keep their local wall-clock bounds, so on days of a clock change one is shorter or longer. A bound that
    does not exist is the moment of the change, and one that comes twice is the first of the two. So bounds never run
    backwards: windows that share no clock time share no moment, and windows that leave no gap leave none on such days.
    An occasion of which nothing is left (02:00-03:00 where that hour is skipped) never opens.
    """

    def __init__(
        self, zone: str, windows: Sequence[Window], weekdays: frozenset[int], first: dt.date | None, anchor: float
    ) -> None:
        self._zone = ZoneInfo(zone)
        self._windows = {w.name: w for w in sorted(windows, key=lambda w: w.start)}
        self._weekdays = weekdays
        self._first = first or self._first_whole_date(anchor)
        self._dates: list[dt.date] = []
        self._occasions: list[Occasion] = []  # those that open, in the order of time, as far as they were asked for
        self._opens: list[float] = []

    def _first_whole_date(self, anchor: float) -> dt.date:
        today = dt.datetime.fromtimestamp(anchor, self._zone).date()
        for offset in count():
            day = today + dt.timedelta(days=offset)
            bounds = [self._bounds(w, day) for w in self._windows.values()]
            if day.weekday() in self._weekdays and all(closes > anchor for opens, closes in bounds if closes > opens):
                return day
        raise AssertionError  # pragma: no cover - count() never ends

    def _bounds(self, window: Window, day: dt.date) -> tuple[float, float]:
        return self._moment(day, window.start), self._moment(day, window.end)

    def _moment(self, day: dt.date, seconds: float) -> float:
        extra, within = divmod(seconds, DAY)
        naive = dt.datetime.combine(day + dt.timedelta(days=int(extra)), dt.time()) + dt.timedelta(seconds=within)
        return wall_moment(naive, self._zone)

    def _date(self, number: int) -> dt.date:
        day = self._dates[-1] + dt.timedelta(days=1) if self._dates else self._first
        while len(self._dates) < number:
            if day.weekday() in self._weekdays:
                self._dates.append(day)
            day += dt.timedelta(days=1)
        return self._dates[number - 1]

    def occasion(self, bucket: str, date: int) -> Occasion:
        """As Calendar.occasion."""
        day = self._date(date)
        opens, closes = self._bounds(self._windows[bucket], day)
        return Occasion(bucket, date, day.isoformat(), opens, closes)

    def _after(self, now: float) -> int:
        """Index of the first occasion that opens after `now`; there always is one."""
        while not self._opens or self._opens[-1] <= now:
            date = self._occasions[-1].date + 1 if self._occasions else 1
            while not (coming := [o for name in self._windows if (o := self.occasion(name, date)).length > 0]):
                date += 1
            self._occasions += coming
            self._opens += [o.opens for o in coming]
        return bisect_right(self._opens, now)

    def at(self, now: float) -> Occasion | None:
        """As Calendar.at."""
        after = self._after(now)
        occasion = self._occasions[after - 1] if after else None
        return occasion if occasion is not None and now < occasion.closes else None

    def next_opening(self, now: float) -> float | None:
        """As Calendar.next_opening."""
        return self._opens[self._after(now)]


def wall_moment(naive: dt.datetime, zone: ZoneInfo) -> float:
    """Seconds since the epoch at which the clocks of `zone` show `naive` for the first time, or have jumped past it."""
    moment = naive.replace(tzinfo=zone).timestamp()
    if dt.datetime.fromtimestamp(moment, zone).replace(tzinfo=None) == naive:
        return moment
    before, after = int(naive.replace(tzinfo=zone, fold=1).timestamp()), int(moment)
    offset = dt.datetime.fromtimestamp(after, zone).utcoffset()
    while after - before > 1:  # clocks change on whole seconds: `before` is before the change, `after` is not
        middle = (before + after) // 2
        if dt.datetime.fromtimestamp(middle, zone).utcoffset() == offset:
            after = middle
        else:
            before = middle
    return float(after)
