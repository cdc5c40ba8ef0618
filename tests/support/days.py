"""Sweeps over days in windows of the day, driven on the virtual clock, and how their rows are checked.

The windows of a row are checked by the wall clock of the zone, not by the calendar under test.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from pathlib import Path
from zoneinfo import ZoneInfo

from raysweep.clock import VirtualClock
from support.driving import Rig
from support.plans import sweep_text

NEW_YORK = "America/New_York"
DAY = 86400.0
EIGHT = {f"h{h:02}": (h, h + 3) for h in range(0, 24, 3)}
HOURS = {f"h{h:02}": (h, h + 1) for h in range(24)}


def moment(text: str, zone: str = NEW_YORK) -> float:
    return dt.datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


def rig(folder: Path, windows, start: str, dates: int, *, zone=NEW_YORK, makeup=3, **options) -> Rig:
    told = ", ".join(f'{name}: "{a:02}:00-{b:02}:00"' for name, (a, b) in windows.items())
    buckets = (
        f"buckets: {{timezone: {zone}, windows: {{{told}}}, dates: {dates}, start: {start}, makeup_dates: {makeup}}}"
    )
    return Rig(folder, sweep_text(buckets=buckets, repeats=dates, **options))


def drive(sweep: Rig, clock: VirtualClock, **options):
    return sweep.drive(clock=clock, pulse=3600.0, **options)


def begun(row, zone=NEW_YORK) -> dt.datetime:
    return row["t_queued"].astimezone(ZoneInfo(zone))


def in_window(row, windows, zone=NEW_YORK) -> bool:
    low, high = windows[row["bucket"]]
    return low <= begun(row, zone).hour < high


def per_occasion(rows) -> Counter:
    return Counter((r["task"], r["band"], r["bucket"], r["actual_occasion"]) for r in rows)
