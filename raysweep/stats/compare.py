"""Is A better than B beyond sampling and infrastructure noise? Two models of one run, or two runs.

Belongs here: the contrast A - B over common tasks and bands, its two verdicts and their Findings. Does not: whether two
runs may be compared at all (`methodology`), sentences (`report.comparison`).

Delta is the mean over common tasks of A - B, bands with equal weight: matched bands are fixed and cancel. Its interval
is that of `methods.twoway`: within one run from the date means of A - B itself (what a date does to both cancels), for
two runs from those of either run, whose dates have nothing to do with each other.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from raysweep.errors import InputError, Problem
from raysweep.stats.arrays import Bools, Floats
from raysweep.stats.facet import Facet, FacetKind
from raysweep.stats.finding import Caution, Finding
from raysweep.stats.findings.contrast import clip, points
from raysweep.stats.findings.gap import Both, ComparedModel, DateCells, common_bands, common_tasks, pooled_parts, total
from raysweep.stats.findings.pair import within_unit
from raysweep.stats.methods.interval import Interval, fmean
from raysweep.stats.methods.twoway import LEAST_DATES, Grid, date_spread, missing_dates, two_way
from raysweep.stats.wording import SCEPTICAL

Claim = Literal["beyond noise", "leads, not at every resource setting", "not beyond noise", "not enough data"]


@dataclass(frozen=True, slots=True)
class Question:
    """How to compare. level: of the intervals. assumed: fields of methodology taken as alike on the asker's word.

    temporal_sd: spread between dates, a fraction, in place of what the dates show: of either run's score for two runs,
    of the difference A - B within one.
    floor, ceiling: the outermost bands that the two may be given when resources are mismatched; None: all common ones,
    which is the strictest question. The ceiling to give is the one that a calibration recommends; it is not taken from
    these very data unasked, because where they are too few to recommend one the verdict would hang on that.
    """

    level: float = 0.95
    temporal_sd: float | None = None
    floor: str | None = None
    ceiling: str | None = None
    assumed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Comparison:
    """What can be said of A - B: Delta, then each common band, the pairs of bands, and the spread between dates.

    robust: the leader leads at every pair of bands from floor to ceiling (`matched`); None where there is one band
    only, or nothing can be said. sceptical: the gap is under SCEPTICAL points, and noise or resting on methodology that
    was assumed. bands: the common ones with results. notes: what else a reader should know, from who read the runs.
    """

    a: str
    b: str
    question: Question
    claim: Claim
    robust: bool | None
    sceptical: bool
    bands: tuple[str, ...]
    matched: tuple[str, ...]
    delta: Finding
    per_band: tuple[Finding, ...]
    pairs: tuple[Finding, ...]
    spreads: tuple[Finding, ...]
    notes: tuple[str, ...] = ()

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All of them, Delta first."""
        return (self.delta, *self.per_band, *self.pairs, *self.spreads)


def compare(a: ComparedModel, b: ComparedModel, question: Question) -> Comparison:
    """Both verdicts on A - B.

    InputError when a model, a common task, a common band, or the floor or ceiling is not there. Too few results, tasks
    or dates give the claim "not enough data"; Delta's last caution says why and what to do.
    """
    tasks, named = comparable(a, b)
    both = Both(a, b, tuple(a.cube.tasks.index(t) for t in tasks), tuple(b.cube.tasks.index(t) for t in tasks))
    alike = {band: both.parts(band, band) for band in named}
    bands = tuple(band for band in named if np.isfinite(total(alike[band])).any())
    whole = pooled_parts([alike[band] for band in bands]) if bands else alike[named[0]]
    work = _Work(both, np.isfinite(total(whole)), question)
    spreads = tuple(work.spreads(whole))
    left_out = (*_cautions(both, tasks, named, bands, work.used), *_contradicted(spreads, question))
    delta = work.finding(None, whole, left_out)
    per_band = tuple(work.finding(m, alike[m]) for m in bands)
    claim, matched = _claim(delta, per_band), _between(bands or named, question)
    pairs: tuple[Finding, ...] = ()
    if len(matched) > 1 and claim != "not enough data":
        pairs = tuple(work.finding((m, n), both.parts(m, n)) for m in matched for n in matched)
    unsure = bool(question.assumed) or claim != "beyond noise"
    return Comparison(
        a=a.label,
        b=b.label,
        question=question,
        claim=claim,
        robust=_robust(delta, pairs),
        sceptical=delta.value is not None and abs(delta.value) < SCEPTICAL and unsure,
        bands=bands,
        matched=matched,
        delta=delta,
        per_band=per_band,
        pairs=pairs,
        spreads=spreads,
    )


