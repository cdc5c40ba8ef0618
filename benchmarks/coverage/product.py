"""Every name of the product that the cells call, in one place; arrays of many studies in, arrays out."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from benchmarks.coverage.data import Paired
from benchmarks.coverage.judge import Floats
from benchmarks.coverage.resample import LEVEL, Pair
from raysweep.stats import simulate
from raysweep.stats.analyse import analyse
from raysweep.stats.calibrate import calibrate
from raysweep.stats.cube import Cube
from raysweep.stats.finding import Finding
from raysweep.stats.findings.pair import mean_contrast, pair
from raysweep.stats.findings.sample import ContrastSample
from raysweep.stats.methods.interval import Draws, Interval, expanded_probability, tasks_fixed
from raysweep.stats.methods.power import detectable_effect
from raysweep.stats.methods.sequential import boundaries, look_dates, obrien_fleming, rising
from raysweep.stats.methods.twoway import Grid, dates_sampled, two_way

REPLICATES = 10_000


def ends(found: list[Interval]) -> Pair:
    """Intervals as two arrays, nan for none."""
    low = np.array([np.nan if i.low is None else i.low for i in found])
    high = np.array([np.nan if i.high is None else i.high for i in found])
    return low, high


def blank_cube(tasks: int, blocks: int) -> Cube:
    """A cube of two arms (reference, arm) and one bucket, to be filled with outcomes."""
    arms = (simulate.SimArm("m", "1x", 0.5), simulate.SimArm("m", "3x", 0.5))
    truth = simulate.Truth(arms=arms, tasks=tasks, repeats=blocks)
    return simulate.cube_of(truth, simulate.draw(truth, np.random.default_rng(0)))


def contrasts(data: Paired, seed: int) -> list[Interval]:
    """What the report would print for each study with tasks sampled: findings.pair.mean_contrast."""
    _, tasks, blocks = data.arm.shape
    cube, how = blank_cube(tasks, blocks), Draws(seed=seed, replicates=REPLICATES, level=LEVEL)
    found = []
    for arm, reference in zip(data.arm, data.reference, strict=True):
        y = np.stack([reference.ravel(), arm.ravel()], axis=1).astype(np.float64)
        filled = replace(cube, y=y, q=y)
        found.append(mean_contrast(pair(filled, filled.y, 1, 0, filled.in_bucket(None)), how)[1])
    return found


def fixed(blocks: Floats) -> list[Interval]:
    """The closed form with tasks fixed for each study; blocks: (S, T, K) differences."""
    counts = np.full(blocks.shape[1], blocks.shape[2], dtype=np.int64)
    return [tasks_fixed(b.mean(axis=1), b.var(axis=1, ddof=1), counts, LEVEL) for b in blocks]


def over_dates(cells: Floats, blocks: int) -> tuple[Pair, Pair]:
    """Intervals over dates and over tasks and dates; cells: (S, T, D) means of `blocks` blocks each."""
    counts = np.full(cells.shape[1:], blocks, dtype=np.int64)
    dates, both = [], []
    for study in cells:
        grid = Grid(study, counts)
        dates.append(dates_sampled(float(study.mean()), grid, LEVEL))
        both.append(two_way(study.mean(axis=1), [grid], LEVEL).interval)
    return ends(dates), ends(both)


def expanded_tail(units: int) -> float:
    """Tail probability of the expanded percentile interval of `units` resampled units."""
    return expanded_probability(units, LEVEL)


def looks(daily: Floats, number: int) -> list[tuple[float, float] | None]:
    """Repeated intervals of `number` looks at daily task contrasts (T, D), formed as findings.looks forms them."""
    dates = daily.shape[1]
    after = look_dates(dates, number)
    samples = [ContrastSample(float(m.mean()), m, 0, d) for d in after for m in [daily[:, :d].mean(axis=1)]]
    information = rising([1 / s.se**2 for s in samples])
    bounds = boundaries(information, [obrien_fleming(d / dates, 1 - LEVEL) for d in after])
    return [s.interval(b) for s, b in zip(samples, bounds, strict=True)]


def detectable(tasks: int, blocks: int, *, rate: float, concentration: float) -> float:
    """The smallest contrast, in points, that `raysweep plan` states for 80 % power."""
    stated = detectable_effect(tasks, blocks, rate=rate, concentration=concentration).effect
    assert stated is not None
    return stated


@dataclass(frozen=True)
class Said:
    """What the product says of one ledger: sentences, bands of the change-point set, and the calibration."""

    sentences: tuple[str, ...]
    change_point: tuple[str, ...]
    recommended: str | None
    status: str
    needed_at_3x: int | None


def report(blocks: int, rng: np.random.Generator) -> Said:
    """A ledger in the shape of the published study with `blocks` blocks per task, through analyse and calibrate."""
    truth = replace(simulate.STUDY, repeats=blocks)
    table, planned = simulate.tables_of(truth, simulate.draw(truth, rng), rng)
    design = truth.design()
    analysis = analyse(table, planned, design=design)
    calibration = calibrate(table, planned, design, floor="1x")
    return Said(
        sentences=analysis.verdict,
        change_point=next((_bands(f) for f in analysis.findings if f.estimand == "change_point"), ()),
        recommended=calibration.recommended,
        status=calibration.status,
        needed_at_3x=calibration.ladders[0].ceiling("3x").needed,
    )


def _bands(finding: Finding) -> tuple[str, ...]:
    return () if finding.facet is None else finding.facet.names
