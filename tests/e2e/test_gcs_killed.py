"""The real command line on a real Ray whose GCS is killed: it ends, says what died, leaves nothing, and goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import time
import uuid
from pathlib import Path

import pytest

from raysweep.errors import RaysweepError
from raysweep.record.reader import read_ledger
from support.cli_runs import RAYSWEEP, raysweep_process, simulated
from support.seen import processes

pytestmark = pytest.mark.e2e
PATIENCE_S = 240.0


GONE_S = 40.0
"""For what was killed to be gone. Left alone, Ray's agents look for a GCS that died for more than a minute."""


def until(condition, what, patience=PATIENCE_S):
    """The first true value of `condition`; fails when it never comes."""
    end = time.monotonic() + patience
    while not (value := condition()):
        assert time.monotonic() < end, what()
        time.sleep(0.1)
    return value


def rows(run: Path) -> list[dict]:
    try:
        return read_ledger(run).table.to_pylist()
    except (RaysweepError, FileNotFoundError):
        return []


def child(parent: int, program: str) -> int:
    """Pid of the child that runs this program."""
    for entry in Path("/proc").iterdir():
        try:
            if (entry / "cmdline").read_bytes().split(b"\0")[0].endswith(f"/{program}".encode()):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if int(fields[1]) == parent:
                    return int(entry.name)
        except OSError:
            continue
    raise AssertionError(f"process {parent} has no {program}")


def finals(run: Path) -> dict:
    found = [r for r in rows(run) if r["is_final"]]
    return {r["trial_id"]: (r["outcome"], r["cause"], r["reward"]) for r in found}


def test_the_command_ends_resumable_leaves_nothing_and_the_same_command_ends_equal(tmp_path):
    config = simulated(tmp_path, tasks=6, executor="ray", duration='["500ms", "1500ms"]')
    run, log, mark = tmp_path / "run", tmp_path / "log", uuid.uuid4().hex
    with log.open("wb") as said:
        driver = subprocess.Popen(
            [RAYSWEEP, "run", str(config), "--run-dir", str(run)],
            stdout=said,
            stderr=said,
            env={**os.environ, "RAYSWEEP_TEST_MARK": mark},
            start_new_session=True,
        )
    until(lambda: rows(run) or driver.poll() is not None, log.read_text)
    os.kill(child(driver.pid, "gcs_server"), signal.SIGKILL)
    assert driver.wait(PATIENCE_S) == 3, log.read_text()
    assert "Ray's gcs_server" in log.read_text()
    assert "the same command resumes" in log.read_text()
    until(lambda: not processes(mark, environ=True), lambda: str(processes(mark, environ=True)), GONE_S)
    before = {r["attempt_id"] for r in rows(run)}
    assert 0 < len(before) < 24

    done = raysweep_process("run", config, "--run-dir", run)
    assert done.returncode == 0, done.stderr
    after = rows(run)
    assert len(after) == len({r["attempt_id"] for r in after}) == 24, "what was sealed did not run again"
    assert before < {r["attempt_id"] for r in after}
    done = raysweep_process("run", simulated(tmp_path, tasks=6), "--run-dir", tmp_path / "undisturbed")
    assert done.returncode == 0, done.stderr
    assert finals(run) == finals(tmp_path / "undisturbed")