def _claim(delta: Finding, per_band: Sequence[Finding]) -> Claim:
    """The intersection-union rule: each interval at the full level, no correction."""
    if delta.value is None or delta.low is None:
        return "not enough data"
    if not delta.excludes_zero:
        return "not beyond noise"
    same = all(f.excludes_zero and f.value is not None and f.value * delta.value > 0 for f in per_band)
    return "beyond noise" if same else "leads, not at every resource setting"


def _robust(delta: Finding, pairs: Sequence[Finding]) -> bool | None:
    if not pairs or not delta.value:
        return None
    sign = math.copysign(1.0, delta.value)
    return all(f.excludes_zero and f.value is not None and f.value * sign > 0 for f in pairs)


def comparable(a: ComparedModel, b: ComparedModel) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Common tasks and bands by name; InputError where there are none, or a model is not there."""
    unknown = [s for s in (a, b) if s.model not in s.cube.models]
    if unknown:
        raise InputError(
            Problem(
                "is not a model of this run", f"choose from {', '.join(s.cube.models)}", key="--models", value=s.model
            )
            for s in unknown
        )
    tasks, bands = common_tasks(a, b), common_bands(a, b)
    if not tasks:
        raise InputError([Problem(f"{a.label} and {b.label} have no task in common", "run both on the same tasks")])
    if not bands:
        raise InputError([Problem(f"{a.label} and {b.label} have no band in common", "give both a band of one name")])
    return tasks, bands


def _between(bands: tuple[str, ...], question: Question) -> tuple[str, ...]:
    """The bands from floor to ceiling; InputError where they are no common bands with results, or upside down."""
    ends = {"--floor": question.floor or bands[0], "--ceiling": question.ceiling or bands[-1]}
    wrong = [(key, band) for key, band in ends.items() if band not in bands]
    if wrong:
        remedy = f"choose from {', '.join(bands)}"
        raise InputError(Problem("not a common band with results", remedy, key=k, value=v) for k, v in wrong)
    first, last = (bands.index(band) for band in ends.values())
    if first > last:
        raise InputError(
            [Problem("the floor lies above the ceiling", "exchange them", key="--floor", value=bands[first])]
        )
    return bands[first : last + 1]


@dataclass(frozen=True, slots=True)
class _Work:
    """The tasks that every contrast of the comparison uses (mask of the common ones), and how to judge them."""

    both: Both
    used: Bools
    question: Question

    def finding(
        self, at: str | tuple[str, str] | None, parts: Sequence[DateCells], cautions: Sequence[Caution] = ()
    ) -> Finding:
        """One contrast A - B in points, at all bands (None), one band, or a band of A and one of B."""
        sums, q = total(parts), self.question
        use = self.used & np.isfinite(sums)  # at a pair of bands a task can lack a block with both
        means, grids = sums[use], [Grid(p.grid.values[use], p.grid.counts[use]) for p in parts]
        interval = self._interval(means, grids)
        low, high = interval.low, interval.high
        if within_unit(self.both.a.cube.y, self.both.b.cube.y):
            low, high = clip(low, high, -1.0, 1.0)
        return Finding(
            estimand="success",
            model=None,
            arm=self.both.a.label,
            reference=self.both.b.label,
            bucket=None,
            facet=Facet(FacetKind.COMPARE, at),
            value=points(fmean(means)) if len(means) else None,
            low=points(low),
            high=points(high),
            level=q.level,
            method=interval.method,
            resampled_over="tasks and dates",
            n_tasks=len(means),
            n_attempts=int(sum(p.attempts[use].sum() for p in parts)),
            n_dates=sum(g.dates for g in grids),
            warnings=(*cautions, *interval.cautions),
        )

    def _interval(self, means: Floats, grids: Sequence[Grid]) -> Interval:
        if not len(means):
            why = Caution("no_results", "no common task has results of both at every common band", "run on")
            return Interval(None, None, "none: no results", (why,))
        sd = self.question.temporal_sd
        if sd is None and len(means) > 1 and any(missing_dates(g) for g in grids):
            return Interval(None, None, "none: too few dates", (self._few_dates(grids),))
        return two_way(means, grids, self.question.level, stated=None if sd is None else sd**2).interval

    def _few_dates(self, grids: Sequence[Grid]) -> Caution:
        names = ["the run"] if self.both.one_run else [self.both.a.label, self.both.b.label]
        each = [
            f"{name} has {g.dates} date{'' if g.dates == 1 else 's'} and needs {missing_dates(g)} more"
            for name, g in zip(names, grids, strict=True)
            if missing_dates(g)
        ]
        return Caution(
            "few_dates",
            f"{'; '.join(each)} ({LEAST_DATES} dates show what another date can do)",
            "run them, or state the spread between dates, like --temporal-sd 2pp",
        )

    def spreads(self, parts: Sequence[DateCells]) -> Iterator[Finding]:
        """How far the dates themselves lie apart, as standard deviations in points: of A - B, or of either run."""
        a, b = self.both.a.label, self.both.b.label
        whose: list[tuple[str, str | None]] = [(a, b)] if self.both.one_run else [(a, None), (b, None)]
        for (arm, reference), part in zip(whose, parts, strict=True):
            spread = date_spread(Grid(part.grid.values[self.used], part.grid.counts[self.used]))
            if spread is not None:
                yield Finding(
                    estimand="date_sd",
                    model=None,
                    arm=arm,
                    reference=reference,
                    bucket=None,
                    facet=Facet(FacetKind.COMPARE),
                    value=100 * math.sqrt(max(0.0, spread.date_variance)),
                    low=None,
                    high=None,
                    level=None,
                    method="beyond what tasks and repeats give",
                    resampled_over="",
                    n_tasks=int(self.used.sum()),
                    n_attempts=int(part.attempts[self.used].sum()),
                    n_dates=spread.dates,
                )


def _cautions(
    both: Both, tasks: Sequence[str], named: Sequence[str], bands: Sequence[str], used: Bools
) -> Iterator[Caution]:
    """What is left out of the comparison, and what its dates are."""
    for side in (both.a,) if both.one_run else (both.a, both.b):
        name = "the run" if both.one_run else side.label
        if side.cube.not_started:
            text = f"{side.cube.not_started} planned blocks of {name} were not started"
            yield Caution("unfinished", text, "resume with the same `raysweep run` command")
        if side.cube.dates and all(d.startswith("cycle ") for d in side.cube.dates):
            text = f"the dates of {name} are cycles shorter than a day: the luck of a day is not in the interval"
            yield Caution("cycles", text, "run on different days, or state --temporal-sd")
    without = [band for band in named if band not in bands]
    if bands and without:
        yield Caution("bands_without_results", f"no results of both at {', '.join(without)}", "run these bands")
    absent = [name for name, use in zip(tasks, used, strict=True) if not use]
    if bands and absent:
        some = ", ".join(absent[:5]) + (f" and {len(absent) - 5} more" if len(absent) > 5 else "")
        yield Caution("tasks_left_out", f"{some} left out: not every band has results of both", "run these tasks again")
    lost, tried = both.lost(bands)
    if lost:
        yield Caution(
            "missing_results",
            f"{lost} of {tried} trials have no result and are left out{_bounds(both, bands, used)}",
            "see their causes in the reports; run them again",
        )


def _contradicted(spreads: Sequence[Finding], question: Question) -> Iterator[Caution]:
    """Dates that lie further apart than was stated."""
    for f in spreads:
        if question.temporal_sd is not None and f.value is not None and f.value > 100 * question.temporal_sd:
            text = f"the {f.n_dates} dates of {f.arm}{f' less {f.reference}' if f.reference else ''} lie further apart"
            text += f" (sd {f.value:.1f} points) than the {100 * question.temporal_sd:g} points that were stated"
            yield Caution("spread_contradicted", text, "leave --temporal-sd out, or state a larger one")


def _bounds(both: Both, bands: Sequence[str], used: Bools) -> str:
    """What the gap would be with every missing result against A and for A."""
    if not used.any() or not within_unit(both.a.cube.y, both.b.cube.y):
        return ""
    low, high = (
        100 * fmean(total(pooled_parts([both.parts(m, m, missing) for m in bands]))[used]) for missing in (0.0, 1.0)
    )
    return f"; with them against and for {both.a.label} the gap is {low:+.1f} to {high:+.1f}"
