"""What each success contrast is made of: bounds first, then the accounting split, per band against the reference.

Belongs here: pooled p and q on complete blocks, which interval the split gets, cautions. Does not: the arithmetic
(`methods.decomposition`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from raysweep.stats.arrays import Floats
from raysweep.stats.cube import Cube
from raysweep.stats.design import Design
from raysweep.stats.facet import Facet, FacetKind
from raysweep.stats.finding import Caution, Finding
from raysweep.stats.findings.contrast import contrast_finding
from raysweep.stats.findings.pair import Pair, is_binary, mean_contrast, pair, pair_cautions, rare
from raysweep.stats.methods.decomposition import bounds, infra_draws, infra_influence, kitagawa
from raysweep.stats.methods.interval import (
    FEW_TASKS,
    Draws,
    Interval,
    expanded_percentile,
    fmean,
    standard_error,
    t_interval,
)
from raysweep.stats.methods.partial import critical, level_of
from raysweep.stats.methods.rare import RARE_EVENTS

ASSUMPTION = (
    "bounds from success and infrastructure deaths, without sampling error; assuming a higher limit neither turns a"
    " success into a failure nor kills what the lower one spared"
)
ONE_ASSUMPTION = "if a higher limit neither turns a success into a failure nor kills what the lower one spared"
ACCOUNTING = "Kitagawa 1955, accounting, not causal: rescued trials are credited with average success"
BOUNDS_ONLY = Caution(
    "bounds_only",
    "how many rescued trials went on to succeed cannot be seen: the data set bounds, no value",
    "read both ends; the interval of the success contrast says how sure its size is",
)


def decompose(cube: Cube, design: Design, how: Draws) -> Iterator[Finding]:
    """Findings per model and band against the reference, all in points, over all buckets.

    "rescued" and "other_successes": value None, low and high the bounds at the point estimates (level None: they are
    no confidence interval), then with facet BOUNDS their confidence intervals over tasks. "decomposition_infra" and
    "decomposition_clean": Kitagawa's parts, which add up to the success contrast, with intervals over tasks from the
    shared draws.
    """
    for model in cube.models:
        for band in cube.bands(model) if design.reference in cube.bands(model) else ():
            if band != design.reference:
                yield from _contrast(cube, design, how, model=model, band=band)


@dataclass(frozen=True, slots=True)
class _Parts:
    """Task means of (p, q) of arm and of reference, (T', 4), and what their rareness forbids."""

    tasks: Floats
    rare_deaths: bool
    rare_success: bool

    @classmethod
    def of(cls, p: Pair, q: Pair) -> _Parts:
        """Those of one contrast."""
        columns = (p.arm, q.arm, p.reference, q.reference)
        means = np.stack([p.cube.task_means(c, p.complete)[0] for c in columns], axis=1)
        on = p.complete
        return cls(
            tasks=np.asarray(means[np.isfinite(means).all(axis=1)], dtype=np.float64),
            rare_deaths=rare(q.arm[on], q.reference[on]),
            rare_success=is_binary(p.arm[on], p.reference[on]) and rare(p.arm[on], p.reference[on]),
        )


def _contrast(cube: Cube, design: Design, how: Draws, *, model: str, band: str) -> Iterator[Finding]:
    arm, reference = cube.column(model, band), cube.column(model, design.reference)
    p, q = (pair(cube, values, arm, reference, cube.in_bucket(None)) for values in (cube.y, cube.q))
    label: dict[str, str | None] = {"model": model, "arm": band, "reference": design.reference, "bucket": None}
    parts, missing = _Parts.of(p, q), pair_cautions(p, bounded=False)
    ends: dict[str, tuple[float, float] | None] = {"rescued": None, "other_successes": None}
    if len(parts.tasks):
        p1, q1, p0, q0 = (fmean(column) for column in parts.tasks.T)
        found = bounds(p1 - p0, q1 - q0)
        ends = {"rescued": found.rescued, "other_successes": found.other}
    for estimand, span in ends.items():
        low, high = span or (None, None)
        interval = Interval(low, high, ASSUMPTION, (BOUNDS_ONLY,) if span else ())
        plain = contrast_finding(p, {**label, "estimand": estimand}, None, interval, how.level, cautions=missing)
        yield replace(plain, level=None, resampled_over="")
    for estimand, interval in _confident(cube, (arm, reference), p, q, how) if len(parts.tasks) > 1 else ():
        plain = contrast_finding(p, {**label, "estimand": estimand}, None, interval, how.level, cautions=missing)
        yield replace(plain, facet=Facet(FacetKind.BOUNDS, "confidence"))
    for estimand, value, interval in _split(parts, how):
        yield contrast_finding(p, {**label, "estimand": estimand}, value, interval, how.level, cautions=missing)


def _confident(cube: Cube, columns: tuple[int, int], p: Pair, q: Pair, how: Draws) -> Iterator[tuple[str, Interval]]:
    """Confidence intervals over tasks of both parts: their bounds, widened by the error of each bound.

    Rescued trials lie between 0 and -dq, other successes between dp and dp + dq, the contrast of y + q. Each end has
    the method of any contrast, at the level of Imbens and Manski's critical value (`methods.partial`).
    """
    whole = pair(cube, cube.y + cube.q, *columns, cube.in_bucket(None))
    for estimand, ends, sign in (("rescued", (q,), -1.0), ("other_successes", (p, whole), 1.0)):
        means = [fmean(m[np.isfinite(m)]) for e in ends for m in [e.by_task[0]]]
        errors = [standard_error(m[np.isfinite(m)]) for e in ends for m in [e.by_task[0]]]
        width = abs(means[0] - means[-1]) if len(means) > 1 else abs(means[0])
        level = level_of(critical(width, max(errors), how.level))
        asks = [mean_contrast(e, replace(how, level=level))[1] for e in ends]
        known = [sign * x for i in asks for x in (i.low, i.high) if x is not None]
        if len(known) < 2 * len(ends):
            continue
        method = f"Imbens-Manski interval of the bounds, each by {' and '.join(dict.fromkeys(i.method for i in asks))}"
        low, high = _rescued(means[0], known) if estimand == "rescued" else (min(known), max(known))
        yield estimand, Interval(low, high, f"{method}; {ONE_ASSUMPTION}", (BOUNDS_ONLY,))


def _rescued(dq: float, ends: Sequence[float]) -> tuple[float, float]:
    """0 on the side of the assumption, the far end of -dq's interval on the other."""
    return (0.0, max(0.0, *ends)) if dq <= 0 else (min(0.0, *ends), 0.0)


def _split(parts: _Parts, how: Draws) -> Iterator[tuple[str, float | None, Interval]]:
    """Estimand, value and interval of Kitagawa's two parts."""
    names = ("decomposition_infra", "decomposition_clean")
    found = None
    if len(parts.tasks):
        p1, q1, p0, q0 = (fmean(column) for column in parts.tasks.T)
        found = kitagawa((p1, q1), (p0, q0))
    if found is None:
        why = Caution("no_clean_trials", "an arm has no trial that infrastructure did not end", "raise its limits")
        for name in names:
            yield name, None, Interval(None, None, f"{ACCOUNTING}: undefined", (why,) if len(parts.tasks) else ())
        return
    infra, clean = _intervals(parts, how)
    yield names[0], found.infra, infra
    yield names[1], found.clean, clean


def _intervals(parts: _Parts, how: Draws) -> tuple[Interval, Interval]:
    """Of the infra and of the clean part: t on linearised values or the expanded percentile of the shared draws."""
    influence, contrast = infra_influence(parts.tasks), parts.tasks[:, 0] - parts.tasks[:, 2]
    plain = [t_interval(influence, how.level), t_interval(contrast - influence, how.level)]
    n = len(parts.tasks)
    if n >= FEW_TASKS and all(i.low is not None for i in plain):
        means = how.sums(parts.tasks) / n
        draws = infra_draws(means)
        if draws is not None:
            method = f"expanded percentile bootstrap ({len(draws)} draws)"
            both = (draws, means[:, 0] - means[:, 2] - draws)
            plain = [Interval(*expanded_percentile(d, n, how.level), method) for d in both]
    infra, clean = plain
    return _told(infra, closed=parts.rare_deaths or parts.rare_success), _told(clean, closed=parts.rare_success)


def _told(interval: Interval, *, closed: bool) -> Interval:
    """The interval with what it means; without its ends where events are too rare for any of the methods."""
    if not closed:
        return replace(interval, method=f"{ACCOUNTING}; {interval.method}")
    few = Caution(
        "rare_events",
        f"an arm has fewer than {RARE_EVENTS} events: no interval of this part would hold its level",
        "read the intervals of success and q_trial; run more repeats",
    )
    return Interval(None, None, f"{ACCOUNTING}; no interval", (few, *interval.cautions))
