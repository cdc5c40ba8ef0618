"""The engine beside a raw Ray actor pool, in one run on one embedded Ray; prints ratios and the figures behind them.

1. Trials per second of an empty trial (simulated sandbox, duration 0) through queue, driver, Ray executor and a real
   ledger on disk, beside the same number of calls of an actor method that returns its argument, on a pool of the same
   shape. Goal: at least 80 % of the raw pool. The two are interleaved and repeated, the median ratio counts.
2. Mean concurrency of 2,000 simulated trials of U(0.5, 1.5) s at a cap of 200: sum of durations / wall. Goal: 170.

    python benchmarks/engine.py [--trials 3000] [--rounds 5] > benchmarks/results/engine.txt
"""

from __future__ import annotations

import argparse
import asyncio
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path

from raysweep import config
from raysweep.clock import SystemClock
from raysweep.plan import make_plan
from raysweep.record.ledger import LedgerWriter
from raysweep.record.lock import LocalLock
from raysweep.record.reader import read_attempts
from raysweep.record.store import LocalStore
from raysweep.schedule.driver import Driver
from raysweep.schedule.queue import Queue
from raysweep.schedule.ray_embedded import init_ray
from raysweep.schedule.ray_executor import RayExecutor
from raysweep.study import compose, load
from raysweep.study.load import Study

SWEEP = """
name: engine
tasks: {{source: "synthetic:{tasks}", defaults: {{cpus: 1, memory: 2Gi}}}}
models: [{{name: m, agent: oracle}}]
bands:
  - {{name: 1x, request: 1.0, limit: 1.0}}
  - {{name: uncapped, request: 1.0, limit: none}}
reference: 1x
repeats: 1
sandbox: {{kind: simulated, truth: {{success: 0.5, duration: [{low}, {high}]}}}}
runner: {{concurrency: {slots}}}
"""


def study_of(trials: int, slots: int, low: str, high: str) -> Study:
    """A simulated sweep with this many trials."""
    sweep = config.parse(SWEEP.format(tasks=trials // 2, slots=slots, low=low, high=high))
    tasks = load.load_tasks(sweep)
    return Study(sweep, {t.name: t for t in tasks}, make_plan(sweep, tasks))


async def engine(study: Study, executor: RayExecutor) -> tuple[float, float]:
    """Wall seconds of a whole sweep (ledger sealed), and the sum of its agents' seconds."""
    with tempfile.TemporaryDirectory() as folder:
        store, clock = LocalStore(Path(folder)), SystemClock()
        lock = LocalLock(Path(folder), store, clock)
        lock.acquire({})
        calendar = compose.calendar(study.sweep, clock.now())
        queue = Queue(study.plan.blocks, calendar, capacity=study.sweep.runner.concurrency, caps={}, now=clock.now())
        driver = Driver(
            queue=queue,
            executor=executor,
            ledger=LedgerWriter(store, lock, clock),
            calendar=calendar,
            clock=clock,
            make_order=compose.Orders(study, "bench", calendar, None),
        )
        began = time.perf_counter()
        result = await driver.run()
        wall = time.perf_counter() - began
        rows = read_attempts(store)
        assert result.missing == 0
        assert len(rows) == study.plan.trials
        spans = [e - b for b, e in zip(rows["t_agent_start"].to_pylist(), rows["t_agent_end"].to_pylist(), strict=True)]
        lock.release()
    return wall, sum(s.total_seconds() for s in spans)


class Echo:
    """The raw pool's actor: an async method that returns its argument."""

    async def run(self, value: object) -> object:
        """The value."""
        return value


async def raw(actors: list[object], calls: int, slots: int) -> float:
    """Wall seconds of `calls` calls over a pool, at most `slots` in flight."""
    gate = asyncio.Semaphore(slots)

    async def one(n: int) -> None:
        async with gate:
            await actors[n % len(actors)].run.remote(n)  # type: ignore[attr-defined]

    began = time.perf_counter()
    await asyncio.gather(*(one(n) for n in range(calls)))
    return time.perf_counter() - began


async def throughput(trials: int, rounds: int, slots: int) -> None:
    """Part 1."""
    import ray

    study = study_of(trials, slots, "0s", "0s")
    executor = RayExecutor(compose.recipe(study.sweep), slots)
    await executor.start("bench")
    remote = ray.remote(Echo).options(num_cpus=0, max_concurrency=slots)
    pool = [remote.remote() for _ in range(2)]
    await raw(pool, 200, slots)
    await engine(study_of(200, slots, "0s", "0s"), executor)
    ratios = []
    print(f"1. empty trials: {trials} a round, {slots} slots, 2 actors")
    for n in range(rounds):
        raw_rate = trials / await raw(pool, trials, slots)
        our_rate = trials / (await engine(study, executor))[0]
        ratios.append(our_rate / raw_rate)
        print(f"   round {n + 1}: raw {raw_rate:7.1f}/s  engine {our_rate:7.1f}/s  ratio {ratios[-1]:.3f}", flush=True)
    median = statistics.median(ratios)
    print(f"   median ratio {median:.3f} (min {min(ratios):.3f}, max {max(ratios):.3f}); goal >= 0.80")
    for actor in pool:
        ray.kill(actor)
    await executor.close()


async def concurrency() -> None:
    """Part 2."""
    study = study_of(2000, 200, "0.5s", "1.5s")
    executor = RayExecutor(compose.recipe(study.sweep), 200)
    await executor.start("bench")
    wall, busy = await engine(study, executor)
    print("2. 2,000 simulated trials of U(0.5, 1.5) s, cap 200")
    print(f"   wall {wall:.2f} s, sum of durations {busy:.1f} s, mean concurrency {busy / wall:.1f}; goal >= 170")
    await executor.close()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--slots", type=int, default=32)
    options = parser.parse_args()
    init_ray(2 * 200)
    import os

    import ray

    print(f"# python {platform.python_version()}, ray {ray.__version__}, {os.cpu_count()} cpus, {platform.system()}")
    print(f"# {' '.join(sys.argv)}")
    asyncio.run(throughput(options.trials, options.rounds, options.slots))
    asyncio.run(concurrency())
    ray.shutdown()


if __name__ == "__main__":
    main()
