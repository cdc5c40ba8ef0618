"""Rhythms as findings: the hour of the peak, the week, and what period stands out; only what the dates can carry.

Belongs here: from buckets' hours and dates' labels to angles, and the Findings. Hours and dates are those of the clock
in the sweep's zone, so a day of a clock change is a day like others: its windows keep their bounds on the clock.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from raysweep.stats.arrays import Floats
from raysweep.stats.cube import Cube
from raysweep.stats.design import Design
from raysweep.stats.facet import Facet, FacetKind
from raysweep.stats.finding import Caution, Finding
from raysweep.stats.findings.occasions import Decomposed, Occasions, decompose, occasions, plain
from raysweep.stats.findings.timeofday import f_text, spread_finding
from raysweep.stats.methods.rhythm import (
    LEAST_WINDOWS,
    Harmonic,
    Periodogram,
    cosinor,
    daily_by_weekly,
    even,
    periodogram,
    periods_of,
    rhythm_share,
    weekly,
)
from raysweep.stats.methods.variance import occasion_means

LEAST_DAYS = 14
"""Days from which on a weekly rhythm can be seen twice."""
DAY_HOURS = 24.0
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

DAILY, WEEKLY, ANY_RHYTHM = (Facet(FacetKind.RHYTHM, name) for name in ("daily", "weekly", "any"))


def day_of(label: str) -> int | None:
    """Days since a Monday of a date's label ("2026-02-05"); None where it names no whole day ("2026-02-05 c2")."""
    try:
        return dt.date.fromisoformat(label).toordinal() - 1  # day 1 of the calendar was a Monday
    except ValueError:
        return None


def weekday_of(label: str) -> str | None:
    """Weekday of a date's label, also of a cycle's ("2026-02-05 c2"); None where it names no date."""
    day = day_of(label[:10])
    return None if day is None else WEEKDAYS[day % 7]


@dataclass(frozen=True, slots=True)
class OccasionTimes:
    """When occasions were: angles (B,) of the buckets on the day's circle, days (D,) of the full dates or None."""

    angles: Floats
    days: Floats | None


def bucket_hours(cube: Cube, design: Design) -> Floats | Caution:
    """Hour of the middle of each bucket of the cube, (B,), or why a daily rhythm cannot be looked for."""
    known = dict(zip(design.buckets, design.bucket_hours, strict=False))
    if design.period_hours != DAY_HOURS:
        text = f"the buckets repeat every {design.period_hours:.3g} hours: no hour of the day belongs to them"
        return Caution("not_a_day", text, "use a period of 24h to look for a daily rhythm")
    if not all(b in known for b in cube.buckets):
        return Caution("no_hours", "the hours of the buckets are not known", "analyse with the sweep's own sweep.yaml")
    hours = np.array([known[b] for b in cube.buckets], dtype=np.float64)
    gaps = np.diff(np.sort(hours % 24), append=np.min(hours % 24) + 24)
    if len(hours) < LEAST_WINDOWS or gaps.max() > 12:
        text = f"{len(hours)} buckets, with up to {gaps.max():.3g} hours between them"
        return Caution("few_windows", f"{text}: too few for a daily rhythm", "spread 4 or more buckets over 24 hours")
    return hours


def rhythms(cube: Cube, design: Design) -> Iterator[Finding]:
    """Daily amplitude and peak hour, weekly amplitude, daily by weekly, the period that stands out, their share.

    Nothing where `time_of_day` itself says why there are no components. Amplitudes are those of the rhythm itself
    (largest minus mean, points), not of the bucket means that windows flatten.
    """
    cells = occasions(cube)
    parts = decompose(cells, design.confidence)
    if isinstance(parts, Caution):
        return
    hours = bucket_hours(cube, design)
    if isinstance(hours, Caution):
        yield plain(cells, "daily_amplitude", DAILY, None, "none", cautions=(hours,))
        return
    clock = OccasionTimes(2 * math.pi * hours / DAY_HOURS, _days(cube, parts))
    yield from _daily(cells, parts, clock, design.confidence)
    if clock.days is None or len(clock.days) < LEAST_DAYS:
        yield plain(cells, "weekly_amplitude", WEEKLY, None, "none", cautions=(_few_days(parts, clock),))
        yield _share(cells, parts, OccasionTimes(clock.angles, None))
        return
    yield from _weekly(cells, parts, clock, clock.days, design.confidence)
    yield _period(cells, _periodogram(cube, cells, hours, design), design.confidence)
    yield _share(cells, parts, clock)


