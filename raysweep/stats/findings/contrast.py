"""Contrasts as Findings: every band against the reference per model, over all buckets and in each.

What needs draws is asked for all at once (`settle`), so that one product with the shared draws serves every finding.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from raysweep.stats.cube import Cube
from raysweep.stats.design import Design, is_registered
from raysweep.stats.facet import Facet
from raysweep.stats.finding import Caution, Finding
from raysweep.stats.findings.clean import clean_ask, clean_blocks, clean_ratio
from raysweep.stats.findings.pair import Pair, mean_ask, pair, pair_cautions
from raysweep.stats.methods.interval import Ask, Draws, Interval, settle
from raysweep.stats.methods.permutation import DUST, sign_flip
from raysweep.stats.methods.tasksfixed import blocks_fixed

Label = dict[str, str | None]
CONTRASTED = ("success", "q_trial", "success_given_clean")
MEANS = ("success", "q_trial")
"""Contrasts that are means of block differences."""
FEW_BLOCKS = 10
"""Up to so many blocks that differ the interval also has to agree with the exact exchange of arms."""


def band_contrasts(cube: Cube, design: Design, how: Draws) -> Iterator[Finding]:
    """Findings of every band against the reference: per model, estimand and bucket; tasks sampled, then fixed."""
    buckets: tuple[str | None, ...] = (None, *(cube.buckets if len(cube.buckets) > 1 else ()))
    cells = [
        cell
        for model in cube.models
        if design.reference in cube.bands(model)
        for band in cube.bands(model)
        if band != design.reference
        for estimand in CONTRASTED
        for cell in _cells(cube, design.reference, buckets, estimand=estimand, model=model, band=band, level=how.level)
    ]
    for cell, (value, interval) in zip(cells, settle([c.ask for c in cells], how), strict=True):
        of = cell.label
        registered = is_registered(design, str(of["estimand"]), of["arm"], of["reference"], of["bucket"])
        cautions = pair_cautions(cell.pair, bounded=of["estimand"] != "success_given_clean")
        yield contrast_finding(cell.pair, of, value, interval, how.level, cautions=cautions, registered=registered)
        yield contrast_finding(cell.pair, of, value, cell.fixed, how.level, over="tasks fixed", cautions=cautions)


@dataclass(frozen=True, slots=True)
class ContrastCell:
    """One contrast in one bucket (or over all), before its draws."""

    label: Label
    pair: Pair
    ask: Ask
    fixed: Interval


def _cells(
    cube: Cube, reference: str, buckets: Sequence[str | None], *, estimand: str, model: str, band: str, level: float
) -> Iterator[ContrastCell]:
    columns = cube.column(model, band), cube.column(model, reference)
    values, clean = cube.q if estimand == "q_trial" else cube.y, estimand == "success_given_clean"
    whole = pair(cube, values, *columns, cube.in_bucket(None))
    for bucket in buckets:
        p = whole if bucket is None else pair(cube, values, *columns, cube.in_bucket(bucket))
        ask, blocks = mean_ask(p, level), whole.difference
        if clean:
            sides = [clean_ratio(cube, c, p.complete) for c in columns]
            ask, blocks = clean_ask(cube, p, columns, sides, level), clean_blocks(cube, whole, columns, sides)
        fixed = blocks_fixed(blocks, cube.task, cube.bucket, p.complete, level)
        label: Label = {"estimand": estimand, "model": model, "arm": band, "reference": reference, "bucket": bucket}
        yield ContrastCell(label, p, ask, ask.interval if ask.value is None and ask.interval is not None else fixed)


def contrast_finding(
    p: Pair,
    label: Label,
    value: float | None,
    interval: Interval,
    level: float,
    *,
    over: str = "tasks",
    facet: Facet | None = None,
    cautions: tuple[Caution, ...] = (),
    registered: bool = False,
) -> Finding:
    """A contrast in points; the interval is kept within what the estimand can reach (rewards in 0..1)."""
    _, counts = p.by_task
    if label["estimand"] in MEANS:
        interval = held_by_exchange(p, interval, level)
    low, high = clip(interval.low, interval.high, -1.0, 1.0) if p.in_unit else (
        interval.low, interval.high,
    )  # fmt: skip
    return Finding(
        estimand=str(label["estimand"]),
        model=label["model"],
        arm=label["arm"],
        reference=label["reference"],
        bucket=label["bucket"],
        facet=facet,
        value=points(value),
        low=points(low),
        high=points(high),
        level=level,
        method=interval.method,
        resampled_over=over,
        n_tasks=int(np.sum(counts > 0)),
        n_attempts=2 * int(counts.sum()),
        n_dates=p.cube.n_dates(p.complete),
        registered=registered,
        warnings=(*cautions, *interval.cautions),
    )


def held_by_exchange(p: Pair, interval: Interval, level: float) -> Interval:
    """The interval, widened to hold 0 where exchanging the arms within blocks says that so few blocks show nothing.

    Without any effect the arms of a block are exchangeable, so with up to FEW_BLOCKS blocks that differ all 2^m
    exchanges are counted (`methods.permutation.sign_flip`). Two tasks that agree by chance are no claim: p = 0.5.
    """
    if interval.low is None or interval.high is None or interval.low <= 0 <= interval.high:
        return interval
    rows = np.flatnonzero(p.complete)
    differs = rows[np.abs(p.difference[rows]) > DUST]
    if len(differs) > FEW_BLOCKS:
        return interval
    _, counts = p.by_task
    flip = sign_flip(p.difference[differs] / counts[p.cube.task[differs]], seed=0)  # exact: no draw is made
    if flip.p is None or flip.p <= 1 - level:
        return interval
    text = f"{len(differs)} blocks differ, and exchanging the arms within blocks gives p = {flip.p:.2g}: no claim"
    caution = Caution("few_blocks", text, "add tasks or repeats")
    low, high = min(interval.low, 0.0), max(interval.high, 0.0)
    return replace(interval, low=low, high=high, cautions=(*interval.cautions, caution))


def points(value: float | None) -> float | None:
    """A fraction in percentage points."""
    return None if value is None else value * 100


def clip(low: float | None, high: float | None, least: float, most: float) -> tuple[float | None, float | None]:
    """The interval within what is possible."""
    return None if low is None else max(low, least), None if high is None else min(high, most)
