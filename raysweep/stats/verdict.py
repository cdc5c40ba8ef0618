"""Findings to sentences: plain, careful, in the order a reader needs them. No number is computed here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from raysweep.stats.facet import FacetKind
from raysweep.stats.finding import Finding
from raysweep.stats.levels import is_moved, sides
from raysweep.stats.wording import SCEPTICAL, level_text, listed, number, percent, span

EXPLORATORY = " (exploratory)"


def verdict(findings: Sequence[Finding], *, registered: bool = True) -> tuple[str, ...]:
    """The sentences of a report, most important first; at least one.

    What was registered before the first trial is said plainly, all else is marked exploratory. registered: whether
    there is a registration at all.
    """
    sentences = [
        *_bands(findings),
        *_factors(findings),
        *_runs(findings),
        *_composition(findings),
        *_time_of_day(findings),
    ]
    if not sentences:
        return ("Nothing can be said: the ledger holds no trial with a result.",)
    if not registered:
        return ("Nothing was registered before the first trial: all of this is exploratory.", *sentences)
    return tuple(sentences)


def _bands(findings: Sequence[Finding]) -> Iterator[str]:
    contrasts = [
        f for f in findings
        if f.estimand == "success" and f.reference and f.arm and not f.bucket and not f.facet
    ]  # fmt: skip
    for f in contrasts:
        if f.resampled_over == "tasks":
            yield contrast_sentence(_last_look(f, findings), findings)
    for f in findings:
        alone = f.estimand == "success" and f.arm and not f.reference and not f.bucket and not f.facet
        if alone and not is_moved(f.model or "") and not any(c.model == f.model for c in contrasts):
            yield _rate_sentence(f)


def _factors(findings: Sequence[Finding]) -> Iterator[str]:
    """Contrasts of levels of other factors: the factor that moved is named, the band beside it."""
    for f in findings:
        names = sides(f)
        if names is None or f.estimand != "success" or f.bucket or f.resampled_over != "tasks" or f.unit != "points":
            continue
        level, reference, band = names
        if any(w.code == "not_honoured" for w in f.warnings):
            yield (
                f"{f.model}: {f.facet_name} was not honoured by the sandbox: nothing can be said of {level} against"
                f" {reference} at band {band}."
            )
        else:
            said = replace(f, reference=f"{f.facet_name} {reference}", arm=f"{f.facet_name} {level} at band {band}")
            yield contrast_sentence(said, ())


def _runs(findings: Sequence[Finding]) -> Iterator[str]:
    """Pooled contrasts run by run, and what can be said of other runs."""
    for f in findings:
        if f.estimand == "success" and f.resampled_over == "runs":
            same = [g for g in findings if (g.model, g.arm, g.reference) == (f.model, f.arm, f.reference)]
            own = [g for g in same if g.estimand == "success" and g.is_of(FacetKind.RUN)]
            each = ", ".join(f"{_points(g)} in {g.facet_name}" for g in own)
            wide = next((g for g in same if g.resampled_over == "tasks and runs" and g.low is not None), f)
            apart = [g.value for g in same if g.estimand == "run_sd" and g.low and g.value is not None]
            differ = f"; the runs differ by more than their dates (sd {number(apart[0])} points)" if apart else ""
            tail = f"{differ}; {_other_runs(wide)}{EXPLORATORY}"
            yield f"{f.model}: run by run, success moves from {f.reference} to {f.arm} by {each}{tail}."


def _points(f: Finding) -> str:
    return "no result" if f.value is None else f"{number(f.value, signed=True)} points"


def _other_runs(f: Finding) -> str:
    if f.low is None or f.high is None:
        return f.warnings[-1].message if f.warnings else "nothing can be said of other runs"
    what = (
        "other tasks in other such runs" if f.resampled_over == "tasks and runs" else "these tasks in other such runs"
    )
    return f"for {what} {level_text(f)} {span(f.low, f.high, signed=True)}"


def _find(findings: Sequence[Finding], **wanted: object) -> Finding | None:
    return next((f for f in findings if all(getattr(f, k) == v for k, v in wanted.items())), None)


def _last_look(f: Finding, findings: Sequence[Finding]) -> Finding:
    """The repeated interval of the last look at a contrast, where the sweep registered looks; else the contrast."""
    same = (f.estimand, f.model, f.arm, f.reference)
    seen = [g for g in findings if g.is_of(FacetKind.LOOK)]
    return next((g for g in reversed(seen) if (g.estimand, g.model, g.arm, g.reference) == same), f)


def _confidence(f: Finding) -> str:
    """The level as "95 %", and that the interval allows for earlier looks where it does."""
    number_of_look = f.facet_name if f.is_of(FacetKind.LOOK) else ""
    return f"{level_text(f)}, repeated at look {number_of_look}," if number_of_look else level_text(f)


def contrast_sentence(f: Finding, findings: Sequence[Finding]) -> str:
    """What one success contrast says, with what infrastructure did beside it."""
    between = f"between {f.reference} and {f.arm}"
    if f.value is None:
        why = f.warnings[0].message if f.warnings else "no data"
        return f"{f.model}: nothing can be said {between}: {why}."
    tail = f"{_deaths(f, findings)}{_tag(f)}.{_doubt(f)}"
    if f.low is None or f.high is None or f.level is None:
        why = f.warnings[-1].message if f.warnings else "too few data"
        return f"{f.model}: {number(f.value, signed=True)} points {between}{_again(f, findings)}: {why}{tail}"
    interval = f"{_confidence(f)} {span(f.low, f.high)}"
    if not f.excludes_zero:
        interval = f"{_confidence(f)} {span(f.low, f.high, signed=True)}"
        return (
            f"{f.model}: no difference shown {between} ({number(f.value, signed=True)} points, {interval});"
            f" this is not proof of equality{tail}"
        )
    verb, size = ("rises", f.value) if f.value > 0 else ("falls", -f.value)
    if f.value < 0:
        interval = f"{_confidence(f)} {span(-f.high, -f.low)}"
    return f"{f.model}: success {verb} {number(size)} points ({interval}) from {f.reference} to {f.arm}{tail}"


def _tag(f: Finding) -> str:
    return "" if f.registered else EXPLORATORY


def _deaths(f: Finding, findings: Sequence[Finding]) -> str:
    """What infrastructure did, where its contrast excludes 0."""
    same = {"estimand": "q_trial", "model": f.model, "bucket": None, "facet": None}
    change = _find(findings, **same, arm=f.arm, reference=f.reference, resampled_over="tasks")
    before = _find(findings, **same, arm=f.reference, reference=None)
    after = _find(findings, **same, arm=f.arm, reference=None)
    if change is None or before is None or after is None or before.value is None or after.value is None:
        return ""
    if not change.excludes_zero:
        return ""
    verb = "fall" if after.value < before.value else "rise"
    return f"; infrastructure deaths {verb} from {percent(before.value)} to {percent(after.value)}"


def _again(f: Finding, findings: Sequence[Finding]) -> str:
    """The interval with tasks fixed, for a contrast that has none over other tasks."""
    same = {"estimand": f.estimand, "model": f.model, "arm": f.arm, "reference": f.reference, "bucket": f.bucket}
    fixed = _find(findings, **same, resampled_over="tasks fixed")
    if fixed is None or fixed.low is None or fixed.high is None or fixed.level is None:
        return ", without an interval"
    span = f"{100 * fixed.level:g} % {number(fixed.low, signed=True)} to {number(fixed.high, signed=True)}"
    return f" for these very tasks run again ({span}), without an interval for others"


def _doubt(f: Finding) -> str:
    if f.value is not None and f.excludes_zero and abs(f.value) < SCEPTICAL:
        return f" Treat gaps under {SCEPTICAL:g} points with caution: infrastructure alone can shift a score that much."
    return ""


def _rate_sentence(f: Finding) -> str:
    if f.value is None:
        return f"{f.model}: {f.arm} has no trial with a result."
    interval = ""
    if f.low is not None and f.high is not None and f.level is not None:
        interval = f" ({100 * f.level:g} % {number(100 * f.low)} to {number(100 * f.high)})"
    return f"{f.model}: success is {percent(f.value)}{interval} at {f.arm}; no other band to compare it with."


def _composition(findings: Sequence[Finding]) -> Iterator[str]:
    """What a rise is made of, and where over the bands it begins: per model."""
    for f in findings:
        pooled = f.estimand == "success" and f.arm and f.reference and not f.bucket and not f.facet
        if pooled and f.excludes_zero and f.resampled_over == "tasks":
            yield from _made_of(f, findings)
    for f in findings:
        if f.estimand == "change_point" and f.facet:
            alone = [r for r in findings if r.estimand == "success" and r.model == f.model and r.reference is None]
            yield _change_point(f, len({r.arm for r in alone if r.arm and r.value is not None}))


def _made_of(f: Finding, findings: Sequence[Finding]) -> Iterator[str]:
    same = {"model": f.model, "arm": f.arm, "reference": f.reference}
    rescued = _find(findings, estimand="rescued", **same)
    other = _find(findings, estimand="other_successes", **same)
    if rescued is None or other is None or f.value is None:
        return
    if rescued.low is None or rescued.high is None or other.low is None or other.high is None:
        return
    if rescued.high - rescued.low < 0.05:  # points: nothing was rescued or lost
        return
    yield (
        f"{f.model}: of the {number(f.value, signed=True)} points from {f.reference} to {f.arm}, trials rescued from"
        f" infrastructure gave between {number(rescued.low)} and {number(rescued.high)}, other successes between"
        f" {number(other.low)} and {number(other.high)}, if a higher limit does no harm (exploratory bounds,"
        f" without sampling error)."
    )


def _change_point(f: Finding, every: int) -> str:
    """The set of a model that has `every` bands with data."""
    bands = [] if f.facet is None else list(f.facet.names)
    beyond = any(w.code == "at_the_end" for w in f.warnings)
    tail = "; it may lie beyond the bands of this sweep" if beyond else ""
    if len(bands) == 1:
        where = f"the change point is {bands[0]}: up to there higher limits only turn deaths into failures"
    elif len(bands) == every:
        what = "the change point, up to where higher limits only turn deaths into failures, is unknown"
        return f"{f.model}: {what}: {listed(bands)}, no band is excluded ({level_text(f)}, exploratory)."
    else:
        where = f"the change point, up to where higher limits only turn deaths into failures, is {listed(bands)}"
    return f"{f.model}: {where} ({level_text(f)} set, exploratory{tail})."


def _time_of_day(findings: Sequence[Finding]) -> Iterator[str]:
    f = _find(findings, estimand="time_of_day")
    if f is None:
        return
    advice = next((w for w in f.warnings if w.code == "few_occasions"), None)
    if f.value is None:
        yield f"Time of day: {f.warnings[0].message}; {f.warnings[0].remedy}."
    elif f.low is None or f.high is None or f.level is None:
        yield f"Time of day: no spread between occasions was seen; {f.warnings[0].remedy}."
    elif f.low > 0:
        yield (
            f"Time of day moves the score by ±{number(f.value)} points"
            f" ({level_text(f)} {span(f.low, f.high)}, {f.n_dates} dates){_tag(f)}."
        )
        yield from _peak_hour(findings)
    else:
        more = f" {advice.message}: {advice.remedy}." if advice else " This is not proof of none."
        yield (
            f"Time of day: no effect shown (±{number(f.value)} points, {level_text(f)} 0 to {number(f.high)},"
            f" {f.n_dates} dates){_tag(f)}.{more}"
        )


def _peak_hour(findings: Sequence[Finding]) -> Iterator[str]:
    f = _find(findings, estimand="peak_hour")
    if f is not None and f.value is not None and f.low is not None and f.high is not None:
        yield (
            f"Scores peak at {_clock(f.value)} ({level_text(f)} {_clock(f.low)} to {_clock(f.high)}, from a daily"
            f" cosine){EXPLORATORY}."
        )


def _clock(hours: float) -> str:
    minutes = round(hours * 60) % (24 * 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}"
