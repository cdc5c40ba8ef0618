"""What a planned sweep can show, from stated rates or a pilot's: numbers for `raysweep plan --json`, lines for people.

Belongs here: putting the power formulas together for one design. Does not: sweeps and ledgers (plain values come in;
`stats.pilot` makes them from a ledger), formulas (`methods.power`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from raysweep.stats.methods.power import (
    Noise,
    blocks_for,
    equivalence_blocks,
    equivalence_power,
    reach,
    smallest_amplitude,
    smallest_fall,
    stated_assumption,
    stated_noise,
    trial_variance,
)
from raysweep.stats.methods.sequential import schedule
from raysweep.stats.methods.variance import dates_for

TARGETS = (2.0, 3.0, 6.0)
"""Points for which the repeats are stated: a delta, the study's line of caution, and its uncapped effect."""
STUDY_INFRA = 0.058
"""Share of trials that the published study lost to infrastructure at its tightest band."""
OCCASION_SD = 0.01
"""Assumed spread of an occasion's score that neither bucket nor date nor repeats explain: one point."""

WIDEST = 0.5
"""No amplitude is larger: a mean reward stays between 0 and 1."""


@dataclass(frozen=True, slots=True)
class PlanSize:
    """A design: tasks, repeats per task, arm and bucket over all dates, and how it will be analysed.

    arms: of all models. looks: sequential looks. delta: a fraction.
    """

    tasks: int
    repeats: int
    buckets: int
    dates: int
    arms: int
    confidence: float = 0.95
    delta: float = 0.02
    looks: int = 0
    power: float = 0.8

    @property
    def blocks(self) -> int:
        """Blocks per task."""
        return self.repeats * self.buckets


@dataclass(frozen=True, slots=True)
class Assumed:
    """What the numbers rest on.

    trial: variance of a trial within its task. infra: death rate at the reference, None where none was seen.
    design_effect: of a difference of death rates. words: the same for a reader.
    """

    noise: Noise
    trial: float
    infra: float | None
    words: str
    design_effect: float = 1.0


@dataclass(frozen=True, slots=True)
class Target:
    """Repeats per task, arm and bucket (whole per date) by which `points` are shown; None where repeats cannot do it.

    sampled, fixed: as a contrast found with the power asked, over tasks like these and on these very tasks. width_*:
    as the half-width of the interval.
    """

    points: float
    sampled: int | None
    fixed: int | None
    width_sampled: int | None
    width_fixed: int | None


@dataclass(frozen=True, slots=True)
class Planning:
    """All in percentage points and at `power` and `level`; None where nothing can be had.

    contrast_*, half_width_*: smallest success contrast and mean half-width, tasks sampled or fixed. infra_before,
    infra_after: percent of trials; the highest rate after which a fall is shown. equivalence_power: that TOST passes at
    truth 0 on these tasks; equivalence_repeats: for it to reach `power`. amplitude: smallest cosine of bucket means;
    amplitude_dates: dates for one of 2 points. looks: (dates, |z|) of each sequential look, |z| None where it is too
    early to decide anything.
    """

    level: float
    power: float
    assumption: str
    contrast_sampled: float | None
    contrast_fixed: float | None
    half_width_sampled: float | None
    half_width_fixed: float | None
    targets: tuple[Target, ...]
    infra_before: float | None
    infra_after: float | None
    delta: float
    equivalence_power: float
    equivalence_repeats: int | None
    amplitude: float | None
    amplitude_dates: int | None
    looks: tuple[tuple[int, float | None], ...]


def stated(rate: float = 0.5, infra: float = STUDY_INFRA) -> Assumed:
    """Assumptions from stated rates, fractions: mean success (0.5 is the worst case) and deaths at the reference.

    ValueError for rates outside (0, 1).
    """
    if not (0 < rate < 1 and 0 < infra < 1):
        raise ValueError("rates must lie between 0 and 1")
    return Assumed(stated_noise(rate), trial_variance(rate), infra, stated_assumption(rate))


def plan_power(shape: PlanSize, assumed: Assumed) -> Planning:
    """What the design can show under the assumptions."""
    noise, level, power, alpha = assumed.noise, shape.confidence, shape.power, 1 - shape.confidence
    sampled, fixed = (reach(noise, shape.tasks, shape.blocks, fixed=f, level=level, power=power) for f in (False, True))
    trials = shape.tasks * shape.blocks / assumed.design_effect
    per_occasion = shape.tasks * shape.arms * shape.repeats / shape.dates
    occasion = OCCASION_SD**2 + assumed.trial / per_occasion
    amplitude = smallest_amplitude(occasion, shape.buckets, shape.dates, level=level, power=power)
    many = shape.buckets > 1
    after = None if assumed.infra is None else smallest_fall(assumed.infra, trials, level=level, power=power)
    tost = equivalence_blocks(noise, shape.tasks, shape.delta, alpha=alpha, fixed=True, power=power)
    return Planning(
        level=level,
        power=power,
        assumption=assumed.words,
        contrast_sampled=_points(sampled.effect if sampled else None),
        contrast_fixed=_points(fixed.effect if fixed else None),
        half_width_sampled=_points(sampled.half_width if sampled else None),
        half_width_fixed=_points(fixed.half_width if fixed else None),
        targets=tuple(_target(points, shape, noise) for points in TARGETS),
        infra_before=None if assumed.infra is None else 100 * assumed.infra,
        infra_after=None if after is None else 100 * after,
        delta=100 * shape.delta,
        equivalence_power=equivalence_power(noise, shape.tasks, shape.blocks, shape.delta, alpha=alpha, fixed=True),
        equivalence_repeats=_repeats(tost, shape),
        amplitude=None if amplitude is None or amplitude > WIDEST else 100 * amplitude,
        amplitude_dates=dates_for(occasion, shape.buckets, rms=0.02 / 2**0.5, level=level, power=power)
        if many
        else None,
        looks=tuple((n, None if math.isinf(z) else z) for n, z in schedule(shape.dates, shape.looks, alpha)),
    )


