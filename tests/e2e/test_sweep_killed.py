"""The real command line, real Ray, real local sandboxes: what happens to a sweep whose processes are killed."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from raysweep.errors import RaysweepError
from raysweep.record.reader import read_ledger
from support.seen import below, cgroups, loops, mounts, processes

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("needs_local")]

RAYSWEEP = str(Path(sys.executable).parent / "raysweep")
SWEEP = """
name: killed
seed: 11
tasks: {source: bundled:headroom, include: [sort-lines, edit-settings, count-distinct]}
models:
  - {name: lean, agent: scripted, strategy: lean}
  - {name: heavy, agent: scripted, strategy: heavy}
bands:
  - {name: 1x, request: 1.0, limit: 1.0}
  - {name: uncapped, request: 1.0, limit: none}
reference: 1x
repeats: 4
sandbox: {kind: local}
runner: {concurrency: 2}
"""
PLANNED = 48
PATIENCE_S = 240.0


class Sweep:
    """One sweep of the test: its files, and its driver as a process group of its own."""

    def __init__(self, folder: Path) -> None:
        self.config, self.run = folder / "sweep.yaml", folder / "run"
        self.scratch = folder / "scratch"
        self.config.write_text(SWEEP)
        self.log = folder / "log"

    def begin(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [RAYSWEEP, "run", str(self.config), "--run-dir", str(self.run)],
                stdout=log,
                stderr=log,
                env={**os.environ, "RAYSWEEP_SCRATCH": str(self.scratch)},
                start_new_session=True,
            )

    def rows(self) -> list[dict]:
        try:
            return read_ledger(self.run).table.to_pylist()
        except (RaysweepError, FileNotFoundError):
            return []

    def wait_for(self, sealed: int, driver: subprocess.Popen[bytes]) -> bool:
        """Until so many rows are sealed; False when the driver ended first."""
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            if len(self.rows()) >= sealed:
                return True
            if driver.poll() is not None:
                return False
            time.sleep(0.1)
        raise AssertionError(f"{sealed} rows were not sealed in time")

    def status(self) -> dict:
        return json.loads(subprocess.check_output([RAYSWEEP, "status", str(self.run), "--json"]))

    def finish(self) -> int:
        return self.begin().wait(PATIENCE_S)


def finished(row: dict) -> bool:
    return row["cause_class"] != "platform" and row["outcome"] != "cancelled"


def expect_whole(sweep: Sweep) -> list[dict]:
    """One final attempt of every trial, no finished trial run again; returns the rows."""
    rows = sweep.rows()
    assert Counter(r["trial_id"] for r in rows if r["is_final"]).most_common(1)[0][1] == 1
    assert sum(r["is_final"] for r in rows) == PLANNED
    assert Counter(r["trial_id"] for r in rows if finished(r)).most_common(1)[0][1] == 1
    assert sweep.status()["complete"] is True
    return rows


def leftovers(sweep: Sweep) -> list[str]:
    """Processes, mounts, loop devices, cgroups and scratch folders of the run."""
    run_id, scratch = json.loads((sweep.run / "run.json").read_text())["run_id"], str(sweep.scratch)
    found = processes(run_id, scratch) + mounts(scratch) + loops(scratch)
    return found + cgroups(run_id) + below(sweep.scratch, run_id)


def wait_until_gone(sweep: Sweep) -> list[str]:
    """What is left once the kernel had time to end what died with its parent."""
    until = time.monotonic() + PATIENCE_S
    while (left := leftovers(sweep)) and time.monotonic() < until:
        time.sleep(0.2)
    return left


def test_sigkill_of_the_driver_three_times_then_the_same_command_completes_and_leaves_nothing(tmp_path):
    sweep, moments = Sweep(tmp_path), random.Random(20260205)
    for n in range(3):
        driver = sweep.begin()
        assert sweep.wait_for(1 + 8 * n, driver)
        time.sleep(moments.uniform(0.0, 1.5))
        os.kill(driver.pid, signal.SIGKILL)
        driver.wait()
    assert sweep.finish() == 0
    rows = expect_whole(sweep)
    assert not any(r["outcome"] == "cancelled" for r in rows)
    kills = {(r["model"], r["band"]) for r in rows if r["cause"] == "oom_limit"}
    assert kills == {("heavy", "1x")}
    assert wait_until_gone(sweep) == []


def runners(driver: int) -> list[int]:
    """Pids of the Ray actors that descend from this driver: other tests on the machine have theirs."""
    parents, titled = {}, []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            if b"ray::Runner" in (entry / "cmdline").read_bytes():
                titled.append(int(entry.name))
        except OSError:
            continue

    def is_ours(pid: int) -> bool:
        while pid > 1 and pid != driver:
            pid = parents.get(pid, 0)
        return pid == driver

    return sorted(filter(is_ours, titled))


def both_runners(driver: int) -> list[int]:
    """As runners, once both are seen: Ray writes a process's title anew at every call."""
    until = time.monotonic() + PATIENCE_S
    while len(found := runners(driver)) < 2:
        assert time.monotonic() < until, f"runners of {driver}: {found}"
        time.sleep(0.02)
    return found


def test_sigkill_of_a_runner_costs_only_the_attempts_it_had_in_flight(tmp_path):
    sweep = Sweep(tmp_path)
    driver = sweep.begin()
    assert sweep.wait_for(4, driver)
    victims = both_runners(driver.pid)
    assert len(victims) == 2
    os.kill(victims[0], signal.SIGKILL)
    assert driver.wait(PATIENCE_S) == 0
    rows = expect_whole(sweep)
    lost = [r for r in rows if r["cause"] == "runner_lost"]
    # one slot per runner: one attempt in flight, or none between two trials
    assert len(lost) <= 1
    again = {(r["trial_id"], r["block_run"]) for r in rows if r["attempt"] == 2}
    assert again == {(r["trial_id"], r["block_run"]) for r in lost}
    assert all(r["attempt"] <= 2 for r in rows)
    assert wait_until_gone(sweep) == []


def test_ctrl_c_records_what_was_in_flight_as_cancelled_and_the_same_command_goes_on(tmp_path):
    sweep = Sweep(tmp_path)
    driver = sweep.begin()
    assert sweep.wait_for(4, driver)
    os.killpg(driver.pid, signal.SIGINT)  # as a terminal does: to every process of the foreground group
    assert driver.wait(PATIENCE_S) == 130
    cancelled = [r for r in sweep.rows() if r["outcome"] == "cancelled"]
    assert len(cancelled) <= 2, "one per slot; an attempt that was only being removed keeps its row"
    assert sweep.status()["complete"] is False
    assert wait_until_gone(sweep) == []
    assert sweep.finish() == 0
    rows = expect_whole(sweep)
    assert {r["trial_id"] for r in rows if r["attempt"] == 2} == {r["trial_id"] for r in cancelled}
