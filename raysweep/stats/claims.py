"""What may be claimed of a contrast: its interval and its test, both over the whole family it belongs to.

Belongs here: which of a report's findings decide about a contrast, and the one sentence about it. Does not: the order
of sentences (`verdict`), numbers.

A contrast is claimed only where two things agree: the interval that holds together with those of its family
(simultaneous, or repeated where looks were registered) excludes 0, and the p of its test, adjusted over the family
(Holm 1979), is at most 1 - level. So no sentence contradicts the table of tests, and the chance of any false claim in a
family is at most that of Holm's procedure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from raysweep.stats.facet import FacetKind
from raysweep.stats.finding import Finding
from raysweep.stats.statement import Caveats, Statement, ids
from raysweep.stats.wording import level_text, number, p_value, percent, span

TASKS = "tasks"


@dataclass(frozen=True, slots=True)
class Evidence:
    """The findings that decide about a contrast f over tasks.

    shown: whose interval is printed (the last look's, the simultaneous one, else f). test: the adjusted p of success.
    dates: the interval over tasks and dates. deaths: the contrast of infrastructure deaths, with its test.
    """

    f: Finding
    shown: Finding
    test: Finding | None
    dates: Finding | None
    deaths: Finding | None
    deaths_test: Finding | None

    @classmethod
    def of(cls, f: Finding, findings: Sequence[Finding]) -> Evidence:
        """Those of one contrast among all findings of a report."""
        same = [g for g in findings if (g.model, g.arm, g.reference, g.bucket) == (f.model, f.arm, f.reference, None)]
        success = [g for g in same if g.estimand == f.estimand]
        looked = [g for g in success if g.is_of(FacetKind.LOOK)]
        joint = [g for g in success if g.is_of(FacetKind.SIMULTANEOUS) and g.low is not None]
        alike = [g for g in same if g.facet == f.facet]
        return cls(
            f=f,
            shown=(looked[-1:] or joint[:1] or [f])[0],
            test=_first(alike, "p_success"),
            dates=_first(alike, f.estimand, "tasks and dates"),
            deaths=_first(alike, "q_trial", TASKS),
            deaths_test=_first(alike, "p_infra_rate_resource"),
        )

    @property
    def p(self) -> float | None:
        """The family-wise p of success; None without a test."""
        return None if self.test is None else self.test.value

    @property
    def claimed(self) -> bool:
        """Whether a rise or fall of success may be claimed."""
        return _shown(self.shown, self.test)

    @property
    def deaths_claimed(self) -> bool:
        """Whether a rise or fall of infrastructure deaths may be claimed."""
        return self.deaths is not None and _shown(self.deaths, self.deaths_test)


def _first(findings: Sequence[Finding], estimand: str, over: str | None = None) -> Finding | None:
    return next((g for g in findings if g.estimand == estimand and over in {None, g.resampled_over}), None)


def _shown(interval: Finding, test: Finding | None) -> bool:
    if not interval.excludes_zero or interval.level is None:
        return False
    return test is None or test.value is None or test.value <= 1 - interval.level + 1e-12


def contrast_statement(f: Finding, findings: Sequence[Finding], caveats: Caveats = Caveats()) -> Statement:  # noqa: B008 - a frozen value
    """What one success contrast says, with what infrastructure did beside it."""
    by = Evidence.of(f, findings)
    return statement_of(by, findings, caveats, name=f.model or "", sides=(f.reference or "", f.arm or ""))


def statement_of(
    by: Evidence, findings: Sequence[Finding], caveats: Caveats, *, name: str, sides: tuple[str, str]
) -> Statement:
    """The sentence about a contrast. name, sides: what the model, the reference and the arm are called in it."""
    f, shown = by.f, by.shown
    between, registered = f"between {sides[0]} and {sides[1]}", _registered(by, caveats)
    rests = ids(shown, f, by.test, by.dates, by.deaths, by.deaths_test)
    if f.value is None or shown.value is None:
        why = f.warnings[0].message if f.warnings else "no data"
        return Statement(f"{name}: nothing can be said {between}: {why}.", findings=ids(f))
    deaths = _deaths(by, findings)
    tail = f"{deaths}{caveats.tag(registered=registered)}."
    if shown.low is None or shown.high is None or shown.level is None:
        why = f.warnings[-1].message if f.warnings else "too few data"
        text = f"{name}: {number(f.value, signed=True)} points {between}{_again(f, findings)}: {why}{tail}"
        return Statement(text, bool(deaths), rests, registered, by.p)
    if not by.claimed:
        interval = f"{level_text(shown)} {span(shown.low, shown.high, signed=True)}{_together(by)}"
        text = (
            f"{name}: no difference shown {between} ({number(shown.value, signed=True)} points, {interval})"
            f" for tasks like these; this is not proof of equality{tail}"
        )
        return Statement(text, bool(deaths), rests, registered, by.p)
    low, high = sorted((abs(shown.low), abs(shown.high)))
    verb = "rises" if shown.value > 0 else "falls"
    text = (
        f"{name}: success {verb} {number(abs(shown.value))} points"
        f" ({level_text(shown)} {span(low, high)}{_together(by)}) from {sides[0]} to {sides[1]}, {_scope(by)}{tail}"
    )
    return Statement(text, claim=True, findings=rests, registered=registered, p=by.p)


def _registered(by: Evidence, caveats: Caveats) -> bool:
    """At a look that was not registered only repeated intervals are what was registered."""
    return by.f.registered and (by.shown.is_of(FacetKind.LOOK) or not caveats.peeked)


def _together(by: Evidence) -> str:
    """What the interval allows for, and the adjusted p: ", simultaneous, p = 0.012"."""
    kind = ""
    if by.shown.is_of(FacetKind.LOOK):
        kind = f", repeated at look {by.shown.facet_name}"
    elif by.shown.is_of(FacetKind.SIMULTANEOUS):
        kind = ", all bands together"
    return kind if by.p is None else f"{kind}, {p_value(by.p)}"


def _scope(by: Evidence) -> str:
    """For which tasks and dates the claim is made."""
    d = by.dates
    if d is None or d.low is None or d.high is None or d.value is None:
        return "for tasks like these on the dates that were run"
    ends = f"{level_text(d)} {span(d.low, d.high, signed=True)}"
    if d.excludes_zero:
        return f"for tasks like these, on other such dates too ({ends})"
    return f"for tasks like these on the dates that were run; not shown for other dates ({ends})"


def _deaths(by: Evidence, findings: Sequence[Finding]) -> str:
    """What infrastructure did, where a change of it may be claimed."""
    if by.deaths is None or not by.deaths_claimed:
        return ""
    before, after = (
        next((g for g in findings if _is_rate(g, by.f, band)), None) for band in (by.f.reference, by.f.arm)
    )
    if before is None or after is None or before.value is None or after.value is None:
        return ""
    verb = "fall" if after.value < before.value else "rise"
    mark = " (exploratory)" if by.f.registered and not by.deaths.registered else ""
    return f"; infrastructure deaths {verb} from {percent(before.value)} to {percent(after.value)}{mark}"


def _is_rate(g: Finding, f: Finding, band: str | None) -> bool:
    alone = g.reference is None and g.bucket is None and g.facet is None
    return g.estimand == "q_trial" and g.model == f.model and g.arm == band and alone


def _again(f: Finding, findings: Sequence[Finding]) -> str:
    """The interval with tasks fixed, for a contrast that has none over other tasks."""
    same = (f.estimand, f.model, f.arm, f.reference, f.bucket, "tasks fixed")
    fixed = next(
        (g for g in findings if (g.estimand, g.model, g.arm, g.reference, g.bucket, g.resampled_over) == same), None
    )
    if fixed is None or fixed.low is None or fixed.high is None or fixed.level is None:
        return ", without an interval"
    ends = f"{level_text(fixed)} {span(fixed.low, fixed.high, signed=True)}"
    return f" for these very tasks run again ({ends}), without an interval for others"
