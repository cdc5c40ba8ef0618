"""The agenda of a plan: loads against windows, clock changes, and the end."""

from __future__ import annotations

import datetime as dt

import pytest

from raysweep.schedule.agenda import SoFar, agenda
from raysweep.schedule.calendar import Cycles, Days, Window
from support.plans import CYCLES, plan_of

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


def going(now, complete, each=30.0, makeup=3):
    """The same sweep at `now`; complete: occasions (bucket, date) all of whose blocks are."""
    blocks = plan_of(tasks=4, buckets=CYCLES, repeats=2).blocks
    done = frozenset(b.block_id for b in blocks if (b.bucket, b.date) in complete)
    calendar = Cycles(1000.0, 200.0, WINDOWS)
    return agenda(blocks, calendar, lambda held: each * len(held), LENGTHS, makeup, SoFar(now, done))


def test_of_a_sweep_that_has_begun_what_is_done_is_done_and_the_rest_begins_now():
    plan = going(1250.0, {("first", 1), ("second", 1)}, each=20.0)
    assert [e.left for e in plan.entries] == [0, 0, 4, 4]
    assert (plan.left, plan.waiting) == (8, 0)
    # 80 s of the first window's work, of which it has 50 s left: the rest waits for the next one.
    assert plan.end == 1430.0


def test_blocks_that_missed_their_window_wait_for_the_next_of_their_bucket():
    plan = going(1200.0, {("first", 1)}, each=20.0)
    assert [(e.left, e.waiting) for e in plan.entries] == [(0, False), (4, True), (4, False), (4, False)]
    assert (plan.left, plan.waiting) == (12, 4)
    assert plan.end == 1560.0, "160 s of the second bucket: the rest of it in its first make-up window"


def test_make_up_dates_count_from_the_present_date_where_that_is_later():
    assert going(2450.0, {("first", 1), ("first", 2)}, each=20.0, makeup=1).end == 2760.0
    assert going(2450.0, {("first", 1), ("first", 2)}, each=40.0, makeup=1).end is None


def test_of_a_sweep_that_is_complete_nothing_is_left():
    plan = going(1400.0, {(bucket, date) for bucket in LENGTHS for date in (1, 2)})
    assert (plan.left, plan.end) == (0, None)


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
