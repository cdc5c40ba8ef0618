"""Whole sweeps over days on the virtual clock, through the real queue, driver and ledger: clock changes and outages."""

from __future__ import annotations

import asyncio
import datetime as dt
from zoneinfo import ZoneInfo

import pytest

from raysweep.clock import VirtualClock
from support import driving
from support.days import DAY, EIGHT, HOURS, NEW_YORK, begun, drive, in_window, moment, per_occasion, rig


@pytest.fixture(autouse=True)
def _days(monkeypatch):
    monkeypatch.setattr(driving, "HANGS_S", 60 * DAY)


@pytest.mark.parametrize(
    ("start", "windows", "tasks"), [("2026-03-07", EIGHT, 3), ("2026-10-31", EIGHT, 2), ("2026-10-31", HOURS, 1)]
)
def test_across_a_clock_change_no_hour_is_lost_or_double(tmp_path, start, windows, tasks):
    sweep = rig(tmp_path, windows, start, 3, tasks=tasks)
    assert drive(sweep, VirtualClock(moment(f"{start}T00:00"))).missing == 0
    rows = sweep.rows()
    assert sorted(sweep.finished()) == sweep.planned()
    assert all(in_window(r, windows) and r["actual_bucket"] == r["bucket"] for r in rows)
    assert all(r["actual_occasion"] == r["occasion"] == begun(r).date().isoformat() for r in rows)
    assert not any(r["crossed_boundary"] for r in rows)
    assert set(per_occasion(rows).values()) == {1}
    assert len(per_occasion(rows)) == tasks * 2 * len(windows) * 3


def test_a_window_that_the_clocks_skip_is_made_up_on_a_later_date(tmp_path):
    sweep = rig(tmp_path, HOURS, "2026-03-07", 3, tasks=1)
    assert drive(sweep, VirtualClock(moment("2026-03-07T00:00"))).missing == 0
    moved = [r for r in sweep.rows() if r["actual_occasion"] != r["occasion"]]
    assert {(r["bucket"], r["occasion"], r["actual_occasion"]) for r in moved} == {("h02", "2026-03-08", "2026-03-09")}
    assert len(moved) == 2
    assert all(in_window(r, HOURS) for r in sweep.rows())
    assert sorted(sweep.finished()) == sweep.planned()


def test_after_three_days_without_a_driver_it_goes_on_in_the_right_windows(tmp_path):
    sweep = rig(tmp_path, EIGHT, "2026-03-05", 7)
    gone, back = moment("2026-03-06T10:00:05"), moment("2026-03-09T13:30")

    def interrupt(driver):
        asyncio.get_running_loop().call_later(gone - moment("2026-03-05T00:00"), driver.interrupt)

    assert drive(sweep, VirtualClock(moment("2026-03-05T00:00")), begin=interrupt).interrupted
    before = sweep.rows()
    assert max(r["t_stopped"].timestamp() for r in before) <= gone
    done = set(sweep.finished())
    assert drive(sweep, VirtualClock(back)).missing == 0
    rows = sweep.rows()
    assert sorted(sweep.finished()) == sweep.planned()
    assert all(in_window(r, EIGHT) and r["actual_bucket"] == r["bucket"] for r in rows)
    after = [r for r in rows if r["t_queued"].timestamp() >= back]
    assert not done & {r["trial_id"] for r in after}, "nothing that had ended runs again"
    assert {r["actual_occasion"] for r in after} == {"2026-03-09", "2026-03-10", "2026-03-11"}
    first = min(after, key=lambda r: r["t_queued"])
    assert (first["bucket"], first["occasion"]) == ("h12", "2026-03-09"), "the open window, its own date first"
    missed = {r["trial_id"] for r in after if r["occasion"] < "2026-03-09"}
    assert len(missed) == len(sweep.planned()) - len(done) - sum(r["occasion"] >= "2026-03-09" for r in after)


def test_a_driver_that_stays_away_until_after_the_end_makes_up_from_its_return(tmp_path):
    sweep = rig(tmp_path, EIGHT, "2026-03-05", 2, makeup=1)
    assert drive(sweep, VirtualClock(moment("2026-03-20T12:10"))).missing == 0
    rows = sweep.rows()
    assert {r["actual_occasion"] for r in rows} == {"2026-03-20", "2026-03-21"}
    assert all(in_window(r, EIGHT) for r in rows)


def test_a_start_in_the_middle_of_a_date_begins_with_the_next_whole_one(tmp_path):
    sweep = rig(tmp_path, EIGHT, "now", 2)
    driving_anchor = driving.ANCHOR
    assert drive(sweep, VirtualClock(driving_anchor)).missing == 0
    local = dt.datetime.fromtimestamp(driving_anchor, ZoneInfo(NEW_YORK))
    assert local.hour >= 3, "the first window of that day has closed"
    days = [(local.date() + dt.timedelta(days=n)).isoformat() for n in (1, 2)]
    assert {r["actual_occasion"] for r in sweep.rows()} == set(days)
    assert set(per_occasion(sweep.rows()).values()) == {1}
