"""One attempt of a task made of two shell lines, and the shell lines of tasks that use much memory."""

from __future__ import annotations

import uuid
from pathlib import Path

from raysweep import config
from raysweep.clock import SystemClock
from raysweep.plan import make_plan
from raysweep.sandbox.local.provider import LocalProvider
from raysweep.schedule.messages import Launch
from raysweep.study import compose, load
from raysweep.study.compose import Orders
from raysweep.study.load import Study
from raysweep.trial.attempt import run_attempt

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
    tasks = load.load_tasks(sweep)
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
