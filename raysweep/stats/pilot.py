"""Rates and variances of a pilot, for planning: what an earlier run says about how noisy the coming one will be."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from raysweep.stats.arrays import Bools, Floats
from raysweep.stats.broken import usable
from raysweep.stats.cube import Cube, build_cube
from raysweep.stats.design import Design
from raysweep.stats.levels import reference_part
from raysweep.stats.methods.power import Noise, stated_noise, trial_variance
from raysweep.stats.methods.rare import design_effect
from raysweep.stats.planning import Assumed


def pilot_rates(table: pa.Table, planned: pa.Table, design: Design) -> Assumed | None:
    """What a pilot's ledger says, for `planning.plan_power`; None where it holds no trial with a result.

    table: all attempts with is_final; planned, design: of the pilot. Variances are pooled over the bands of a model,
    and those of its noisiest model are taken. Where a variance cannot be seen, it is made from the success rate, or
    (with one block per task) the spread between tasks counts as noise of repeats: the words say so.
    """
    whole = usable(table, planned)
    table, planned = whole.table, whole.planned
    _, cube = reference_part(table, build_cube(table, planned, design), design)
    reference = np.array([a.band == design.reference for a in cube.arms], dtype=bool)
    seen = np.isfinite(cube.y).any()
    if not seen:
        return None
    y = cube.y[:, reference] if np.isfinite(cube.y[:, reference]).any() else cube.y
    q = cube.q[:, reference]
    rate = min(0.99, max(0.01, float(np.nanmean(y))))  # a pilot that always passes will not always pass
    deaths = float(np.nanmean(q)) if np.isfinite(q).any() else 0.0
    pairs = list(_pairs(cube, design))
    spreads = [s for s in (_spread(cube, [p for p in pairs if p.model == m], rate) for m in cube.models) if s]
    spread = max(spreads, key=lambda s: s.noise.block + s.noise.effect, default=_by_rate(rate))
    trial = _within(cube) or trial_variance(rate)
    words = (
        f"from the pilot's {len(cube.tasks)} tasks x {spread.blocks:.3g} block(s): success {100 * rate:.3g} %"
        f" at the reference, {spread.words}"
    )
    effect = float(np.mean([_death_effect(cube, p) for p in pairs])) if pairs else 1.0
    return Assumed(spread.noise, trial, deaths or None, words, effect)


@dataclass(frozen=True, slots=True)
class _Pair:
    """Columns of a contrast and its complete blocks, (n,)."""

    model: str
    arm: int
    reference: int
    rows: Bools


@dataclass(frozen=True, slots=True)
class _Spread:
    """Noise, mean number of blocks per task behind it, and how it was come by."""

    noise: Noise
    blocks: float
    words: str


def _pairs(cube: Cube, design: Design) -> Iterator[_Pair]:
    for model in cube.models:
        bands = cube.bands(model)
        for band in bands if design.reference in bands else ():
            arm, reference = cube.column(model, band), cube.column(model, design.reference)
            rows = np.isfinite(cube.y[:, arm]) & np.isfinite(cube.y[:, reference])
            if band != design.reference and rows.any():
                yield _Pair(model, arm, reference, rows)


def _by_rate(rate: float) -> _Spread:
    return _Spread(stated_noise(rate), 0, "its noise made from that rate, as no two arms ran side by side")


def _spread(cube: Cube, pairs: list[_Pair], rate: float) -> _Spread | None:
    """Pooled over the contrasts of one model; None without any."""
    found = [_moments(cube, p) for p in pairs]
    if not found:
        return None
    blocks = float(np.mean([m.blocks for m in found]))
    between = [m.between for m in found if m.between is not None]
    within = [m.within for m in found if m.within is not None]
    if within and between:
        block = float(np.mean(within))
        effect = max(0.0, float(np.mean(between)) - float(np.mean([m.own for m in found if m.within is not None])))
        words = f"{100 * effect**0.5:.3g} points of spread between the tasks' contrasts"
    elif within or between:
        block, effect = float(np.mean(within or between)), 0.0
        words = "all spread counted as noise of repeats (one block per task, or one task)"
    else:
        return _by_rate(rate)
    if block + effect <= 0:
        return _Spread(stated_noise(rate), blocks, "no difference in any block, so its noise is made from that rate")
    return _Spread(Noise(block, effect), blocks, words)


@dataclass(frozen=True, slots=True)
class _Moments:
    """within: mean variance of a task's blocks; own: what it adds to the variance of task means; between: of these."""

    within: float | None
    own: float
    between: float | None
    blocks: float


def _moments(cube: Cube, p: _Pair) -> _Moments:
    difference = np.where(p.rows, cube.y[:, p.arm] - cube.y[:, p.reference], np.nan)
    means, counts = cube.task_means(difference, p.rows)
    squares, _ = cube.task_means((difference - means[cube.task]) ** 2, p.rows)
    used, many = counts > 0, counts > 1
    within = float(np.sum((squares * counts)[many]) / np.sum(counts[many] - 1)) if many.any() else None
    between = float(np.var(means[used], ddof=1)) if int(used.sum()) > 1 else None
    own = 0.0 if within is None else within * float(np.mean(1 / counts[used]))
    return _Moments(within, own, between, float(np.mean(counts[used])))


def _within(cube: Cube) -> float:
    """Variance of a trial within its task and arm, pooled; 0 where it cannot be seen."""
    squares = freedom = 0.0
    for column in cube.y.T:
        rows = np.isfinite(column)
        means, counts = cube.task_means(column, rows)
        squares += float(np.sum((column[rows] - means[cube.task[rows]]) ** 2))
        freedom += float(np.sum(np.maximum(counts - 1, 0)))
    return squares / freedom if freedom else 0.0


def _death_effect(cube: Cube, p: _Pair) -> float:
    """Design effect of the difference of death rates: deaths that fall on a few tasks are worth fewer trials."""
    difference: Floats = np.where(p.rows, cube.q[:, p.arm] - cube.q[:, p.reference], np.nan)
    means, counts = cube.task_means(difference, p.rows)
    used = counts > 0
    return design_effect(means[used], counts[used], float(np.var(difference[p.rows])))
