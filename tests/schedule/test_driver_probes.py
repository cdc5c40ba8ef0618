"""Rounds of probes in a driver on virtual time: kept whole or not at all, alone, and never in the way of the trials."""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raysweep.errors import LockLostError
from raysweep.probe import run_probe
from raysweep.record.lock import epoch_name
from raysweep.record.probes import read_probes
from raysweep.schedule.driver import Probes
from raysweep.schedule.executor import RunnerLostError
from raysweep.study import compose
from raysweep.study.images import Images
from support.driving import Rig
from support.plans import CYCLES, sweep_text
from support.stated import StatedProvider, enforcing


class Probing:
    """The executor of a rig that also runs probes, on sandboxes that hold what they are asked to."""

    def __init__(self, inner, rig, before=None):
        self.inner, self.rig, self.before = inner, rig, before
        self.trials = self.probes = self.most = 0

    async def start(self, run_id):
        return await self.inner.start(run_id)

    async def run(self, order):
        assert self.probes == 0, "no trial beside a probe"
        self.trials += 1
        try:
            return await self.inner.run(order)
        finally:
            self.trials -= 1

    async def probe(self, order):
        assert self.trials == 0, "no probe beside a trial"
        self.probes += 1
        self.most = max(self.most, self.probes)
        try:
            if self.before is not None:
                await self.before(order)
            return await run_probe(order, StatedProvider({"": enforcing(order.limit)}), self.rig.driver.clock)
        finally:
            self.probes -= 1

    async def close(self):
        await self.inner.close()


def rig_of(path, **options):
    return Rig(path, sweep_text(**options), round_s=6.0)


def drive(rig, before=None, **options):
    made = []

    def wrap(inner):
        made.append(Probing(inner, rig, before))
        return made[-1]

    rounds = compose.ProbeRounds(rig.study, rig.store, rig.run_id, Images())
    probes = Probes(rounds.make, rounds.keep, rig.sweep.runner.concurrency)
    result = rig.drive(wrap=wrap, probes=probes, **options)
    return result, made[0]


def kept(rig):
    return read_probes(rig.store).to_pylist()


def rounds_of(rig):
    return Counter((r["bucket"], r["occasion"], r["moment"]) for r in kept(rig))


@pytest.mark.parametrize("slots", [1, 2, 5])
def test_every_occasion_has_its_two_rounds_with_every_band(tmp_path, slots):
    rig = rig_of(tmp_path, tasks=4, repeats=2, buckets=CYCLES, slots=slots)
    result, executor = drive(rig)
    assert result.missing == 0
    assert sorted(rig.finished()) == rig.planned()
    expected = [(b, f"cycle {n}", m) for b in ("first", "second") for n in (1, 2) for m in ("before", "after")]
    assert rounds_of(rig) == dict.fromkeys(expected, 2)
    assert executor.most == min(slots, 2)
    by_band = {r["band"]: r for r in kept(rig)}
    assert (by_band["1x"]["killed"], by_band["uncapped"]["held"]) == (True, True)
    for r in kept(rig):
        blocks = [x for x in rig.rows() if (x["bucket"], x["occasion"]) == (r["bucket"], r["occasion"])]
        if r["moment"] == "before":
            assert r["t_stopped"] <= min(x["t_queued"] for x in blocks)
        else:
            assert r["t_queued"] >= max(x["t_stopped"] for x in blocks)


def test_the_rows_of_the_trials_are_those_of_a_run_without_probes(tmp_path):
    options = {"tasks": 4, "repeats": 2, "slots": 2}
    with_probes, without = rig_of(tmp_path / "a", **options), Rig(tmp_path / "b", sweep_text(**options))
    drive(with_probes)
    without.drive()
    assert with_probes.stable_rows() == without.stable_rows()


def test_a_lost_runner_is_recorded_and_the_sweep_goes_on(tmp_path):
    rig = rig_of(tmp_path, tasks=2)

    async def lose(order):
        if (order.band, order.moment) == ("1x", "before"):
            raise RunnerLostError("the actor died")

    result, _ = drive(rig, lose)
    assert result.missing == 0
    (lost,) = (r for r in kept(rig) if r["platform"] is not None)
    assert (lost["band"], lost["moment"], lost["platform"]) == ("1x", "before", "runner_lost")
    assert sum(rounds_of(rig).values()) == 4


def test_a_bug_in_a_probe_stops_the_run_and_keeps_no_half_round(tmp_path):
    rig = rig_of(tmp_path, tasks=2)

    async def fail(order):
        if order.band == "uncapped":
            raise KeyError("our own mistake")

    with pytest.raises(KeyError, match="our own mistake"):
        drive(rig, fail)
    assert kept(rig) == []
    assert rig.rows() == []
    assert drive(rig)[0].missing == 0


def test_a_driver_that_lost_its_lock_keeps_no_round(tmp_path):
    rig = rig_of(tmp_path, tasks=2)

    async def take_over(order):
        if order.band == "1x":
            rig.store.put_new(epoch_name(2), b'{"epoch": 2, "sealed": {}}')

    with pytest.raises(LockLostError, match="epoch 2"):
        drive(rig, take_over)
    assert kept(rig) == []


def test_a_run_that_is_complete_is_not_probed_again(tmp_path):
    rig = rig_of(tmp_path, tasks=2)
    drive(rig)
    before = kept(rig)
    drive(rig)
    assert kept(rig) == before


@settings(max_examples=15, deadline=None)
@given(
    seconds=st.one_of(st.just(0.0), st.floats(0.0, 60.0)),
    slots=st.integers(1, 4),
    buckets=st.sampled_from(["", CYCLES]),
)
def test_interrupting_at_any_moment_keeps_whole_rounds_only_and_the_same_command_completes(seconds, slots, buckets):
    with tempfile.TemporaryDirectory() as folder:
        rig = rig_of(Path(folder) / "run", tasks=4, repeats=2, slots=slots, buckets=buckets)

        def begin(driver):
            asyncio.get_running_loop().call_later(seconds, driver.interrupt)

        result, _ = drive(rig, begin=begin)
        assert set(rounds_of(rig).values()) <= {2}
        first = {key for key in rounds_of(rig) if key[2] == "before"}
        if result.interrupted:
            assert drive(rig)[0].missing == 0
        assert sorted(rig.finished()) == rig.planned()
        again = rounds_of(rig)
        assert all(again[key] == 2 for key in first), "a first round is not repeated"
        assert {(b, o) for b, o, _ in again} == {(r["actual_bucket"], r["actual_occasion"]) for r in rig.rows()}