def _points(fraction: float | None) -> float | None:
    return None if fraction is None else min(100.0, 100 * fraction)


def _repeats(blocks: int | None, shape: PlanSize) -> int | None:
    """Blocks per task as repeats: whole in every bucket and on every date."""
    if blocks is None:
        return None
    per_date = -(-blocks // (shape.buckets * shape.dates))
    return per_date * shape.dates


def _target(points: float, shape: PlanSize, noise: Noise) -> Target:
    def repeats(*, fixed: bool, **goal: float) -> int | None:
        more = {"power": shape.power, **goal}
        return _repeats(blocks_for(noise, shape.tasks, level=shape.confidence, fixed=fixed, **more), shape)

    aim = points / 100
    return Target(
        points,
        sampled=repeats(fixed=False, effect=aim),
        fixed=repeats(fixed=True, effect=aim),
        width_sampled=repeats(fixed=False, half_width=aim),
        width_fixed=repeats(fixed=True, half_width=aim),
    )


def smallest(p: Planning) -> float | None:
    """The smallest contrast over tasks like these, points; None where not even 100 would be found."""
    return None if p.contrast_sampled is None or p.contrast_sampled >= 100 else p.contrast_sampled


def basis(p: Planning, shape: PlanSize) -> str:
    """At which power and level, and under what assumptions; or why there is no smallest contrast."""
    if shape.tasks < 2:
        return "one task says nothing of other tasks: add tasks"
    if smallest(p) is None:
        return f"not even 100 points would be found with {p.power:.0%} power: add tasks or repeats"
    return f"{p.power:.0%} power, two-sided at {p.level:.0%}; {p.assumption}"


def lines(p: Planning, shape: PlanSize) -> tuple[str, ...]:
    """The further lines of `raysweep plan`, without the smallest contrast over sampled tasks, which stands above."""
    return (*_contrast_lines(p), *_infra_lines(p), *_equivalence_lines(p, shape), *_day_lines(p, shape), *_looks(p))


def _contrast_lines(p: Planning) -> Iterator[str]:
    if p.contrast_sampled is not None and p.half_width_sampled is not None:
        also = "" if p.contrast_fixed is None else f"; on these very tasks it is {p.contrast_fixed:.1f} points"
        yield f"that is over tasks like these, whose interval would be ±{p.half_width_sampled:.1f} points{also}"
    elif p.contrast_fixed is not None and p.half_width_fixed is not None:
        yield f"on this very task it is {p.contrast_fixed:.1f} points, with an interval of ±{p.half_width_fixed:.1f}"
    finds = ", ".join(f"{t.points:g} points {_told(t.sampled)}" for t in p.targets)
    yield f"repeats to find a contrast over tasks like these: {finds}"
    widths = ", ".join(
        f"±{t.points:g} {_told(t.width_sampled)} (these very tasks {_told(t.width_fixed)})" for t in p.targets
    )
    yield f"repeats for an interval of: {widths}"
    if any(t.sampled is None or t.width_sampled is None for t in p.targets):
        yield "  -: no number of repeats does it; add tasks"


def _told(repeats: int | None) -> str:
    return "-" if repeats is None else f"{repeats:,}"


def _infra_lines(p: Planning) -> Iterator[str]:
    if p.infra_before is None:
        yield "infrastructure deaths: the pilot saw none at the reference, so no fall can be planned for"
    elif p.infra_after is None:
        yield f"infrastructure deaths: from {p.infra_before:.1f} % no fall can be shown; add tasks or repeats"
    else:
        yield f"infrastructure deaths: a fall from {p.infra_before:.1f} % to {p.infra_after:.1f} % or less can be shown"


def _equivalence_lines(p: Planning, shape: PlanSize) -> Iterator[str]:
    need = p.equivalence_repeats
    chance = "over 99%" if p.equivalence_power > 0.99 else f"{p.equivalence_power:.0%}"
    text = f"no difference beyond ±{p.delta:g} points: shown with {chance} probability if there is none"
    if need is not None and need <= shape.repeats:
        yield text
    else:
        yield f"{text}; {p.power:.0%} takes {'more tasks' if need is None else f'{need:,} repeats'}"


def _day_lines(p: Planning, shape: PlanSize) -> Iterator[str]:
    if shape.buckets < 2:
        return
    seen = "no swing" if p.amplitude is None else f"an amplitude of {p.amplitude:.1f} points or more"
    dates = "more than 400" if p.amplitude_dates is None else f"{p.amplitude_dates}"
    yield (
        f"time of day: {seen} can be shown on {shape.dates} date(s); 2 points take {dates} dates like these"
        f" (occasions assumed to differ by {100 * OCCASION_SD:g} point for no reason)"
    )


def _looks(p: Planning) -> Iterator[str]:
    if p.looks:
        each = ", ".join(f"{dates} ({'never' if bound is None else f'{bound:.2f}'})" for dates, bound in p.looks)
        yield f"looks after dates (|z| that decides): {each}; elsewhere nothing may be decided"
