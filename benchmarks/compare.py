"""Coverage of the intervals over dates and over tasks and dates, and what `raysweep compare` says of equal runs.

1. Coverage of 95 % intervals of a contrast of 0: Bernoulli outcomes, uniform task difficulty, date effects of a stated
   sd on the contrast, T tasks, D dates, K blocks a cell; also with a share of the cells missing. Over tasks and dates:
   `two_way`, with the tasks-only t beside it. Over dates: `dates_sampled` (t), with whole dates resampled beside it
   (percentile and expanded percentile, 2,000 draws). Studies whose dates by chance all gave one value have no interval
   over dates and do not count there. Goal at sd 2: 93.5-96.5 %, or more.
2. Two runs (or two models of one run) on T = 89 tasks and three bands, date sd 2 points, through the real `compare`:
   share "beyond noise", whether Delta's interval excludes 0, what a tasks-only t says, share robust to mismatch. Equal
   runs: at most 5 % + Monte Carlo error "beyond noise". Then true gaps of 3 and 6 points.

    python benchmarks/compare.py [--studies 4000] [--seeds 500] > benchmarks/results/compare.txt
"""

from __future__ import annotations

import argparse
import math
import platform
import sys
import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import scipy
from scipy.special import stdtrit

from raysweep import seeds
from raysweep.stats import simulate
from raysweep.stats.arrays import Floats
from raysweep.stats.compare import Question, compare
from raysweep.stats.cube import Cube
from raysweep.stats.findings.gap import ComparedModel
from raysweep.stats.methods.interval import Interval, expanded_probability
from raysweep.stats.methods.twoway import Grid, dates_sampled, two_way

SEED = 20260205
LEVEL = 0.95
DRAWS = 2000
BATCH = 250
BANDS = ("1x", "3x", "uncapped")


def cells(rng: np.random.Generator, n: int, tasks: int, dates: int, k: int, sd: float) -> Floats:
    """Cell means (n, T, D) of n contrasts whose expectation over tasks and dates is 0."""
    p = rng.beta(1, 1, (n, tasks))[:, :, None]
    arm = simulate.shift(p, 0.5, rng.normal(0, 1, (n, 1, dates)) * sd)
    return (rng.binomial(k, arm) - rng.binomial(k, np.broadcast_to(p, arm.shape))) / k


def judged(values: Floats, counts: np.ndarray) -> tuple[float, float, float, float]:
    """Whether 0 is covered by the two-way t, the tasks-only t, the t over dates; and the first's width in points.

    nan where there is no interval: dates that by chance all gave the same value.
    """
    use = counts.sum(axis=1) > 0
    values, counts = values[use], counts[use]
    means, grid = (values * counts).sum(axis=1) / counts.sum(axis=1), Grid(values, counts)
    reach = stdtrit(len(means) - 1, 0.5 + LEVEL / 2) * means.std(ddof=1) / math.sqrt(len(means))
    both, dates = two_way(means, [grid], LEVEL).interval, dates_sampled(float(means.mean()), grid, LEVEL)
    wide, alone, fixed = covers(both), float(abs(means.mean()) <= reach), covers(dates)
    return wide, alone, fixed, 100 * ((both.high or 0.0) - (both.low or 0.0))


def covers(interval: Interval) -> float:
    """Whether 0 lies in it; nan without an interval."""
    return math.nan if interval.low is None or interval.high is None else float(interval.low <= 0 <= interval.high)


