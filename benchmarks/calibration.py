"""Is calibration what it says? Power and levels of its tests, and whole ladders of a stated truth.

1. Power of one TOST by blocks per task, against the guide's figures, and at a true difference of delta.
2. Share of studies that pass TOST at a true difference of delta (level 5 %), over rates, tasks, blocks, rare discord.
   Tasks are fixed: the difference is that of the drawn tasks themselves.
3. Share that claim a fall of deaths where there is none (level 5 %): exact McNemar (the default), the one-sided end of
   the tasks-fixed interval, CMH; deaths even, clustered in few tasks, rare, and with falls and rises that cancel.
4. A ladder of six equal arms: how often any fall is claimed, with and without Holm.
5. Ledgers in the study's shape through the whole ladder, K = 120 and K = 5: what is recommended.
6. For other tasks (tasks sampled): share that passes TOST at a true difference of delta in the population of tasks.

    nice python benchmarks/calibration.py [--studies 2000] [--seeds 100] > benchmarks/results/calibration.txt
"""

from __future__ import annotations

import argparse
import math
import sys
from collections import Counter
from dataclasses import replace

import numpy as np
from scipy.stats import binom, norm

from raysweep import seeds
from raysweep.stats import simulate
from raysweep.stats.arrays import Floats, Ints
from raysweep.stats.findings.calibrate import ladder
from raysweep.stats.findings.ceiling import CeilingRule
from raysweep.stats.findings.pair import mean_contrast, pair
from raysweep.stats.methods.calibration import TaskMoments, difference_interval, tost_power, within
from raysweep.stats.methods.interval import Draws
from raysweep.stats.methods.multiplicity import holm

DELTA, LEVEL, ALPHA, TASKS = 0.02, 0.9, 0.05, 89
SEED = 20260205


def rng_of(*path: str | int) -> np.random.Generator:
    return seeds.generator(SEED, "benchmark", "calibration", *path)


