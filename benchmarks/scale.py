"""The commands at 1e4, 1e5 and 1e6 simulated trials: seconds and peak memory of each, as processes of their own.

For each size, on a local disk: `run` (virtual clock, in-process executor, real queue, driver and ledger), `run` again
on the finished directory (what a resume costs before its first trial: config, plan, ledger, queue), and `report`. Wall
seconds, seconds of the processor (on a machine with other work only these can be compared), and the peak of the
resident set as the kernel says it. Then how each grows from one size to the next; 10 times as many trials should cost
at most about 10 times as much. Goal: `run` and `run` again stay below 1 GB (1e9 bytes) at 1e6.

Lag of a stream: benchmarks/streaming.py. Sealing alone: benchmarks/ledger.py.

    python benchmarks/scale.py [--sizes 10000 100000 1000000] > benchmarks/results/scale.txt
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

RAYSWEEP = str(Path(sys.executable).parent / "raysweep")
TASKS, DATES, WINDOWS = 89, 60, 8
SWEEP = """\
name: scale
seed: 5
tasks: {{source: "synthetic:{tasks}", defaults: {{cpus: 1, memory: 2Gi}}}}
models: [{{name: m, agent: oracle}}]
bands:
  - {{name: 1x, request: 1.0, limit: 1.0}}
  - {{name: 3x, request: 1.0, limit: 3.0}}
  - {{name: uncapped, request: 1.0, limit: none}}
reference: 1x
repeats: {repeats}
buckets:
  timezone: UTC
  period: 24h
  windows: {windows}
  dates: {dates}
sandbox:
  kind: simulated
  truth: {{success: {{1x: 0.50, 3x: 0.53, uncapped: 0.56}}, infra: {{1x: 0.058, 3x: 0.02, uncapped: 0.005}},
    amplitude: 0.02, duration: [60s, 600s], platform: {{node_lost: 0.005}}}}
runner: {{concurrency: 200, executor: inprocess}}
"""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one process took: wall seconds, seconds of the processor, largest resident set in bytes."""

    wall: float
    busy: float
    peak: int


def cost_of(arguments: list[str], log: Path) -> Cost:
    """Run a command to its end."""
    began = time.perf_counter()
    with log.open("ab") as sink:
        process = subprocess.Popen([RAYSWEEP, *arguments], stdout=sink, stderr=sink)
        _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, log.read_text()[-3000:]
    return Cost(time.perf_counter() - began, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024)


def write_sweep(folder: Path, trials: int) -> None:
    """A sweep of about so many trials: 89 tasks, 3 arms and 8 windows (fewer where trials are few) on some dates."""
    per_date = TASKS * 3 * WINDOWS
    dates = min(DATES, max(1, trials // per_date))
    repeats = dates * max(1, round(trials / per_date / dates))
    windows = ", ".join(f'w{3 * n:02d}: "{3 * n:02d}:00-{3 * (n + 1):02d}:00"' for n in range(WINDOWS))
    text = SWEEP.format(tasks=TASKS, repeats=repeats, dates=dates, windows=f"{{{windows}}}")
    (folder / "sweep.yaml").write_text(text)


def measure(folder: Path, trials: int) -> tuple[int, dict[str, Cost]]:
    """Trials that were run, and the cost of each command."""
    write_sweep(folder, trials)
    config, run, log = str(folder / "sweep.yaml"), str(folder / "run"), folder / "log"
    found = {}
    for name, arguments in (
        ("run", ["run", config, "--run-dir", run]),
        ("run again", ["run", config, "--run-dir", run]),
        ("report", ["report", run]),
    ):
        found[name] = cost_of(arguments, log)
        say(trials, name, found[name])
    told = json.loads(subprocess.run([RAYSWEEP, "status", run, "--json"], check=True, capture_output=True).stdout)
    assert told["complete"], told
    files = list((folder / "run" / "ledger").iterdir())
    rate = told["done"] / found["run"].busy
    print(f"   {told['done']} trials done, {rate:.0f} a second of the processor; ledger: {len(files)} files,"
          f" {sum(f.stat().st_size for f in files) / 1e6:.0f} MB", flush=True)  # fmt: skip
    return told["done"], found


def say(trials: int, name: str, cost: Cost) -> None:
    """One line."""
    print(f"   {trials:>9,} {name:10s} wall {cost.wall:8.1f} s  processor {cost.busy:8.1f} s  peak"
          f" {cost.peak / 1e6:7.0f} MB", flush=True)  # fmt: skip


def growth(sizes: list[tuple[int, dict[str, Cost]]]) -> None:
    """How costs grow with size."""
    print("growth from one size to the next: trials, then processor and peak of each command")
    for (few, before), (many, after) in itertools.pairwise(sizes):
        ratios = ", ".join(
            f"{name} {after[name].busy / before[name].busy:.1f} and {after[name].peak / before[name].peak:.1f}"
            for name in after
        )
        print(f"   x {many / few:.1f}: {ratios}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    options = parser.parse_args()
    versions = f"python {platform.python_version()}, pyarrow {pa.__version__}, {os.cpu_count()} cpus"
    print(f"# {versions}, {platform.system()}; load of the machine before: {os.getloadavg()[0]:.1f}")
    print(f"# benchmarks/scale.py --sizes {' '.join(map(str, options.sizes))}", flush=True)
    done = []
    for trials in options.sizes:
        folder = Path(tempfile.mkdtemp(prefix="raysweep-scale-", dir="/var/tmp"))
        done.append(measure(folder, trials))
        shutil.rmtree(folder)
    growth(done)


if __name__ == "__main__":
    main()
