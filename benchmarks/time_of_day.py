"""What the findings on time of day claim on studies of a stated truth, and what their intervals cover.

Everywhere 4 buckets, Bernoulli outcomes, date sd 2 points, occasion sd 1 point unless said. Task difficulty is beta:
"guide": mean p (1 - p) = 0.136, the noise of the guide's power figures (many tasks nearly always or never solved);
"uniform": mean p (1 - p) = 0.165. Amplitudes are cosines of bucket means, in points: RMS = amplitude / sqrt 2.

a. Whole studies: 89 tasks, 14 dates, one block of two arms per task and occasion (2 trials), amplitude 2 and 0,
   through cube and `time_of_day`. Goal: claimed in >= 80 % at 2, in <= 5 % + Monte Carlo error at 0.
b. Components: coverage and bias. Difficulty within 0.1..0.9 and additive effects, so that the truth is exact. Goal:
   coverage >= 93 % (no upper limit where the truth is 0), |bias| <= 3 Monte Carlo s.e. of the signed values.
c. Power at amplitude 2, 89 tasks: simulated, and by `bucket_power`. n: trials per task and occasion over all arms.
d. Rhythms: false peak hours, weekly and joint rhythms, false alarms of the periodogram; and how often they are found.
e. Missing cells: claims at amplitude 0, coverage and bias, 40 tasks, 7 dates.
f. Band x bucket: claims at no interaction and at one of 2 and 4 points, 89 tasks, two bands, 14 dates.

    python benchmarks/time_of_day.py [--seeds 2000] [--studies 4000] [--parts abcdef]
"""

from __future__ import annotations

import argparse
import math
import platform
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import scipy

from raysweep import seeds
from raysweep.stats import simulate
from raysweep.stats.arrays import Floats, Ints
from raysweep.stats.facet import Facet, FacetKind
from raysweep.stats.findings.bucketcontrast import band_by_bucket
from raysweep.stats.findings.timeofday import time_of_day, time_of_day_details
from raysweep.stats.methods.interval import Draws
from raysweep.stats.methods.rhythm import cosinor, daily_by_weekly, periodogram, periods_of, weekly
from raysweep.stats.methods.variance import (
    Component,
    bucket_component,
    bucket_power,
    date_component,
    mean_squares,
    occasion_component,
    occasion_means,
)

SEED = 20260205
LEVEL = 0.95
PERMUTATION = Facet(FacetKind.TEST, "permutation")
BUCKETS = 4
HOURS = (np.arange(BUCKETS) + 0.5) * 24 / BUCKETS
DATE_SD = 0.02
DIFFICULTY = {"guide": (0.45, 1.22), "uniform": (0.45, 2.0)}
"""Mean success, and a + b of the beta; mean p (1 - p) = m (1 - m) c / (c + 1)."""
BATCH = 100
WIDTHS = {"peak": 9, "weekly": 6, "joint": 5, "period": 11}
"""Columns of part d."""
FACTORS = ("bucket", "occasion", "date")


def cosine(amplitude: float, peak: float = 14.0) -> Floats:
    """Bucket effects (B,), fractions, of an amplitude in points."""
    return amplitude / 100 * np.cos(2 * math.pi * (HOURS - peak) / 24)


def error(share: float, n: int) -> float:
    """Monte Carlo s.e. of a share, percent."""
    return 100 * math.sqrt(max(share * (1 - share), 1e-9) / n)


def whole_studies(count: int) -> None:
    """Part a."""
    print(f"a. whole studies, {count} seeds each: 89 tasks x 4 buckets x 14 dates x 2 arms, occasion sd 1, date sd 2")
    print("   difficulty  amplitude  claimed %  (s.e.)  permutation %  median value  covers RMS %")
    for name, (rate, concentration) in DIFFICULTY.items():
        for amplitude in (2.0, 0.0):
            truth = simulate.Truth(
                arms=(simulate.SimArm("m", "1x", rate), simulate.SimArm("m", "3x", rate)), tasks=89, repeats=1,
                buckets=("night", "morning", "noon", "evening"), dates=14, concentration=concentration,
                bucket_effects=tuple(cosine(amplitude)), date_sd=DATE_SD, occasion_sd=0.01,
            )  # fmt: skip
            claimed, permuted, values, covers = 0, 0, [], 0
            for seed in range(count):
                rng = seeds.generator(SEED + seed, "stats", "time-of-day", "a", name, str(amplitude))
                cube = simulate.cube_of(truth, simulate.draw(truth, rng))
                f = next(f for f in time_of_day(cube, LEVEL, None, seed) if f.estimand == "time_of_day")
                assert f.low is not None
                assert f.high is not None
                claimed += f.low > 0
                covers += f.low <= amplitude / math.sqrt(2) <= f.high
                values.append(f.value or 0.0)
                if seed < count // 2:
                    details = time_of_day_details(cube, LEVEL, seed)
                    permuted += next(d.value or 0.0 for d in details if d.facet == PERMUTATION) <= 1 - LEVEL
            share = claimed / count
            print(
                f"   {name:10}  {amplitude:9g}  {100 * share:9.1f}  {error(share, count):6.1f}"
                f"  {200 * permuted / count:13.1f}  {np.median(values):12.2f}  {100 * covers / count:12.1f}",
                flush=True,
            )


