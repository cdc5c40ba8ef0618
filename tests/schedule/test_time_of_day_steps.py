"""Sweeps over days while the wall clock steps, or the machine sleeps: on the virtual clock, through the real driver."""

from __future__ import annotations

import asyncio

import pytest

from raysweep.clock import VirtualClock
from raysweep.record.probes import Round
from raysweep.record.resume import SweepState
from raysweep.schedule.calendar import Cycles, Window
from raysweep.schedule.messages import Ended, Launch, Probe, Sleep, Stepped, Tick
from raysweep.schedule.probing import ProbeBook
from raysweep.schedule.queue import Queue
from support import driving
from support.days import DAY, EIGHT, drive, in_window, moment, rig
from support.plans import CYCLES, plan_of


class SteppingClock(VirtualClock):
    """A virtual clock whose wall time jumps: (monotonic seconds, seconds of the jump) each."""

    def __init__(self, start: float, *steps: tuple[float, float]) -> None:
        super().__init__(start)
        self._steps = steps

    def now(self) -> float:
        return super().now() + sum(by for at, by in self._steps if self.monotonic() >= at)


@pytest.fixture(autouse=True)
def _days(monkeypatch):
    monkeypatch.setattr(driving, "HANGS_S", 60 * DAY)


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param([(DAY + 3.0, 5 * 3600.0)], id="slept-through-a-window"),
        pytest.param([(DAY + 3.0, 50 * 3600.0)], id="slept-two-days"),
        pytest.param([(DAY + 3.0, -5 * 3600.0)], id="back-into-a-window-that-was"),
        pytest.param([(6.0, -2.0), (DAY + 4.0, 700.0), (DAY + 9.0, -700.0)], id="back-and-forth"),
    ],
)
def test_when_the_clock_steps_what_began_ends_and_no_block_runs_twice(tmp_path, steps):
    sweep = rig(tmp_path, EIGHT, "2026-03-04", 3, zone="UTC", slots=4)
    start = moment("2026-03-04T00:00", "UTC")
    assert drive(sweep, SteppingClock(start, *steps)).missing == 0
    rows = sweep.rows()
    assert sorted(sweep.finished()) == sweep.planned()
    assert all(in_window(r, EIGHT, "UTC") for r in rows if not r["crossed_boundary"])
    assert sum(r["crossed_boundary"] for r in rows) <= 4, "only what was in flight when the clock stepped"
    assert {r["bucket"] for r in rows} == set(EIGHT)


WINDOWS = [Window("first", 0, 90), Window("second", 100, 200)]


def queue_of(now, **options):
    blocks = plan_of(tasks=4, buckets=CYCLES, repeats=2).blocks
    return Queue(blocks, Cycles(0.0, 200.0, WINDOWS), capacity=1, caps={}, now=now, last_planned_date=2, **options)


def test_a_driver_that_comes_back_between_two_windows_makes_up_from_the_next_one():
    assert queue_of(895.0, makeup_dates=0).handle(Tick(), 895.0) == [Sleep(900.0)]


def one_block(queue, now, seconds, *, stepped=0.0):
    """Run the two trials of one block; returns the moment and what the queue says then."""
    (launch,) = queue.handle(Tick(), now)
    told = queue.handle(Ended(launch.trial.trial_id), now + seconds / 2)
    if stepped:
        told = [*told, *queue.handle(Stepped(stepped), now + seconds / 2 + stepped)]
    (launch,) = (i for i in told if isinstance(i, Launch))
    end = now + seconds + stepped
    return end, queue.handle(Ended(launch.trial.trial_id), end)


def test_a_step_of_the_clock_is_no_duration_of_a_block():
    end, told = one_block(queue_of(0.0), 0.0, 15.0, stepped=55.0)
    assert end == 70.0
    assert isinstance(told[0], Launch), "a block of 15 s fits into the 20 s that are left; one of 70 s would not"


def test_a_block_longer_than_its_window_does_not_forbid_all_that_come():
    queue = queue_of(0.0)
    end, told = one_block(queue, 0.0, 95.0)
    assert told == [Sleep(100.0)]
    assert isinstance(queue.handle(Tick(), 100.0)[0], Launch)
    assert end < 100.0


