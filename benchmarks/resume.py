"""What it costs to resume a long sweep before its first trial: this tree beside an older one, by turns in one run.

A sweep of about --trials trials is begun and killed once 30 segments are sealed; then its ledger is filled with an
attempt per planned trial, drawn from the rows that are there, in files of 65,536 rows. `run` on that directory plans,
reads and finds nothing to do. Only seconds of the processor can be compared on a machine with other work.

    python benchmarks/resume.py --before TREE [--trials 1000000] > benchmarks/results/resume.txt

TREE: a checkout of the older version (`git worktree add TREE COMMIT`).
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scale import write_sweep

from raysweep.record.reader import read_attempts, read_plan
from raysweep.record.segments import FOLDER, segment_bytes, segment_name
from raysweep.record.store import LocalStore

HERE = Path(__file__).parents[1]
COMMAND = [sys.executable, "-c", "import sys; from raysweep.cli.process import run; sys.exit(run())", "run"]
BEGUN = 30
"""Segments that a real driver seals; their rows are the pattern of all others."""
FILE_ROWS, SEGMENTS = 1 << 16, 655


def environment(tree: Path) -> dict[str, str]:
    """The environment in which `raysweep` is that of a checkout."""
    return {**os.environ, "PYTHONPATH": str(tree)}


def begin(folder: Path, trials: int) -> None:
    """A run directory with a plan and a few segments, its driver killed."""
    write_sweep(folder, trials)
    with (folder / "log").open("wb") as log:
        arguments = [*COMMAND, str(folder / "sweep.yaml"), "--run-dir", str(folder / "run")]
        driver = subprocess.Popen(arguments, cwd=folder, env=environment(HERE), stdout=log, stderr=log)
        while not (folder / "run" / segment_name(1, BEGUN)).exists():
            assert driver.poll() is None, (folder / "log").read_text()
            time.sleep(0.2)
        driver.kill()
        driver.wait()


def fill(run: Path) -> int:
    """An attempt for each planned trial instead of what is there; their number."""
    store = LocalStore(run)
    rows, planned = read_attempts(store), read_plan(store, str(run))
    for file in (run / FOLDER).glob("*.parquet"):
        file.unlink()
    shutil.rmtree(run / "merged", ignore_errors=True)
    platform_causes = pc.fill_null(pc.equal(rows["cause_class"], "platform"), fill_value=False)
    rows = rows.filter(pc.and_not(pc.equal(rows["attempt"], 1), platform_causes))
    rng = np.random.default_rng(1)
    for number, at in enumerate(range(0, len(planned), FILE_ROWS)):
        trials = planned.slice(at, FILE_ROWS)
        table = rows.take(pa.array(rng.integers(0, len(rows), len(trials))))
        columns = dict(zip(table.column_names, table.columns, strict=True))
        for name in ("block_id", "trial_id", "task", "model", "band", "repeat", "bucket", "position", "seed"):
            columns[name] = trials[name].cast(columns[name].type)
        columns["attempt_id"] = pc.binary_join_element_wise(trials["trial_id"], "1", "-")
        first = number * SEGMENTS + 1
        name = f"{FOLDER}/merged-0001-{first:06d}-{first + SEGMENTS - 1:06d}-{len(trials):08d}.parquet"
        store.put_new(name, segment_bytes(pa.table(columns, schema=table.schema)))
    return len(planned)


def resume(tree: Path, folder: Path) -> float:
    """Seconds of the processor that `run` takes on the finished directory, with one line about it."""
    began = time.perf_counter()
    arguments = [*COMMAND, str(folder / "sweep.yaml"), "--run-dir", str(folder / "run")]
    process = subprocess.Popen(
        arguments, cwd=folder, env=environment(tree), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, process.returncode
    busy = used.ru_utime + used.ru_stime
    which = "this tree" if tree == HERE else "before"
    print(f"   {which:10s} wall {time.perf_counter() - began:6.1f} s  processor {busy:6.1f} s  peak"
          f" {used.ru_maxrss * 1024 / 1e6:5.0f} MB", flush=True)  # fmt: skip
    return busy


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--before", type=Path, required=True)
    parser.add_argument("--trials", type=int, default=1_000_000)
    parser.add_argument("--turns", type=int, default=2)
    options = parser.parse_args()
    print(f"# python {platform.python_version()}, {os.cpu_count()} cpus; load before: {os.getloadavg()[0]:.1f}")
    folder = Path(tempfile.mkdtemp(prefix="raysweep-resume-", dir="/var/tmp"))
    begin(folder, options.trials)
    print(f"# resume of {fill(folder / 'run')} trials, all done", flush=True)
    pairs = [(resume(options.before.resolve(), folder), resume(HERE, folder)) for _ in range(options.turns)]
    before, now = (min(seconds) for seconds in zip(*pairs, strict=True))
    print(f"processor, least of {options.turns}: before / this tree = {before / now:.2f}")
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
