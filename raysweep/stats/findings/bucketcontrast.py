"""Contrasts that involve time-of-day buckets: bucket against bucket, and band contrasts against each other.

They pair by task (blocks of two buckets are different blocks), with the draws that every contrast shares. Beside them,
per model, the omnibus tests over dates: does the hour move this model, and does it move some of its bands more?
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from raysweep.stats.arrays import Bools, Floats
from raysweep.stats.cube import Cube
from raysweep.stats.design import Design
from raysweep.stats.facet import Facet, FacetKind
from raysweep.stats.finding import Caution, Finding
from raysweep.stats.findings.contrast import clip, contrast_finding
from raysweep.stats.findings.occasions import Decomposed, Occasions, cells_of, decompose, occasions, plain
from raysweep.stats.findings.pair import Pair, pair, within_unit
from raysweep.stats.findings.timeofday import bucket_finding, f_text, spread_finding
from raysweep.stats.methods.interval import Draws, Interval, mean_ratio, tasks_sampled
from raysweep.stats.methods.variance import Squares, interaction_component

Label = dict[str, str | None]


def band_by_bucket(cube: Cube, design: Design, how: Draws) -> Iterator[Finding]:
    """Differences of success contrasts, each bucket's minus the first bucket's; then the omnibus per model."""
    for model in cube.models:
        for band in cube.bands(model) if design.reference in cube.bands(model) else ():
            if band != design.reference:
                yield from _by_bucket(cube, design, how, model=model, band=band)
        if len(cube.buckets) > 1:
            yield from _omnibus(cube, design, how.level, model)


def _omnibus(cube: Cube, design: Design, level: float, model: str) -> Iterator[Finding]:
    """time_of_day_by_model where there are several models; band_by_bucket where a model has several bands with data."""
    cells = occasions(cube, model)
    parts = decompose(cells, level)
    name = "time_of_day_by_model"
    if len(cube.models) > 1 and isinstance(parts, Caution):
        yield plain(cells, name, Facet(FacetKind.BUCKET), None, "none", model=model, cautions=(parts,))
    elif len(cube.models) > 1 and isinstance(parts, Decomposed):
        yield bucket_finding(cells, parts, level, design.seed, estimand=name, model=model)
    columns = [i for i in _columns(cube, model) if np.isfinite(cube.y[:, i]).any()]
    if len(columns) > 1:
        yield _bands(cube, cells, parts, level, model=model, columns=columns)


def _columns(cube: Cube, model: str) -> list[int]:
    return [i for i, a in enumerate(cube.arms) if a.model == model]


def _bands(
    cube: Cube, cells: Occasions, parts: Decomposed | Caution, level: float, *, model: str, columns: list[int]
) -> Finding:
    """RMS of band x bucket effects with its omnibus test; bands weigh the same."""
    name, facet = "band_by_bucket", Facet(FacetKind.BAND_BY_BUCKET)
    if isinstance(parts, Caution):
        return plain(cells, name, facet, None, "none", model=model, cautions=(parts,))
    squares = _arm_squares(cube, columns, level)
    found = interaction_component(squares, level) if len(squares) == len(columns) else None
    if found is None:
        why = Caution("no_spread", "bands and occasions leave no noise to test against", "run more dates")
        return plain(cells, name, facet, None, "none", model=model, cautions=(why,))
    method = f"RMS over {len(columns)} bands and buckets, noncentral F inversion; {f_text(found[0])}"
    return spread_finding(cells, name, facet, found[1], level, method=method, model=model)


def _arm_squares(cube: Cube, columns: list[int], level: float) -> list[Squares]:
    """Mean squares of each arm's deviation from the arms' mean, on blocks (so dates) complete in all of them."""
    y = cube.y[:, columns]
    each = (decompose(cells_of(cube, d, len(columns)), level) for d in (y - y.mean(axis=1, keepdims=True)).T)
    return [parts.squares for parts in each if isinstance(parts, Decomposed)]


def _by_bucket(cube: Cube, design: Design, how: Draws, *, model: str, band: str) -> Iterator[Finding]:
    arm, reference = cube.column(model, band), cube.column(model, design.reference)
    by = {b: pair(cube, cube.y, arm, reference, cube.in_bucket(b)) for b in cube.buckets}
    for bucket in cube.buckets[1:]:
        here, base = by[bucket], by[cube.buckets[0]]
        both = here.complete | base.complete
        change = cube.task_means(here.difference, here.complete)[0] - cube.task_means(base.difference, base.complete)[0]
        joined = pair(cube, cube.y, arm, reference, both)
        label: Label = {
            "estimand": "success",
            "model": model,
            "arm": band,
            "reference": design.reference,
            "bucket": bucket,
        }
        facet = Facet(FacetKind.BAND_BY_BUCKET, cube.buckets[0])
        yield _difference_finding(joined, label, facet, change, how, arms=2, reach=2.0)


def bucket_contrasts(cube: Cube, how: Draws) -> Iterator[Finding]:
    """Success in each bucket minus the first bucket, per model; arms with data weigh the same; paired by task."""
    for model in cube.models:
        mine = _columns(cube, model)
        columns = [i for i in mine if np.isfinite(cube.y[:, i]).any()] or mine
        means = {b: _arm_mean(cube, columns, cube.in_bucket(b)) for b in cube.buckets}
        for bucket in cube.buckets[1:]:
            rows = cube.in_bucket(bucket) | cube.in_bucket(cube.buckets[0])
            p = pair(cube, cube.y, columns[0], columns[0], rows)
            label: Label = {"estimand": "success", "model": model, "arm": None, "reference": cube.buckets[0]}
            label |= {"bucket": bucket}
            yield _difference_finding(
                p,
                label,
                Facet(FacetKind.BUCKET),
                means[bucket] - means[cube.buckets[0]],
                how,
                arms=len(columns),
                reach=1.0,
            )


def _arm_mean(cube: Cube, columns: list[int], rows: Bools) -> Floats:
    stacked: Floats = np.stack([cube.task_means(cube.y[:, c], rows)[0] for c in columns])
    return np.asarray(stacked.mean(axis=0), dtype=np.float64)


def _difference_finding(
    p: Pair, label: Label, facet: Facet, change: Floats, how: Draws, *, arms: int, reach: float
) -> Finding:
    """`change` (T,): the difference per task, nan where either side is missing; `reach`: its largest possible size."""
    used = int(np.sum(np.isfinite(change)))
    ratio = mean_ratio(change)
    interval = tasks_sampled(ratio, None, how) if used else Interval(None, None, "none: no task in both buckets")
    few = Caution(
        "dates_not_resampled",
        f"the interval resamples tasks; the luck of {p.cube.n_dates(p.complete)} date(s) is not in it",
        "read the time-of-day table, which uses dates; run more dates",
    )
    low, high = interval.low, interval.high
    if within_unit(p.arm, p.reference):
        low, high = clip(low, high, -reach, reach)
    plain = contrast_finding(p, label, ratio.value, Interval(None, None, interval.method, interval.cautions), how.level)
    return replace(
        plain,
        facet=facet,
        low=None if low is None else low * 100,
        high=None if high is None else high * 100,
        n_tasks=used,
        n_attempts=arms * int(p.complete.sum()),
        warnings=(few, *interval.cautions),
    )
