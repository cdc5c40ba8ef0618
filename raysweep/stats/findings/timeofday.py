"""Time of day as findings: how much bucket, date and occasion move the score, beside noise and the band effect."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from raysweep.stats.arrays import Floats, Ints
from raysweep.stats.cube import Cube
from raysweep.stats.facet import Facet, FacetKind
from raysweep.stats.finding import Caution, Finding
from raysweep.stats.findings.occasions import TARGET_RMS, Decomposed, Occasions, decompose, occasions, plain
from raysweep.stats.methods.permutation import bucket_label_p, smallest_label_p
from raysweep.stats.methods.variance import (
    TINY,
    Component,
    FTest,
    bucket_component,
    date_component,
    dates_needed,
    occasion_component,
)

SPARSE = 0.5
"""Below this share of filled cells the noise of occasion means is too uneven for the intervals of the components."""
BUCKET = Facet(FacetKind.BUCKET)
MLS = "modified large sample (Ting et al. 1990)"


def time_of_day(cube: Cube, level: float, band_effect: float | None, seed: int = 0) -> Iterator[Finding]:
    """One table, in points: time_of_day (RMS of bucket effects), its range, occasion, date and repeat sd, band_effect.

    The effect is claimed iff the lower limit of time_of_day exceeds 0 (the F test at 1 - level). band_effect: the
    largest success contrast in points, repeated here so that one table tells what moves the score. seed: of the
    permutation test.
    """
    cells = occasions(cube)
    parts = decompose(cells, level)
    if isinstance(parts, Caution):
        yield plain(cells, "time_of_day", BUCKET, None, "none", cautions=(parts,))
    else:
        yield bucket_finding(cells, parts, level, seed)
        yield from _spreads(cells, parts, level)
    yield _repeat_noise(cube, cells)
    if band_effect is not None:
        yield plain(cells, "band_effect", Facet(FacetKind.BAND), abs(band_effect), "largest success contrast, in size")


def time_of_day_details(cube: Cube, level: float, seed: int = 0) -> Iterator[Finding]:
    """What the table of `time_of_day` cannot hold: the signed variances (points squared) and the omnibus p-values."""
    cells = occasions(cube)
    parts = decompose(cells, level)
    if isinstance(parts, Caution):
        return
    s = parts.squares
    for kind, component, method in (
        (FacetKind.BUCKET, bucket_component(s, level), "noncentral F inversion"),
        (FacetKind.OCCASION, occasion_component(s, parts.df, level), MLS),
        (FacetKind.DATE, date_component(s, level) if s.rest > TINY else None, MLS),
    ):
        if component is not None:
            value, low, high = (1e4 * v for v in (component.value, component.low, component.high))
            yield plain(
                cells, f"var_{kind}", Facet(kind), value, f"{method}, signed", low=low, high=high, level=level,
                over="dates",
            )  # fmt: skip
    permuted = bucket_label_p(parts.grid, seed)
    if permuted is not None:
        method = f"bucket labels permuted within dates; at least {smallest_label_p(*parts.grid.shape):.2g}"
        yield plain(cells, "time_of_day_p", Facet(FacetKind.TEST, "permutation"), permuted, method)
    if s.rest > TINY:
        yield plain(cells, "time_of_day_p", Facet(FacetKind.TEST, "F"), s.bucket_test.p, f_text(s.bucket_test))


def bucket_finding(
    cells: Occasions, parts: Decomposed, level: float, seed: int, *, estimand: str = "time_of_day",
    model: str | None = None,
) -> Finding:  # fmt: skip
    """RMS of the bucket effects with the two omnibus tests in its method, and what the dates are too few for."""
    s = parts.squares
    component = bucket_component(s, level)
    claimed = component is not None and component.low > 0
    cautions = (*(() if claimed else _needs(cells, parts, level)), *_left_out(cells, parts))
    if component is None:
        text = "all occasions gave the same score: nothing to estimate a noise from"
        flat = Caution("no_spread", text, "run more dates")
        value = 0.0 if s.bucket <= TINY else None
        return plain(cells, estimand, BUCKET, value, "none", model=model, cautions=(flat, *cautions))
    method = f"noncentral F inversion; {f_text(s.bucket_test)}"
    permuted = bucket_label_p(parts.grid, seed)
    if permuted is not None:
        method += f"; bucket labels permuted within dates p = {permuted:.2g}"
    return spread_finding(cells, estimand, BUCKET, component, level, method=method, model=model, cautions=cautions)


def f_text(test: FTest) -> str:
    """An F test in words."""
    return f"F({test.df1}, {test.df2}) = {test.ratio:.2f}, p = {test.p:.2g}"


def _needs(cells: Occasions, parts: Decomposed, level: float) -> tuple[Caution, ...]:
    """How many more dates would find a swing of 2 points; nothing when there are enough."""
    s = parts.squares
    floor = 0.0 if parts.residual is None else parts.residual / max(1, cells.tasks)
    need = dates_needed(s, floor, rms=TARGET_RMS, level=level)
    if max(s.rest, floor) <= TINY or (need is not None and s.dates >= need):
        return ()
    more = "more than 400 dates" if need is None else f"about {need} dates ({need - s.dates} more)"
    return (
        Caution(
            "few_occasions",
            f"{s.dates * s.buckets} occasions on {s.dates} dates can claim little about time of day",
            f"{more} would find a swing of 2 points with 80 % power, at the noise seen"
            + ("" if cells.bounded else " (rewards outside 0 to 1)"),
        ),
    )


def _left_out(cells: Occasions, parts: Decomposed) -> tuple[Caution, ...]:
    lost = cells.seen_dates - len(parts.dates)
    if not lost:
        return ()
    text = f"{lost} date(s) lack a bucket, or most of its tasks, and are left out"
    return (Caution("partial_dates", text, "complete these dates"),)


def _spreads(cells: Occasions, parts: Decomposed, level: float) -> Iterator[Finding]:
    """Largest minus smallest bucket, then occasion and date as standard deviations."""
    by_bucket = parts.grid.mean(axis=1)
    span = 100 * float(by_bucket.max() - by_bucket.min())
    yield plain(cells, "time_of_day_range", BUCKET, span, "largest minus smallest bucket mean; biased upward by noise")
    occasion = occasion_component(parts.squares, parts.df, level)
    if occasion is None:
        why = Caution(
            "no_noise", "an occasion cannot be separated from repeat-to-repeat noise", "add tasks, or harder ones"
        )
        yield plain(cells, "occasion_sd", Facet(FacetKind.OCCASION), None, "none", cautions=(why,))
    else:
        yield spread_finding(cells, "occasion_sd", Facet(FacetKind.OCCASION), occasion, level, cautions=_sparse(parts))
    if parts.squares.rest > TINY:
        date = date_component(parts.squares, level)
        yield spread_finding(cells, "date_sd", Facet(FacetKind.DATE), date, level, cautions=_sparse(parts))


def _sparse(parts: Decomposed) -> tuple[Caution, ...]:
    """Measured: with a quarter of the tasks in each occasion these intervals cover 90-92 % (benchmarks/time_of_day)."""
    if parts.filled >= SPARSE:
        return ()
    text = f"{100 * parts.filled:.0f} % of tasks x occasions have a result: this interval is somewhat too narrow"
    return (Caution("sparse_occasions", text, "run every task in every occasion"),)


def spread_finding(
    cells: Occasions,
    estimand: str,
    facet: Facet,
    c: Component,
    level: float,
    *,
    method: str = MLS,
    model: str | None = None,
    cautions: tuple[Caution, ...] = (),
) -> Finding:
    """A variance as a spread in points; negative variances are shown as 0, and a spread cannot exceed 50 points."""
    most = 50.0 if cells.bounded else math.inf
    value, low, high = (min(most, 100 * math.sqrt(max(0.0, v))) for v in (c.value, c.low, c.high))
    if high == most:
        text = "no upper limit can be set; 50 points is the most there can be"
        cautions = (Caution("unbounded", text, "run more dates"), *cautions)
    if c.value < 0:
        method += f"; the signed variance is {1e4 * c.value:.2g} points squared"
    return plain(
        cells, estimand, facet, value, method, low=low, high=high, level=level, over="dates", model=model,
        cautions=cautions,
    )  # fmt: skip


def _repeat_noise(cube: Cube, cells: Occasions) -> Finding:
    """Spread of the score of one pass (every task once, one arm) that repeating alone makes."""
    occasion = cube.bucket * max(1, len(cube.dates)) + cube.date
    key = cube.task * (int(occasion.max(initial=0)) + 1) + occasion
    method, found = "within task, arm and occasion", _within(cube.y, key)
    if found is None:
        method, found = "within task and arm, over all occasions", _within(cube.y, cube.task)
    if found is None:
        one = Caution("one_block", "no task was repeated: its noise cannot be seen", "raise `repeats`")
        return plain(cells, "repeat_sd", Facet(FacetKind.REPEAT), None, "none", cautions=(one,))
    value = 100 * math.sqrt(found / max(1, cells.tasks))
    return plain(cells, "repeat_sd", Facet(FacetKind.REPEAT), value, f"one pass over the tasks; variance {method}")


def _within(y: Floats, key: Ints) -> float | None:
    """Pooled variance of each column of y within the groups of `key`; None without a degree of freedom."""
    squares, df = 0.0, 0
    for column in y.T:
        ok = np.isfinite(column)
        _, group = np.unique(key[ok], return_inverse=True)
        n = np.bincount(group)
        mean = np.bincount(group, weights=column[ok]) / np.maximum(n, 1)
        squares += float(np.sum((column[ok] - mean[group]) ** 2))
        df += int(np.sum(n - 1))
    return squares / df if df else None
