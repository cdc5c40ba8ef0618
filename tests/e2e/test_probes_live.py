"""Probes of a real sweep whose driver is killed: a round is kept whole or not at all, and a first one not repeated."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter

import pytest

from raysweep.record.probes import read_probes
from raysweep.record.store import LocalStore
from support.e2e_runs import Sweep, wait_for, write_task

pytestmark = pytest.mark.e2e


def kill(driver):
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()


def moments(sweep):
    """Probes by moment and band."""
    return Counter((r["moment"], r["band"]) for r in read_probes(LocalStore(sweep.run)).to_pylist())


def test_sigkill_while_probing_and_while_trials_run_then_the_same_command_completes(tmp_path, needs_local):
    write_task(tmp_path, "slow", "sleep 2; echo done > /app/answer")
    sweep = Sweep(tmp_path, needs_local, repeats=6)
    driver = sweep.begin()
    wait_for(
        lambda: (
            any(n.startswith("probe-") for held in sweep.homes().values() for n in held) or driver.poll() is not None
        ),
        "a probe's sandbox",
    )
    assert driver.poll() is None, sweep.log.read_text()
    kill(driver)
    assert sweep.rows() == [], "no trial before the first round is over"
    assert moments(sweep) in ({}, {("before", "1x"): 1, ("before", "uncapped"): 1})

    driver = sweep.begin()
    wait_for(lambda: sweep.rows() or driver.poll() is not None, "a trial")
    assert driver.poll() is None, sweep.log.read_text()
    kill(driver)
    first = read_probes(LocalStore(sweep.run)).to_pylist()
    assert {r["band"]: r["platform"] for r in first} == {"1x": None, "uncapped": None}

    sweep.end(sweep.begin())
    assert moments(sweep) == {(m, b): 1 for m in ("before", "after") for b in ("1x", "uncapped")}
    rows, probes = sweep.rows(), read_probes(LocalStore(sweep.run)).to_pylist()
    assert max(p["t_stopped"] for p in probes if p["moment"] == "before") <= min(r["t_queued"] for r in rows)
    assert min(p["t_queued"] for p in probes if p["moment"] == "after") >= max(r["t_stopped"] for r in rows)
    assert all(p["own_limit"] for p in probes if p["band"] == "1x")
    told = json.loads(sweep.command("status", sweep.run, "--json").stdout)
    assert (told["planned"], told["done"], told["complete"]) == (12, 12, True)
    assert "Limits as measured by probes" in sweep.command("report", sweep.run).stdout
    sweep.expect_nothing_left()
