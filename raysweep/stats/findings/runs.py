"""Models of several merged runs: each run's own contrasts beside the pooled ones, and what other runs may show.

Belongs here: runs (clusters, installations, weeks) as units. Does not: whether runs may be merged (`merge`), dates.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from raysweep.stats.cube import Cube
from raysweep.stats.design import Design, is_registered
from raysweep.stats.facet import Facet, FacetKind
from raysweep.stats.finding import Caution, Finding
from raysweep.stats.findings.contrast import contrast_finding
from raysweep.stats.findings.dates import date_grid
from raysweep.stats.findings.occasions import Decomposed, decompose, occasions
from raysweep.stats.findings.pair import Pair, mean_ask, pair, pair_cautions, within_unit
from raysweep.stats.findings.timeofday import MLS, f_text, spread_finding
from raysweep.stats.methods.interval import Draws, Interval, fmean, settle
from raysweep.stats.methods.runs import LEAST_RUNS, run_spread, runs_sampled, tasks_and_runs
from raysweep.stats.methods.twoway import Grid
from raysweep.stats.methods.variance import FTest, effect_component, occasion_means


def runs_of(cube: Cube, model: str) -> tuple[int, ...]:
    """Codes of the merged runs in which a model was tried; () where nothing was merged."""
    mine = np.array([a.model == model for a in cube.arms], dtype=bool)
    return tuple(r for r in range(len(cube.runs)) if cube.present[cube.of_run(r)][:, mine].any())


def run_findings(cube: Cube, design: Design, how: Draws) -> Iterator[Finding]:
    """For every model of two or more runs and band against the reference, over all buckets, in points.

    Success and q_trial in each run (the run is the facet, tasks sampled); success over other such runs ("runs", "tasks
    and runs": without an interval under three runs); run_sd, the spread between runs beyond that of their dates. Then
    per model whether buckets do the same in every run. design: registered where each run's own contrasts are.
    """
    for model in cube.models:
        runs = runs_of(cube, model)
        if len(runs) < 2:
            continue
        for band in cube.bands(model) if design.reference in cube.bands(model) else ():
            if band != design.reference:
                yield from _apart(cube, design, how, runs, (model, band))
                yield from _across(cube, design, how.level, (model, band))
        yield from _by_bucket(cube, how.level, model)


def _apart(cube: Cube, design: Design, how: Draws, runs: Sequence[int], arm: tuple[str, str]) -> Iterator[Finding]:
    """Each run's own contrasts; the draws of tasks are those of all others."""
    columns = cube.column(*arm), cube.column(arm[0], design.reference)
    cells = [
        (run, estimand, pair(cube, values, *columns, cube.of_run(run)))
        for estimand, values in (("success", cube.y), ("q_trial", cube.q))
        for run in runs
    ]
    asked = settle([mean_ask(p, how.level) for _, _, p in cells], how)
    for (run, estimand, p), (value, interval) in zip(cells, asked, strict=True):
        label = _label(design, arm, estimand)
        yield contrast_finding(
            p, label, value, interval, how.level, facet=Facet(FacetKind.RUN, cube.runs[run]), cautions=pair_cautions(p),
            registered=is_registered(design, estimand, arm[1], design.reference, None),
        )  # fmt: skip


def _label(design: Design, arm: tuple[str, str], estimand: str) -> dict[str, str | None]:
    model, band = arm
    return {"estimand": estimand, "model": model, "arm": band, "reference": design.reference, "bucket": None}


def _across(cube: Cube, design: Design, level: float, arm: tuple[str, str]) -> Iterator[Finding]:
    """The pooled success contrast over other runs, and the spread between runs."""
    p = pair(cube, cube.y, cube.column(*arm), cube.column(arm[0], design.reference), cube.in_bucket(None))
    means, counts = p.by_task
    used = means[counts > 0]
    label = _label(design, arm, "success")
    if not len(used):
        return
    value, grid = fmean(used), _run_grid(p)
    yield contrast_finding(p, label, value, runs_sampled(value, grid, level), level, over="runs")
    if grid.dates >= LEAST_RUNS:
        both = tasks_and_runs(used, Grid(grid.values[counts > 0], grid.counts[counts > 0]), level)
        yield contrast_finding(p, label, value, both, level, over="tasks and runs")
    yield _spread(p, label, level)


def _run_grid(p: Pair) -> Grid:
    """Task x run cells of a contrast, (T, R)."""
    cube = p.cube
    return date_grid(replace(cube, dates=cube.runs, date=cube.run), p.difference, p.complete)


def _spread(p: Pair, label: dict[str, str | None], level: float) -> Finding:
    """run_sd: standard deviation of the contrast between runs, in points, beyond what dates within runs show."""
    cells = date_grid(p.cube, p.difference, p.complete)
    seen = cells.counts.sum(axis=0) > 0
    m = occasion_means(cells.values[:, seen], cells.counts[:, seen]).means
    spread = run_spread(m, p.cube.run_of_date[seen], level) if np.isfinite(m).all() else None
    plain = contrast_finding(
        p,
        label | {"estimand": "run_sd"},
        None,
        Interval(None, None, "none"),
        level,
        over="dates",
        facet=Facet(FacetKind.RUN),
    )
    if spread is None:
        text = "a run cannot be separated from its dates: no run has two dates that differ"
        return replace(plain, warnings=(Caution("one_date", text, "run at least 2 dates in each run"),))
    most = 100.0 if within_unit(p.arm[p.complete], p.reference[p.complete]) else math.inf
    c = spread.component
    value, low, high = (min(most, 100 * math.sqrt(max(0.0, v))) for v in (c.value, c.low, c.high))
    text = "no upper limit can be set: so few runs tell hardly anything of the spread between them"
    wide = (Caution("unbounded", text, "add runs"),) if high >= 100.0 else ()
    method = f"{MLS}, dates within runs as noise; {f_text(spread.test)}"
    return replace(plain, value=value, low=low, high=high, method=method, warnings=wide)


def _by_bucket(cube: Cube, level: float, model: str) -> Iterator[Finding]:
    """time_of_day_by_run: RMS of bucket x run effects; nothing where there are no time-of-day components."""
    cells = occasions(cube, model)
    parts = decompose(cells, level)
    if not isinstance(parts, Decomposed) or parts.squares.runs < 2:
        return
    s = parts.squares
    component = effect_component(
        s.run_bucket, s.df_run_bucket, s.under_run_bucket, s.df_rest, size=s.buckets * s.dates, level=level
    )
    if component is not None:
        test = FTest(s.run_bucket / s.under_run_bucket, s.df_run_bucket, s.df_rest)
        method = f"RMS over runs and buckets, noncentral F inversion; {f_text(test)}"
        yield spread_finding(
            cells, "time_of_day_by_run", Facet(FacetKind.RUN_BY_BUCKET), component, level, method=method, model=model
        )
