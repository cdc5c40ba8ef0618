"""Numbers and labels as text: the one place that rounds, for terminal and HTML alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from raysweep.stats import Finding
from raysweep.stats.facet import Facet, FacetKind
from raysweep.stats.levels import sides
from raysweep.stats.wording import number, p_value
from raysweep.units import MIB, format_duration

NONE = "–"  # noqa: RUF001 - an en dash is what a reader expects for "no value"
MINUS = "−"  # noqa: RUF001 - the typographic minus, so that signs line up with plus

NAMES = {
    "success": "success",
    "q_trial": "infrastructure deaths",
    "success_given_clean": "success of clean trials",
    "infra_rate_resource": "attempts ended by the arm's limits",
    "infra_rate_platform": "attempts ended by the platform",
    "success_platform_zero": "success, platform failures = 0",
    "rescued": "of it, trials rescued from infrastructure (bounds)",
    "other_successes": "of it, other successes (bounds)",
    "decomposition_infra": "of it, fewer deaths (accounting)",
    "decomposition_clean": "of it, clean trials (accounting)",
    "change_point": "change point, multiple of the spec",
    "p_success": "success differs",
    "p_infra_rate_resource": "resource deaths differ",
    "p_trend_success": "success trends over the bands",
    "p_trend_q_trial": "deaths trend over the bands",
    "peak_hour": "hour of the peak",
    "daily_amplitude": "daily cosine, amplitude",
    "weekly_amplitude": "weekly cosine, amplitude",
    "daily_by_weekly": "daily x weekly, ± RMS",
    "rhythm_period": "period that stands out",
    "rhythm_share": "share of variance that rhythms explain",
    "time_of_day": "bucket (time of day), ± RMS",
    "time_of_day_range": "largest minus smallest bucket",
    "occasion_sd": "occasion (bucket on a date), sd",
    "date_sd": "date, sd",
    "repeat_sd": "repeat-to-repeat, sd of one pass",
    "band_effect": "band, largest contrast",
    "run_sd": "between runs, beyond their dates, sd",
    "time_of_day_by_run": "run x bucket, ± RMS",
    "band_by_bucket": "band x bucket, ± RMS",
    "time_of_day_by_model": "model x bucket, ± RMS",
    "time_of_day_p": "buckets differ",
    "peak_weekday": "day of the peak, after Monday",
    "mem_anon_peak_of_spec": "memory peak (anonymous) against spec, median",
    "mem_peak_of_spec": "memory peak with page cache against spec, median",
    "cpu_peak_1s_of_spec": "cpu peak over 1 s against spec, median",
    "cpu_peak_10s": "cpu peak over 10 s, median",
    "cpu_peak_10s_of_spec": "cpu peak over 10 s against spec, median",
    "throttled_seconds": "time throttled, median",
    "model_api_rate": "trials ended by the model API",
    "api_p50_ms": "model call latency, median",
    "api_p95_ms": "model call latency, 95th percentile",
    "api_429": "answers 429 per attempt",
    "api_429_share": "trials with an answer 429",
    "elsewhere_rate": "attempts outside their planned window",
    "cotenancy": "other attempts on the node at the start",
    "composition": "what trials ended as",
    "missing": "trials without a result",
    "success_missing_bounds": "success with the missing at 0 and 1",
    "periodogram": "power of a period",
    "var_bucket": "bucket, signed variance",
    "var_date": "date, signed variance",
    "var_occasion": "occasion, signed variance",
    "queue_seconds": "time until the sandbox was asked for, median",
    "setup_seconds": "set-up time, median",
    "verifier_seconds": "verifier time, median",
    "tokens_in": "tokens read, median",
    "tokens_out": "tokens written, median",
    "tokens_cached": "tokens read from a cache, median",
    "agent_seconds": "agent time, median",
    "mem_anon_peak": "memory peak (anonymous), median",
    "mem_peak": "memory peak with page cache, median",
    "cpu_peak_1s": "cpu peak over 1 s, median",
    "throttled_share": "throttled trials",
    "timed_out_share": "timed-out trials",
    "oom_kills_share": "trials with an OOM kill",
    "cost_usd": "money, median",
    "probe_memory_held": "just under the memory limit: lived",
    "probe_uncapped_held": "1.25 times the largest finite limit: lived",
    "probe_memory_killed": "just past the memory limit: killed by it",
    "probe_kill_seconds": "seconds to the kill, median",
    "probe_cpu_of_limit": "cpu of a busy loop against the limit, median",
}


def name(estimand: str) -> str:
    """What an estimand is called in a report."""
    return NAMES.get(estimand, estimand)


FORMATS: Mapping[str, Callable[[float], str]] = {
    "fraction": lambda v: f"{number(100 * v)} %",
    "bytes": lambda v: f"{number(v / MIB)} MiB",
    "seconds": format_duration,
    "usd": lambda v: f"$ {v:.2g}",
    "p": p_value,
    "multiplier": lambda v: f"{v:g}x",
    "hours": lambda v: f"{number(v)} h",
    "tokens": lambda v: f"{v:,.0f} tokens",
    "ms": lambda v: f"{v:.0f} ms",
}


def amount(value: float | None, unit: str, *, signed: bool = False) -> str:
    """A value in its unit, without the unit of points; NONE for None."""
    if value is None:
        return NONE
    if unit in FORMATS:
        return FORMATS[unit](value)
    return number(value, signed=signed).replace("-", MINUS)


def value_text(f: Finding) -> str:
    """The value of a finding; contrasts carry their sign."""
    return amount(f.value, f.unit, signed=f.reference is not None)


def interval_text(f: Finding) -> str:
    """Both ends, as in "low to high", or NONE where there is no interval."""
    if f.low is None or f.high is None:
        return NONE
    signed = f.reference is not None
    if f.level is None:  # bounds, not a confidence interval
        return f"between {amount(f.low, f.unit, signed=signed)} and {amount(f.high, f.unit, signed=signed)}"
    return f"{amount(f.low, f.unit, signed=signed)} to {amount(f.high, f.unit, signed=signed)}"


def what_text(f: Finding) -> str:
    """What a finding is about: "heavy: uncapped against 1x", "heavy: agent_timeout 2x against 1x at band 1x"."""
    if (told := sides(f)) is not None:
        level, reference, band = told
        where = f" in {f.bucket}" if f.bucket else ""
        return f"{f.model}: {f.facet_name} {level} against {reference} at band {band}{where}"
    parts = [f.arm or ("all bands" if f.model else "all arms")]
    if f.is_of(FacetKind.BUCKET) and f.reference:
        parts = [f"{f.bucket} against {f.reference}"]
    elif f.reference:
        parts.append(f"against {f.reference}")
    if f.bucket and not f.is_of(FacetKind.BUCKET):
        parts.append(f"in {f.bucket}")
    if f.facet and f.facet not in {Facet(FacetKind.BUCKET), Facet(FacetKind.PROBE)}:
        parts.append(f"({f.facet})")
    return (f"{f.model}: " if f.model else "") + " ".join(parts)


def how_text(f: Finding) -> str:
    """What the interval is: level, method, resampled over what, from how much."""
    over = f", over {f.resampled_over}" if f.resampled_over else ""
    if f.is_of(FacetKind.PROBE):
        return f"{f.method}; {f.n_attempts} probes, {f.n_dates} dates"
    level = f"{100 * f.level:g} % interval, " if f.level is not None else ""
    return f"{level}{f.method}{over}; {f.n_tasks} tasks, {f.n_attempts} attempts, {f.n_dates} dates"
