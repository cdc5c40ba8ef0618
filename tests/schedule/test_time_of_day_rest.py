"""Runners are let go between windows that lie far apart, and are back when one opens."""

from __future__ import annotations

import asyncio
import time

import pytest

from raysweep.clock import SystemClock, VirtualClock
from raysweep.schedule.messages import Launch
from raysweep.schedule.ray_executor import RayExecutor
from raysweep.schedule.resting import GAP_S, LEAD_S, Resting
from raysweep.study import compose
from support import driving, telling
from support.days import DAY, moment, rig
from support.driving import Rig
from support.plans import sweep_text
from support.telling import Recipe

WINDOWS = {"night": (0, 3), "near": (3, 6), "day": (12, 15)}


class Watched:
    """A releasable executor that tells when it has runners, and refuses to run without."""

    def __init__(self, inner, clock):
        self.inner, self.clock = inner, clock
        self.told: list[tuple[str, float]] = []
        self.error: Exception | None = None

    def _tell(self, what):
        self.told.append((what, self.clock.now()))

    @property
    def up(self):
        return bool(self.told) and self.told[-1][0] == "start"

    async def start(self, run_id):
        if self.error is not None and self.told:
            raise self.error
        self._tell("start")
        return await self.inner.start(run_id)

    async def release(self):
        assert self.up
        self._tell("release")

    async def run(self, order):
        assert self.up, "an order without runners"
        return await self.inner.run(order)

    async def close(self):
        self._tell("close")


class Rested(Rig):
    """A rig whose driver lets its runners rest. error: what a second start meets."""

    error: Exception | None = None

    def days(self, clock):
        def wrap(inner):
            self.watched = Watched(inner, clock)
            self.watched.error = self.error
            self.resting = Resting(self.watched, clock, self.cleared)
            return self.resting

        async def rest(until):
            await self.resting.rest(until)

        self.clearings = 0
        return self.drive(clock=clock, wrap=wrap, pulse=60.0, rest=rest)

    async def cleared(self):
        self.clearings += 1


@pytest.fixture
def rested(tmp_path, monkeypatch):
    monkeypatch.setattr(driving, "HANGS_S", 60 * DAY)
    made = rig(tmp_path, WINDOWS, "2026-03-04", 2, zone="UTC", tasks=2)
    return Rested(made.path, made.text)


def test_runners_rest_in_long_gaps_and_are_there_before_the_window_opens(rested):
    start = moment("2026-03-04T00:00", "UTC")
    assert rested.days(VirtualClock(start)).missing == 0
    assert sorted(rested.finished()) == rested.planned()
    told = [(what, round(t - start)) for what, t in rested.watched.told]
    starts = [t for what, t in told if what == "start"]
    opens = [0, 3 * 3600, 12 * 3600, DAY, DAY + 3 * 3600, DAY + 12 * 3600]
    assert len(starts) == len(opens)
    assert all(abs(begun - max(0, at - LEAD_S)) <= 61 for begun, at in zip(starts, opens, strict=True))
    assert [what for what, _ in told] == ["start", *["release", "start"] * 5, "close"]
    assert rested.clearings == 5
    begun = [r["t_queued"].timestamp() - start for r in rested.rows()]
    assert all(any(at <= t < at + 60 for at in opens) for t in begun), "nothing waited for runners"


def test_runners_that_cannot_be_had_again_end_the_run_with_the_reason(rested):
    clock = VirtualClock(moment("2026-03-04T00:00", "UTC"))
    rested.error = ConnectionError("no such cluster")
    with pytest.raises(ConnectionError, match="no such cluster"):
        rested.days(clock)
    assert {r["bucket"] for r in rested.rows()} == {"night"}


def resting(clock, **options):
    class Nothing:
        async def start(self, run_id):
            return {}

        async def run(self, order):
            return order

        async def probe(self, order):
            return order

        async def close(self):
            pass

    watched = Watched(Nothing(), clock)

    async def cleared():
        pass

    return watched, Resting(watched, clock, cleared, **options)


def test_a_short_gap_keeps_its_runners_and_an_early_order_gets_them_back_at_once():
    clock = VirtualClock(0.0)

    async def main():
        watched, executor = resting(clock)
        await executor.start("run")
        await executor.rest(clock.now() + GAP_S)
        assert watched.up
        await executor.rest(clock.now() + 10 * GAP_S)
        await executor.rest(clock.now() + 10 * GAP_S)
        assert [what for what, _ in watched.told] == ["start", "release"]
        assert await executor.run("order") == "order"
        assert clock.now() < 1.0
        assert watched.up
        await executor.rest(clock.now() + 10 * GAP_S)
        await executor.close()
        assert [what for what, _ in watched.told] == ["start", "release", "start", "release", "close"]

    clock.run(main())


@pytest.mark.ray
@pytest.mark.usefixtures("embedded_ray")
def test_ray_runners_that_were_let_go_come_again(tmp_path):
    from ray import cloudpickle

    cloudpickle.register_pickle_by_value(telling)
    folder = tmp_path / "told"
    folder.mkdir()
    sweep = Rig(tmp_path / "run", sweep_text(tasks=2, repeats=1))
    orders = compose.Orders(sweep.study, sweep.run_id, compose.calendar(sweep.sweep, 0.0), None)
    first, second = (orders(Launch(b, b.trials[0], 1, 1), time.time()) for b in sweep.study.plan.blocks)

    async def main():
        async def cleared():
            pass

        executor = Resting(RayExecutor(Recipe(folder), 2), SystemClock(), cleared)
        await executor.start("run-rig")
        try:
            rows = [await executor.run(first)]
            before = {pid for _, pid, _ in telling.told(folder)}
            await executor.rest(time.time() + 10 * GAP_S)
            rows.append(await executor.run(second))
            assert len({pid for _, pid, _ in telling.told(folder)} - before) == 1, "another runner"
        finally:
            await executor.close()
        return rows

    try:
        rows = asyncio.run(main())
    finally:
        cloudpickle.unregister_pickle_by_value(telling)
    assert [r["trial_id"] for r in rows] == [first.trial.trial_id, second.trial.trial_id]
    assert not any(r["outcome"] == "infra" and r["cause_class"] == "platform" for r in rows)