def test_a_queue_that_is_restored_knows_how_long_blocks_take():
    known = SweepState(durations=(25.0, 25.0))
    assert queue_of(70.0, restored=known).handle(Tick(), 70.0) == [Sleep(100.0)]
    assert isinstance(queue_of(60.0, restored=known).handle(Tick(), 60.0)[0], Launch)
    stale = SweepState(durations=(5000.0,))
    assert isinstance(queue_of(0.0, restored=stale).handle(Tick(), 0.0)[0], Launch), "no guide for windows of 90 s"


@pytest.mark.parametrize(
    ("durations", "latest"),
    [
        pytest.param([10.0] * 18 + [30.0] * 2, 60.0, id="the-95th-of-20-is-the-19th"),
        pytest.param([10.0] * 19 + [30.0], 80.0, id="not-the-longest"),
        pytest.param([10.0] * 38 + [30.0] * 2, 80.0, id="nor-one-below-the-percentile"),
        pytest.param([30.0, 10.0], 60.0, id="of-two-the-longer"),
        pytest.param([90.0], 0.0, id="as-long-as-the-window-is-a-guide-too"),
    ],
)
def test_a_block_begins_only_before_what_95_of_100_blocks_take_no_longer_fits(durations, latest):
    """The window is open for 90 s; a block that would end with it does not begin."""
    known = SweepState(durations=tuple(durations))
    assert queue_of(latest, restored=known).handle(Tick(), latest) == [Sleep(100.0)]
    if latest:
        begins = queue_of(0.0, restored=known).handle(Tick(), latest - 0.5)
        assert isinstance(begins[0], Launch)


def test_probes_that_come_first_take_their_time_from_the_window():
    known = SweepState(durations=(25.0,))
    late = queue_of(60.0, restored=known, probes=ProbeBook(10.0))
    assert late.handle(Tick(), 60.0) == [Sleep(100.0)], "10 s of probes and 25 s of a block do not fit into 30 s"
    early = queue_of(54.0, restored=known, probes=ProbeBook(10.0))
    assert early.handle(Tick(), 54.0) == [Probe(Round("first", "cycle 1", "before"))]


def test_the_driver_tells_the_queue_each_step_of_the_clock_but_no_drift(tmp_path):
    """Both ways, by how much, once; half a second is drift."""
    sweep = rig(tmp_path, EIGHT, "2026-03-04", 1, zone="UTC", slots=1, tasks=20)
    start = moment("2026-03-04T00:00", "UTC")
    steps = []

    def listen(driver):
        handle = driver.queue.handle

        def noting(event, now):
            if isinstance(event, Stepped):
                steps.append(event.by)
            return handle(event, now)

        driver.queue.handle = noting

    clock = SteppingClock(start + 3600.0, (6.0, -20.0), (30.0, 0.5), (60.0, 700.0))
    assert drive(sweep, clock, begin=listen).missing == 0
    assert steps == pytest.approx([-20.0, 700.0])


def test_the_ledger_tells_how_long_whole_block_runs_took(tmp_path):
    sweep = rig(tmp_path, {"night": (0, 3)}, "2026-03-04", 1, zone="UTC", tasks=3, slots=1)
    start = moment("2026-03-04T00:00", "UTC")

    def interrupt(driver):
        asyncio.get_running_loop().call_later(20.0, driver.interrupt)

    drive(sweep, VirtualClock(start), begin=interrupt)
    rows = sweep.rows()
    whole = [b for b in {r["block_id"] for r in rows} if sum(r["block_id"] == b for r in rows) == 2]
    uncut = [b for b in whole if not any(r["outcome"] == "cancelled" for r in rows if r["block_id"] == b)]
    assert 0 < len(uncut) < 3
    spans = sorted(
        (
            max(r["t_stopped"] for r in rows if r["block_id"] == b)
            - min(r["t_queued"] for r in rows if r["block_id"] == b)
        ).total_seconds()
        for b in uncut
    )
    assert sorted(sweep.state().durations) == pytest.approx(spans)
