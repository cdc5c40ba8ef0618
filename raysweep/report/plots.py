"""Geometry of the pictures, in percent of a plot's width (pixels of its height); the template only draws it.

Percent keeps text readable at any width: an SVG without viewBox stretches its bars, not its letters.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from raysweep.report.text import amount, how_text, interval_text, value_text, what_text
from raysweep.stats import Analysis, Finding
from raysweep.stats.facet import FacetKind

HEIGHT = 180
"""Pixels of the time-of-day plot."""


@dataclass(frozen=True, slots=True)
class Dot:
    """A point: x in percent, y in pixels, and its tooltip."""

    x: float
    y: float
    title: str


@dataclass(frozen=True, slots=True)
class Axis:
    """Ticks of a linear scale: (position, label); `zero` is where 0 lies."""

    ticks: tuple[tuple[float, str], ...]
    zero: float


@dataclass(frozen=True, slots=True)
class ForestRow:
    """A contrast: interval over tasks (thick), with tasks fixed (thin), simultaneous band, points of single tasks."""

    label: str
    value: str
    interval: str
    how: str
    registered: bool
    x: float | None
    low: float | None
    high: float | None
    fixed: tuple[float, float] | None
    fixed_title: str
    together: tuple[float, float] | None
    together_title: str
    dots: tuple[Dot, ...]
    title: str
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Forest:
    """Rows of one estimand under one axis."""

    estimand: str
    axis: Axis
    rows: tuple[ForestRow, ...]


def nice_step(span: float, target: int = 5) -> float:
    """A step of 1, 2 or 5 times a power of ten that cuts `span` into about `target` parts."""
    raw = max(span, 1e-9) / target
    power = 10.0 ** math.floor(math.log10(raw))
    return float(next(m * power for m in (1, 2, 5, 10) if raw <= m * power + 1e-12))


def _scale(low: float, high: float) -> tuple[float, float, float]:
    step = nice_step(high - low)
    return math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step, step


def forests(a: Analysis) -> tuple[Forest, ...]:
    """One forest per contrasted estimand, all buckets together, primary first; one scale per forest."""
    made = [_forest(a, e) for e in dict.fromkeys([a.design.primary, "success", "q_trial", "success_given_clean"])]
    return tuple(f for f in made if f.rows)


def _forest(a: Analysis, estimand: str) -> Forest:
    mine = [f for f in a.findings if f.estimand == estimand and f.arm and f.reference and not f.bucket and not f.facet]
    tasks = [f for f in a.details if f.estimand == estimand and f.reference and f.is_of(FacetKind.TASK)]
    joint = {(f.model, f.arm): f for f in a.findings if f.estimand == estimand and f.is_of(FacetKind.SIMULTANEOUS)}
    ends = [v for f in (*mine, *tasks, *joint.values()) for v in (f.low, f.high, f.value) if v is not None]
    low, high, step = _scale(min(0.0, *ends, -1.0), max(0.0, *ends, 1.0)) if ends else (-1.0, 1.0, 1.0)
    span = high - low

    def at(v: float) -> float:
        return round(2 + 96 * (v - low) / span, 3)

    ticks = tuple(
        (at(low + i * step), amount(low + i * step, "points", signed=True)) for i in range(round(span / step) + 1)
    )
    rows = []
    for f in mine:
        if f.resampled_over != "tasks":
            continue
        same = (f.model, f.arm, f.reference)
        fixed = next(
            (g for g in mine if (g.model, g.arm, g.reference) == same and g.resampled_over == "tasks fixed"), None
        )
        points = [g for g in tasks if (g.model, g.arm, g.reference) == same and g.value is not None]
        rows.append(_row(f, fixed, joint.get((f.model, f.arm)), points, at))
    return Forest(estimand, Axis(ticks, at(0.0)), tuple(rows))


def _span(f: Finding | None, at: Callable[[float], float]) -> tuple[float, float] | None:
    return None if f is None or f.low is None or f.high is None else (at(f.low), at(f.high))


def _row(
    f: Finding,
    fixed: Finding | None,
    joint: Finding | None,
    points: Sequence[Finding],
    at: Callable[[float], float],
) -> ForestRow:
    dots = tuple(
        Dot(at(g.value or 0.0), y, f"{g.facet_name}: {value_text(g)} points")
        for g, y in zip(points, _spread([g.value for g in points]), strict=True)
    )
    return ForestRow(
        label=what_text(f),
        value=value_text(f),
        interval=interval_text(f),
        how=how_text(f),
        registered=f.registered,
        x=None if f.value is None else at(f.value),
        low=None if f.low is None else at(f.low),
        high=None if f.high is None else at(f.high),
        fixed=_span(fixed, at),
        fixed_title=f"tasks fixed: {interval_text(fixed)} points; {how_text(fixed)}" if fixed is not None else "",
        together=_span(joint, at),
        together_title=f"simultaneous: {interval_text(joint)} points; {how_text(joint)}" if joint is not None else "",
        dots=dots,
        title=f"{what_text(f)}: {value_text(f)} points, {interval_text(f)}; {how_text(f)}",
        warnings=tuple(f"{w.message}; {w.remedy}" for w in f.warnings),
    )


def _spread(values: Sequence[float | None]) -> list[float]:
    """Heights in pixels for the dots: equal values fan out so that none hides another."""
    seen: dict[float, int] = {}
    heights = []
    for v in values:
        k = seen.setdefault(round(v or 0.0, 1), 0)
        seen[round(v or 0.0, 1)] += 1
        heights.append(36 + 4.0 * (k % 7))
    return heights


@dataclass(frozen=True, slots=True)
class Segment:
    """Part of a stacked bar."""

    outcome: str
    x: float
    width: float
    text: str
    title: str


@dataclass(frozen=True, slots=True)
class Bar:
    """Composition of one arm's trials."""

    model: str
    band: str
    n: int
    segments: tuple[Segment, ...]


