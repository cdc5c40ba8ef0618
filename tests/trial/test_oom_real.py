"""OOM kills in real local sandboxes, through a whole attempt: whose limit was full decides the outcome."""

from __future__ import annotations

import sys
import uuid
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "schedule"))

from raysweep import config
from raysweep.cli import compose
from raysweep.cli.compose import Orders, Study
from raysweep.clock import SystemClock
from raysweep.plan import make_plan
from raysweep.sandbox.local import LocalProvider
from raysweep.schedule.messages import Launch
from raysweep.trial.attempt import run_attempt
from raysweep.units import MIB

pytestmark = pytest.mark.sandbox

SWEEP = """
name: oom
tasks: {source: tasks}
models: [{name: m, agent: oracle}]
bands:
  - {name: 1x, request: 1.0, limit: 1.0}
  - {name: uncapped, request: 1.0, limit: none}
reference: 1x
repeats: 1
sandbox: {kind: local}
"""
HOG = "exec /usr/bin/python3 -c 'x = bytearray(200 << 20); import time; time.sleep({sleep})'"
CHILD = "/usr/bin/python3 -c 'x = bytearray(200 << 20)'; echo survived > /app/answer"
REWARD = "mkdir -p /logs/verifier && echo 1 > /logs/verifier/reward.txt"


def task(folder: Path, name: str, solve: str, test: str) -> None:
    root = folder / "tasks" / name
    files = {
        "task.toml": "[agent]\ntimeout_sec = 120\n[environment]\ncpus = 1\nmemory_mb = 64\nallow_internet = false\n",
        "instruction.md": "Do it.\n",
        "environment/Dockerfile": "FROM debian:12\nCOPY . /app\nRUN /app/setup.sh\n",
        "environment/setup.sh": "#!/bin/sh\ntrue\n",
        "solution/solve.sh": f"#!/bin/sh\n{solve}\n",
        "tests/test.sh": f"#!/bin/sh\n{test}\n",
    }
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)


async def attempt(
    tmp_path: Path, scratch: Path, band: str, solve: str, test: str = REWARD, *, provider=None, **options
):
    task(tmp_path, "one", solve, test)
    (tmp_path / "sweep.yaml").write_text(SWEEP)
    sweep = config.load(tmp_path / "sweep.yaml")
    tasks = compose.load_tasks(sweep)
    study = Study(sweep, {t.name: t for t in tasks}, make_plan(sweep, tasks))
    block = study.plan.blocks[0]
    trial = next(t for t in block.trials if t.arm.band == band)
    run_id = f"oom-{uuid.uuid4().hex[:10]}"
    provider = provider or LocalProvider(scratch=scratch, **options)
    clock = SystemClock()
    order = Orders(study, run_id, compose.calendar(sweep, clock.now()), None)(Launch(block, trial, 1, 1), clock.now())
    await provider.prepare(run_id)
    try:
        return await run_attempt(order, provider, clock)
    finally:
        await provider.gc(run_id)


def verdict(done):
    return (done.row["outcome"], done.row["cause"], done.row["cause_class"], done.row["phase"])


async def test_an_agent_killed_at_its_own_limit_is_oom_limit(tmp_path, needs_local):
    done = await attempt(tmp_path, needs_local, "1x", HOG.format(sleep=0))
    assert verdict(done) == ("infra", "oom_limit", "resource", "agent")
    assert done.row["agent_exit"] == 137
    assert done.row["oom_kills"] >= 1


async def test_a_child_killed_while_the_agent_survives_is_scored_with_the_kill_beside_it(tmp_path, needs_local):
    done = await attempt(tmp_path, needs_local, "1x", CHILD, f"[ -s /app/answer ] && {REWARD}")
    assert verdict(done) == ("scored", None, None, "verifier")
    assert (done.row["oom_kills"], done.row["reward"]) == (1, 1.0)


async def test_the_runs_own_parent_group_full_is_oom_node_and_the_arms_doing_above_its_request(tmp_path, needs_local):
    hog = HOG.format(sleep=0).replace("200 << 20", "400 << 20")
    done = await attempt(tmp_path, needs_local, "uncapped", hog, run_memory=160 * MIB)
    assert verdict(done) == ("infra", "oom_node", "resource", "agent")


async def test_a_verifier_that_is_the_hog_is_oom_verifier(tmp_path, needs_local):
    test = HOG.format(sleep=0).removeprefix("exec ") + f" && {REWARD}"
    done = await attempt(tmp_path, needs_local, "1x", "true", test)
    assert verdict(done) == ("infra", "oom_verifier", "resource", "verifier")
    assert (done.row["oom_kills"], done.row["verifier_oom_kills"]) == (0, 1)


async def test_a_spike_that_fits_is_scored(tmp_path, needs_local):
    done = await attempt(tmp_path, needs_local, "uncapped", HOG.format(sleep=0))
    assert verdict(done) == ("scored", None, None, "verifier")
    assert done.row["mem_peak_bytes"] >= 200 * MIB
