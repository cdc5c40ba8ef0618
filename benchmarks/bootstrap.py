"""The draw engine beside its own lower bound and beside scipy, in one run; prints ratios and the figures behind them.

1. 89 tasks x 144 contrasts x 10,000 draws: point estimates and expanded percentile intervals of all, beside the two
   steps nothing can do without: the weights (as floats) and one matrix product, W @ M. Goal: at most 2 x. Beside it
   `tasks_sampled_all`, what findings call: with ratios, denominators and guards. One BLAS thread for both sides, as
   the engine uses one anyway; then once more with as many for the lower bound as there are cores.
2. The same contrasts by scipy.stats.bootstrap (paired, vectorized, percentile): one call each, and all in one call,
   which shares the indices, with its default batch (all draws at once: fewer contrasts, as they need 14 MB each) and
   with smaller ones. Goal: at least 20 x scipy as it is called by default; the best batch found by hand stands beside.
3. Peak memory beside a chunk and the replicates asked for, also with 2,000 tasks, whose W is not kept.
4. Digests of the replicates: one worker, threads, processes; and one BLAS thread against all.

Rounds are interleaved; medians count. Wall and CPU seconds are given: on a machine that others use, CPU is steadier.

    python benchmarks/bootstrap.py [--rounds 9] > benchmarks/results/bootstrap.txt
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import os
import platform
import statistics
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import scipy
from scipy.stats import bootstrap, norm

from raysweep.stats.arrays import Floats
from raysweep.stats.methods.draws import CHUNK, Map, chunks
from raysweep.stats.methods.interval import Draws, expanded_probability, fmean, mean_ratio, tasks_sampled_all

TASKS, CONTRASTS, DRAWS, LEVEL, SEED = 89, 144, 10_000, 0.95, 20260205


def study() -> tuple[Floats, Floats]:
    """Task means of arms and of their references, (T, C): 5 blocks, uniform difficulty, effects of -3 to 3 points."""
    rng = np.random.default_rng(SEED)
    p = rng.beta(1, 1, (TASKS, 1)) * np.ones(CONTRASTS)
    arm = np.clip(p + np.linspace(-0.03, 0.03, CONTRASTS), 0, 1)
    return rng.binomial(5, arm) / 5, rng.binomial(5, p) / 5


def least(contrasts: Floats) -> Floats:
    """Weights and one matrix product."""
    weights = np.empty((DRAWS, TASKS))
    for i, chunk in enumerate(chunks(TASKS, seed=SEED, draws=DRAWS)):
        weights[i * CHUNK : (i + 1) * CHUNK] = chunk
    return np.asarray(weights @ contrasts)


def engine(contrasts: Floats) -> tuple[list[float], Floats, Floats]:
    """Point estimates and intervals of all contrasts, from nothing."""
    low, high = Draws(SEED, DRAWS, LEVEL).intervals(contrasts)
    return [fmean(c) for c in contrasts.T], low, high


def findings_path(contrasts: Floats) -> int:
    """The same through what findings call."""
    return len(tasks_sampled_all([(mean_ratio(c), None) for c in contrasts.T], Draws(SEED, DRAWS, LEVEL)))


def difference(arm: Floats, reference: Floats, axis: int = -1) -> Floats:
    """The statistic given to scipy."""
    return np.asarray(arm.mean(axis=axis) - reference.mean(axis=axis))


def scipy_together(arm: Floats, reference: Floats, batch: int | None) -> tuple[Floats, Floats]:
    """All contrasts in one call; columns as in `study`."""
    found = bootstrap(
        (arm.T, reference.T), difference, paired=True, vectorized=True, axis=-1, method="percentile",
        n_resamples=DRAWS, batch=batch, confidence_level=LEVEL, random_state=SEED,
    )  # fmt: skip
    return np.asarray(found.confidence_interval.low), np.asarray(found.confidence_interval.high)


def scipy_each(arm: Floats, reference: Floats) -> None:
    """One call per contrast."""
    for a, r in zip(arm.T, reference.T, strict=True):
        bootstrap(
            (a, r), difference, paired=True, vectorized=True, method="percentile", n_resamples=DRAWS,
            confidence_level=LEVEL, random_state=SEED,
        )  # fmt: skip


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Wall and CPU seconds of one call."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def speed(rounds: int) -> dict[str, tuple[float, float]]:
    """Part 1; medians of wall and CPU by name."""
    arm, reference = study()
    contrasts = np.ascontiguousarray(arm - reference)
    works: dict[str, Callable[[], object]] = {
        "weights + product": lambda: least(contrasts),
        "engine": lambda: engine(contrasts),
        "findings' path": lambda: findings_path(contrasts),
    }
    for work in works.values():
        work()
    seen: dict[str, list[tuple[float, float]]] = {name: [] for name in works}
    print(f"1. {TASKS} tasks x {CONTRASTS} contrasts x {DRAWS} draws, milliseconds wall (CPU)")
    for n in range(rounds):
        for name, work in works.items():
            seen[name].append(timed(work))
        cells = "  ".join(f"{name} {1e3 * s[-1][0]:6.1f} ({1e3 * s[-1][1]:5.1f})" for name, s in seen.items())
        print(f"   round {n + 1}: {cells}", flush=True)
    base = seen["weights + product"]
    for name in ("engine", "findings' path"):
        ratios = [[s[i] / b[i] for s, b in zip(seen[name], base, strict=True)] for i in (0, 1)]
        wall, cpu = (f"{statistics.median(r):.2f} ({min(r):.2f} to {max(r):.2f})" for r in ratios)
        goal = "; goal <= 2" if name == "engine" else ""
        print(f"   {name} / (weights + product): wall {wall}, CPU {cpu}{goal}")
    middle = {}
    for name, runs in seen.items():
        wall_runs, cpu_runs = zip(*runs, strict=True)
        middle[name] = statistics.median(wall_runs), statistics.median(cpu_runs)
    return middle


def against_scipy(ours: tuple[float, float], rounds: int = 3) -> None:
    """Part 2; ours: wall and CPU seconds of the engine for all contrasts."""
    arm, reference = study()
    few = 12
    shared = "one call, indices shared"
    works: dict[str, tuple[int, Callable[[], object]]] = {
        f"a call each ({few} timed)": (few, lambda: scipy_each(arm[:, :few], reference[:, :few])),
        f"{shared} ({few} timed)": (few, lambda: scipy_together(arm[:, :few], reference[:, :few], None)),
        f"{shared}, batch 500": (CONTRASTS, lambda: scipy_together(arm, reference, 500)),
        f"{shared}, batch 100": (CONTRASTS, lambda: scipy_together(arm, reference, 100)),
        f"{shared}, batch 25": (CONTRASTS, lambda: scipy_together(arm, reference, 25)),
    }
    print(f"2. scipy.stats.bootstrap, seconds wall (CPU) for {CONTRASTS} contrasts, medians of {rounds}")
    for name, (done, work) in works.items():
        walls, cpus = zip(*(timed(work) for _ in range(rounds)), strict=True)
        wall, cpu = (statistics.median(x) * CONTRASTS / done for x in (walls, cpus))
        goal = "; goal >= 20" if "batch" not in name else ""
        print(
            f"   {name}: {wall:.2f} ({cpu:.2f}) = {wall / ours[0]:.0f} x the engine (CPU {cpu / ours[1]:.0f} x){goal}"
        )
    low, high = scipy_together(arm, reference, 100)
    _, our_low, our_high = engine(np.ascontiguousarray(arm - reference))
    widths, normal = float(np.median((our_high - our_low) / (high - low))), float(norm.ppf(0.5 + LEVEL / 2))
    expected = float(norm.ppf(1 - expanded_probability(TASKS, LEVEL))) / normal
    print(f"   width of ours / scipy's: {widths:.3f}; the expansion for {TASKS} tasks is {expected:.3f}")


def memory() -> None:
    """Part 3."""
    print("3. peak of traced memory, MB")
    for tasks, contrasts in ((TASKS, CONTRASTS), (2000, 4)):
        columns = np.random.default_rng(SEED).random((tasks, contrasts))
        how = Draws(SEED, DRAWS, LEVEL)
        tracemalloc.start()
        how.intervals(columns)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        sizes = {
            "peak": peak,
            "replicates asked for": how.total * contrasts * 8,
            "a chunk as floats": CHUNK * tasks * 8,
            "W as floats": how.total * tasks * 8,
        }
        print(f"   {tasks} tasks x {contrasts} contrasts: " + ", ".join(f"{k} {v / 1e6:.1f}" for k, v in sizes.items()))


def digest(how_map: Map = map) -> str:
    """Of the replicates of all contrasts."""
    arm, reference = study()
    sums = Draws(SEED, DRAWS, LEVEL, map=how_map).sums_by_column(arm - reference)
    return hashlib.sha256(sums.tobytes()).hexdigest()[:16]


def apart(option: str, threads: str) -> str:
    """What this script prints with an option, in a process of its own with so many BLAS threads."""
    command = [sys.executable, __file__, option]
    environment = os.environ | {"OPENBLAS_NUM_THREADS": threads}
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout


def bits() -> None:
    """Part 4."""
    found = {"one worker": digest()}
    with ThreadPoolExecutor(4) as threads:
        found["4 threads"] = digest(threads.map)
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as processes:
        found["2 processes"] = digest(processes.map)
    for threads_of_blas in ("1", str(os.cpu_count())):
        found[f"{threads_of_blas} BLAS thread(s)"] = apart("--digest", threads_of_blas).strip()
    print("4. digests: " + ", ".join(f"{name} {value}" for name, value in found.items()))
    print(f"   all the same: {len(set(found.values())) == 1}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--digest", action="store_true", help="print the digest of the replicates and nothing else")
    parser.add_argument("--speed", action="store_true", help="part 1 only")
    options = parser.parse_args()
    if "OPENBLAS_NUM_THREADS" not in os.environ:  # read when numpy is loaded: start again
        raise SystemExit(subprocess.call([sys.executable, *sys.argv], env=os.environ | {"OPENBLAS_NUM_THREADS": "1"}))
    if options.digest:
        print(digest())
        return
    if options.speed:
        speed(options.rounds)
        return
    versions = f"python {platform.python_version()}, numpy {np.__version__}, scipy {scipy.__version__}"
    print(f"# {versions}, {os.cpu_count()} cpus, {platform.system()} {platform.machine()}")
    print(f"# {' '.join(sys.argv)}; load {os.getloadavg()[0]:.1f}")
    middle = speed(options.rounds)
    everything = apart("--speed", str(os.cpu_count())).splitlines()
    print(f"   the same with {os.cpu_count()} BLAS threads for the lower bound:")
    print("\n".join(line for line in everything if " / (weights" in line), flush=True)
    against_scipy(middle["engine"])
    memory()
    bits()


if __name__ == "__main__":
    main()
