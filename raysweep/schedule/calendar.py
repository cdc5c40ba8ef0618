"""Windows and dates as wall time: which occasion is open at a moment, and when the next one opens. Pure.

A date is counted per sweep: 1 is the first date (or cycle) on which no window has closed yet when the sweep begins,
`dates` is the last planned one, later ones are for making up what was missed. With a period below 24 h a date is a
cycle, and windows are offsets from the sweep's start.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count, islice
from typing import Protocol
from zoneinfo import ZoneInfo

DAY = 86400.0
ALWAYS = "all"


@dataclass(frozen=True, slots=True)
class Occasion:
    """One bucket on one date: [opens, closes) in seconds since the epoch; date 1, 2, ...; label for the ledger."""

    bucket: str
    date: int
    label: str
    opens: float
    closes: float


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
                found = self.occasion(name, date)
                if date >= 1 and found.opens <= now < found.closes:
                    return found
        return None

    def next_opening(self, now: float) -> float | None:
        """As Calendar.next_opening."""
        cycle = max(1, int((now - self._anchor) // self._period) + 1)
        opens = (self.occasion(name, date).opens for date in (cycle, cycle + 1) for name in self._windows)
        return min(t for t in opens if t > now)


class Days:
    """Windows of the day in an IANA zone, on the permitted weekdays (0 = Monday) from a first date on.

    On days of a clock change a window keeps its local wall-clock bounds, so it is an hour shorter or longer; a bound
    that does not exist is moved to the moment of the change.
    """

    def __init__(
        self, zone: str, windows: Sequence[Window], weekdays: frozenset[int], first: dt.date | None, anchor: float
    ) -> None:
        self._zone = ZoneInfo(zone)
        self._windows = {w.name: w for w in windows}
        self._weekdays = weekdays
        self._first = first or self._first_whole_date(anchor)
        self._dates: list[dt.date] = []

    def _first_whole_date(self, anchor: float) -> dt.date:
        today = dt.datetime.fromtimestamp(anchor, self._zone).date()
        for offset in count():
            day = today + dt.timedelta(days=offset)
            closes = (self._bounds(w, day)[1] for w in self._windows.values())
            if day.weekday() in self._weekdays and all(c > anchor for c in closes):
                return day
        raise AssertionError  # pragma: no cover - count() never ends

    def _bounds(self, window: Window, day: dt.date) -> tuple[float, float]:
        return self._moment(day, window.start), self._moment(day, window.end)

    def _moment(self, day: dt.date, seconds: float) -> float:
        extra, within = divmod(seconds, DAY)
        local = dt.datetime.combine(day + dt.timedelta(days=int(extra)), dt.time(), self._zone)
        return (local + dt.timedelta(seconds=within)).timestamp()  # wall-clock arithmetic within one zone

    def _date(self, number: int) -> dt.date:
        if len(self._dates) < number:
            allowed = (
                day for day in (self._first + dt.timedelta(days=n) for n in count()) if day.weekday() in self._weekdays
            )
            self._dates = list(islice(allowed, number + 32))
        return self._dates[number - 1]

    def occasion(self, bucket: str, date: int) -> Occasion:
        """As Calendar.occasion."""
        day = self._date(date)
        opens, closes = self._bounds(self._windows[bucket], day)
        return Occasion(bucket, date, day.isoformat(), opens, closes)

    def _near(self, now: float) -> list[int]:
        """Numbers of the permitted dates around `now`."""
        today = dt.datetime.fromtimestamp(now, self._zone).date()
        number = 1
        while self._date(number) < today - dt.timedelta(days=1):
            number += 1
        return [number, number + 1, number + 2, number + 3]

    def at(self, now: float) -> Occasion | None:
        """As Calendar.at."""
        for number in self._near(now):
            for name in self._windows:
                found = self.occasion(name, number)
                if found.opens <= now < found.closes:
                    return found
        return None

    def next_opening(self, now: float) -> float | None:
        """As Calendar.next_opening."""
        return min(
            found.opens
            for number in self._near(now)
            for name in self._windows
            if (found := self.occasion(name, number)).opens > now
        )
