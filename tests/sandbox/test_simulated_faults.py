"""Fault processes of the simulated sandbox: pure in seed and time, and what attempts and sweeps make of them."""

import asyncio
import statistics
from itertools import pairwise

import pytest

from raysweep.clock import VirtualClock
from raysweep.errors import SandboxError
from raysweep.sandbox.protocol import SandboxSpec
from raysweep.sandbox.simulated import Faults, SimulatedProvider, Truth
from raysweep.sandbox.simulated.faults import events
from raysweep.units import Resources
from raysweep.vocabulary import PLATFORM_CAUSES

HOUR = 3600.0
DAY = 24 * HOUR
NODE_LOSS = {"every": DAY, "share": 0.5, "lasts": HOUR}
API = {"every": DAY, "lasts": HOUR, "patience": 300.0}


def sandbox(faults: Faults, clock: VirtualClock, *, attempt="1", trial="t1", seconds=60.0, **truth):
    labels = {"task": "a", "model": "m", "band": "1x", "bucket": "all", "occasion": "always", "repeat": "1"}
    spec = SandboxSpec(
        "run-1", "s", Resources(1000, 1 << 30), Resources(1000, 1 << 30),
        labels={**labels, "trial": trial, "attempt": attempt},
    )  # fmt: skip
    return SimulatedProvider(Truth(duration=(seconds, seconds), **truth), faults, clock).open(spec)


async def attempt(box):
    """start, the agent's command, stop: (cause or None, final_facts)."""
    cause = None
    try:
        await box.start()
        await box.exec("agent", ["agent"])
    except SandboxError as error:
        cause = error.cause
    return cause, await box.stop()


def first(process: str, after=0.0, every=DAY, seed=0):
    return next(events(seed, process, every, after, after + 100 * every))


def test_events_are_a_poisson_process_that_does_not_depend_on_how_it_is_read():
    whole = list(events(3, "p", 10.0, 0.0, 40_000.0))
    pieces = [t for k in range(40_000 // 7 + 1) for t in events(3, "p", 10.0, 7.0 * k, min(7.0 * (k + 1), 40_000.0))]
    assert pieces == whole == sorted(whole)
    assert len(whole) == pytest.approx(4000, rel=0.06)
    gaps = [b - a for a, b in pairwise(whole)]
    assert statistics.pstdev(gaps) == pytest.approx(statistics.fmean(gaps), rel=0.06)  # exponential
    assert list(events(4, "p", 10.0, 0.0, 1000.0)) != list(events(3, "p", 10.0, 0.0, 1000.0))


def test_a_burst_takes_its_share_of_the_nodes_at_one_moment():
    faults = Faults.of({"nodes": 400, "node_loss": NODE_LOSS})
    burst = first("node-loss")
    lost = [faults.lost(n, burst - 1, burst + 1) for n in range(400)]
    assert {t for t in lost if t is not None} == {burst}
    assert sum(t is not None for t in lost) == pytest.approx(200, abs=45)
    gone = next(n for n in range(400) if lost[n] is not None)
    assert (faults.up(gone, burst - 1e-3), faults.up(gone, burst), faults.up(gone, burst + HOUR - 1)) == (
        True,
        False,
        False,
    )
    places = {faults.place(f"t{k}", "1", burst + 1.0) for k in range(2000)}
    assert None not in places
    assert all(faults.up(n, burst + 1.0) for n in places)
    assert len(places) > 100


def test_trials_in_flight_on_lost_nodes_end_together_and_the_others_go_on():
    faults = Faults.of({"nodes": 4, "node_loss": NODE_LOSS})
    burst = first("node-loss")
    clock = VirtualClock(burst - 30.0)

    async def main():
        boxes = [sandbox(faults, clock, trial=f"t{k}", seconds=60.0) for k in range(40)]

        async def one(box):
            cause, _ = await attempt(box)
            return cause, clock.now()

        return await asyncio.gather(*(one(box) for box in boxes))

    ended = clock.run(main())
    assert {round(at - burst, 6) for cause, at in ended if cause == "node_lost"} == {0.0}
    assert {round(at - burst, 6) for cause, at in ended if cause is None} == {30.0}
    assert {cause for cause, _ in ended} == {"node_lost", None}


def test_with_every_node_lost_an_attempt_waits_and_fails_to_be_scheduled():
    faults = Faults.of({"nodes": 3, "node_loss": {**NODE_LOSS, "share": 1.0}})
    clock = VirtualClock(first("node-loss") + 1.0)
    began = clock.now()
    assert clock.run(attempt(sandbox(faults, clock)))[0] == "scheduling"
    assert clock.now() == pytest.approx(began + HOUR)


def test_an_outage_delays_the_patient_and_fails_the_others():
    faults = Faults.of({"api_outage": API})
    outage = first("api-outage")
    back = faults.back(outage)
    assert back >= outage + HOUR
    clock = VirtualClock(back - 200.0)
    cause, final_facts = clock.run(attempt(sandbox(faults, clock)))
    assert (cause, clock.now()) == (None, pytest.approx(back + 60.0))
    assert final_facts.transport_down_s == pytest.approx(200.0)
    clock = VirtualClock(back - 301.0)
    cause, final_facts = clock.run(attempt(sandbox(faults, clock)))
    assert (cause, clock.now()) == ("api_server", pytest.approx(back - 1.0))
    assert final_facts.transport_down_s == pytest.approx(300.0)


def test_an_outage_that_begins_in_flight_holds_the_result_back():
    faults = Faults.of({"api_outage": {**API, "lasts": 100.0}})
    outage = first("api-outage")
    back = faults.back(outage)
    clock = VirtualClock(outage - 30.0)
    cause, final_facts = clock.run(attempt(sandbox(faults, clock)))
    assert (cause, clock.now()) == (None, pytest.approx(back))
    assert final_facts.transport_down_s == pytest.approx(back - outage)
    faults = Faults.of({"api_outage": {**API, "patience": 5.0}})
    clock = VirtualClock(outage - 30.0)
    assert clock.run(attempt(sandbox(faults, clock)))[0] == "api_server"


def test_overlapping_outages_are_silent_once():
    faults = Faults.of({"api_outage": {"every": 100.0, "lasts": 100.0, "patience": 1.0}})
    times = list(events(0, "api-outage", 100.0, 0.0, 100_000.0))
    t = next(a for a, b in pairwise(times) if b - a < 50.0 and faults.back(a - 1e-6) == a - 1e-6)
    assert faults.back(t) >= next(b for b in times if b > t) + 100.0
    assert faults.silence(t - 1e-3, faults.back(t)) == pytest.approx(faults.back(t) - t)


def test_latency_follows_the_local_hour():
    faults = Faults.of({"latency": [1.0] * 12 + [2.5] * 12, "timezone": "America/New_York"})
    noon = 1_772_474_400.0  # 2026-03-02, 13:00 in New York
    for hours, seconds in ((0, 150.0), (-2, 60.0)):
        clock = VirtualClock(noon + hours * HOUR)
        assert clock.run(attempt(sandbox(faults, clock)))[0] is None
        assert clock.monotonic() == pytest.approx(seconds)


def test_causes_are_platform_causes():
    assert {"node_lost", "scheduling", "api_server"} <= set(PLATFORM_CAUSES)
