"""Shells, batch systems and clusters as they are: left-over variables, closed streams, full disks, full nodes.

What ran before: tracebacks with exit 70, retries that could never succeed, minutes of another program's log.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from raysweep.errors import UnsuitableError
from raysweep.record.reader import read_ledger
from raysweep.schedule.ray_embedded import BELOW, SOCKET_BYTES, await_address, temporary_folder

RAYSWEEP = str(Path(sys.executable).parent / "raysweep")
SIMULATED = """\
name: simulated
seed: 11
tasks: {{source: "synthetic:20"}}
models: [{{name: m, agent: {agent}}}]
bands: [{{name: 1x, request: 1.0, limit: 1.0}}, {{name: uncapped, request: 1.0, limit: none}}]
reference: 1x
repeats: {repeats}
sandbox:
  kind: simulated
  truth: {{success: {{1x: 0.50, uncapped: 0.56}}, infra: {{1x: 0.2, uncapped: 0.0}}}}
runner: {{concurrency: 64, executor: {executor}}}
"""


def sweep(folder: Path, *, agent="oracle", repeats=1, executor="inprocess") -> Path:
    path = folder / "sweep.yaml"
    path.write_text(SIMULATED.format(agent=agent, repeats=repeats, executor=executor))
    return path


def shell(script: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "RAYSWEEP": RAYSWEEP, **environment}
    return subprocess.run(
        ["/bin/bash", "-c", script], cwd=cwd, env=env, capture_output=True, text=True, timeout=240, check=False
    )


def test_a_short_folder_stands_in_for_a_temporary_folder_that_is_too_long():
    most = SOCKET_BYTES - BELOW
    assert temporary_folder({}) is None
    assert temporary_folder({"TMPDIR": "/" + "x" * (most - 1)}) is None
    short = temporary_folder({"TMPDIR": "/" + "x" * most})
    assert short is not None
    assert len(short) <= most
    with pytest.raises(UnsuitableError, match=f"at most {most} bytes") as caught:
        temporary_folder({"RAY_TMPDIR": "/" + "x" * most})
    assert caught.value.exit_code == 4


@pytest.mark.ray
def test_a_sweep_runs_under_the_temporary_folder_of_a_batch_system(tmp_path):
    long = tmp_path / "a-rather-long-scratch-folder-as-batch-systems-make" / "user" / "job-1355700" / "node-0016"
    long.mkdir(parents=True)
    sweep(tmp_path, executor="ray")
    done = shell('"$RAYSWEEP" run sweep.yaml --run-dir run', tmp_path, TMPDIR=str(long))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "nowhere", "127.0.0.1:99999999"])
def test_an_address_that_names_nobody_is_told_with_its_variable(address):
    began = time.monotonic()
    with pytest.raises(UnsuitableError, match="RAY_ADDRESS") as caught:
        await_address(address, patience_s=0.5)
    assert "unset RAY_ADDRESS" in caught.value.remedy
    assert time.monotonic() - began < 30


@pytest.mark.ray
def test_a_sweep_whose_ray_address_is_left_over_ends_with_one_sentence(tmp_path):
    sweep(tmp_path, executor="ray")
    done = shell('"$RAYSWEEP" run sweep.yaml --run-dir run', tmp_path, RAY_ADDRESS="127.0.0.1:1")
    assert done.returncode == 4, done.stderr
    assert "RAY_ADDRESS=127.0.0.1:1 names no running Ray cluster" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("closed", ["2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_streams_do_not_matter(tmp_path, closed):
    sweep(tmp_path)
    done = shell(f'"$RAYSWEEP" run sweep.yaml --run-dir run {closed}', tmp_path)
    assert done.returncode == 0
    assert len(read_ledger(tmp_path / "run").planned) == 40


def test_output_that_knows_ascii_only_is_no_error(tmp_path):
    sweep(tmp_path)
    env = {"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = shell('"$RAYSWEEP" run sweep.yaml --run-dir run && "$RAYSWEEP" report run', tmp_path, **env)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("lines", [1, 100_000], ids=["at the end", "in the middle"])
def test_a_reader_that_goes_is_no_error_of_ours(tmp_path, lines):
    """Whether the pipe breaks while the command writes, or only when what is left is flushed."""
    sweep(tmp_path)
    script = f"""\
import os, sys
import raysweep.cli.main as command
from raysweep.cli.check import check_command as check

def much(*given, **named):
    print("x\\n" * {lines}, end="")
    return check(*given, **named)

import raysweep.cli.check
raysweep.cli.check.check_command = much
here, there = os.pipe()
os.dup2(there, 1)
os.close(here)  # the reader has gone before the first byte
sys.argv = ["raysweep", "check", "sweep.yaml"]
command.main()
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 141, done.stderr
    assert "Traceback" not in done.stderr


def test_head_is_no_error_of_ours(tmp_path):
    sweep(tmp_path)
    script = (
        '"$RAYSWEEP" run sweep.yaml --run-dir run >/dev/null && "$RAYSWEEP" report run --json | head -c 10 >/dev/null'
    )
    done = shell(f"{script}; echo ${{PIPESTATUS[0]}}", tmp_path)
    assert done.stdout.split()[-1] in {"0", "141"}
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "command", ["plan sweep.yaml --json --out plan.parquet > /dev/full", "check sweep.yaml > /dev/full"]
)
def test_output_that_is_full_is_told_in_one_sentence(tmp_path, command):
    sweep(tmp_path)
    done = shell(f'"$RAYSWEEP" {command}', tmp_path)
    assert done.returncode == 2, (done.returncode, done.stderr)
    assert "standard output" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "command", ["plan sweep.yaml --out no/such/folder/plan.parquet", "plan sweep.yaml --out file/plan.parquet"]
)
def test_a_plan_that_cannot_be_written_is_told_in_one_sentence(tmp_path, command):
    sweep(tmp_path)
    (tmp_path / "file").write_text("x")
    done = shell(f'"$RAYSWEEP" {command}', tmp_path)
    assert done.returncode in {0, 2}
    assert "Traceback" not in done.stderr
    assert done.returncode == 2 or (tmp_path / "no/such/folder/plan.parquet").exists()


def test_simulated_trials_die_as_stated_whatever_the_agent_runs(tmp_path):
    sweep(tmp_path, agent="nop", repeats=20)
    done = shell('"$RAYSWEEP" run sweep.yaml --run-dir run', tmp_path)
    assert done.returncode == 0, done.stderr
    dead = [(r["band"], r["cause"]) for r in read_ledger(tmp_path / "run").table.to_pylist() if r["outcome"] == "infra"]
    assert set(dead) == {("1x", "oom_limit")}
    assert 60 <= len(dead) <= 100
