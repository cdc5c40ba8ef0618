"""Levels of other factors in attempts: the agent's time limit really moves, and a row says what was honoured."""

from __future__ import annotations

import uuid
from dataclasses import replace
from pathlib import Path

import pytest

from raysweep import config
from raysweep.clock import SystemClock
from raysweep.plan import make_plan
from raysweep.record.evidence import Evidence, PhaseCounters, Verdict
from raysweep.record.schema import PHASES, to_table
from raysweep.sandbox.local.provider import LocalProvider
from raysweep.sandbox.protocol import Capabilities
from raysweep.schedule.messages import Launch
from raysweep.study import compose, load
from raysweep.study.compose import Orders
from raysweep.study.load import Study
from raysweep.trial.attempt import run_attempt, sandbox_spec
from raysweep.trial.row import AttemptState, build_row
from raysweep.units import Resources
from support.attempts import REWARD, task

SWEEP = """
name: factors
tasks: {source: tasks}
models: [{name: m, agent: oracle}]
bands: [{name: 1x, request: 1.0, limit: 1.0}]
reference: 1x
repeats: 1
factors:
  agent_timeout: {reference: 1x, levels: {1x: 1.0, 20x: 20.0}}
  egress: {reference: free, levels: {free: none, slow: 1Mi}}
sandbox: {kind: local}
"""
WAITS = "sleep 8; touch /app/done"
"""Longer than the limit of 3 s, and far shorter than twenty times that."""


def orders(folder: Path, solve: str = "true") -> dict[tuple, object]:
    """The order of each arm by its levels; the task's time limit is 3 s."""
    task(folder, "one", solve, REWARD)
    toml = folder / "tasks" / "one" / "task.toml"
    toml.write_text(toml.read_text().replace("timeout_sec = 120", "timeout_sec = 3"))
    (folder / "sweep.yaml").write_text(SWEEP)
    sweep = config.load(folder / "sweep.yaml")
    tasks = load.load_tasks(sweep)
    study = Study(sweep, {t.name: t for t in tasks}, make_plan(sweep, tasks))
    clock, (block,) = SystemClock(), study.plan.blocks
    make = Orders(study, f"factors-{uuid.uuid4().hex[:10]}", compose.calendar(sweep, clock.now()), None)
    return {t.arm.factors: make(Launch(block, t, 1, 1), clock.now()) for t in block.trials}


@pytest.mark.sandbox
@pytest.mark.parametrize(("levels", "cut"), [((), True), ((("agent_timeout", "20x"),), False)])
async def test_the_level_decides_when_the_agent_is_cut(tmp_path, needs_local, levels, cut):
    order, provider = orders(tmp_path, WAITS)[levels], LocalProvider(scratch=needs_local)
    await provider.prepare(order.run_id)
    try:
        done = await run_attempt(order, provider, SystemClock())
    finally:
        await provider.gc(order.run_id)
    row = done.row
    assert (row["outcome"], row["timed_out"]) == ("scored", cut)
    assert row["factors"] == dict(levels)
    assert row["enforcement"]["agent_timeout_s"] == ("3" if cut else "60")


def test_a_longer_limit_gives_the_sandbox_a_longer_life_and_its_labels_say_the_level(tmp_path):
    made = orders(tmp_path)
    plain, longer, slow = (sandbox_spec(made[key]) for key in ((), (("agent_timeout", "20x"),), (("egress", "slow"),)))
    assert longer.lifetime_s - plain.lifetime_s == 57
    assert (plain.egress, slow.egress) == (None, 1 << 20)
    assert "factor.agent_timeout" not in plain.labels
    assert longer.labels["factor.agent_timeout"] == "20x"


@pytest.mark.parametrize(
    ("level", "network", "capabilities", "asked", "told"),
    [
        ((("egress", "slow"),), True, Capabilities(network_isolation=True), "1048576", "not honoured"),
        ((("egress", "slow"),), True, Capabilities(egress="requested"), "1048576", "unknown"),
        ((("egress", "slow"),), True, Capabilities(egress="enforced"), "1048576", "honoured"),
        ((("egress", "slow"),), False, Capabilities(network_isolation=True), "1048576", "no network"),
        ((("egress", "slow"),), False, Capabilities(), "1048576", "not honoured"),
        ((), True, Capabilities(), "no bound", "no bound asked"),
    ],
)
def test_a_row_says_whether_egress_was_bounded(tmp_path, level, network, capabilities, asked, told):
    order = replace(orders(tmp_path)[level], network=network)
    row = build_row(order, AttemptState(), Evidence(Resources(), Resources()), Verdict("scored"), capabilities)
    assert (row["enforcement"]["egress_asked"], row["enforcement"]["egress"]) == (asked, told)
    bare = replace(order, conditions=type(order.conditions)())
    row = build_row(bare, AttemptState(), Evidence(Resources(), Resources()), Verdict("scored"), capabilities)
    assert set(row["enforcement"]) == {"memory", "cpu", "pids", "disk", "oom"}


def test_a_row_has_the_counters_of_every_phase_and_the_time_limits(tmp_path):
    made = orders(tmp_path)
    phases = [
        PhaseCounters(name, oom_kills=n, pids_denied=10 + n, cpu_used_us=n * 1000) for n, name in enumerate(PHASES)
    ]
    evidence = Evidence(Resources(), Resources(), counters={c.phase: c for c in phases})
    row = build_row(made[("agent_timeout", "20x"),], AttemptState(), evidence, Verdict("scored"), Capabilities())
    assert [row[name] for name in ("setup_oom_kills", "oom_kills", "verifier_oom_kills")] == [0, 1, 2]
    assert [row[name] for name in ("setup_pids_denied", "pids_denied", "verifier_pids_denied")] == [10, 11, 12]
    assert [row[name] for name in ("setup_cpu_used_us", "cpu_used_us", "verifier_cpu_used_us")] == [0, 1000, 2000]
    assert (
        row["agent_timeout_s"]
        == 20 * build_row(made[()], AttemptState(), evidence, Verdict("scored"), Capabilities())["agent_timeout_s"]
    )
    assert (row["setup_timeout_s"], row["verifier_timeout_s"]) == (600.0, 600.0)
    assert to_table([row])["pids_denied"].to_pylist() == [11]
