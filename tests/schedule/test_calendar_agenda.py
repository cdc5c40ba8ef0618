"""The agenda of a plan: loads against windows, clock changes, and the end."""

from __future__ import annotations

import datetime as dt
import sys
from pathlib import Path

import pytest

from raysweep.schedule.agenda import agenda
from raysweep.schedule.calendar import Cycles, Days, Window

sys.path.insert(0, str(Path(__file__).parent))
from plans import CYCLES, plan_of

H = 3600.0
WINDOWS = [Window("first", 0, 100), Window("second", 100, 200)]
LENGTHS = {"first": 100.0, "second": 100.0}


def found(each: float, makeup=3):
    """Of four tasks in two windows of 100 s on two dates, with `each` seconds for a block."""
    blocks = plan_of(tasks=4, buckets=CYCLES, repeats=2).blocks
    return agenda(blocks, Cycles(1000.0, 200.0, WINDOWS), lambda held: each * len(held), LENGTHS, makeup)


def test_every_planned_occasion_once_in_the_order_of_time_with_what_it_holds():
    plan = found(20.0)
    assert [(e.occasion.bucket, e.occasion.date, e.blocks, e.trials) for e in plan.entries] == [
        ("first", 1, 4, 8),
        ("second", 1, 4, 8),
        ("first", 2, 4, 8),
        ("second", 2, 4, 8),
    ]
    assert all(e.fits and e.change is None and e.seconds == 80.0 for e in plan.entries)
    assert plan.planned_end == 1400.0
    assert plan.end == 1380.0


@pytest.mark.parametrize(("each", "makeup", "end"), [(30.0, 3, 1540.0), (60.0, 3, 1980.0), (60.0, 2, None)])
def test_what_does_not_fit_waits_for_later_windows_of_its_bucket(each, makeup, end):
    plan = found(each, makeup)
    assert not any(e.fits for e in plan.entries)
    assert plan.end == end


def test_clock_changes_are_told_and_what_a_skipped_window_held_runs_later():
    windows = [Window("first", 2 * H, 3 * H), Window("second", 3 * H, 4 * H)]
    lengths = {w.name: w.end - w.start for w in windows}
    calendar = Days("America/New_York", windows, frozenset(range(7)), dt.date(2026, 3, 7), 0.0)
    blocks = plan_of(tasks=4, buckets=CYCLES, repeats=2).blocks
    plan = agenda(blocks, calendar, lambda held: 600.0 * len(held), lengths, 3)
    assert [e.change for e in plan.entries if e.occasion.date == 2] == ["skipped", None]
    assert plan.end == calendar.occasion("first", 3).opens + 2400.0
    autumn = Days(
        "America/New_York", [Window("first", H, 2 * H), windows[1]], frozenset({6}), dt.date(2026, 11, 1), 0.0
    )
    plan = agenda(blocks, autumn, lambda held: 600.0 * len(held), lengths, 3)
    assert [e.change for e in plan.entries] == ["longer", None, None, None]
