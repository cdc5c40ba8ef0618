"""One probe on sandboxes of a stated truth, on virtual time: what its row says of what was true."""

from __future__ import annotations

import asyncio

import pytest

from raysweep.clock import SystemClock, VirtualClock
from raysweep.config.bands import Band
from raysweep.probe import lost_probe, plan_probes, run_probe
from raysweep.record.probes import COLUMNS
from raysweep.record.schema import to_table
from raysweep.sandbox.simulated import SimulatedProvider
from raysweep.sandbox.simulated import Truth as SimulatedTruth
from raysweep.units import MIB
from support.stated import StatedProvider, Truth, enforcing

BANDS = {
    b.name: b for b in (Band(name="1x", limit=1.0), Band(name="5x", limit=5.0), Band(name="uncapped", limit="none"))
}


def order_of(band="1x"):
    made = plan_probes(
        list(BANDS.values()),
        run_id="r",
        bucket="all",
        occasion="always",
        moment="before",
        number=1,
        cpu_s=3.0,
        now=50.0,
    )
    return next(o for o in made if o.band == band)


def probe(band="1x", **changes):
    """The row of a probe of a band whose limits hold but for `changes`; it must be one of the schema."""
    order = order_of(band)
    truth = enforcing(order.limit, **changes)
    clock = VirtualClock(50.0)
    row = clock.run(run_probe(order, StatedProvider({"": truth}), clock))
    assert all(s.stopped for s in truth.opened)
    return to_table([row], COLUMNS).to_pylist()[0]


def test_a_limit_that_holds():
    row = probe()
    assert (row["held"], row["killed"], row["own_limit"], row["kill_of"]) == (True, True, True, "process")
    assert (row["kill_s"], row["past_cause"], row["oom_kills"]) == (0.25, "oom_limit", 1)
    assert (row["cpu_used_s"], row["cpu_wall_s"], row["nr_throttled"]) == (0.75, 3.0, 5)
    assert (row["limit_memory_admitted"], row["limit_cpu_admitted"]) == (64 * MIB, 250)
    assert row["platform"] is None
    assert (row["t_stopped"] - row["t_queued"]).total_seconds() == pytest.approx(3.55, abs=0.01)


def test_more_cpu_than_one_thread_can_burn_is_measured_with_several():
    assert probe("5x")["cpu_used_s"] == pytest.approx(1.25 * 3.0)
    assert probe("5x", cpu=8.0)["cpu_used_s"] == pytest.approx(2 * 3.0)


def test_past_a_limit_that_does_not_hold_it_lives():
    row = probe(memory=None)
    assert (row["held"], row["killed"], row["own_limit"]) == (True, False, None)
    assert row["kill_s"] is None


def test_a_kill_that_is_not_proven_to_be_the_own_limits_is_told_as_such():
    row = probe(own=False)
    assert (row["killed"], row["own_limit"], row["past_cause"]) == (True, False, "oom_node")


def test_a_kill_of_the_whole_sandbox_is_the_group_and_comes_last():
    row = probe(group=True)
    assert (row["held"], row["killed"], row["own_limit"], row["kill_of"]) == (True, True, True, "group")
    assert row["kill_s"] == 0.25
    assert row["cpu_used_s"] == 0.75


@pytest.mark.parametrize("group", [False, True])
def test_a_kill_below_the_limit_is_told_with_its_cause(group):
    row = probe(memory=32 * MIB, group=group)
    assert (row["held"], row["held_cause"]) == (False, "oom_limit")
    assert row["killed"] is (None if group else True)


def test_uncapped_lives_or_dies():
    alive, dead = probe("uncapped"), probe("uncapped", memory=100 * MIB, own=False)
    assert (alive["held"], alive["held_bytes"], alive["past_bytes"]) == (True, 400 * MIB, None)
    assert (alive["killed"], alive["cpu_used_s"]) == (None, None)
    assert (dead["held"], dead["held_cause"]) == (False, "oom_node")


def test_a_platform_cause_is_recorded_and_nothing_else_is_said():
    row = probe(fault="scheduling")
    assert (row["platform"], row["detail"]) == ("scheduling", "as stated")
    assert {row[c] for c in ("held", "killed", "cpu_used_s", "limit_memory_admitted")} == {None}


def test_a_helper_that_hangs_proves_nothing():
    row = probe(hangs=True)
    assert {row[c] for c in ("held", "killed", "own_limit", "cpu_used_s")} == {None}


def test_without_a_wall_time_of_its_own_the_duration_of_the_command_counts():
    assert probe(tells_wall=False)["cpu_wall_s"] == 3.0


def test_unknown_counters_stay_unknown():
    assert probe(throttled=None)["nr_throttled"] is None


def test_a_lost_probe_has_a_row_too():
    (row,) = to_table([lost_probe(order_of(), "runner_lost", "gone", 60.0)], COLUMNS).to_pylist()
    assert (row["band"], row["platform"], row["killed"]) == ("1x", "runner_lost", None)


def test_a_provider_without_limits_is_refused():
    with pytest.raises(ValueError, match="no limits"):
        asyncio.run(run_probe(order_of(), SimulatedProvider(SimulatedTruth()), SystemClock()))


@pytest.mark.parametrize("after", [0.0, 0.2, 1.0, 3.4])
def test_a_cancelled_probe_removes_its_sandbox_first(after):
    truth = Truth(64 * MIB, 0.25)
    clock = VirtualClock()

    async def main():
        task = asyncio.ensure_future(run_probe(order_of(), StatedProvider({"": truth}), clock))
        await asyncio.sleep(after)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert all(s.stopped for s in truth.opened)

    clock.run(main())
