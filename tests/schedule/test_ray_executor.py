"""The pool of Ray actors with a real driver around it: real actors, really killed; only the sandboxes are simulated."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter
from dataclasses import replace

import pytest

from raysweep.clock import SystemClock
from raysweep.errors import UnsuitableError
from raysweep.record.logs import RunLog
from raysweep.schedule.messages import Launch
from raysweep.schedule.ray_executor import RayExecutor
from raysweep.study import compose
from support import telling
from support.driving import Rig
from support.plans import sweep_text
from support.telling import TRUTH, Recipe, in_flight, most_at_once, told

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("embedded_ray")]

LONG = replace(TRUTH, duration=(600.0, 600.0))
PATIENCE_S = 120.0


@pytest.fixture(autouse=True)
def by_value():
    """The workers cannot import this folder: its classes travel as they are."""
    from ray import cloudpickle

    cloudpickle.register_pickle_by_value(telling)
    yield
    cloudpickle.unregister_pickle_by_value(telling)


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "told"
    path.mkdir()
    return path


def rig_of(tmp_path, slots, **options):
    return Rig(tmp_path / "run", sweep_text(slots=slots, **options))


def drive(rig, executor, begin=lambda _: None):
    return rig.drive(clock=SystemClock(), wrap=lambda _: executor, begin=begin)


def orders_of(rig):
    """Orders of all planned trials, for an executor without a driver."""
    orders = compose.Orders(rig.study, rig.run_id, compose.calendar(rig.sweep, 0.0), None)
    return [orders(Launch(b, t, 1, 1), time.time()) for b in rig.study.plan.blocks for t in b.trials]


async def wait_for(condition):
    until = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        await asyncio.sleep(0.02)


def test_every_trial_once_and_never_more_at_once_than_there_are_slots(tmp_path, folder):
    rig = rig_of(tmp_path, 5, tasks=6, repeats=3)
    result = drive(rig, RayExecutor(Recipe(folder), 5))
    assert result.missing == 0
    assert sorted(rig.finished()) == rig.planned()
    assert Counter(name for name, _, _ in told(folder)) == Counter(r["attempt_id"] for r in rig.rows())
    assert 3 <= most_at_once(folder) <= 5
    assert len({pid for _, pid, _ in told(folder)}) == 2, "both actors work"
    assert os.getpid() not in {pid for _, pid, _ in told(folder)}


def test_sigkill_of_an_actor_costs_its_attempts_in_flight_and_nothing_else(tmp_path, folder):
    """Stopped first, so that what it holds at its death is known exactly."""
    rig = rig_of(tmp_path, 4, tasks=8, repeats=2)
    recipe = Recipe(folder, replace(TRUTH, duration=(0.3, 0.6)))
    held = set()

    async def kill_one():
        await wait_for(lambda: len(rig.finished()) >= 6)
        while len(held) < 2:
            await wait_for(lambda: any(len(names) == 2 for names in in_flight(folder).values()))
            pid = next((p for p, names in in_flight(folder).items() if len(names) == 2), None)
            if pid is None:
                continue
            os.kill(pid, signal.SIGSTOP)
            held.update(in_flight(folder).get(pid, ()))
            if len(held) < 2:  # some ended in between: their rows may still be under way
                held.clear()
                os.kill(pid, signal.SIGCONT)
        os.kill(pid, signal.SIGKILL)

    tasks = []
    executor = RayExecutor(recipe, 4, log=RunLog(tmp_path, "r"))
    with RunLog(tmp_path, "r").of("driver"):
        result = drive(rig, executor, lambda _: tasks.append(asyncio.ensure_future(kill_one())))
    assert result.missing == 0
    rows = rig.rows()
    lost = [r for r in rows if r["cause"] == "runner_lost"]
    assert {r["attempt_id"] for r in lost} == held
    assert all((r["outcome"], r["cause_class"], r["attempt"]) == ("infra", "platform", 1) for r in lost)
    again = [r for r in rows if r["attempt"] == 2]
    assert {r["trial_id"] for r in again} == {r["trial_id"] for r in lost}
    assert {r["block_run"] for r in rows} == {1}
    assert sorted(rig.finished()) == rig.planned()
    assert Counter(r["attempt"] for r in rows) == {1: len(rig.planned()), 2: 2}
    logged = {file.name.rpartition("-")[0]: file.read_text() for file in (tmp_path / "logs").iterdir()}
    assert "lost a runner with 2 attempts" in next(text for name, text in logged.items() if name.startswith("driver"))
    assert sum(name.startswith("runner-") for name in logged) == 3, "each actor, and the one in the lost one's place"


def test_an_order_given_while_a_lost_actor_is_replaced_is_not_lost(tmp_path, folder):
    rig = rig_of(tmp_path, 1, tasks=3, repeats=2)
    orders = orders_of(rig)

    async def main():
        executor = RayExecutor(Recipe(folder), 1)
        facts = await executor.start("run-x")
        try:
            os.kill(facts["runner_pid"], signal.SIGKILL)
            old = executor._slots[0]
            await wait_for(lambda: executor._slots[0] is not old)
            return await asyncio.wait_for(asyncio.gather(*(executor.run(o) for o in orders)), PATIENCE_S)
        finally:
            await executor.close()

    rows = asyncio.run(main())
    assert {r["attempt_id"] for r in rows} == {o.attempt_id for o in orders}
    assert {r["cause"] for r in rows} <= {None, "oom_limit"}


@pytest.mark.parametrize("moment", ["before it is sent", "just sent", "running"])
def test_cancelling_reaches_the_actor_and_waits_until_the_sandbox_is_gone(tmp_path, folder, moment):
    rig = rig_of(tmp_path, 2, tasks=1)
    order = orders_of(rig)[0]

    async def main():
        executor = RayExecutor(Recipe(folder, LONG), 2)
        await executor.start("run-x")
        try:
            task = asyncio.ensure_future(executor.run(order))
            await asyncio.sleep(0)  # its first step: the order waits to be sent with others of this turn
            if moment == "just sent":
                await asyncio.sleep(0)
                await asyncio.sleep(0)
            elif moment == "running":
                await wait_for(lambda: in_flight(folder))
            task.cancel()
            await asyncio.wait_for(asyncio.wait([task]), PATIENCE_S / 2)
            assert task.cancelled()
            assert not in_flight(folder), "its sandbox is gone when the cancellation returns"
        finally:
            await executor.close()

    asyncio.run(main())
    assert len(told(folder)) == 1 if moment == "running" else len(told(folder)) <= 1


def test_interrupting_a_driver_cancels_in_the_actors(tmp_path, folder):
    rig = rig_of(tmp_path, 4, tasks=4)

    async def interrupt(driver):
        await wait_for(lambda: sum(map(len, in_flight(folder).values())) == 4)
        driver.interrupt()

    tasks = []
    recipe = Recipe(folder, LONG)
    result = drive(rig, RayExecutor(recipe, 4), lambda driver: tasks.append(asyncio.ensure_future(interrupt(driver))))
    assert result.interrupted
    assert [r["outcome"] for r in rig.rows()] == ["cancelled"] * 4
    assert not in_flight(folder)


def test_a_machine_that_cannot_enforce_is_told_as_such_from_inside_an_actor(folder):
    async def main():
        executor = RayExecutor(telling.unsuitable, 1)
        try:
            await executor.start("run-x")
        finally:
            await executor.close()

    with pytest.raises(UnsuitableError, match="no cgroups here") as caught:
        asyncio.run(main())
    assert type(caught.value) is UnsuitableError
    assert "\n" not in str(caught.value), "a sentence, not Ray's traceback"


def test_a_bug_inside_an_actor_is_raised_in_the_driver_with_its_traceback(tmp_path):
    rig = rig_of(tmp_path, 2, tasks=1)

    async def main():
        executor = RayExecutor(telling.broken, 2)
        await executor.start("run-x")
        try:
            await asyncio.wait_for(executor.run(orders_of(rig)[0]), PATIENCE_S)
        finally:
            await executor.close()

    with pytest.raises(Exception, match="our own mistake: a bug") as raised:
        asyncio.run(main())
    assert "in open" in "".join(raised.value.__notes__)
