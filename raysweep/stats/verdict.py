"""Findings to sentences: plain, careful, in the order a reader needs them. No number is computed here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from raysweep.stats.claims import Evidence, contrast_statement, statement_of
from raysweep.stats.facet import FacetKind
from raysweep.stats.finding import Finding
from raysweep.stats.levels import is_moved, sides
from raysweep.stats.statement import Caveats, Statement, ids
from raysweep.stats.wording import level_text, listed, number, percent, span


def verdict(
    findings: Sequence[Finding],
    *,
    registered: bool = True,
    caveats: Caveats = Caveats(),  # noqa: B008 - a frozen value
) -> tuple[Statement, ...]:
    """The sentences of a report, most important first; at least one.

    What was registered before the first trial is said plainly, all else is marked exploratory; so are claims of an
    unfinished sweep and of simulated data. registered: whether there is a registration at all.
    """
    sentences = [
        *_bands(findings, caveats),
        *_factors(findings, caveats),
        *_runs(findings, caveats),
        *_between(findings, caveats),
        *_composition(findings, caveats),
        *_time_of_day(findings, caveats),
    ]
    if not sentences:
        return (Statement("Nothing can be said: the ledger holds no trial with a result."),)
    if not registered:
        return (Statement("Nothing was registered before the first trial: all of this is exploratory."), *sentences)
    return tuple(sentences)


def _bands(findings: Sequence[Finding], caveats: Caveats) -> Iterator[Statement]:
    contrasts = _band_contrasts(findings)
    for f in contrasts:
        if f.resampled_over == "tasks":
            yield contrast_statement(f, findings, caveats)
    for f in findings:
        alone = f.estimand == "success" and f.arm and not f.reference and not f.bucket and not f.facet
        if alone and not is_moved(f.model or "") and not any(c.model == f.model for c in contrasts):
            yield Statement(_rate_sentence(f), findings=ids(f))


def _band_contrasts(findings: Sequence[Finding]) -> list[Finding]:
    return [f for f in findings if f.estimand == "success" and f.reference and f.arm and not f.bucket and not f.facet]


def _factors(findings: Sequence[Finding], caveats: Caveats) -> Iterator[Statement]:
    """Contrasts of levels of other factors: the factor that moved is named, the band beside it."""
    for f in findings:
        names = sides(f)
        if names is None or f.estimand != "success" or f.bucket or f.resampled_over != "tasks" or f.unit != "points":
            continue
        level, reference, band = names
        if any(w.code == "not_honoured" for w in f.warnings):
            yield Statement(
                f"{f.model}: {f.facet_name} was not honoured by the sandbox: nothing can be said of {level} against"
                f" {reference} at band {band}.",
                findings=ids(f),
            )
        else:
            by = replace(Evidence.of(f, findings), deaths=None, deaths_test=None)
            called = (f"{f.facet_name} {reference}", f"{f.facet_name} {level} at band {band}")
            yield statement_of(by, (), caveats, name=f.model or "", sides=called)


def _runs(findings: Sequence[Finding], caveats: Caveats) -> Iterator[Statement]:
    """Pooled contrasts run by run, and what can be said of other runs."""
    for f in findings:
        if f.estimand == "success" and f.resampled_over == "runs":
            same = [g for g in findings if (g.model, g.arm, g.reference) == (f.model, f.arm, f.reference)]
            own = [g for g in same if g.estimand == "success" and g.is_of(FacetKind.RUN)]
            each = ", ".join(f"{_points(g)} in {g.facet_name}" for g in own)
            wide = next((g for g in same if g.resampled_over == "tasks and runs" and g.low is not None), f)
            apart = [g for g in same if g.estimand == "run_sd" and g.low and g.value is not None]
            sd = f"sd {number(apart[0].value or 0.0)} points" if apart else ""
            differ = f"; the runs differ by more than their dates ({sd})" if apart else ""
            tail = f"{differ}; {_other_runs(wide)}{caveats.tag(registered=False)}"
            text = f"{f.model}: run by run, success moves from {f.reference} to {f.arm} by {each}{tail}."
            yield Statement(text, bool(apart), ids(f, wide, *own, *apart))


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


def _rate_sentence(f: Finding) -> str:
    if f.value is None:
        return f"{f.model}: {f.arm} has no trial with a result."
    interval = ""
    if f.low is not None and f.high is not None and f.level is not None:
        interval = f" ({100 * f.level:g} % {number(100 * f.low)} to {number(100 * f.high)})"
    return f"{f.model}: success is {percent(f.value)}{interval} at {f.arm}; no other band to compare it with."


def _between(findings: Sequence[Finding], caveats: Caveats) -> Iterator[Statement]:
    """Contrasts of bands other than the reference, all pairs together: those that are shown, else the widest pair."""
    for model in dict.fromkeys(f.model for f in findings):
        pairs = [f for f in findings if f.is_of(FacetKind.BETWEEN) and f.model == model and f.low is not None]
        for f in pairs:
            if f.excludes_zero and f.value is not None and f.high is not None and f.low is not None:
                low, high = sorted((abs(f.low), abs(f.high)))
                text = (
                    f"{model}: success {'rises' if f.value > 0 else 'falls'} {number(abs(f.value))} points"
                    f" ({level_text(f)} {span(low, high)}, all pairs of bands together) from {f.reference} to {f.arm},"
                    f" for tasks like these on the dates that were run{caveats.tag(registered=False)}."
                )
                yield Statement(text, claim=True, findings=ids(f))
        if pairs and not any(f.excludes_zero for f in pairs):
            tag = caveats.tag(registered=False)
            text = f"{model}: no difference shown between any two other bands ({_widest(pairs)}){tag}."
            yield Statement(text, findings=ids(*pairs))


def _widest(pairs: Sequence[Finding]) -> str:
    """The lowest against the highest of the bands, with its interval."""
    f = max(pairs, key=lambda g: abs(g.value or 0.0))
    ends = f"{level_text(f)} {span(f.low or 0.0, f.high or 0.0, signed=True)}, all pairs of bands together"
    return f"most from {f.reference} to {f.arm}: {_points(f)}, {ends}"


def _composition(findings: Sequence[Finding], caveats: Caveats) -> Iterator[Statement]:
    """What a claimed change is made of, and where over the bands it begins: per model."""
    for f in _band_contrasts(findings):
        if f.resampled_over == "tasks" and Evidence.of(f, findings).claimed:
            yield from _made_of(f, findings, caveats)
    for f in findings:
        if f.estimand == "change_point" and f.facet:
            alone = [r for r in findings if r.estimand == "success" and r.model == f.model and r.reference is None]
            text = _change_point(f, len({r.arm for r in alone if r.arm and r.value is not None}))
            yield Statement(f"{text}{caveats.tag(registered=True)}.", claim=len(f.facet.names) == 1, findings=ids(f))


def _is_same(f: Finding, fields: dict[str, str | None]) -> bool:
    return all(getattr(f, key) == value for key, value in fields.items())


def _made_of(f: Finding, findings: Sequence[Finding], caveats: Caveats) -> Iterator[Statement]:
    same = {"model": f.model, "arm": f.arm, "reference": f.reference}
    rescued, other = (
        next((g for g in findings if g.estimand == name and g.is_of(FacetKind.BOUNDS) and _is_same(g, same)), None)
        for name in ("rescued", "other_successes")
    )
    if rescued is None or other is None or f.value is None:
        return
    if rescued.low is None or rescued.high is None or other.low is None or other.high is None:
        return
    if rescued.high - rescued.low < 0.05:  # points: nothing was rescued or lost
        return
    text = (
        f"{f.model}: of the {number(f.value, signed=True)} points from {f.reference} to {f.arm}, trials rescued from"
        f" infrastructure gave between {number(rescued.low)} and {number(rescued.high)}, other successes between"
        f" {number(other.low)} and {number(other.high)}, if a higher limit does no harm ({level_text(other)}"
        f" confidence, exploratory){caveats.tag(registered=True)}."
    )
    yield Statement(text, findings=ids(f, rescued, other))


def _change_point(f: Finding, every: int) -> str:
    """The set of a model that has `every` bands with data."""
    bands = [] if f.facet is None else list(f.facet.names)
    beyond = any(w.code == "at_the_end" for w in f.warnings)
    tail = "; it may lie beyond the bands of this sweep" if beyond else ""
    if len(bands) == 1:
        where = f"the change point is {bands[0]}: up to there higher limits only turn deaths into failures"
    elif len(bands) == every:
        what = "the change point, up to where higher limits only turn deaths into failures, is unknown"
        return f"{f.model}: {what}: {listed(bands)}, no band is excluded ({level_text(f)}, exploratory)"
    else:
        where = f"the change point, up to where higher limits only turn deaths into failures, is {listed(bands)}"
    return f"{f.model}: {where} ({level_text(f)} set, exploratory{tail})"


def _time_of_day(findings: Sequence[Finding], caveats: Caveats) -> Iterator[Statement]:
    f = _find(findings, estimand="time_of_day")
    if f is None:
        return
    advice = next((w for w in f.warnings if w.code == "few_occasions"), None)
    tag = caveats.tag(registered=f.registered)
    if f.value is None:
        yield Statement(f"Time of day: {f.warnings[0].message}; {f.warnings[0].remedy}.", findings=ids(f))
    elif f.low is None or f.high is None or f.level is None:
        text = f"Time of day: no spread between occasions was seen; {f.warnings[0].remedy}."
        yield Statement(text, findings=ids(f))
    elif f.low > 0:
        text = (
            f"Time of day moves the score by ±{number(f.value)} points"
            f" ({level_text(f)} {span(f.low, f.high)}, {f.n_dates} dates) for these tasks on other such dates{tag}."
        )
        yield Statement(text, claim=True, findings=ids(f), registered=f.registered)
        yield from _peak_hour(findings, caveats)
    else:
        more = f" {advice.message}: {advice.remedy}." if advice else " This is not proof of none."
        text = (
            f"Time of day: no effect shown (±{number(f.value)} points, {level_text(f)} 0 to {number(f.high)},"
            f" {f.n_dates} dates){tag}.{more}"
        )
        yield Statement(text, findings=ids(f), registered=f.registered)


def _peak_hour(findings: Sequence[Finding], caveats: Caveats) -> Iterator[Statement]:
    f = _find(findings, estimand="peak_hour")
    if f is not None and f.value is not None and f.low is not None and f.high is not None:
        text = (
            f"Scores peak at {_clock(f.value)} ({level_text(f)} {_clock(f.low)} to {_clock(f.high)}, from a daily"
            f" cosine){caveats.tag(registered=False)}."
        )
        yield Statement(text, claim=True, findings=ids(f))


def _clock(hours: float) -> str:
    minutes = round(hours * 60) % (24 * 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}"
