"""Windows on days on which the clocks change: by hand, and for any zone, partition and year."""

from __future__ import annotations

import datetime as dt
import itertools
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raysweep.schedule.calendar import AlwaysOpen, Cycles, Days, Until, Window, wall_moment

H = 3600.0
EVERY_DAY = frozenset(range(7))
EIGHT = [Window(f"w{3 * i:02}", 3 * i * H, 3 * (i + 1) * H) for i in range(8)]
NEW_YORK = "America/New_York"
SPRING, AUTUMN = dt.date(2026, 3, 8), dt.date(2026, 11, 1)


def at(text: str, zone: str = NEW_YORK) -> float:
    return dt.datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


def days(windows, first, zone=NEW_YORK):
    return Days(zone, windows, EVERY_DAY, first, 0.0)


def lengths(calendar, windows, date=1):
    return [calendar.occasion(w.name, date).length / H for w in windows]


@pytest.mark.parametrize(("day", "hours"), [(SPRING, 23), (AUTUMN, 25)])
def test_eight_windows_share_the_23_or_25_hours_of_a_day(day, hours):
    calendar = days(EIGHT, day)
    found = [calendar.occasion(w.name, 1) for w in EIGHT]
    assert lengths(calendar, EIGHT) == [hours - 21.0, *[3.0] * 7]
    assert all(a.closes == b.opens for a, b in itertools.pairwise(found))
    assert found[-1].closes == calendar.occasion("w00", 2).opens


def test_windows_within_the_hour_that_is_skipped():
    windows = [Window("a", 1 * H, 2 * H), Window("b", 2 * H, 3 * H), Window("c", 3 * H, 4 * H)]
    calendar = days(windows, SPRING)
    assert lengths(calendar, windows) == [1.0, 0.0, 1.0]
    assert calendar.at(at("2026-03-08T01:59:59")).bucket == "a"
    assert calendar.at(at("2026-03-08T03:00:00")).bucket == "c", "no moment belongs to the window that is skipped"
    assert calendar.next_opening(at("2026-03-08T01:30")) == calendar.occasion("c", 1).opens
    assert calendar.next_opening(at("2026-03-08T03:30")) == calendar.occasion("a", 2).opens


def test_bounds_within_the_skipped_hour_are_the_moment_of_the_change():
    windows = [Window("a", 1 * H, 2.25 * H), Window("b", 2.25 * H, 2.75 * H), Window("c", 2.75 * H, 4 * H)]
    calendar = days(windows, SPRING)
    assert lengths(calendar, windows) == [1.0, 0.0, 1.0]
    assert calendar.occasion("a", 1).closes == calendar.occasion("c", 1).opens == at("2026-03-08T03:00")


def test_the_hour_that_comes_twice_is_in_one_window_once_and_longer():
    windows = [Window("a", 0, 1 * H), Window("b", 1 * H, 2 * H), Window("c", 2 * H, 3 * H)]
    calendar = days(windows, AUTUMN)
    assert lengths(calendar, windows) == [1.0, 2.0, 1.0]
    first, second = (dt.datetime(2026, 11, 1, 1, 30, tzinfo=ZoneInfo(NEW_YORK), fold=f).timestamp() for f in (0, 1))
    assert second - first == H
    assert calendar.at(first) == calendar.at(second) == calendar.occasion("b", 1)


def test_a_bound_within_the_hour_that_comes_twice_is_the_first_of_the_two():
    windows = [Window("a", 1 * H, 1.5 * H), Window("b", 1.5 * H, 3 * H)]
    calendar = days(windows, AUTUMN)
    assert lengths(calendar, windows) == [0.5, 2.5]
    gap = days([Window("a", 0.5 * H, 1.5 * H)], AUTUMN)
    again = dt.datetime(2026, 11, 1, 1, 15, tzinfo=ZoneInfo(NEW_YORK), fold=1).timestamp()
    assert gap.at(again - H).bucket == "a"
    assert gap.at(again) is None, "the window does not open a second time"


def test_a_date_that_a_zone_leaves_out_has_no_open_window():
    calendar = days(EIGHT, dt.date(2011, 12, 29), "Pacific/Apia")
    assert [calendar.occasion(w.name, 2).length for w in EIGHT] == [0.0] * 8
    assert calendar.next_opening(calendar.occasion("w21", 1).opens) == calendar.occasion("w00", 3).opens


def test_midnights_that_do_not_exist():
    calendar = days(EIGHT, dt.date(2026, 4, 23), "Africa/Cairo")  # on 24 April 00:00 becomes 01:00
    assert (
        calendar.occasion("w21", 1).closes
        == calendar.occasion("w00", 2).opens
        == at("2026-04-24T01:00", "Africa/Cairo")
    )
    assert calendar.occasion("w00", 2).length == 2 * H


@settings(max_examples=60, deadline=None)
@given(
    zone=st.sampled_from(
        [NEW_YORK, "Europe/Berlin", "Australia/Lord_Howe", "Africa/Cairo", "Asia/Kathmandu", "America/Santiago"]
    ),
    bounds=st.sets(st.integers(1, 95), min_size=1, max_size=9),
    first=st.dates(dt.date(2024, 1, 1), dt.date(2026, 12, 1)),
)
def test_windows_that_cover_the_day_hold_every_moment_of_it_once(zone, bounds, first):
    edges = [0, *sorted(bounds), 96]
    windows = [Window(f"w{a}", a * 900.0, b * 900.0) for a, b in itertools.pairwise(edges)]
    calendar = days(windows, first, zone)
    moment = calendar.occasion("w0", 1).opens
    end = calendar.occasion("w0", 30).opens
    while moment < end:
        found = calendar.at(moment)
        assert found.opens == moment
        assert calendar.next_opening(moment) == found.closes
        moment = found.closes


@settings(max_examples=100, deadline=None)
@given(st.dates(dt.date(2024, 1, 1), dt.date(2026, 12, 31)), st.integers(0, 1439), st.integers(0, 4000))
def test_wall_moments_never_run_backwards(day, minute, minutes):
    zone = ZoneInfo(NEW_YORK)
    naive = dt.datetime.combine(day, dt.time(minute // 60, minute % 60))
    later = naive + dt.timedelta(minutes=minutes)
    assert wall_moment(naive, zone) <= wall_moment(later, zone)


def test_a_calendar_with_an_end_keeps_what_was_before_it():
    cycles = Cycles(0.0, 200.0, [Window("first", 0, 90), Window("second", 100, 200)])
    until = Until(cycles, 190.0)
    assert until.at(50.0) == cycles.at(50.0)
    assert until.at(189.0).closes == 200.0
    assert until.at(190.0) is None
    assert until.next_opening(50.0) == 100.0
    assert until.next_opening(150.0) is None
    assert until.occasion("second", 9) == cycles.occasion("second", 9)
    assert Until(AlwaysOpen(0.0), 10.0).next_opening(5.0) is None