def pairs(p: Floats, q: Floats, k: int, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """Blocks of each task in which only the arm (p) and only the floor (q) has a 1; p, q: (S, T); -> (S, T) each."""
    cells = np.stack([p * (1 - q), q * (1 - p), np.zeros_like(p)], axis=-1)
    cells[..., 2] = 1 - cells[..., 0] - cells[..., 1]
    drawn = rng.multinomial(k, cells)
    return drawn[..., 0], drawn[..., 1]


def moments(up: Ints, down: Ints, k: int) -> TaskMoments:
    """One study's moments from its discordant blocks per task, (T,) each."""
    means = (up - down) / k
    variances = ((up + down) / k - means**2) * k / max(1, k - 1)
    n = len(up) * k
    mean = float((up - down).sum()) / n
    pooled = (float((up + down).sum()) / n - mean**2) * n / (n - 1)
    return TaskMoments(means, variances, np.full(len(up), k), int(up.sum()), int(down.sum()), True, True, pooled)


def moved(q: Floats, effect: float) -> Floats:
    """Success of the arm, (S, T): the mean over each study's own tasks is moved by exactly `effect`, within 0..1."""
    mean = q.mean(axis=1, keepdims=True)
    return np.asarray(q + effect * ((1 - q) / (1 - mean) if effect > 0 else q / mean), dtype=np.float64)


def passes(effect: float, rate: float, concentration: float, tasks: int, k: int, studies: int) -> float:
    """Share of studies whose 90 % interval lies within +-delta."""
    rng = rng_of("tost", *map(str, (effect, rate, concentration, tasks)), k)
    q = rng.beta(rate * concentration, (1 - rate) * concentration, (studies, tasks))
    q = q[(q.mean(axis=1) + effect > 0) & (q.mean(axis=1) + effect < 1)]
    up, down = pairs(moved(q, effect), q, k, rng)
    found = [within(difference_interval(moments(u, d, k), LEVEL), DELTA) for u, d in zip(up, down, strict=True)]
    return float(np.mean(found))


def told(share: float, n: int) -> str:
    return f"{100 * share:5.1f} % (+-{196 * math.sqrt(max(share * (1 - share), 1e-9) / n):.1f})"


def power(studies: int) -> None:
    print(f"1. TOST, delta 2 points, T = {TASKS}: share that passes ({studies} studies; guide: 0, 48, 80, 98 %)")
    print("   concentration of task difficulty 1.2 (within-task variance of a difference 0.27, as the guide's) and 2")
    for concentration in (1.2, 2.0):
        within_task = 2 * 0.45 * 0.55 * concentration / (concentration + 1)
        for k in (20, 40, 65, 120):
            shares = [passes(e, 0.45, concentration, TASKS, k, studies) for e in (0.0, DELTA)]
            formula = tost_power(DELTA, math.sqrt(within_task / (TASKS * k)), 1e6, ALPHA)
            print(
                f"   conc {concentration:3.1f}  K {k:4d}  truth 0 {told(shares[0], studies)}"
                f"  closed form {100 * formula:5.1f} %   truth +2 {told(shares[1], studies)}",
                flush=True,
            )


def levels(studies: int) -> None:
    print(f"2. TOST at a true difference of 2 points: share that passes (at most 5 %; {studies} studies)")
    for rate, concentration in ((0.45, 2.0), (0.9, 2.0), (0.975, 2.0), (0.5, 0.05)):
        for tasks, k in ((89, 5), (89, 65), (20, 20), (20, 300), (10, 100)):
            effects = [e for e in (DELTA, -DELTA) if 0 < rate + e < 1]
            shares = [told(passes(e, rate, concentration, tasks, k, studies), studies) for e in effects]
            print(f"   rate {rate:5.3f} conc {concentration:4.2f}  T {tasks:3d} K {k:4d}  +2, -2: {'  '.join(shares)}")


def cmh_p(a: Ints, b: Ints, k: int) -> Floats:
    """One-sided p that b (arm) has fewer events than a (floor) over tasks with k trials each, (S, T) -> (S,)."""
    total = a + b
    variance = np.sum(total * (2 * k - total) / (4 * (2 * k - 1)), axis=1)
    return np.asarray(norm.sf((np.sum(a - total / 2, axis=1) - 0.5) / np.sqrt(np.maximum(variance, 1e-12))))


def falls(studies: int) -> None:
    print(f"3. A fall of deaths where there is none: share claimed at 5 %, one-sided (at most 5 %; {studies} studies)")
    for name, tasks, k, rate in (
        ("even", 89, 5, 0.03), ("even", 89, 65, 0.03), ("even", 20, 10, 0.01), ("clustered", 89, 20, 0.03),
        ("clustered", 10, 50, 0.05), ("rare", 89, 3, 0.005), ("cancelling", 89, 20, 0.05), ("cancelling", 10, 60, 0.1),
    ):  # fmt: skip
        rng = rng_of("fall", name, tasks, k)
        q = np.full((studies, tasks), rate)
        if name == "clustered":
            q = rng.beta(0.1 * rate, 0.1 * (1 - rate), (studies, tasks))
        p = q.copy()
        if name == "cancelling":  # half of the tasks fall to nothing, the others rise by as much
            p[:, ::2], p[:, 1::2] = 0.0, 2 * rate
        up, down = pairs(p, q, k, rng)
        both = rng.binomial(k - up - down, np.clip(p * q / np.maximum(1 - p * (1 - q) - q * (1 - p), 1e-12), 0, 1))
        rises, drops = up.sum(axis=1), down.sum(axis=1)
        exact = np.where(rises + drops > 0, binom.sf(drops - 1, np.maximum(rises + drops, 1), 0.5), 1.0)
        t_high = [difference_interval(moments(u, d, k), LEVEL).high for u, d in zip(up, down, strict=True)]
        shares = (
            np.mean(exact < ALPHA), np.mean([h is not None and h < 0 for h in t_high]),
            np.mean(cmh_p(down + both, up + both, k) < ALPHA),
        )  # fmt: skip
        text = "  ".join(told(float(s), studies) for s in shares)
        print(f"   {name:10s} T {tasks:3d} K {k:3d} q {rate:5.3f}  McNemar, interval, CMH: {text}", flush=True)


def families(studies: int) -> None:
    print(
        f"4. Six equal arms (deaths 3 %), T = {TASKS}, K = 40: any fall against the floor claimed ({studies} studies)"
    )
    rng, plain, adjusted = rng_of("family"), 0, 0
    for _ in range(studies):
        dead = rng.random((TASKS * 40, 6)) < 0.03
        down = (dead[:, :1] & ~dead[:, 1:]).sum(axis=0)
        n = down + (~dead[:, :1] & dead[:, 1:]).sum(axis=0)
        ps = binom.sf(down - 1, n, 0.5).tolist()
        plain += min(ps) < ALPHA
        adjusted += min(p for p in holm(ps) if p is not None) < ALPHA
    print(f"   each test alone {told(plain / studies, studies)}   Holm {told(adjusted / studies, studies)}")


def study(seeds_: int, k: int, concentration: float) -> None:
    truth = replace(simulate.STUDY, repeats=k, concentration=concentration)
    bands = tuple(a.band for a in truth.arms)
    fixed: Counter[str] = Counter()
    sampled: Counter[str] = Counter()
    stops: Counter[str] = Counter()
    first: Counter[str] = Counter()
    for seed in range(seeds_):
        cube = simulate.cube_of(truth, simulate.draw(truth, rng_of("study", k, str(concentration), seed)))
        attempts = {("m", b): (int(cube.q[:, i].sum()), len(cube.q)) for i, b in enumerate(bands)}
        rule = CeilingRule(bands[0], bands[1:], DELTA, None, ALPHA, {})
        found = ladder(cube, "m", rule, Draws(seed, 2000, LEVEL), attempts)
        fixed[found.recommended or "none"] += 1
        sampled[found.recommended_sampled or "none"] += 1
        stops[found.ceilings[len(found.passed)].verdict if len(found.passed) < 5 else "no stop"] += 1
        first[found.ceilings[0].verdict] += 1
    print(f"   K {k:3d} concentration {concentration:3.1f}: recommended {dict(fixed.most_common())}")
    print(f"       other tasks {dict(sampled.most_common())}; verdict at 1.5x {dict(first)}; at the stop {dict(stops)}")


def other_tasks(studies: int) -> None:
    print(
        f"6. Tasks sampled, TOST at a true difference of 2 points: share that passes (at most 5 %; {studies} studies)"
    )
    for tasks, k, effect in ((89, 65, DELTA), (89, 65, -DELTA), (20, 300, DELTA)):
        arms = (simulate.SimArm("m", "1x", 0.45), simulate.SimArm("m", "3x", 0.45 + effect))
        truth = simulate.Truth(arms=arms, tasks=tasks, repeats=k)
        hits = 0
        for seed in range(studies):
            cube = simulate.cube_of(truth, simulate.draw(truth, rng_of("other", tasks, k, str(effect), seed)))
            p = pair(cube, cube.y, 1, 0, cube.in_bucket(None))
            hits += within(mean_contrast(p, Draws(seed, 2000, LEVEL))[1], DELTA)
        print(f"   T {tasks:3d} K {k:3d}  {100 * effect:+.0f}: {told(hits / studies, studies)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--studies", type=int, default=2000)
    parser.add_argument("--seeds", type=int, default=100)
    options = parser.parse_args()
    print(f"# python benchmarks/calibration.py {' '.join(sys.argv[1:])}")
    power(options.studies)
    levels(options.studies)
    falls(options.studies)
    families(options.studies)
    print(f"5. The study's shape, whole ladders ({options.seeds} seeds); truth: 3x is the last ceiling with no effect")
    for k, concentration in ((120, 1.2), (120, 2.0), (5, 2.0)):
        study(options.seeds, k, concentration)
    other_tasks(options.studies // 8)


if __name__ == "__main__":
    main()