def rhythm_details(cube: Cube, design: Design) -> Iterator[Finding]:
    """Success by weekday (task-adjusted), and the periodogram point by point, where there are days enough."""
    cells = occasions(cube)
    parts = decompose(cells, design.confidence)
    if isinstance(parts, Caution):
        return
    names = [weekday_of(cube.dates[d]) for d in parts.dates]
    for name in WEEKDAYS:
        mine = np.array([n == name for n in names])
        if mine.any() and len(set(names)) > 1:
            value = float(parts.grid[:, mine].mean())
            method = f"task-adjusted mean of {int(mine.sum())} date(s)"
            yield plain(cells, "success", Facet(FacetKind.WEEKDAY, name), value, method)
    hours, days = bucket_hours(cube, design), _days(cube, parts)
    if isinstance(hours, Caution) or days is None or len(days) < LEAST_DAYS:
        return
    spectrum = _periodogram(cube, cells, hours, design)
    if spectrum is not None:
        method = f"Lomb-Scargle power over its mean under permutation; false-alarm level {spectrum.level:.2f}"
        for period, power in zip(spectrum.periods, spectrum.relative, strict=True):
            yield plain(cells, "periodogram", Facet(FacetKind.PERIOD, float(24 * period)), float(power), method)


def _days(cube: Cube, parts: Decomposed) -> Floats | None:
    """Days since a Monday of the full dates; None unless every label names a day of its own."""
    days = [day_of(cube.dates[d]) for d in parts.dates]
    known = [d for d in days if d is not None]
    return np.array(known, dtype=np.float64) if len(set(known)) == len(days) else None


def _few_days(parts: Decomposed, clock: OccasionTimes) -> Caution:
    if clock.days is None:
        text = "the dates are not days, or those of several runs: they have no week of their own"
        return Caution("no_days", text, "use a period of 24h; read each run's own report")
    n = len(parts.dates)
    text = f"{n} days cannot show a weekly rhythm or a period that stands out"
    return Caution("few_days", text, f"run {LEAST_DAYS - n} more complete date(s): {LEAST_DAYS} are needed")


def _daily(cells: Occasions, parts: Decomposed, clock: OccasionTimes, level: float) -> Iterator[Finding]:
    harmonic = cosinor(parts.grid, clock.angles, parts.squares, level)
    text = "the windows are not evenly spaced: what they flatten is not corrected"
    uneven = () if even(clock.angles) else (Caution("uneven_windows", text, "use windows of one length"),)
    yield _amplitude(cells, "daily", harmonic, level, "peak hour", uneven)
    if harmonic is None or harmonic.peak_low is None or harmonic.peak_high is None:
        why = Caution("no_peak_hour", "no peak hour: no daily rhythm is shown", "run more dates")
        yield plain(cells, "peak_hour", DAILY, None, "none", cautions=(why,))
        return
    value, low, high = (v * DAY_HOURS / (2 * math.pi) for v in (harmonic.peak, harmonic.peak_low, harmonic.peak_high))
    turn = DAY_HOURS * math.floor(value / DAY_HOURS)
    method = "cosinor, Fieller; hour of the day in the sweep's zone, limits may pass midnight"
    yield plain(
        cells, "peak_hour", DAILY, value - turn, method, low=low - turn, high=high - turn, level=level,
        over="dates",
    )  # fmt: skip


