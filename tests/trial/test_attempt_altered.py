"""Bounds that are not the arm's void an attempt, at its start and at its end; rounding of the kernel does not."""

from __future__ import annotations

from dataclasses import replace

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


class Altering(SimulatedSandbox):
    """Takes the limits of its spec with `changes`, from the start or only at the end."""

    changes: dict = {}  # noqa: RUF012 - set by each test's own class
    when = "at the start"

    def altered(self):
        limit = self._spec.limit
        return replace(limit, **{name: change(getattr(limit, name)) for name, change in self.changes.items()})

    async def start(self):
        admitted = await super().start()
        return replace(admitted, limit=self.altered()) if self.when == "at the start" else admitted

    async def stop(self):
        return replace(await super().stop(), actual_limit=self.altered())


async def attempt(when, band, **changes):
    sweep = config.parse(sweep_text().replace('["1s", "9s"]', '["0s", "0s"]'))
    tasks = load.load_tasks(sweep)
    study = Study(sweep, {t.name: t for t in tasks}, make_plan(sweep, tasks))
    provider = SimulatedProvider(Truth())
    sandbox_class = type("AlteringHere", (Altering,), {"when": when, "changes": changes})
    truth = Truth(duration=(0.0, 0.0))
    provider.open = lambda spec: sandbox_class(spec, truth, Faults(), SystemClock())
    block = study.plan.blocks[0]
    trial = next(t for t in block.trials if t.arm.band == band)
    order = Orders(study, "run-x", compose.calendar(sweep, 0.0), None)(Launch(block, trial, 1, 1), 0.0)
    return (await run_attempt(order, provider, SystemClock())).row


WHEN = pytest.mark.parametrize("when", ["at the start", "at the end"])


@WHEN
@pytest.mark.parametrize(
    ("band", "name", "change"),
    [
        pytest.param("1x", "memory", lambda have: have - 4096, id="a-page-less"),
        pytest.param("1x", "memory", lambda have: have + 4096, id="a-page-more"),
        pytest.param("1x", "memory", lambda _: None, id="no-memory-limit"),
        pytest.param("1x", "cpu", lambda have: have - 2, id="less-cpu"),
        pytest.param("1x", "cpu", lambda have: have + 2, id="more-cpu"),
        pytest.param("uncapped", "memory", lambda _: 1 << 40, id="a-memory-limit-where-none-belongs"),
        pytest.param("uncapped", "cpu", lambda _: 8000, id="a-cpu-limit-where-none-belongs"),
    ],
)
async def test_another_bound_than_the_arms_voids_the_attempt(when, band, name, change):
    row = await attempt(when, band, **{name: change})
    assert (row["outcome"], row["cause"], row["cause_class"]) == ("infra", "altered", "platform")
    assert f"{name} limit {when}" in row["detail"]


@WHEN
@pytest.mark.parametrize("by", [-1, 1])
async def test_what_the_kernel_rounds_is_no_alteration(when, by):
    row = await attempt(when, "1x", memory=lambda have: have + 4095 * by, cpu=lambda have: have + by)
    assert row["cause"] != "altered", row["detail"]


@WHEN
async def test_the_disk_is_compared_where_it_is_enforced_not_here(when):
    assert (await attempt(when, "1x", storage=lambda _: 1 << 30))["cause"] != "altered"