@dataclass(frozen=True)
class Cell:
    """A design of part b, c or e; sd and amplitude in points, n: trials per task and occasion over all arms."""

    tasks: int
    dates: int
    amplitude: float
    occasion_sd: float
    n: int = 2
    difficulty: tuple[float, float] | None = None
    date_sd: float = 2.0

    def truth(self, factor: str) -> float:
        """True variance, fractions squared."""
        return {
            "bucket": self.amplitude**2 / 2e4, "occasion": self.occasion_sd**2 / 1e4, "date": self.date_sd**2 / 1e4,
        }[factor]  # fmt: skip

    def batches(self, count: int, *path: str) -> Iterator[Floats]:
        """Cells (S, T, B x D): shares of n trials that passed."""
        for k in range(-(-count // BATCH)):
            rng = seeds.generator(SEED, "stats", "time-of-day", *path, repr(self), k)
            yield self._batch(rng, min(BATCH, count - k * BATCH))

    def _batch(self, rng: np.random.Generator, size: int) -> Floats:
        if self.difficulty is None:
            p = 0.1 + 0.8 * rng.random((size, self.tasks))
        else:
            m, c = self.difficulty
            p = rng.beta(m * c, (1 - m) * c, (size, self.tasks))
        moved = cosine(self.amplitude)[:, None] + rng.normal(0, self.date_sd / 100, (size, 1, self.dates))
        moved = (moved + rng.normal(0, self.occasion_sd / 100, (size, BUCKETS, self.dates))).reshape(size, -1)
        if self.difficulty is None:
            chance = p[:, :, None] + moved[:, None]
        else:
            chance = simulate.shift(p[:, :, None], self.difficulty[0], moved[:, None])
        passed = np.zeros(chance.shape, dtype=np.float64)
        for _ in range(self.n):
            passed += rng.random(chance.shape) < chance
        return passed / self.n


def components(values: Floats, counts: Ints, dates: int) -> dict[str, Component | None]:
    """The three components of one study, as `time_of_day` forms them."""
    found = occasion_means(values, counts)
    s = mean_squares(found.means.reshape(BUCKETS, dates), found.spread, found.square)
    return {
        "bucket": bucket_component(s, LEVEL), "occasion": occasion_component(s, found.df, LEVEL),
        "date": date_component(s, LEVEL),
    }  # fmt: skip


class Score:
    """Coverage, signed values and claims of one component."""

    def __init__(self, truth: float) -> None:
        self.truth, self.covered, self.claimed, self.without = truth, 0, 0, 0
        self.values: list[float] = []

    def add(self, c: Component | None) -> None:
        """One study; without an interval (all occasions alike by luck) it counts as not covered."""
        if c is None:
            self.without += 1
            return
        self.values.append(c.value)
        self.covered += c.low <= self.truth <= c.high
        self.claimed += c.low > 0

    @property
    def bias(self) -> float:
        """Mean less truth in Monte Carlo s.e."""
        v = np.array(self.values)
        return float((v.mean() - self.truth) / (v.std(ddof=1) / math.sqrt(len(v))))

    def text(self) -> str:
        """Coverage in percent (bias in s.e.)."""
        return f"{100 * self.covered / (len(self.values) + self.without):5.1f} ({self.bias:+4.1f})"


def scored(
    cell: Cell, count: int, counts: Callable[[np.random.Generator], Ints] | None, *path: str
) -> dict[str, Score]:
    """Scores of the three components over `count` studies; counts: which cells are filled."""
    scores = {f: Score(cell.truth(f)) for f in FACTORS}
    full = np.ones((cell.tasks, BUCKETS * cell.dates), dtype=np.int64)
    rng = seeds.generator(SEED, "stats", "time-of-day", *path, "missing")
    for batch in cell.batches(count, *path):
        for values in batch:
            found = components(values, full if counts is None else counts(rng), cell.dates)
            for f in FACTORS:
                scores[f].add(found[f])
    return scores


def coverage(count: int) -> None:
    """Part b."""
    print(f"b. components, {count} studies a cell: coverage % of 95 % intervals (bias in s.e. of the signed value)")
    print("    T   D  amplitude  occasion sd    var_bucket   var_occasion       var_date  claims %")
    poor, biased, cells = 0, 0, 0
    for tasks in (20, 89):
        for dates in (3, 7, 14):
            for amplitude in (0.0, 2.0, 4.0):
                for sd in (0.0, 1.0):
                    scores = scored(Cell(tasks, dates, amplitude, sd), count, None, "b")
                    cells += 3
                    poor += sum(s.covered / count < 0.93 for s in scores.values())
                    biased += sum(abs(s.bias) > 3 for s in scores.values())
                    texts = "  ".join(f"{scores[f].text():>13}" for f in FACTORS)
                    claims = 100 * scores["bucket"].claimed / count
                    print(f"   {tasks:2}  {dates:2}  {amplitude:9g}  {sd:11g}  {texts}  {claims:8.1f}", flush=True)
    print(f"   of {cells} intervals {poor} cover under 93 %; of {cells} values {biased} are biased by more than 3 s.e.")


def power(count: int) -> None:
    """Part c."""
    guide = {(7, 1): 26, (7, 2): 46, (7, 6): 86, (14, 1): 53, (14, 2): 83, (14, 6): 100}
    print(f"c. power at amplitude 2, 89 tasks, {count} studies a cell: claimed % (formula %)")
    print("    D  n   guide      guide's noise            uniform")
    for (dates, n), stated in guide.items():
        texts = []
        for m, c in DIFFICULTY.values():
            score = scored(Cell(89, dates, 2.0, 1.0, n, (m, c)), count, None, "c")["bucket"]
            noise = 1e-4 + m * (1 - m) * c / (c + 1) / (n * 89)
            formula = bucket_power(np.array([dates]), noise, BUCKETS, rms=0.02 / math.sqrt(2), level=LEVEL)[0]
            texts.append(f"{100 * score.claimed / count:10.1f} ({100 * formula:5.1f})")
        print(f"   {dates:2}  {n}  {stated:6}  {'  '.join(texts)}", flush=True)


def rhythms(count: int) -> None:
    """Part d."""
    print(f"d. rhythms, 89 tasks, n 2, {count} studies a cell: share that says so, % (periodogram: 199 permutations)")
    print("    D  date sd  amplitude  peak hour  weekly  joint  periodogram  of those at 24 h")
    angles = 2 * math.pi * HOURS / 24
    for dates in (14, 28):
        days, date = np.arange(float(dates)), np.tile(np.arange(dates), BUCKETS)
        times = (days + HOURS[:, None] / 24).ravel()
        for date_sd in (0.0, 2.0):
            for amplitude in (0.0, 2.0):
                cell = Cell(89, dates, amplitude, 1.0, 2, DIFFICULTY["guide"], date_sd)
                said, at_day, n = dict.fromkeys(WIDTHS, 0), 0, 0
                for batch in cell.batches(count, "d"):
                    for grid in batch.mean(axis=1).reshape(-1, BUCKETS, dates):
                        s = mean_squares(grid)
                        day, week = cosinor(grid, angles, s, LEVEL), weekly(grid, days, s, LEVEL)
                        joint = daily_by_weekly(grid, angles, days, s, LEVEL)
                        found = periodogram(
                            times, grid.ravel(), date, periods_of(dates, BUCKETS), seed=n, confidence=LEVEL, draws=199
                        )
                        assert day is not None
                        assert week is not None
                        assert joint is not None
                        assert found is not None
                        n += 1
                        said["peak"] += day.rejects
                        said["weekly"] += week.rejects
                        said["joint"] += joint[1].low > 0
                        said["period"] += found.p <= 1 - LEVEL
                        at_day += found.p <= 1 - LEVEL and abs(found.peak - 1) < 0.04
                shares = {k: 100 * v / n for k, v in said.items()}
                texts = "  ".join(f"{shares[k]:{w}.1f}" for k, w in WIDTHS.items())
                share_at_day = 100 * at_day / max(1, said["period"])
                print(f"   {dates:2}  {date_sd:7g}  {amplitude:9g}  {texts}  {share_at_day:16.0f}", flush=True)


def fillings(tasks: int, dates: int) -> dict[str, Callable[[np.random.Generator], Ints]]:
    """Which cells are filled, (T, B x D)."""
    t, b, d = np.indices((tasks, BUCKETS, dates))
    rotated = ((t + d) % BUCKETS == b) | ((t % BUCKETS == b) & (d % 3 == 0))
    thin = (b < 3) | (t < tasks // 3)

    def fixed(filled: np.ndarray) -> Callable[[np.random.Generator], Ints]:
        return lambda _: filled.reshape(tasks, -1).astype(np.int64)

    def random(share: float) -> Callable[[np.random.Generator], Ints]:
        return lambda rng: (rng.random((tasks, BUCKETS * dates)) >= share).astype(np.int64)

    return {
        "none missing": fixed(np.ones_like(thin)), "10 % at random": random(0.1), "30 % at random": random(0.3),
        "a bucket with a third of the tasks": fixed(thin), "a quarter of the tasks each, rotated": fixed(rotated),
    }  # fmt: skip


def missing(count: int) -> None:
    """Part e."""
    print(f"e. missing cells, 40 tasks, 7 dates, amplitude 0, {count} studies: claims %, coverage % (bias in s.e.)")
    print(f"   {'cells':36}  occasion sd  claims %     var_bucket   var_occasion       var_date")
    for name, filled in fillings(40, 7).items():
        for sd in (0.0, 2.0):
            scores = scored(Cell(40, 7, 0.0, sd), count, filled, "e", name)
            texts = "  ".join(f"{scores[f].text():>13}" for f in FACTORS)
            print(f"   {name:36}  {sd:11g}  {100 * scores['bucket'].claimed / count:8.1f}  {texts}", flush=True)


def bands(count: int) -> None:
    """Part f."""
    print(f"f. band x bucket, 89 tasks, 14 dates, 1 block of bands at 45 and 51 %, {count} seeds: claimed %")
    plain = simulate.Truth(
        arms=(simulate.SimArm("m", "1x", 0.45), simulate.SimArm("m", "3x", 0.51)), tasks=89, repeats=1,
        buckets=("night", "morning", "noon", "evening"), dates=14, bucket_effects=tuple(cosine(2.0)), date_sd=DATE_SD,
        occasion_sd=0.01,
    )  # fmt: skip
    how = Draws(seed=1, replicates=500, level=LEVEL)
    for amplitude in (0.0, 2.0, 4.0):
        claimed = 0
        for seed in range(count):
            rng = seeds.generator(SEED + seed, "stats", "time-of-day", "f", str(amplitude))
            cube = simulate.cube_of(plain, simulate.draw(plain, rng))
            flip = rng.random(len(cube.task)) < np.abs(cosine(2 * amplitude) / 0.5)[cube.bucket]
            toward = (cosine(amplitude) > 0)[cube.bucket].astype(np.float64)
            y = np.column_stack([cube.y[:, 0], np.where(flip, toward, cube.y[:, 1])])
            found = band_by_bucket(replace(cube, y=y), plain.design(), how)
            f = next(f for f in found if f.estimand == "band_by_bucket")
            claimed += f.low is not None and f.low > 0
        print(f"   amplitude of the interaction {amplitude:g}: {100 * claimed / count:.1f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=2000)
    parser.add_argument("--studies", type=int, default=4000)
    parser.add_argument("--parts", default="abcdef")
    options = parser.parse_args()
    print(
        f"# python {platform.python_version()}, numpy {np.__version__}, scipy {scipy.__version__}, {platform.system()}"
    )
    print(f"# {' '.join(sys.argv)}")
    whole = {"a": whole_studies, "f": bands}
    parts = whole | {"b": coverage, "c": power, "d": rhythms, "e": missing}
    for name in options.parts:
        began = time.perf_counter()
        parts[name](options.seeds if name in whole else options.studies // (4 if name == "d" else 1))
        print(f"   {time.perf_counter() - began:.0f} s\n", flush=True)


if __name__ == "__main__":
    main()
