"""Findings to sentences: plain, careful, in the order a reader needs them. No number is computed here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from raysweep.stats.finding import Finding

SCEPTICAL = 3.0
"""Gaps below this many points deserve scepticism until resource methodology is known to match (the study's advice)."""


def number(value: float, *, signed: bool = False) -> str:
    """Whole points from 10 up, else one decimal without a trailing zero; never "-0"."""
    text = f"{value:.0f}" if abs(value) >= 10 else f"{value:.1f}".removesuffix(".0")
    text = "0" if text == "-0" else text
    return f"+{text}" if signed and value > 0 and text != "0" else text


def percent(value: float) -> str:
    """A fraction as "93 %"."""
    return f"{number(100 * value)} %"


def verdict(findings: Sequence[Finding]) -> tuple[str, ...]:
    """The sentences of a report, most important first; at least one."""
    found = [*_bands(findings), *_time_of_day(findings)]
    return tuple(found) or ("Nothing can be said: the ledger holds no trial with a result.",)


def _bands(findings: Sequence[Finding]) -> Iterator[str]:
    contrasts = [
        f for f in findings
        if f.estimand == "success" and f.reference and f.arm and not f.bucket and not f.factor
    ]  # fmt: skip
    for f in contrasts:
        if f.resampled_over == "tasks":
            yield contrast_sentence(f, findings)
    for f in findings:
        alone = f.estimand == "success" and f.arm and not f.reference and not f.bucket and not f.factor
        if alone and not any(c.model == f.model for c in contrasts):
            yield _rate_sentence(f)


def _find(findings: Sequence[Finding], **wanted: object) -> Finding | None:
    return next((f for f in findings if all(getattr(f, k) == v for k, v in wanted.items())), None)


def contrast_sentence(f: Finding, findings: Sequence[Finding]) -> str:
    """What one success contrast says, with what infrastructure did beside it."""
    between = f"between {f.reference} and {f.arm}"
    if f.value is None:
        why = f.warnings[0].message if f.warnings else "no data"
        return f"{f.model}: nothing can be said {between}: {why}."
    tail = f"{_deaths(f, findings)}.{_doubt(f)}"
    if f.low is None or f.high is None or f.level is None:
        why = f.warnings[-1].message if f.warnings else "too few data"
        return f"{f.model}: {number(f.value, signed=True)} points {between}{_again(f, findings)}: {why}{tail}"
    interval = f"{100 * f.level:g} % {number(f.low)} to {number(f.high)}"
    if not f.excludes_zero:
        interval = f"{100 * f.level:g} % {number(f.low, signed=True)} to {number(f.high, signed=True)}"
        return (
            f"{f.model}: no difference shown {between} ({number(f.value, signed=True)} points, {interval});"
            f" this is not proof of equality{tail}"
        )
    verb, size = ("rises", f.value) if f.value > 0 else ("falls", -f.value)
    if f.value < 0:
        interval = f"{100 * f.level:g} % {number(-f.high)} to {number(-f.low)}"
    return f"{f.model}: success {verb} {number(size)} points ({interval}) from {f.reference} to {f.arm}{tail}"


def _deaths(f: Finding, findings: Sequence[Finding]) -> str:
    """What infrastructure did, where its contrast excludes 0."""
    same = {"estimand": "q_trial", "model": f.model, "bucket": None, "factor": None}
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
        return (
            f" A gap under {SCEPTICAL:g} points deserves distrust: other infrastructure alone can move a score so far."
        )
    return ""


def _rate_sentence(f: Finding) -> str:
    if f.value is None:
        return f"{f.model}: {f.arm} has no trial with a result."
    interval = ""
    if f.low is not None and f.high is not None and f.level is not None:
        interval = f" ({100 * f.level:g} % {number(100 * f.low)} to {number(100 * f.high)})"
    return f"{f.model}: success is {percent(f.value)}{interval} at {f.arm}; no other band to compare it with."


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
            f" ({100 * f.level:g} % {number(f.low)} to {number(f.high)}, {f.n_dates} dates)."
        )
    else:
        more = f" {advice.message}: {advice.remedy}." if advice else " This is not proof of none."
        yield (
            f"Time of day: no effect shown (±{number(f.value)} points, {100 * f.level:g} % 0 to {number(f.high)},"
            f" {f.n_dates} dates).{more}"
        )
