"""Cancelling an attempt: its sandbox is removed whole first, and what was measured by then is kept."""

from __future__ import annotations

import asyncio

import pytest

from raysweep import config
from raysweep.clock import SystemClock
from raysweep.plan import make_plan
from raysweep.sandbox.simulated.faults import Faults
from raysweep.sandbox.simulated.provider import SimulatedProvider, SimulatedSandbox
from raysweep.sandbox.simulated.truth import Truth
from raysweep.schedule.messages import Launch
from raysweep.study import compose, load
from raysweep.study.compose import Orders
from raysweep.study.load import Study
from raysweep.trial.attempt import run_attempt
from support.plans import sweep_text


class Watched(SimulatedSandbox):
    """Says when its agent runs and when its removal begins; removed once it is let go."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)
        self.agent, self.leaving, self.let_go = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.removed = False

    async def exec(self, *arguments, **options):
        if self._phase == "agent":
            self.agent.set()
        return await super().exec(*arguments, **options)

    async def stop(self):
        self.leaving.set()
        await self.let_go.wait()
        final_facts = await super().stop()
        self.removed = True
        return final_facts


def begin(seconds: float) -> tuple[asyncio.Task, list[Watched]]:
    text = sweep_text().replace('"synthetic:3", defaults: {cpus: 1, memory: 2Gi}', "bundled:headroom")
    sweep = config.parse(text)
    tasks = load.load_tasks(sweep)
    study = Study(sweep, {t.name: t for t in tasks}, make_plan(sweep, tasks))
    made: list[Watched] = []
    provider = SimulatedProvider(Truth())

    def open_one(spec):
        made.append(Watched(spec, Truth(duration=(seconds, seconds)), Faults(), SystemClock()))
        return made[-1]

    provider.open = open_one
    block = study.plan.blocks[0]
    order = Orders(study, "run-x", compose.calendar(sweep, 0.0), None)(Launch(block, block.trials[0], 1, 1), 0.0)
    return asyncio.ensure_future(run_attempt(order, provider, SystemClock())), made


async def test_a_cancellation_during_the_removal_waits_for_it_and_keeps_the_row():
    attempt, made = begin(0.0)
    await asyncio.sleep(0)
    await made[0].leaving.wait()
    for _ in range(3):
        attempt.cancel()
        await asyncio.sleep(0.01)
        assert not attempt.done(), "it must not go before its sandbox does"
    made[0].let_go.set()
    done = await attempt
    assert made[0].removed
    assert done.row["outcome"] in {"scored", "infra"}
    assert done.row["t_stopped"] is not None


async def test_a_cancellation_of_the_agent_is_one_however_often_it_is_told():
    attempt, made = begin(600.0)
    await asyncio.sleep(0)
    await made[0].agent.wait()
    attempt.cancel()
    await made[0].leaving.wait()
    attempt.cancel()
    await asyncio.sleep(0.01)
    assert not attempt.done()
    made[0].let_go.set()
    with pytest.raises(asyncio.CancelledError):
        await attempt
    assert made[0].removed
