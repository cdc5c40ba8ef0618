"""How long after an attempt has ended its row is seen by who follows the ledger, beside the seal interval, in one run.

1. Lag: a real `raysweep run` (simulated sandbox, real time, Ray executor), followed at once by the plain follower that
   `raysweep watch` uses and by a Ray Dataset stream. Per row: from its end to the sealing of its segment (time of the
   file), from there to being seen, and both. Goal: median lag at most 1 s beyond the seal interval.
2. Rate at which a ledger that is there already is taken: by the follower, by a stream with all columns and with three,
   and by the same streams where each block is one row, as it was before blocks were sealed segments.
3. One look of `raysweep watch` at many attempts: seconds, and bytes kept.

    python benchmarks/streaming.py [--trials 400] [--backlog 2000] [--attempts 1000000]
"""

from __future__ import annotations

import argparse
import logging
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from raysweep import dataset
from raysweep.dataset.ending import POLL_S, Live
from raysweep.record.ledger import LOCAL
from raysweep.record.reader import read_attempts
from raysweep.record.store import LocalStore
from raysweep.schedule.ray_embedded import init_ray
from raysweep.stats.live import Rows, snapshot
from raysweep.stats.simulate import SimArm, Truth, draw, tables_of

RAYSWEEP = str(Path(sys.executable).parent / "raysweep")
SWEEP = """
name: streaming
seed: 5
tasks: {{source: "synthetic:{tasks}", defaults: {{cpus: 1, memory: 2Gi}}}}
models: [{{name: m, agent: oracle}}]
bands:
  - {{name: 1x, request: 1.0, limit: 1.0}}
  - {{name: uncapped, request: 1.0, limit: none}}
reference: 1x
repeats: {repeats}
sandbox: {{kind: simulated, truth: {{success: 0.5, duration: {duration}}}}}
runner: {{concurrency: 10, executor: {executor}}}
"""
SINGLE_ROWS = 500
"""Rows of a stream with one row per block that are measured."""
FEW = ["attempt_id", "outcome", "reward"]


