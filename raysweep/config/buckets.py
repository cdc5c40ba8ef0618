"""Time-of-day buckets: windows over a period, on how many dates, from when on."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from typing import Annotated, Any, Literal
from zoneinfo import available_timezones

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from raysweep.config.base import Part, Seconds, Whole
from raysweep.config.fault import Fault, nearest, raise_faults, refuse
from raysweep.units import parse_duration

DAY = 86400.0
MINUTE: Literal["minute"] = "minute"
"""`start` of cycles that begin with cron: the first one begins with a minute of the clock, as cron does."""
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_CLOCK = re.compile(r"^(\d{1,2}):(\d{2})-(\d{1,2}):(\d{2})$")
_OFFSETS = re.compile(r"^([0-9.a-z]+)-([0-9.a-z]+)$")
_NAME = re.compile(r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$")


@dataclass(frozen=True, slots=True)
class Window:
    """[start, end) in seconds from the start of the date (or cycle); `end` passes the period when it wraps."""

    name: str
    start: float
    end: float

    @property
    def length(self) -> float:
        """Seconds (of local wall-clock time) for which it is open."""
        return self.end - self.start


def _clock_bounds(text: str) -> tuple[float, float]:
    match = _CLOCK.match(text)
    if not match:
        raise refuse("is not a window of clock times", 'write it like "06:00-18:00" (with period 24h)')
    h1, m1, h2, m2 = (int(g) for g in match.groups())
    start, end = h1 * 3600 + m1 * 60, h2 * 3600 + m2 * 60
    if m1 > 59 or m2 > 59 or start >= DAY or end > DAY:
        raise refuse("is not a pair of clock times", "use 00:00 to 23:59, and 24:00 for the end of the day")
    return float(start), float(end)


def _offset_bounds(text: str, period: float) -> tuple[float, float]:
    match = _OFFSETS.match(text)
    remedy = 'write offsets from the start of the cycle, like "0s-60s" (with a period below 24h)'
    if not match or match[1].isdigit() or match[2].isdigit():
        raise refuse("is not a window of offsets with units", remedy)
    try:
        start, end = parse_duration(match[1]), parse_duration(match[2])
    except ValueError as error:
        raise refuse("is not a window of offsets with units", remedy) from error
    if start >= period or end > period:
        raise refuse(f"reaches past the period of {period:g} s", "keep both offsets within the period")
    return start, end


def parse_window(name: object, text: object, period: float) -> Window:
    """One entry of `windows`; PydanticCustomError says what is wrong with it."""
    if not isinstance(name, str) or not _NAME.match(name):
        raise refuse("the name of a window must be letters, digits, `.`, `_` or `-`", "rename or quote it")
    if not isinstance(text, str):
        raise refuse("is not a window", 'write it in quotes, like "06:00-18:00" or "0s-60s"')
    compact = text.replace(" ", "")
    start, end = _clock_bounds(compact) if period >= DAY else _offset_bounds(compact, period)
    if start == end:
        raise refuse("has no length", 'a window over the whole day is "00:00-24:00"')
    return Window(name, start, end if end > start else end + period)


def _weekdays(value: object) -> object:
    """`all` or a list of mon..sun as numbers, 0 = Monday."""
    if isinstance(value, frozenset):
        return value
    if value == "all":
        return frozenset(range(7))
    if not isinstance(value, list) or not value:
        raise refuse("is neither `all` nor a list of weekdays", "write `all` or a list such as [mon, tue, wed]")
    for day in value:
        if day not in WEEKDAYS:
            raise refuse(f"{day!r} is not a weekday", nearest(day, WEEKDAYS))
    if len(set(value)) != len(value):
        raise refuse("a weekday stands there twice", "name each weekday once")
    return frozenset(WEEKDAYS.index(d) for d in value)


def _start(value: object) -> object:
    """`now` as None, `minute`, or an ISO date."""
    if value in ("now", MINUTE):
        return None if value == "now" else MINUTE
    if isinstance(value, dt.date) and not isinstance(value, dt.datetime):
        return value
    try:
        return dt.date.fromisoformat(value if isinstance(value, str) else "")
    except ValueError as error:
        raise refuse("is neither `now` nor a date", "write `now` or a date such as 2026-03-01") from error


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


def _timezone(value: object) -> object:
    if isinstance(value, str) and value in _zones():
        return value
    close = get_close_matches(str(value), _zones(), n=1, cutoff=0.6)
    remedy = f"did you mean `{close[0]}`?" if close else "write it like UTC or America/Los_Angeles"
    raise refuse("is not an IANA time zone", remedy)


class Buckets(Part):
    """Windows, sorted by their start; `dates` is how many dates (or cycles) each of them is open in the plan."""

    timezone: Annotated[str, BeforeValidator(_timezone)] = Field(
        "UTC", description="IANA zone of the windows and dates", examples=["America/Los_Angeles"]
    )
    period: Seconds = Field(
        DAY,
        description="24h: windows are clock times and a date is a calendar date; less: windows are offsets from "
        "the start of a cycle, and a date is a cycle",
        examples=["24h"],
    )
    windows: tuple[Window, ...] = Field(
        description="name: window; may pass midnight (or the end of the cycle); must not overlap",
        examples=[{"night": "00:00-06:00", "day": "06:00-18:00"}],
    )
    dates: Annotated[Whole, Field(ge=1)] = Field(1, description="planned dates (or cycles)", examples=[3])
    weekdays: Annotated[frozenset[int], BeforeValidator(_weekdays)] = Field(
        frozenset(range(7)), description="`all`, or a list of mon..sun on which windows open", examples=["all"]
    )
    start: Annotated[dt.date | Literal["minute"] | None, BeforeValidator(_start)] = Field(
        None,
        description="`now`, or the first date. With a period below 24h `now`, or `minute`: the first cycle begins with "
        "the minute in which the run begins (the next one where a window would be over), for drivers that cron starts",
        examples=["now"],
    )
    makeup_dates: Annotated[Whole, Field(ge=0)] = Field(
        3, description="further dates (or cycles) after the planned ones in which missed blocks may be made up"
    )

    @field_validator("period", mode="after")
    @classmethod
    def _within_a_day(cls, value: float) -> float:
        if not 0 < value <= DAY:
            raise refuse("is not a period of at most a day", "use 24h, or less for cycles such as 120s")
        return value

    @field_validator("windows", mode="before")
    @classmethod
    def _parse(cls, value: Any, info: ValidationInfo) -> Any:
        if not isinstance(value, Mapping):
            return value
        windows, faults = read_windows(value, info.data.get("period", DAY))
        raise_faults("windows", faults)
        if not windows:
            raise refuse("has no window", "name at least one window, or leave `buckets` out: always open")
        return tuple(sorted(windows, key=lambda w: (w.start, w.name)))


def read_windows(given: Mapping[Any, Any], period: float) -> tuple[list[Window], list[Fault]]:
    """The windows that can be read, and the faults of the others."""
    windows, faults = [], []
    for name, text in given.items():
        try:
            windows.append(parse_window(name, text, period))
        except ValueError as error:
            context = getattr(error, "context", None) or {"message": str(error), "remedy": ""}
            faults.append(Fault((str(name),), context["message"], context["remedy"], text))
    return windows, faults


def overlap_faults(windows: Sequence[Window], period: float) -> Iterator[Fault]:
    """Pairs of windows that share a moment, over the end of the period included; duplicates of a name."""
    ordered = sorted(windows, key=lambda w: (w.start, w.name))
    for i, first in enumerate(ordered):
        for other in ordered[i + 1 :]:
            if any(first.start < other.end + k * period and other.start + k * period < first.end for k in (-1, 0, 1)):
                yield Fault(
                    ("windows", other.name),
                    f"overlaps the window `{first.name}`",
                    "a moment belongs to one window at most: move a bound",
                )


def cycle_faults(period: float, *, everyday: bool, start: object) -> Iterator[Fault]:
    """Keys that have a meaning only where a date is a calendar date, or only where it is none. start: as in a file."""
    if period < DAY and not everyday:
        yield Fault(("weekdays",), "a period below 24h has no weekdays", "leave `weekdays` out, or use period 24h")
    if period < DAY and start not in ("now", MINUTE):
        remedy = "write `start: now` (or `minute`), or use period 24h"
        yield Fault(("start",), "cycles begin when the run begins", remedy)
    if period >= DAY and start == MINUTE:
        yield Fault(("start",), "dates begin with the clock as it is", "write `start: now`, or a date")
