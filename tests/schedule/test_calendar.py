from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from raysweep.schedule.calendar import AlwaysOpen, Cycles, Days, Window, on_the_minute

H = 3600.0
EVERY_DAY = frozenset(range(7))
DAY_NIGHT = [Window("night", 0, 6 * H), Window("day", 6 * H, 18 * H)]


def at(text: str, zone: str = "UTC") -> float:
    return dt.datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


def test_always_open():
    calendar = AlwaysOpen(5.0)
    assert calendar.at(5.0).bucket == "all"
    assert calendar.next_opening(5.0) is None


def test_cycles_number_from_the_anchor_and_gaps_are_closed():
    calendar = Cycles(1000.0, 120.0, [Window("a", 0, 50), Window("b", 60, 120)])
    assert (calendar.at(1000.0).bucket, calendar.at(1000.0).date) == ("a", 1)
    assert calendar.at(1055.0) is None
    assert calendar.next_opening(1055.0) == 1060.0
    assert (calendar.at(1239.9).bucket, calendar.at(1239.9).label) == ("b", "cycle 2")
    assert calendar.occasion("b", 2).opens == 1180.0


def test_a_window_over_the_end_of_the_cycle_belongs_to_the_cycle_in_which_it_opened():
    calendar = Cycles(0.0, 100.0, [Window("late", 80, 120)])
    assert calendar.at(110.0).date == 1
    assert calendar.at(10.0) is None  # before the first opening


def test_cycles_of_cron_begin_with_a_minute_of_which_no_window_is_over():
    whole, two = [Window("turn", 0, 60)], [Window("a", 0, 20), Window("b", 30, 60)]
    assert on_the_minute(1225.5, whole) == 1200.0
    assert [on_the_minute(now, two) for now in (1200.0, 1219.9, 1220.0, 1259.0)] == [1200.0, 1200.0, 1260.0, 1260.0]


def test_days_in_a_zone_with_weekdays():
    weekdays = frozenset({0, 1, 2, 3, 4})
    calendar = Days("America/New_York", DAY_NIGHT, weekdays, dt.date(2026, 11, 27), 0.0)  # a Friday
    friday = calendar.occasion("day", 1)
    assert friday.label == "2026-11-27"
    assert friday.opens == at("2026-11-27T06:00", "America/New_York")
    assert calendar.occasion("day", 2).label == "2026-11-30"
    assert calendar.at(at("2026-11-28T08:00", "America/New_York")) is None
    assert calendar.next_opening(at("2026-11-28T08:00", "America/New_York")) == calendar.occasion("night", 2).opens


def test_a_late_start_begins_on_the_first_date_with_every_window_ahead_or_open():
    assert Days("UTC", DAY_NIGHT, EVERY_DAY, None, at("2026-11-24T05:00")).occasion("night", 1).label == "2026-11-24"
    assert Days("UTC", DAY_NIGHT, EVERY_DAY, None, at("2026-11-24T07:00")).occasion("night", 1).label == "2026-11-25"


def test_windows_keep_their_wall_clock_over_clock_changes():
    zone = "Europe/Berlin"
    calendar = Days(zone, [Window("night", 0, 6 * H), Window("day", 6 * H, 24 * H)], EVERY_DAY, dt.date(2026, 3, 28), 0)
    lengths = [(o := calendar.occasion("night", d)).closes - o.opens for d in (1, 2, 3)]
    assert lengths == [6 * H, 5 * H, 6 * H]  # the night of 29 March lacks an hour
    autumn = Days(zone, [Window("night", 0, 6 * H)], EVERY_DAY, dt.date(2026, 10, 25), 0)
    assert autumn.occasion("night", 1).closes - autumn.occasion("night", 1).opens == 7 * H


def test_a_window_over_midnight_belongs_to_the_date_on_which_it_opens():
    calendar = Days("UTC", [Window("late", 22 * H, 28 * H)], EVERY_DAY, dt.date(2026, 11, 24), 0)
    assert calendar.at(at("2026-11-25T03:00")).label == "2026-11-24"


@given(st.floats(0, 400 * 86400.0))
def test_every_moment_is_in_one_occasion_at_most_and_the_next_opening_is_ahead(offset):
    calendar = Days("America/New_York", DAY_NIGHT, EVERY_DAY, dt.date(2026, 1, 1), 0)
    now = at("2026-01-01T00:00", "America/New_York") + offset
    found = calendar.at(now)
    if found is not None:
        assert found.opens <= now < found.closes
        assert calendar.occasion(found.bucket, found.date) == found
    opening = calendar.next_opening(now)
    assert opening > now
    assert calendar.at(opening) is not None