def bars(a: Analysis) -> tuple[Bar, ...]:
    """Stacked bars per arm in the design's order; an arm without trials has no segment."""
    made = []
    for model, band in a.arms:
        parts = [f for f in a.details if f.estimand == "composition" and (f.model, f.arm) == (model, band)]
        x, segments = 0.0, []
        for f in parts:
            outcome, share = f.facet_name, 100 * (f.value or 0.0)
            text = amount(f.value, "fraction")
            title = f"{model}/{band}: {outcome} {text} of {f.n_attempts} trials"
            segments.append(Segment(outcome, round(x, 3), round(share, 3), text if share >= 9 else "", title))
            x += share
        made.append(Bar(model, band, parts[0].n_attempts if parts else 0, tuple(segments)))
    return tuple(made)


@dataclass(frozen=True, slots=True)
class DayPlot:
    """Time of day of one model: one column per bucket, one dot per date, a tick at the mean of the dates."""

    model: str
    dots: tuple[Dot, ...]
    means: tuple[Dot, ...]
    buckets: tuple[tuple[float, str], ...]
    ticks: tuple[tuple[float, str], ...]
    half: float


def day_plots(a: Analysis) -> tuple[DayPlot, ...]:
    """One plot per model, all on one scale; none with a single occasion."""
    points = [f for f in a.details if f.bucket and f.is_of(FacetKind.DATE) and f.value is not None]
    if len({(f.bucket, f.facet) for f in points}) < 2:
        return ()
    values = [f.value or 0.0 for f in points]
    low, high, step = _scale(min(values) - 0.02, max(values) + 0.02)
    ticks = [low + i * step for i in range(round((high - low) / step) + 1)]
    at = tuple((_height(v, low, high), f"{100 * v:g} %" if abs(100 * v) > 1e-9 else "0 %") for v in _round(ticks))
    return tuple(_day_plot(a, m, points, low, high, at) for m in dict.fromkeys(f.model or "" for f in points))


def _round(values: Sequence[float]) -> list[float]:
    return [round(v, 6) for v in values]


def _height(v: float, low: float, high: float) -> float:
    return round(10 + (HEIGHT - 20) * (1 - (v - low) / (high - low)), 2)


def _day_plot(
    a: Analysis, model: str, points: Sequence[Finding], low: float, high: float, ticks: tuple[tuple[float, str], ...]
) -> DayPlot:
    width = 90 / len(a.buckets)
    dots, means, names = [], [], []
    for i, bucket in enumerate(a.buckets):
        centre = 8 + width * (i + 0.5)
        names.append((round(centre, 2), bucket))
        mine = [f for f in points if f.model == model and f.bucket == bucket]
        for k, f in enumerate(mine):
            x = centre + width * 0.5 * ((k + 0.5) / len(mine) - 0.5)
            date = f.facet_name
            title = f"{bucket}, {date}: {value_text(f)} ({f.n_tasks} tasks, {f.n_attempts} trials)"
            dots.append(Dot(round(x, 2), _height(f.value or 0.0, low, high), title))
        if mine:
            mean = sum(f.value or 0.0 for f in mine) / len(mine)
            title = f"{bucket}: mean of {len(mine)} dates {amount(mean, 'fraction')}"
            means.append(Dot(round(centre, 2), _height(mean, low, high), title))
    return DayPlot(model, tuple(dots), tuple(means), tuple(names), ticks, round(width * 0.32, 2))
