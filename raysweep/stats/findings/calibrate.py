"""The ladder of ceilings above a floor, per model: a verdict for each, one recommendation for all.

Fixed sequence: ceilings ascending, until the first that is not shown equivalent to the floor. With tasks fixed; what
other tasks like these would say (tasks sampled) stands beside. The falls of all ceilings of a model are one family
(Holm): see benchmarks/results/calibration.txt for what a ladder of equal arms claims without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from raysweep.stats.cube import Cube
from raysweep.stats.finding import Finding
from raysweep.stats.findings.ceiling import Attempts, Ceiling, CeilingRule, infra_rate, look
from raysweep.stats.findings.limits import NOT_ENFORCED
from raysweep.stats.methods.calibration import outside, within
from raysweep.stats.methods.interval import Draws, Interval
from raysweep.stats.methods.multiplicity import holm

WITHIN, TOO_TIGHT, CHANGES, NOT_ENOUGH = "within the band", "too tight", "changes the benchmark", "not enough data"
AFTER_STOP = "after the stop"


@dataclass(frozen=True, slots=True)
class Ladder:
    """The ceilings of one model, ascending; recommended: with tasks fixed and, beside it, for other tasks.

    passed: the ceilings before the stop, each shown equivalent to the floor.
    """

    model: str
    ceilings: tuple[Ceiling, ...]
    floor_rate: Finding
    passed: tuple[str, ...]
    recommended: str | None
    recommended_sampled: str | None

    def ceiling(self, band: str) -> Ceiling:
        """The ceiling of that band; KeyError."""
        return {c.band: c for c in self.ceilings}[band]


@dataclass(frozen=True, slots=True)
class Facts:
    """What the verdict on one ceiling rests on.

    equivalent: TOST passes. beyond: the interval lies wholly outside +-delta. fall: fewer deaths are shown. above,
    meets: the rate of deaths is above --infra-max, its bound is at most that.
    """

    enforced: bool
    equivalent: bool
    beyond: bool
    fall: bool
    above: bool
    meets: bool


def ladder(cube: Cube, model: str, rule: CeilingRule, how: Draws, attempts: Attempts) -> Ladder:
    """All verdicts of one model; how.level is 1 - 2 alpha."""
    looks = [look(cube, model, band, rule, how, attempts) for band in rule.ceilings]
    ps = holm([c.fall_p for c in looks])
    looks = [_with_fall(c, p, rule) for c, p in zip(looks, ps, strict=True)]
    fixed = [_facts(c, rule, sampled=False) for c in looks]
    verdicts = judge(fixed)
    sampled = judge([_facts(c, rule, sampled=True) for c in looks])
    ceilings = tuple(
        replace(c, verdict=v, verdict_sampled=s, equivalent=f.equivalent)
        for c, v, s, f in zip(looks, verdicts, sampled, fixed, strict=True)
    )
    return Ladder(
        model=model,
        ceilings=ceilings,
        floor_rate=infra_rate(cube, model, rule.floor, rule.alpha, attempts),
        passed=tuple(c.band for c in ceilings[: before_stop(fixed)]),
        recommended=choose([c.band for c in ceilings if c.verdict == WITHIN], rule),
        recommended_sampled=choose([c.band for c in ceilings if c.verdict_sampled == WITHIN], rule),
    )


def choose(admissible: Sequence[str], rule: CeilingRule) -> str | None:
    """The largest of the ascending ceilings; the smallest when --infra-max says how few deaths are enough."""
    if not admissible:
        return None
    return admissible[-1] if rule.infra_max is None else admissible[0]


def recommend(ladders: Sequence[Ladder], rule: CeilingRule) -> str | None:
    """One ceiling for all models: equivalent for every one before its stop, and within the band of at least one.

    The largest such, which is the smallest recommended over models where each has one; a model that hardly dies at the
    floor (no fall to show) forbids nothing. With --infra-max the smallest such that every model meets.
    """
    if not ladders:
        return None
    admissible = [
        band
        for band in rule.ceilings
        if all(band in one.passed and one.ceiling(band).meets for one in ladders)
        and any(one.ceiling(band).verdict == WITHIN for one in ladders)
    ]
    return choose(admissible, rule)


def before_stop(facts: Sequence[Facts]) -> int:
    """Number of ceilings before the first that is not equivalent or not enforced."""
    passes = [f.enforced and f.equivalent for f in facts]
    return passes.index(False) if False in passes else len(passes)


def judge(facts: Sequence[Facts]) -> list[str]:
    """Verdicts in the fixed sequence.

    That a ceiling changes the benchmark is said after the stop too: it permits nothing.
    """
    stop = before_stop(facts)
    return [_verdict(f, after_stop=place > stop) for place, f in enumerate(facts)]


def _verdict(f: Facts, *, after_stop: bool) -> str:
    if not f.enforced:
        return NOT_ENFORCED
    if f.beyond:
        return CHANGES
    if after_stop:
        return AFTER_STOP
    if f.equivalent and (f.above or not f.fall):
        return TOO_TIGHT
    return WITHIN if f.equivalent and f.meets else NOT_ENOUGH


def _facts(c: Ceiling, rule: CeilingRule, *, sampled: bool) -> Facts:
    """A fall for other tasks (sampled) is reported only where these tasks show one, adjusted for the whole ladder."""
    difference, fall = (c.difference_sampled, c.fall_sampled) if sampled else (c.difference, c.fall)
    interval = _fractions(difference)
    rate = c.infra_rate.value
    return Facts(
        enforced=c.enforcement != NOT_ENFORCED,
        equivalent=within(interval, rule.delta),
        beyond=outside(interval, rule.delta),
        fall=c.fall_shown and not (sampled and (fall.high is None or fall.high >= 0)),
        above=rule.infra_max is not None and rate is not None and rate > rule.infra_max,
        meets=c.meets,
    )


def _fractions(f: Finding) -> Interval:
    """A contrast's interval, from points."""
    low, high = (None if x is None else x / 100 for x in (f.low, f.high))
    return Interval(low, high, f.method)


def _with_fall(c: Ceiling, p: float | None, rule: CeilingRule) -> Ceiling:
    """The ceiling with its adjusted p, which its finding names too."""
    if p is None:
        return c
    method = f"{c.fall.method}; exact McNemar, one-sided, Holm over {len(rule.ceilings)} ceilings: p = {p:.2g}"
    return replace(c, fall_p=p, fall_shown=p < rule.alpha, fall=replace(c.fall, method=method))
