"""Probes in Ray actors: through the same runners as trials, and what the death of one or an interruption does."""

from __future__ import annotations

import asyncio
import os
import signal
import time

import pytest

from raysweep.config.bands import Band
from raysweep.probe import plan_probes
from raysweep.schedule.executor import RunnerLostError
from raysweep.schedule.ray_executor import RayExecutor
from support import stated
from support.stated import StatedProvider, enforcing

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("embedded_ray")]

BANDS = (Band(name="1x", limit=1.0), Band(name="3x", limit=3.0), Band(name="uncapped", limit="none"))
PATIENCE_S = 120.0


@pytest.fixture(autouse=True)
def by_value():
    """The workers cannot import the folder of these classes: they travel as they are."""
    from ray import cloudpickle

    cloudpickle.register_pickle_by_value(stated)
    yield
    cloudpickle.unregister_pickle_by_value(stated)


def orders(cpu_s=1.0, bands=BANDS):
    return plan_probes(
        bands, run_id="r", bucket="all", occasion="always", moment="before", number=1, cpu_s=cpu_s, now=time.time()
    )


def on_actors(main, slots=2):
    truths = {o.band: enforcing(o.limit) for o in orders()}

    async def all_of_it():
        executor = RayExecutor(lambda _: StatedProvider(truths), slots)
        try:
            facts = await executor.start("r")
            return await main(executor, facts)
        finally:
            await executor.close()

    return asyncio.run(all_of_it())


def test_rows_come_back_from_the_actors():
    async def main(executor, facts):
        return await asyncio.gather(*(executor.probe(o) for o in orders()))

    rows = {r["band"]: r for r in on_actors(main)}
    assert [rows[b]["own_limit"] for b in ("1x", "3x")] == [True, True]
    assert rows["uncapped"]["held"] is True
    assert rows["3x"]["cpu_used_s"] == pytest.approx(0.75)


def test_the_death_of_an_actor_loses_its_probe_only_and_another_takes_its_place():
    async def main(executor, facts):
        (order,) = orders(cpu_s=600.0, bands=BANDS[:1])
        task = asyncio.ensure_future(executor.probe(order))
        until = time.monotonic() + PATIENCE_S
        while not any(slot.waiting for slot in executor._slots):
            assert time.monotonic() < until
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.5)
        os.kill(facts["runner_pid"], signal.SIGKILL)
        with pytest.raises(RunnerLostError):
            await task
        return await executor.probe(orders(bands=BANDS[:1])[0])

    assert on_actors(main, slots=1)["own_limit"] is True


def test_cancelling_reaches_the_actor():
    async def main(executor, facts):
        (order,) = orders(cpu_s=600.0, bands=BANDS[:1])
        task = asyncio.ensure_future(executor.probe(order))
        await asyncio.sleep(0.5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, PATIENCE_S)
        return await executor.probe(orders(bands=BANDS[:1])[0])

    assert on_actors(main, slots=1)["held"] is True
