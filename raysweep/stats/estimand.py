"""The registry of estimands: what each named number is, its unit, its words in every report, and who makes it.

A Finding must name one of them and takes its unit from here. Contrasts are arm minus reference, within task, tasks with
equal weight. Belongs here: names and words. Does not: how a number is computed (`findings`), or y and q (`endings`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Estimand:
    """One named number.

    label: its words in a table; short: its words in a column heading (the label where empty). unit: of a value; a
    contrast of fractions is in percentage points. source: the module of `raysweep.stats` that makes its findings.
    """

    name: str
    label: str
    unit: str
    definition: str
    source: str
    short: str = ""

    @property
    def heading(self) -> str:
        """The words of a column heading."""
        return self.short or self.label

    def unit_of(self, *, contrast: bool) -> str:
        """The unit of a value, or of a contrast with a reference."""
        return "points" if contrast and self.unit == "fraction" else self.unit


def _arms() -> Iterator[Estimand]:
    yield Estimand(
        "success", "success", "fraction",
        "mean reward per trial, equal weight per task; deaths at the swept limit and failed verifiers count 0",
        "findings.contrast",
    )  # fmt: skip
    yield Estimand(
        "q_trial", "infrastructure deaths", "fraction",
        "share of trials ended by the arm's own resource limits", "findings.rates", "infra deaths",
    )  # fmt: skip
    yield Estimand(
        "success_given_clean", "success of clean trials", "fraction",
        "mean reward of the trials that infrastructure did not end (descriptive: they are a selection)",
        "findings.contrast", "success if clean",
    )  # fmt: skip
    yield Estimand(
        "infra_rate_resource", "attempts ended by the arm's limits", "fraction",
        "share of all attempts that ended in a resource cause (the arm's)", "findings.rates", "attempts: limits",
    )  # fmt: skip
    yield Estimand(
        "infra_rate_platform", "attempts ended by the platform", "fraction",
        "share of all attempts that ended in a platform cause (node, image, API server)", "findings.rates", "platform",
    )  # fmt: skip
    yield Estimand(
        "success_platform_zero", "success, platform failures = 0", "fraction",
        "success, scoring 0 every trial whose first attempt had a platform failure", "analyse",
    )  # fmt: skip
    yield Estimand(
        "success_verified", "success, failed verifiers left out", "fraction",
        "success of the trials whose verifier gave a reward; bounds: the others scored 0 (low) and 1 (high)",
        "findings.voided",
    )  # fmt: skip
    yield Estimand(
        "success_missing_bounds", "success with the missing at 0 and 1", "fraction",
        "success with every missing trial of a started block scored 0 (low) and 1 (high)", "findings.missing",
    )  # fmt: skip
    yield Estimand(
        "missing", "trials without a result", "fraction",
        "share of the trials of started blocks that have no result, by reason", "findings.missing",
    )  # fmt: skip
    yield Estimand(
        "composition", "outcomes of trials", "fraction",
        "share of trials per outcome, by cause where infrastructure ended them", "findings.describe",
    )  # fmt: skip


def _tests() -> Iterator[Estimand]:
    for name, label, null in (
        ("p_success", "success differs", "no task's success differs"),
        ("p_infra_rate_resource", "resource deaths differ", "equal odds of a resource cause within tasks"),
        ("p_trend_success", "success trends over the bands", "no monotone change of success over the ordered limits"),
        (
            "p_trend_q_trial", "deaths trend over the bands",
            "no monotone change of infrastructure deaths over the ordered limits",
        ),
    ):  # fmt: skip
        yield Estimand(name, label, "p", f'p-value for "{null}"', "findings.significance")
    yield Estimand("time_of_day_p", "buckets differ", "p", 'p-value for "all buckets are equal"', "findings.timeofday")


def _parts() -> Iterator[Estimand]:
    yield Estimand(
        "rescued", "of it, trials rescued from infrastructure (bounds)", "points",
        "part of a success contrast that trials saved from infrastructure can make: bounds, no interval",
        "findings.decompose",
    )  # fmt: skip
    yield Estimand(
        "other_successes", "of it, other successes (bounds)", "points",
        "part of a success contrast beyond saved trials: bounds, no interval", "findings.decompose",
    )  # fmt: skip
    yield Estimand(
        "decomposition_infra", "of it, fewer deaths (accounting)", "points",
        "Kitagawa's part of a success contrast from infrastructure deaths: accounting, not cause", "findings.decompose",
    )  # fmt: skip
    yield Estimand(
        "decomposition_clean", "of it, clean trials (accounting)", "points",
        "Kitagawa's part from success of the trials that infrastructure did not end", "findings.decompose",
    )  # fmt: skip
    yield Estimand(
        "change_point", "change point, multiple of the spec", "multiplier",
        "limit at which most trials fail without infrastructure: from there on success can rise",
        "findings.changepoint",
    )  # fmt: skip


def _temporal() -> Iterator[Estimand]:
    for name, label, unit, definition, source in (
        (
            "time_of_day", "bucket (time of day), ± RMS", "points",
            "spread of the buckets' success around their mean (RMS, task-adjusted), dates resampled", "timeofday",
        ),
        (
            "time_of_day_range", "largest minus smallest bucket", "points",
            "largest minus smallest success of a bucket (biased upward by noise)", "timeofday",
        ),
        ("time_of_day_by_model", "model x bucket, ± RMS", "points", "time_of_day of one model", "bucketcontrast"),
        (
            "time_of_day_by_run", "run x bucket, ± RMS", "points",
            "spread of the buckets' success between merged runs (RMS)", "runs",
        ),
        (
            "band_by_bucket", "band x bucket, ± RMS", "points",
            "spread of the contrasts of bands between buckets (RMS)", "bucketcontrast",
        ),
        (
            "occasion_sd", "occasion (bucket on a date), sd", "points",
            "spread of success between occasions beyond bucket, date and repeats", "timeofday",
        ),
        ("date_sd", "date, sd", "points", "spread of success between dates", "timeofday"),
        ("run_sd", "between runs, beyond their dates, sd", "points", "spread of a contrast between runs", "runs"),
        (
            "repeat_sd", "repeat-to-repeat, sd of one pass", "points",
            "spread of the success of one pass over the tasks that repeating alone makes", "timeofday",
        ),
        (
            "band_effect", "band, largest contrast", "points",
            "largest success contrast between bands, in size", "timeofday",
        ),
        ("var_bucket", "bucket, signed variance", "points^2", "signed variance behind time_of_day", "timeofday"),
        ("var_occasion", "occasion, signed variance", "points^2", "signed variance behind occasion_sd", "timeofday"),
        ("var_date", "date, signed variance", "points^2", "signed variance behind date_sd", "timeofday"),
        (
            "daily_amplitude", "daily cosine, amplitude", "points",
            "amplitude of the best daily cosine of success, corrected for the width of the buckets", "rhythm",
        ),
        (
            "weekly_amplitude", "weekly cosine, amplitude", "points",
            "amplitude of the best weekly cosine of success", "rhythm",
        ),
        (
            "daily_by_weekly", "daily x weekly, ± RMS", "points",
            "spread of success that the daily rhythm has on some weekdays more than on others", "rhythm",
        ),
        ("peak_hour", "hour of the peak", "hours", "hour at which the daily cosine of success is highest", "rhythm"),
        (
            "peak_weekday", "day of the peak, after Monday", "days after Monday",
            "day at which the weekly cosine of success is highest", "rhythm",
        ),
        (
            "periodogram", "power of a period", "ratio",
            "power of each period in success between occasions (Lomb-Scargle, task-adjusted)", "rhythm",
        ),
        (
            "rhythm_period", "period that stands out", "hours",
            "period that explains most of the variance of success between occasions", "rhythm",
        ),
        (
            "rhythm_share", "share of variance that rhythms explain", "fraction",
            "share of the variance between occasions that daily and weekly rhythms explain", "rhythm",
        ),
    ):  # fmt: skip
        yield Estimand(name, label, unit, definition, f"findings.{source}")


def _resources() -> Iterator[Estimand]:
    for name, label, unit, definition, short in (
        (
            "mem_anon_peak", "memory peak (anonymous), median", "bytes",
            "largest sampled anonymous and shared memory of the agent phase: misses spikes, a lower bound",
            "memory, anon",
        ),
        (
            "mem_peak", "memory peak with page cache, median", "bytes",
            "the kernel's high-water mark of the agent phase: page cache included, an upper bound", "memory, cache",
        ),
        (
            "cpu_peak_1s", "cpu peak over 1 s, median", "millicores",
            "largest mean use of the processor over one second of the agent phase", "cpu over 1 s",
        ),
        (
            "cpu_peak_10s", "cpu peak over 10 s, median", "millicores",
            "largest mean use of the processor over ten seconds of the agent phase", "cpu over 10 s",
        ),
        (
            "agent_seconds", "agent time, median", "seconds", "from the agent's start to its end", "agent time",
        ),
    ):  # fmt: skip
        yield Estimand(name, label, unit, definition, "findings.resources", short)
        spec = label.replace(", median", " against spec, median")
        source = "findings.declared" if name == "agent_seconds" else "findings.resources"
        yield Estimand(f"{name}_of_spec", spec, "fraction", f"{name} as a share of what the task declares", source)
        yield Estimand(
            f"{name}_clears", f"{short}: trials that a multiple of the spec holds", "fraction",
            f"share of trials whose {name} a multiple of the declared value holds", "findings.declared",
        )  # fmt: skip
        yield Estimand(
            f"{name}_margin", f"{short}: room above the largest trial", "fraction",
            f"1 - largest {name} / declared value; below 0 where a trial took more", "findings.declared",
        )  # fmt: skip
    for name, label, unit, definition in (
        ("throttled_share", "throttled trials", "fraction", "share of trials that the processor quota throttled"),
        ("throttled_seconds", "time throttled, median", "seconds", "time that the quota throttled the agent phase"),
        (
            "timed_out_share", "timed-out trials", "fraction",
            "share of trials that ran into the agent's time limit (the verifier scores them all the same)",
        ),
        (
            "oom_kills_share", "trials with an OOM kill", "fraction",
            "share of trials in which some process was killed for memory, fatal or not",
        ),
        (
            "queue_seconds", "time until the sandbox was asked for, median", "seconds",
            "from dispatch to the creation of the sandbox",
        ),
        ("setup_seconds", "set-up time, median", "seconds", "from the creation of the sandbox to the agent's start"),
        ("verifier_seconds", "verifier time, median", "seconds", "from the agent's end to the verifier's end"),
        ("tokens_in", "tokens read, median", "tokens", "model tokens read by a trial"),
        ("tokens_out", "tokens written, median", "tokens", "model tokens written by a trial"),
        ("tokens_cached", "tokens read from a cache, median", "tokens", "model tokens of a trial that a cache served"),
        ("cost_usd", "money, median", "usd", "money that a trial spent on the model"),
        ("api_p50_ms", "model call latency, median", "ms", "median latency of a trial's model calls"),
        (
            "api_p95_ms", "model call latency, 95th percentile", "ms",
            "95th percentile of the latency of a trial's model calls",
        ),
        ("api_429_share", "trials with an answer 429", "fraction", "share of trials with a model call answered 429"),
    ):  # fmt: skip
        yield Estimand(name, label, unit, definition, "findings.resources")


def _mechanism() -> Iterator[Estimand]:
    for name, label, unit, definition in (
        ("api_429", "answers 429 per attempt", "count", "answers 429 of the model's API per attempt"),
        ("model_api_rate", "trials ended by the model API", "fraction", "share of attempts that the model's API ended"),
        (
            "cotenancy", "other attempts on the node at the start", "count",
            "other attempts at work on the same node when the agent started",
        ),
    ):  # fmt: skip
        yield Estimand(name, label, unit, definition, "findings.mechanism")


def _calibration() -> Iterator[Estimand]:
    for quantity, what, unit in (
        ("memory", "memory", "bytes"), ("cpu", "cpu", "millicores"), ("agent_time", "agent time limit", "seconds"),
    ):  # fmt: skip
        yield Estimand(
            f"declared_{quantity}", f"{what}, declared", unit, f"{what} that a task declares", "findings.declared"
        )
        yield Estimand(
            f"proposed_{quantity}", f"{what}, proposed", unit,
            f"{what} that a task should declare by what its trials used", "findings.proposal",
        )  # fmt: skip
    for peak, label in (("anon", "anon + shmem"), ("peak", "with page cache")):
        yield Estimand(
            f"kill_curve_{peak}", f"kill curve, {label}", "fraction",
            f"share of trials that a multiple of the memory spec would have killed, by peaks {label}: an estimate",
            "findings.killcurve", label,
        )  # fmt: skip
    yield Estimand(
        "kills_measured", "OOM kills at the band's limit", "fraction",
        "share of a band's trials with an OOM kill, at its multiple of the memory spec", "findings.killcurve",
        "measured",
    )  # fmt: skip


def _probes() -> Iterator[Estimand]:
    for name, label, unit, definition in (
        (
            "probe_memory_held", "just under the memory limit: lived", "fraction",
            "share of probes whose allocation just under the memory limit lived",
        ),
        (
            "probe_uncapped_held", "1.25 times the largest finite limit: lived", "fraction",
            "share of uncapped probes that held 1.25 times the largest finite memory limit of a probe",
        ),
        (
            "probe_memory_killed", "just past the memory limit: killed by it", "fraction",
            "share of probes whose allocation just past the memory limit was killed by that very limit",
        ),
        (
            "probe_kill_seconds", "seconds to the kill, median", "seconds",
            "seconds from the start of such an allocation to its kill",
        ),
        (
            "probe_cpu_of_limit", "cpu of a busy loop against the limit, median", "fraction",
            "cpu that a busy loop got, over its wall time, as a share of the cpu limit",
        ),
    ):  # fmt: skip
        yield Estimand(name, label, unit, definition, "findings.probes")


ESTIMANDS: Mapping[str, Estimand] = {
    e.name: e
    for part in (_arms, _tests, _parts, _temporal, _resources, _mechanism, _calibration, _probes)
    for e in part()
}
"""All estimands by name."""


def estimand(name: str) -> Estimand:
    """The estimand of this name; ValueError for one that is not registered."""
    try:
        return ESTIMANDS[name]
    except KeyError:
        raise ValueError(f"{name} is not a registered estimand: add it to raysweep/stats/estimand.py") from None
