"""One ceiling against the floor: what the data say, before any verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from raysweep.stats.cube import Cube
from raysweep.stats.finding import Caution, Finding
from raysweep.stats.findings.contrast import contrast_finding
from raysweep.stats.findings.dates import date_grid
from raysweep.stats.findings.pair import Pair, is_binary, mean_contrast, pair, pair_cautions, within_unit
from raysweep.stats.methods.calibration import (
    FEW_DISCORDANT,
    TaskMoments,
    blocks_needed,
    clopper_pearson,
    difference_interval,
    mcnemar_fall,
    rate_trials_needed,
)
from raysweep.stats.methods.interval import Draws, fmean, hull
from raysweep.stats.methods.twoway import Grid, dates_sampled, few_dates, missing_dates, two_way

Attempts = Mapping[tuple[str, str], tuple[int, int]]
"""(model, band) to (attempts that ended in a resource cause, all attempts)."""


@dataclass(frozen=True, slots=True)
class CeilingRule:
    """What is asked. floor, ceilings: bands, ascending. delta, infra_max, alpha: fractions (alpha of one side).

    limits: per band what is known of its enforcement, as `findings.limits.limit_status` says it.
    """

    floor: str
    ceilings: tuple[str, ...]
    delta: float
    infra_max: float | None
    alpha: float
    limits: Mapping[str, tuple[str, tuple[Caution, ...]]]


@dataclass(frozen=True, slots=True)
class Ceiling:
    """One band against the floor.

    verdict, verdict_sampled (other tasks): WITHIN, TOO_TIGHT, CHANGES, NOT_ENOUGH, NOT_ENFORCED or AFTER_STOP.
    difference, fall: success and q_trial against the floor, points, for these tasks: over dates by t(D - 1) from three
    dates on, as arms may react differently to a date, else with tasks fixed; *_sampled: the same for other tasks, too.
    infra_rate: attempts that ended in a resource cause, its upper end is the bound that --infra-max asks for.
    fall_p: one-sided, exact, Holm over the ceilings; fall_shown: it is below alpha. equivalent: TOST passes.
    meets: infra_rate's bound is at most --infra-max (True without one). blocks: mean blocks per task; needed: blocks
    per task for 80 % power of TOST if there is no difference. enforcement: of `findings.limits`.
    """

    model: str
    band: str
    verdict: str
    verdict_sampled: str
    difference: Finding
    difference_sampled: Finding
    fall: Finding
    fall_sampled: Finding
    infra_rate: Finding
    fall_p: float | None
    fall_shown: bool
    equivalent: bool
    meets: bool
    blocks: float
    needed: int | None
    needed_for_rate: int | None
    enforcement: str
    cautions: tuple[Caution, ...]


def moments(p: Pair) -> TaskMoments:
    """A pair as the moments of its differences, over the tasks with a complete block."""
    means, counts = p.cube.task_means(p.difference, p.complete)
    squares, _ = p.cube.task_means((p.difference - means[p.cube.task]) ** 2, p.complete)
    used = counts > 0
    d = p.difference[p.complete]
    return TaskMoments(
        means=means[used],
        variances=(squares * counts / np.maximum(counts - 1, 1))[used],
        counts=counts[used],
        up=int(np.sum(d > 0)),
        down=int(np.sum(d < 0)),
        binary=is_binary(p.arm[p.complete], p.reference[p.complete]),
        unit=within_unit(p.arm, p.reference),
        pooled=float(np.var(d, ddof=1)) if len(d) > 1 else 0.0,
    )


def look(cube: Cube, model: str, band: str, rule: CeilingRule, how: Draws, attempts: Attempts) -> Ceiling:
    """One ceiling before its verdict; how.level is 1 - 2 alpha."""
    columns, everywhere = (cube.column(model, band), cube.column(model, rule.floor)), cube.in_bucket(None)
    y, q = (pair(cube, values, *columns, everywhere) for values in (cube.y, cube.q))
    m, deaths = moments(y), moments(q)
    enforcement, cautions = rule.limits.get(band, ("unknown", ()))
    rate = infra_rate(cube, model, band, rule.alpha, attempts)
    return Ceiling(
        model=model,
        band=band,
        verdict="",
        verdict_sampled="",
        difference=_fixed(y, m, "success", model, band, rule, how.level),
        difference_sampled=_sampled(y, "success", model, band, rule, how),
        fall=_fixed(q, deaths, "q_trial", model, band, rule, how.level),
        fall_sampled=_sampled(q, "q_trial", model, band, rule, how),
        infra_rate=rate,
        fall_p=mcnemar_fall(deaths.down, deaths.up) if m.blocks else None,
        fall_shown=False,
        equivalent=False,
        meets=rule.infra_max is None or (rate.high is not None and rate.high <= rule.infra_max),
        blocks=m.per_task,
        needed=blocks_needed(m, rule.delta, rule.alpha),
        needed_for_rate=_needed_for_rate(rate, m, rule),
        enforcement=enforcement,
        cautions=cautions,
    )


def _fixed(p: Pair, m: TaskMoments, estimand: str, model: str, band: str, rule: CeilingRule, level: float) -> Finding:
    label = _label(estimand, model, band, rule)
    value = fmean(m.means) if m.blocks else None
    interval, over = difference_interval(m, level), "tasks fixed"
    grid = date_grid(p.cube, p.difference, p.complete)
    if value is not None and not missing_dates(grid):
        dates = dates_sampled(value, grid, level)
        if dates.low is not None:
            few = m.up + m.down < FEW_DISCORDANT
            interval, over = hull(dates, interval) if few else dates, "dates"
    elif value is not None:
        interval = replace(interval, cautions=(*interval.cautions, _dates_unknown(grid)))
    return contrast_finding(p, label, value, interval, level, over=over, cautions=pair_cautions(p))


def _dates_unknown(grid: Grid) -> Caution:
    """That arms may react differently to dates, and that too few dates were run to see it."""
    few = few_dates(grid)
    return Caution("few_dates", f"{few.message}; this holds for the dates that were run", few.remedy)


def _sampled(p: Pair, estimand: str, model: str, band: str, rule: CeilingRule, how: Draws) -> Finding:
    value, interval = mean_contrast(p, how)
    over, means = "tasks", p.by_task[0]
    grid = date_grid(p.cube, p.difference, p.complete)
    if not missing_dates(grid):
        both = two_way(means[np.isfinite(means)], [grid], how.level).interval
        if both.low is not None:
            interval, over = hull(both, interval), "tasks and dates"
    return contrast_finding(
        p, _label(estimand, model, band, rule), value, interval, how.level, over=over, cautions=pair_cautions(p)
    )


def _label(estimand: str, model: str, band: str, rule: CeilingRule) -> dict[str, str | None]:
    return {"estimand": estimand, "model": model, "arm": band, "reference": rule.floor, "bucket": None}


def infra_rate(cube: Cube, model: str, band: str, alpha: float, attempts: Attempts) -> Finding:
    """Share of all attempts that ended in a resource cause, tasks fixed, with exact limits."""
    events, n = attempts.get((model, band), (0, 0))
    level = 1 - 2 * alpha
    low, high = (float(x) for x in clopper_pearson(events, n, level))
    absent = Caution("no_trials", f"{model}/{band} has no attempt", "run it, or let the run go on")
    mine = cube.present[:, cube.column(model, band)]
    return Finding(
        estimand="infra_rate_resource",
        model=model,
        arm=band,
        reference=None,
        bucket=None,
        facet=None,
        value=events / n if n else None,
        low=low if n else None,
        high=high if n else None,
        level=level,
        method="Clopper-Pearson, over all attempts",
        resampled_over="tasks fixed",
        n_tasks=len(np.unique(cube.task[mine])),
        n_attempts=n,
        n_dates=cube.n_dates(mine),
        warnings=() if n else (absent,),
    )


def _needed_for_rate(rate: Finding, m: TaskMoments, rule: CeilingRule) -> int | None:
    """Blocks per task for the rate's bound to come below --infra-max."""
    if rule.infra_max is None or rate.value is None or not m.blocks:
        return None
    trials = rate_trials_needed(round(rate.value * rate.n_attempts), rate.n_attempts, rule.infra_max, rule.alpha)
    return None if trials is None else -(-trials // len(m.counts))
