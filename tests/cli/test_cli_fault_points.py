"""A driver that is SIGKILLed at the file that it was about to make: the same command takes it from there, and equal."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

from raysweep.record.reader import read_ledger
from raysweep.record.stopped import RECORD
from support.cli_runs import PATIENCE_S, raysweep, simulated

KILLED_AT = str(Path(__file__).parent / "killed_at.py")
DECIDED = """\
name: decided
seed: 5
tasks: {source: "synthetic:12", defaults: {cpus: 1, memory: 2Gi}}
models: [{name: m, agent: oracle}]
bands:
  - {name: 1x, request: 1.0, limit: 1.0}
  - {name: uncapped, request: 1.0, limit: none}
reference: 1x
repeats: 4
buckets: {period: 2h, windows: {early: 0s-50m, late: 60m-110m}, dates: 4}
sandbox: {kind: simulated, truth: {success: {1x: 0.3, uncapped: 0.9}, task_sd: 0.05, duration: ["1s", "9s"]}}
runner: {concurrency: 4, executor: inprocess}
analysis: {primary: success, looks: 4}
"""
RERUN = """\
buckets: {period: 30m, windows: {all: 0s-25m}, dates: 1, makeup_dates: 12}
platform_retries: {node_lost: 0}
block_reruns: 8
breaker: null
"""


def killed(pattern: str, number: int, *arguments: object) -> int:
    """Exit code of a command that was to be killed: -SIGKILL, or its own where it never came to that file."""
    command = [sys.executable, KILLED_AT, pattern, str(number), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, timeout=PATIENCE_S, check=False).returncode


def attempts(run: Path) -> list[tuple]:
    """Every attempt, in order, with what it came to and whether it counts."""
    rows = read_ledger(run).table.to_pylist()
    names = ("trial_id", "attempt", "block_run", "outcome", "cause", "reward", "is_final")
    return sorted(tuple(str(row[name]) for name in names) for row in rows)


def test_between_the_last_seal_and_the_record_of_the_stop(tmp_path):
    config, undisturbed, run = tmp_path / "sweep.yaml", tmp_path / "undisturbed", tmp_path / "run"
    config.write_text(DECIDED)
    done = raysweep("run", config, "--run-dir", undisturbed, "--stop-when-decided")
    assert done.returncode == 0, done.stderr
    command = ("run", config, "--run-dir", run, "--stop-when-decided")
    assert killed(RECORD, 1, *command) == -signal.SIGKILL
    assert not (run / RECORD).exists(), "killed before the record stood"
    before = attempts(run)
    assert before == attempts(undisturbed), "and after everything that decided was sealed"
    done = raysweep(*command)
    assert done.returncode == 0, done.stderr
    assert "stopped by the registered rule" in done.stderr
    assert attempts(run) == before, "no attempt more"
    records = [json.loads((place / RECORD).read_text()) for place in (undisturbed, run)]
    for record in records:
        del record["stopped_at"]
    assert records[0] == records[1]


def test_at_every_seal_of_a_sweep_whose_blocks_run_again(tmp_path):
    config = simulated(tmp_path, tasks=40, platform="{node_lost: 0.3}", extra=RERUN)
    done = raysweep("run", config, "--run-dir", tmp_path / "undisturbed")
    assert done.returncode == 0, done.stderr
    run, codes = tmp_path / "run", []
    while not codes or codes[-1] == -signal.SIGKILL:
        assert len(codes) < 20, "it gets no further"
        codes.append(killed("segment-", 2, "run", config, "--run-dir", run))
    assert codes.count(-signal.SIGKILL) >= 3
    assert codes[-1] == 0
    rows = attempts(run)
    assert max(int(block_run) for _, _, block_run, *_ in rows) > 2, "the faults must be at work"
    assert rows == attempts(tmp_path / "undisturbed")