def _amplitude(
    cells: Occasions,
    rhythm: str,
    harmonic: Harmonic | None,
    level: float,
    peak: str,
    cautions: tuple[Caution, ...] = (),
) -> Finding:
    """Amplitude where the joint test rejects; else no value, and in `high` what is not excluded."""
    estimand, facet = f"{rhythm}_amplitude", Facet(FacetKind.RHYTHM, rhythm)
    if harmonic is None:
        none = Caution("no_noise", "there is no noise to test a rhythm against", "run more dates")
        return plain(cells, estimand, facet, None, "none", cautions=(none, *cautions))
    low, high = (100 * math.sqrt(max(0.0, v)) for v in (harmonic.square.low, harmonic.square.high))
    method = f"cosinor, {f_text(harmonic.test)}; divided by the window factor, noise makes it too large"
    value: float | None = 100 * harmonic.amplitude
    if not harmonic.rejects:
        text = f"no {rhythm} rhythm shown, so no {peak}: {f_text(harmonic.test)}; up to {high:.1f} points not excluded"
        value, cautions = None, (Caution("no_rhythm", text, "run more dates"), *cautions)
    return plain(
        cells, estimand, facet, value, method, low=low, high=high, level=level, over="dates", cautions=cautions
    )


def _weekly(cells: Occasions, parts: Decomposed, clock: OccasionTimes, days: Floats, level: float) -> Iterator[Finding]:
    harmonic = weekly(parts.grid, days, parts.squares, level)
    yield _amplitude(cells, "weekly", harmonic, level, "peak day")
    if harmonic is not None and harmonic.rejects:
        value = (harmonic.peak * 7 / (2 * math.pi)) % 7
        method = f"cosinor over the week; nearest day: {WEEKDAYS[round(value) % 7]}"
        yield plain(cells, "peak_weekday", WEEKLY, value, method)
    both = daily_by_weekly(parts.grid, clock.angles, days, parts.squares, level)
    if both is not None:
        method = f"RMS of daily x weekly harmonics, noncentral F inversion; {f_text(both[0])}"
        yield spread_finding(
            cells, "daily_by_weekly", Facet(FacetKind.RHYTHM, "daily x weekly"), both[1], level, method=method
        )


def _periodogram(cube: Cube, cells: Occasions, hours: Floats, design: Design) -> Periodogram | None:
    """Over all occasions with a block, tied together by tasks; those of dates without a bucket count too."""
    tasks, buckets, dates = cells.values.shape
    days = np.array([np.nan if (d := day_of(label)) is None else d for label in cube.dates])
    means = occasion_means(cells.values.reshape(tasks, -1), cells.counts.reshape(tasks, -1)).means
    times = (days[None, :] + hours[:, None] / DAY_HOURS).ravel()
    use = np.isfinite(means) & np.isfinite(times)
    if not use.any():
        return None
    times, date = times[use], np.tile(np.arange(dates), buckets)[use]
    span = float(np.floor(times.max()) - np.floor(times.min())) + 1
    return periodogram(
        times, means[use], date, periods_of(span, buckets), seed=design.seed, confidence=design.confidence
    )


def _period(cells: Occasions, spectrum: Periodogram | None, level: float) -> Finding:
    if spectrum is None:
        none = Caution(
            "no_spread", "all occasions gave the same score: no period can be looked for", "use harder tasks"
        )
        return plain(cells, "rhythm_period", ANY_RHYTHM, None, "none", cautions=(none,))
    shortest, longest = 24 * spectrum.periods.min(), 24 * spectrum.periods.max()
    method = (
        f"Lomb-Scargle periodogram, {len(spectrum.periods)} periods of {shortest:.3g} to {longest:.3g} hours;"
        f" false-alarm probability by permutation {spectrum.p:.2g}"
    )
    if spectrum.p > 1 - level:
        why = Caution("no_period", "no period stands out from what permuted occasions give", "run more dates")
        return plain(cells, "rhythm_period", ANY_RHYTHM, None, method, cautions=(why,))
    return plain(cells, "rhythm_period", ANY_RHYTHM, 24 * spectrum.peak, method)


def _share(cells: Occasions, parts: Decomposed, clock: OccasionTimes) -> Finding:
    which = "daily" if clock.days is None else "daily, weekly and joint"
    share = rhythm_share(parts.grid, clock.angles, clock.days, parts.squares)
    if share is None:
        none = Caution("no_spread", "all occasions gave the same score: no variance to share out", "use harder tasks")
        return plain(cells, "rhythm_share", Facet(FacetKind.RHYTHM), None, "none", cautions=(none,))
    method = f"{which} harmonics, of the variance of occasion means, noise taken off; signed {share:.2g}"
    return plain(cells, "rhythm_share", Facet(FacetKind.RHYTHM), min(1.0, max(0.0, share)), method)