def sweep(folder: Path, trials: int, executor: str, duration: str) -> list[str]:
    """The command that runs a sweep of so many trials in folder/run."""
    repeats = 10
    text = SWEEP.format(tasks=trials // 2 // repeats, repeats=repeats, executor=executor, duration=duration)
    (folder / "sweep.yaml").write_text(text)
    return [RAYSWEEP, "run", str(folder / "sweep.yaml"), "--run-dir", str(folder / "run")]


def say(name: str, seconds: Iterable[float]) -> float:
    """A line of quantiles; the median."""
    found = np.quantile(np.array(list(seconds)), [0.5, 0.95, 1.0])
    print(f"   {name:34s} median {found[0]:6.3f} s  p95 {found[1]:6.3f} s  max {found[2]:6.3f} s", flush=True)
    return float(found[0])


class Followed(threading.Thread):
    """The plain follower: when each attempt was seen, and when its segment was sealed."""

    def __init__(self, run: Path) -> None:
        super().__init__()
        self.run_dir, self.seen, self.sealed = run, dict[str, float](), dict[str, float]()

    def run(self) -> None:
        """Follow to the end of the sweep."""
        for piece in Live(self.run_dir):
            if piece is not None:
                now, sealed = time.time(), (self.run_dir / piece.part.name).stat().st_mtime
                for attempt in piece.table["attempt_id"].to_pylist():
                    self.seen[attempt], self.sealed[attempt] = now, sealed


def streamed(made: Any, most: int = sys.maxsize) -> dict[str, float]:
    """When each attempt came out of a Dataset; the first `most` of them, and those of the same block."""
    seen: dict[str, float] = {}
    for batch in made.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
        now = time.time()
        seen |= dict.fromkeys(batch["attempt_id"].to_pylist(), now)
        if len(seen) >= most:
            break
    return seen


def lag(trials: int) -> None:
    """Part 1."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        command = sweep(folder, trials, "ray", '["0.5s", "1.5s"]')
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as driver:
            while not (folder / "run" / "run.json").exists():
                time.sleep(0.05)
            follower = Followed(folder / "run")
            follower.start()
            stream = streamed(dataset.stream(folder / "run"))
            follower.join()
            assert driver.wait() == 0
        rows = read_attempts(LocalStore(folder / "run"), ["attempt_id", "t_stopped"]).to_pylist()
    ended = {r["attempt_id"]: r["t_stopped"].timestamp() for r in rows}
    assert list(follower.seen) == list(ended) == list(stream)
    print(
        f"1. lag of {len(ended)} rows at 10 trials of U(0.5, 1.5) s; sealed at {LOCAL.rows} rows or {LOCAL.seconds} s"
    )
    print(f"   0 lost, 0 repeated, in order, by both; looks every {POLL_S} s")
    say("ended to sealed", (follower.sealed[a] - ended[a] for a in ended))
    for name, seen in (("follower", follower.seen), ("Ray stream", stream)):
        say(f"sealed to seen, {name}", (seen[a] - follower.sealed[a] for a in ended))
        median = say(f"ended to seen, {name}", (seen[a] - ended[a] for a in ended))
        print(f"   median beyond the seal interval    {median - LOCAL.seconds:+.3f} s; goal <= 1", flush=True)


def backlog(trials: int) -> None:
    """Part 2."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subprocess.run(
            sweep(folder, trials, "inprocess", '["1s", "9s"]'), check=True, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        run = folder / "run"
        print(f"2. rows a second of a ledger of {trials} rows")
        began = time.perf_counter()
        assert sum(len(p.table) for p in Live(run) if p is not None) == trials
        print(f"   follower                           {trials / (time.perf_counter() - began):8.0f}/s", flush=True)
        for title, columns in (("all columns", None), (f"{len(FEW)} columns", FEW)):
            rates = []
            for size, most in ((None, trials), (1, SINGLE_ROWS)):
                made = dataset.stream(run, columns=columns)
                if size is not None:
                    made.context.target_max_block_size = size
                seen = streamed(made, most)
                first = min(seen.values())
                rates.append(sum(at > first for at in seen.values()) / (max(seen.values()) - first))
            print(f"   Ray stream, {title:22s} {rates[0]:8.0f}/s; one row per block {rates[1]:6.0f}/s; ratio"
                  f" {rates[0] / rates[1]:.0f}", flush=True)  # fmt: skip
        began = time.perf_counter()
        assert len(streamed(dataset.read(run))) == trials
        print(f"   Ray batch (read)                   {trials / (time.perf_counter() - began):8.0f}/s", flush=True)


def look(attempts: int) -> None:
    """Part 3."""
    arms = (SimArm("m", "1x", 0.45, 0.05, 1.0), SimArm("m", "3x", 0.45, 0.02, 3.0), SimArm("m", "uncapped", 0.5))
    buckets = tuple(f"b{n}" for n in range(8))
    truth = Truth(arms, tasks=89, repeats=max(1, attempts // (89 * 3 * 8 * 14)), buckets=buckets, dates=14)
    rng = np.random.default_rng(5)
    table, planned = tables_of(truth, draw(truth, rng), rng)
    rows = Rows()
    began = time.perf_counter()
    for begin in range(0, len(table), 100):
        rows.add(table.slice(begin, 100))
    added = time.perf_counter() - began
    kept = rows.table()
    assert kept is not None
    kept = kept.append_column("is_final", table["is_final"].combine_chunks())
    began = time.perf_counter()
    found = snapshot(kept, planned, truth.design(), len(table))
    took = time.perf_counter() - began
    print(f"3. a look at {found.attempts} attempts: {took:.2f} s; {len(found.findings)} findings")
    print(f"   taking them in, 100 at a time: {added:.2f} s; {kept.nbytes / len(table):.0f} bytes kept per attempt")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, default=400)
    parser.add_argument("--backlog", type=int, default=20_000)
    parser.add_argument("--attempts", type=int, default=1_000_000)
    options = parser.parse_args()
    init_ray(8)
    import ray

    logging.getLogger("ray.data").setLevel(logging.ERROR)
    versions = f"python {platform.python_version()}, ray {ray.__version__}, {os.cpu_count()} cpus, {platform.system()}"
    load = os.getloadavg()[0]
    print(f"# {versions}; load of the machine before: {load:.1f}")
    print(f"# {' '.join(sys.argv)}")
    lag(options.trials)
    backlog(options.backlog)
    ray.shutdown()
    look(options.attempts)


if __name__ == "__main__":
    main()