def resampled(values: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Whether 0 is covered when whole dates are resampled, (n,): percentile, expanded percentile; full grids only."""
    dates = values.shape[2]
    draws = values.mean(axis=1) @ (rng.multinomial(dates, np.full(dates, 1 / dates), DRAWS) / dates).T
    covered = []
    for tail in ((1 - LEVEL) / 2, expanded_probability(dates, LEVEL)):
        low, high = np.quantile(draws, [tail, 1 - tail], axis=1)
        covered.append((low <= 0) & (high >= 0))
    return covered[0], covered[1]


def coverage(studies: int) -> None:
    print(
        f"1. coverage of {100 * LEVEL:g} % intervals, {studies} studies a cell (Monte Carlo s.e."
        f" {100 * math.sqrt(0.05 * 0.95 / studies):.2f}); sd: of the dates, points; miss: share of cells missing"
    )
    print("                          tasks and dates            dates (tasks fixed)")
    print(
        "     T  D K sd miss     two-way   tasks-only t       t   percentile expanded   median width, 95th percentile"
    )
    designs = [(tasks, dates, k, sd, 0.0) for tasks in (20, 89) for dates in (3, 5, 7, 14) for k in (1, 3)
               for sd in ((0.0, 0.02) if k == 1 else (0.0, 0.02, 0.05))]  # fmt: skip
    designs += [(89, dates, 1, 0.02, 0.2) for dates in (3, 5, 7, 14)]
    for tasks, dates, k, sd, miss in designs:
        rng = seeds.generator(SEED, "stats", "compare-coverage", f"{tasks}-{dates}-{k}-{sd}-{miss}")
        found, over = [], []
        for _ in range(studies // BATCH):
            values = cells(rng, BATCH, tasks, dates, k, sd)
            here = (rng.random(values.shape) >= miss).astype(np.int64) * k
            found += [judged(v, c) for v, c in zip(values, here, strict=True)]
            over += [np.stack(resampled(values, rng), axis=1)]
        table = np.array(found, dtype=np.float64)
        two, alone, fixed = 100 * np.nanmean(table[:, :3], axis=0)
        plain, expanded = 100 * np.concatenate(over).mean(axis=0)
        beside = f"{plain:10.1f} {expanded:8.1f}" if not miss else f"{'-':>10} {'-':>8}"
        low = "" if two >= 93.5 else "  below 93.5"
        print(
            f"    {tasks:2d} {dates:2d} {k} {100 * sd:2.0f} {miss:4.1f}  {two:8.1f} {alone:14.1f} {fixed:7.1f} {beside}"
            f" {np.median(table[:, 3]):12.1f} {np.quantile(table[:, 3], 0.95):8.1f}{low}",
            flush=True,
        )


def stated(gap: float, dates: int, k: int) -> simulate.Truth:
    """Models A and B on three bands, A better by `gap`."""
    arms = tuple(simulate.SimArm(m, b, 0.5 + g) for m, g in (("A", gap), ("B", 0.0)) for b in BANDS)
    return simulate.Truth(arms=arms, tasks=89, repeats=k, dates=dates, date_sd=0.02)


def run_of(cube: Cube, dates: np.ndarray, model: str) -> ComparedModel:
    """One model on some of the dates of a cube: a run of its own on the same tasks."""
    rows, columns = np.isin(cube.date, dates), [i for i, a in enumerate(cube.arms) if a.model == model]
    cut = {name: getattr(cube, name)[rows][:, columns] for name in ("y", "q", "present", "first_platform")}
    cut |= {name: getattr(cube, name)[rows] for name in ("task", "bucket")}
    cut |= {"date": np.searchsorted(dates, cube.date[rows]), "blocks": cube.blocks[: int(rows.sum())]}
    own = replace(cube, arms=tuple(cube.arms[i] for i in columns), dates=tuple(cube.dates[d] for d in dates), **cut)
    return ComparedModel(f"run {model}", own, model)


def sides(gap: float, dates: int, k: int, seed: int, *, one_run: bool) -> tuple[ComparedModel, ComparedModel]:
    """Two runs on different dates (drawn as one study of twice as many dates), or two models of one run."""
    truth = stated(gap, dates if one_run else 2 * dates, k)
    cube = simulate.cube_of(truth, simulate.draw(truth, seeds.generator(SEED, "stats", "compare", seed, dates, k)))
    if one_run:
        return ComparedModel("A", cube, "A"), ComparedModel("B", cube, "B")
    return run_of(cube, np.arange(dates), "A"), run_of(cube, np.arange(dates, 2 * dates), "B")


def tasks_only(a: ComparedModel, b: ComparedModel) -> bool:
    """Whether the paired t over tasks excludes 0."""
    by = [np.mean([s.cube.task_means(s.rewards(m), s.cube.in_bucket(None))[0] for m in BANDS], axis=0) for s in (a, b)]
    change = by[0] - by[1]
    reach = stdtrit(len(change) - 1, 0.5 + LEVEL / 2) * change.std(ddof=1) / math.sqrt(len(change))
    return bool(abs(change.mean()) > reach)


def verdicts(
    gap: float, dates: int, k: int, n: int, *, one_run: bool
) -> Iterator[tuple[bool, bool, bool, bool, float]]:
    """Per seed: beyond noise, Delta's interval excludes 0, tasks-only t excludes 0, robust, half-width in points."""
    for seed in range(n):
        a, b = sides(gap, dates, k, seed, one_run=one_run)
        found = compare(a, b, Question())
        assert found.delta.low is not None
        assert found.delta.high is not None
        half = (found.delta.high - found.delta.low) / 2
        yield found.claim == "beyond noise", found.delta.excludes_zero, tasks_only(a, b), bool(found.robust), half


def claims(n: int) -> None:
    print(f"2. compare, T = 89, bands {', '.join(BANDS)}, date sd 2 points, {n} seeds a line, shares in %")
    print("   gap   D  K  layout      beyond noise   Delta excludes 0   tasks-only t   robust   median half-width")
    limit = 100 * (0.05 + 2.576 * math.sqrt(0.05 * 0.95 / n))
    for gap in (0.0, 0.03, 0.06):
        for dates, k in ((3, 1), (3, 3), (5, 2), (7, 3), (14, 2)):
            for one_run in (False, True) if dates > 3 else (False,):
                table = np.array(list(verdicts(gap, dates, k, n, one_run=one_run)), dtype=np.float64)
                beyond, delta, alone, robust = 100 * table[:, :4].mean(axis=0)
                judged_ = "" if gap else f"   {'ok' if beyond <= limit else 'TOO MANY'} (limit {limit:.1f})"
                print(
                    f"    {100 * gap:2.0f}  {dates:2d}  {k}  {'one run ' if one_run else 'two runs'} {beyond:14.1f}"
                    f" {delta:18.1f} {alone:14.1f} {robust:8.1f} {np.median(table[:, 4]):14.1f}{judged_}",
                    flush=True,
                )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--studies", type=int, default=4000)
    parser.add_argument("--seeds", type=int, default=500)
    options = parser.parse_args()
    print(f"# python {platform.python_version()}, numpy {np.__version__}, scipy {scipy.__version__}")
    print(f"# {' '.join(sys.argv)}")
    began = time.perf_counter()
    coverage(options.studies)
    claims(options.seeds)
    print(f"# {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
