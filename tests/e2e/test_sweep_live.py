"""A sweep at work, seen and disturbed from outside: who else may touch it, and what the death of a runner costs."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections import Counter

import pytest

from support.e2e_runs import Sweep, wait_for, write_task

pytestmark = pytest.mark.e2e


@pytest.fixture
def slow(tmp_path, needs_local):
    """Trials of some seconds on two runners of two slots each."""
    write_task(
        tmp_path, "slow", "sleep 5; echo done > /app/answer", "cat /app/answer && echo 1 > /logs/verifier/reward.txt"
    )
    sweep = Sweep(tmp_path, needs_local, repeats=12, concurrency=4)  # not over before three commands looked at it
    yield sweep
    sweep.expect_nothing_left()


def expect_complete(sweep, planned):
    told = json.loads(sweep.command("status", sweep.run, "--json").stdout)
    assert (told["planned"], told["done"], told["running"], told["complete"]) == (planned, planned, 0, True)


def kill_a_full_runner(sweep):
    """SIGKILL a runner with two sandboxes; stopped first, so that what it held at its death is known."""
    while True:
        pid = wait_for(lambda: next((p for p, held in sweep.homes().items() if len(held) == 2), 0), "a full runner")
        before = sweep.homes().get(pid, set())
        os.kill(pid, signal.SIGSTOP)
        held = sweep.homes().get(pid, set())
        if held == before and len(held) == 2:
            os.kill(pid, signal.SIGKILL)
            return held
        os.kill(pid, signal.SIGCONT)


def test_a_sweep_at_work_refuses_others_and_pays_for_a_killed_runner_with_its_attempts_only(slow):
    driver = slow.begin()
    wait_for(lambda: slow.running() == 4 or driver.poll() is not None, "four attempts in flight")
    assert driver.poll() is None, slow.log.read_text()
    second = slow.command("run", slow.config, "--run-dir", slow.run)
    assert second.returncode == 2
    assert f"process {driver.pid}" in second.stderr
    gc = slow.command("gc", slow.run)
    assert gc.returncode == 2
    assert "still active" in gc.stderr
    told = json.loads(slow.command("status", slow.run, "--json").stdout)
    assert told["planned"] == 24
    assert told["complete"] is False
    held = kill_a_full_runner(slow)
    slow.end(driver)
    rows = slow.rows()
    lost = [r for r in rows if r["cause"] == "runner_lost"]
    assert {r["attempt_id"] for r in lost} == held
    assert {r["cause_class"] for r in lost} == {"platform"}
    assert {r["trial_id"] for r in rows if r["attempt"] == 2} == {r["trial_id"] for r in lost}
    assert Counter(r["attempt"] for r in rows) == {1: 24, 2: 2}
    assert {r["block_run"] for r in rows} == {1}
    assert all(r["reward"] == 1.0 for r in rows if r["is_final"])
    expect_complete(slow, 24)


def test_sigkill_of_a_driver_that_is_only_starting_costs_nothing(tmp_path, needs_local):
    write_task(tmp_path, "quick", "echo done > /app/answer")
    sweep = Sweep(tmp_path, needs_local, repeats=2)
    driver = sweep.begin()
    wait_for(lambda: (sweep.run / "run.json").exists() or driver.poll() is not None, "the run directory")
    time.sleep(random.Random(20260205).uniform(0.0, 4.0))  # Ray starts meanwhile
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    sweep.end(sweep.begin())
    assert Counter(r["trial_id"] for r in sweep.rows()).most_common(1)[0][1] == 1
    expect_complete(sweep, 4)
    sweep.expect_nothing_left()
