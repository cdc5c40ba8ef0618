"""Attempts whose files do not fit any more, against a simulated sandbox that refuses them."""

from __future__ import annotations

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


class Full(SimulatedSandbox):
    """Takes files only until `phase`."""

    phase = ""

    async def put(self, archive: bytes, dest: str) -> None:
        if self._phase == self.phase:
            raise OSError(28, "No space left on device")


@pytest.mark.parametrize(
    ("phase", "outcome", "cause"),
    [("setup", "infra", "image"), ("agent", "agent_error", None), ("verifier", "verifier_error", None)],
)
async def test_files_that_do_not_fit_are_an_outcome_never_a_bug(phase, outcome, cause):
    text = sweep_text().replace('"synthetic:3", defaults: {cpus: 1, memory: 2Gi}', "bundled:headroom")
    sweep = config.parse(text.replace('["1s", "9s"]', '["0s", "0s"]'))
    tasks = load.load_tasks(sweep)
    study = Study(sweep, {t.name: t for t in tasks}, make_plan(sweep, tasks))
    provider = SimulatedProvider(Truth())
    sandbox_class = type("FullHere", (Full,), {"phase": phase})
    provider.open = lambda spec: sandbox_class(spec, Truth(duration=(0.0, 0.0)), Faults(), SystemClock())
    block = study.plan.blocks[0]
    order = Orders(study, "run-x", compose.calendar(sweep, 0.0), None)(Launch(block, block.trials[0], 1, 1), 0.0)
    done = await run_attempt(order, provider, SystemClock())
    assert (done.verdict.outcome, done.verdict.cause) == (outcome, cause)
    assert "No space left" in done.row["detail"]
