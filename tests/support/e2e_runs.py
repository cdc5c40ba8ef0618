"""Small local sweeps for end-to-end tests: tasks made on the spot, drivers as processes, and what they leave."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
import uuid
from pathlib import Path

from raysweep.errors import RaysweepError
from raysweep.record.lock import LocalLock
from raysweep.record.reader import read_ledger
from support.seen import below, cgroups, loops, mounts, processes

RAYSWEEP = str(Path(sys.executable).parent / "raysweep")
PATIENCE_S = 240.0
MARK = "RAYSWEEP_TEST_MARK"
REWARD = "mkdir -p /logs/verifier && echo 1 > /logs/verifier/reward.txt"
SWEEP = """\
name: small
seed: 3
tasks: {{source: tasks}}
models: [{{name: m, agent: oracle}}]
bands:
  - {{name: 1x, request: 1.0, limit: 1.0}}
  - {{name: uncapped, request: 1.0, limit: none}}
reference: 1x
repeats: {repeats}
sandbox: {{kind: local}}
runner: {{concurrency: {concurrency}}}
"""


def write_task(folder: Path, name: str, solve: str, test: str = REWARD) -> None:
    """A Harbor task of 64 MiB whose oracle runs `solve` and whose verifier runs `test`."""
    files = {
        "task.toml": "[agent]\ntimeout_sec = 60\n[environment]\ncpus = 1\nmemory_mb = 64\n",
        "instruction.md": "Do it.\n",
        "environment/setup.sh": "#!/bin/sh\ntrue\n",
        "solution/solve.sh": f"#!/bin/sh\n{solve}\n",
        "tests/test.sh": f"#!/bin/sh\n{test}\n",
    }
    for path, text in files.items():
        place = folder / "tasks" / name / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)


def wait_for(condition, what: str):
    """The first true value of `condition`; fails when it never comes."""
    until = time.monotonic() + PATIENCE_S
    while not (value := condition()):
        assert time.monotonic() < until, f"waited in vain for {what}"
        time.sleep(0.05)
    return value


class Sweep:
    """One sweep on a scratch folder of its own; every process it starts carries a mark, handed on to children."""

    def __init__(self, folder: Path, scratch: Path, *, repeats: int = 1, concurrency: int = 2) -> None:
        self.config, self.run, self.log = folder / "sweep.yaml", folder / "run", folder / "log"
        self.config.write_text(SWEEP.format(repeats=repeats, concurrency=concurrency))
        self.mark = uuid.uuid4().hex
        self.scratch = scratch / self.mark[:8]
        self.scratch.mkdir(mode=0o700)
        self.env = {**os.environ, "RAYSWEEP_SCRATCH": str(self.scratch), MARK: self.mark}

    def begin(self) -> subprocess.Popen[bytes]:
        """A driver in a process group of its own."""
        command = [RAYSWEEP, "run", str(self.config), "--run-dir", str(self.run)]
        with self.log.open("ab") as log:
            return subprocess.Popen(command, stdout=log, stderr=log, env=self.env, start_new_session=True)

    def end(self, driver: subprocess.Popen[bytes]) -> None:
        """Wait for a driver that should end well."""
        assert driver.wait(PATIENCE_S) == 0, self.log.read_text()

    def command(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        command = [RAYSWEEP, *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False, env=self.env)

    @property
    def run_id(self) -> str:
        return json.loads((self.run / "run.json").read_text())["run_id"]

    def rows(self) -> list[dict]:
        try:
            return read_ledger(self.run).table.to_pylist()
        except (RaysweepError, FileNotFoundError):
            return []

    def running(self) -> int:
        """Attempts in flight, as the driver's heartbeat says."""
        return LocalLock.running(self.run)

    def homes(self) -> dict[int, set[str]]:
        """Attempts that have a sandbox, by the pid of the runner that made it."""
        found: dict[int, set[str]] = {}
        with contextlib.suppress(FileNotFoundError):  # glob stumbles over a folder that vanishes under it
            for path in self.scratch.glob("raysweep-run-*/*@*"):
                name, _, owner = path.name.rpartition("@")
                found.setdefault(int(owner.split("-")[0]), set()).add(name)
        return found

    def left(self) -> list[str]:
        """Processes, mounts, loop devices, cgroups and scratch folders of this sweep."""
        scratch = str(self.scratch)
        found = processes(self.mark, scratch, environ=True) + mounts(scratch) + loops(scratch)
        if (self.run / "run.json").exists():
            found += cgroups(self.run_id)
        inside = (Path(path) for path in below(self.scratch, ""))
        return found + [str(p) for p in inside if p.parent != self.scratch and p.parent.name.startswith("raysweep-")]

    def expect_nothing_left(self) -> None:
        """The kernel and Ray get time to end what dies with its parent."""
        until = time.monotonic() + PATIENCE_S
        while (left := self.left()) and time.monotonic() < until:
            time.sleep(0.2)
        assert left == []
