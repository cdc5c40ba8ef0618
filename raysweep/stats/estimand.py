"""The estimands of a trial: their definitions, and the only place that says what y and q of a row are.

y is the reward of a scored trial; a resource cause, an agent's error and a model API that failed to the end count 0;
a verifier's error, a cancellation, exhausted platform retries and an OOM of unknown origin are missing (nan, null).
q is 1 where a trial with a y ended in a resource cause and 0 on the other trials with a y, so that p = (1 - q) c holds
exactly; platform deaths are told by infra_rate, which runs over all attempts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raysweep.stats.arrays import Floats, Ints
from raysweep.stats.columns import coded, flags, numbers
from raysweep.vocabulary import CauseClass, Outcome

ESTIMANDS = {
    "success": "mean reward per trial, equal weight per task; infrastructure death at the swept limit counts as 0",
    "q_trial": "share of trials whose final attempt ended in infrastructure of the arm's own making",
    "success_given_clean": "mean reward among the trials that infrastructure did not end (descriptive: it selects)",
    "infra_rate_resource": "share of all attempts that ended in a resource cause (the arm's)",
    "infra_rate_platform": "share of all attempts that ended in a platform cause (node, image, API server)",
    "success_platform_zero": "success with trials counted 0 whose first attempt ended in a platform cause",
    "p_success": "evidence against no success contrast in any task (p)",
    "p_infra_rate_resource": "evidence against equal odds of a resource cause within tasks (p)",
    "p_trend_success": "evidence against no monotone change of success over the ordered limits (p)",
    "p_trend_q_trial": "evidence against no monotone change of infrastructure deaths over the ordered limits (p)",
    "rescued": "part of a success contrast that trials saved from infrastructure can make: bounds, no interval",
    "other_successes": "part of a success contrast beyond saved trials: bounds, no interval",
    "decomposition_infra": "Kitagawa's part of a success contrast from infrastructure deaths: accounting, not cause",
    "decomposition_clean": "Kitagawa's part from success among the trials that infrastructure did not end",
    "change_point": "limit at which most trials fail without infrastructure: from there on success can rise",
    "time_of_day": "spread of the buckets' success around their mean (RMS, task-adjusted), dates resampled",
    "time_of_day_range": "largest minus smallest success of a bucket (biased upward by noise)",
    "time_of_day_p": "evidence against equal buckets (p)",
    "time_of_day_by_model": "the same as time_of_day for one model",
    "band_by_bucket": "spread of the contrasts of bands between buckets (RMS)",
    "occasion_sd": "spread of success between occasions beyond bucket, date and repeats",
    "date_sd": "spread of success between dates",
    "repeat_sd": "spread of the success of one pass over the tasks that repeating alone makes",
    "band_effect": "largest success contrast between bands, in size",
    "var_bucket": "signed variance behind time_of_day",
    "var_occasion": "signed variance behind occasion_sd",
    "var_date": "signed variance behind date_sd",
    "daily_amplitude": "amplitude of the best daily cosine of success, corrected for the width of the buckets",
    "weekly_amplitude": "amplitude of the best weekly cosine of success",
    "daily_by_weekly": "spread of success that the daily rhythm has on some weekdays more than on others",
    "peak_hour": "hour at which the daily cosine of success is highest",
    "peak_weekday": "day at which the weekly cosine of success is highest",
    "periodogram": "power of each period in success between occasions (Lomb-Scargle, task-adjusted)",
    "rhythm_period": "period that explains most of the variance of success between occasions",
    "rhythm_share": "share of the variance between occasions that daily and weekly rhythms explain",
    "api_429": "answers 429 of the model's API per attempt",
    "model_api_rate": "share of attempts that the model's API ended",
    "elsewhere_rate": "share of attempts that started in another window than planned, or in none",
    "cotenancy": "other attempts at work on the same node when the agent started",
    "success_missing_bounds": "success with every missing trial of a started block counted 0 (low) and 1 (high)",
    "missing": "share of the trials of started blocks that have no result, by reason",
    "composition": "share of trials per outcome, by cause where infrastructure ended them",
    "mem_anon_peak": "largest sampled anonymous and shared memory of the agent phase: misses spikes, a lower bound",
    "mem_peak": "the kernel's high-water mark of the agent phase: page cache included, an upper bound",
    "mem_anon_peak_of_spec": "mem_anon_peak as a share of the memory that the task states",
    "mem_peak_of_spec": "mem_peak as a share of the memory that the task states",
    "cpu_peak_1s": "largest mean use of the processor over one second of the agent phase",
    "cpu_peak_10s": "largest mean use of the processor over ten seconds of the agent phase",
    "cpu_peak_1s_of_spec": "cpu_peak_1s as a share of the processors that the task states",
    "cpu_peak_10s_of_spec": "cpu_peak_10s as a share of the processors that the task states",
    "throttled_share": "share of trials that the processor quota throttled at all",
    "throttled_seconds": "time for which the processor quota throttled the agent phase",
    "timed_out_share": "share of trials that ran into the agent's time limit (scored by the verifier all the same)",
    "oom_kills_share": "share of trials in which some process was killed for memory, fatal or not",
    "queue_seconds": "from dispatch to the creation of the sandbox",
    "setup_seconds": "from the creation of the sandbox to the agent's start",
    "agent_seconds": "from the agent's start to its end",
    "verifier_seconds": "from the agent's end to the verifier's end",
    "tokens_in": "model tokens read by a trial",
    "tokens_out": "model tokens written by a trial",
    "tokens_cached": "model tokens of a trial that came from a cache",
    "cost_usd": "money that a trial spent on the model",
    "api_p50_ms": "median latency of a trial's model calls",
    "api_p95_ms": "95th percentile of the latency of a trial's model calls",
    "api_429_share": "share of trials with a model call answered 429",
    "probe_memory_held": "share of probes whose allocation just under the memory limit lived",
    "probe_uncapped_held": "share of uncapped probes that held 1.25 times the largest finite memory limit of a probe",
    "probe_memory_killed": "share of probes whose allocation just past the memory limit was killed by that very limit",
    "probe_kill_seconds": "seconds from the start of such an allocation to its kill",
    "probe_cpu_of_limit": "cpu that a busy loop got, over its wall time, as a share of the cpu limit",
}
"""What each named number is; contrasts of one are arm minus reference, within task, tasks with equal weight."""

ZERO_OUTCOMES = (Outcome.AGENT_ERROR, Outcome.MODEL_API)
SCORED = ("pass", "partial", "fail", "no reward")
"""What a scored trial is called by its reward: at least 1, between, at most 0, not a number."""


@dataclass(frozen=True, slots=True)
class Endings:
    """How n attempts ended.

    y: (n,) rewards by the rules above, nan = missing. others: rows that are not scored, ascending; resource, platform:
    rows that ended in such a cause, ascending.
    """

    y: Floats
    others: Ints
    resource: Ints
    platform: Ints

    @property
    def q(self) -> Floats:
        """(n,) 1 where a resource cause ended the attempt, 0 where it has another y, nan where it has none."""
        q = np.where(np.isfinite(self.y), 0.0, np.nan)
        q[self.resource] = 1.0
        return q


def endings(table: pa.Table) -> Endings:
    """The endings of all rows; what is not scored is looked at apart, because most rows are."""
    y = numbers(table["reward"])
    y = y if y.flags.writeable else y.copy()
    if np.isinf(y).any():
        y[np.isinf(y)] = np.nan
    others = np.flatnonzero(~flags(pc.equal(table["outcome"], Outcome.SCORED)))
    y[others] = np.nan
    rest = table.select(["outcome", "cause_class"]).take(pa.array(others))
    resource, platform = flags(is_resource(rest)), flags(is_platform(rest))
    zero = flags(pc.is_in(rest["outcome"], value_set=pa.array(ZERO_OUTCOMES)))
    y[others[resource | zero]] = 0.0
    return Endings(y, others, others[resource], others[platform])


def outcomes(table: pa.Table) -> tuple[Ints, tuple[str, ...]]:
    """What each row ended as: codes (n,) into the names pass, partial, fail, "no reward", then causes and outcomes."""
    end = endings(table)
    code = np.full(len(end.y), 3, dtype=np.int64)
    for number, mask in enumerate((end.y >= 1.0, (end.y > 0.0) & (end.y < 1.0), end.y <= 0.0)):
        code[mask] = number
    rest = table.select(["outcome", "cause"]).take(pa.array(end.others))
    cause = pc.fill_null(rest["cause"], fill_value="infra")
    infra = pc.fill_null(pc.equal(rest["outcome"], Outcome.INFRA), fill_value=False)
    codes, names = coded(pc.if_else(infra, cause, pc.fill_null(rest["outcome"], fill_value="unknown")))
    code[end.others] = codes + len(SCORED)
    return code, (*SCORED, *names.to_pylist())


def is_resource(table: pa.Table) -> pa.ChunkedArray:
    """True where an attempt ended in a resource cause (by cause_class: `oom_node` can be either)."""
    return _ended_in(table, CauseClass.RESOURCE)


def is_platform(table: pa.Table) -> pa.ChunkedArray:
    """True where an attempt ended in a platform cause."""
    return _ended_in(table, CauseClass.PLATFORM)


def _ended_in(table: pa.Table, cause_class: CauseClass) -> pa.ChunkedArray:
    both = pc.and_kleene(pc.equal(table["outcome"], Outcome.INFRA), pc.equal(table["cause_class"], cause_class))
    return pc.fill_null(both, fill_value=False)


def y_of(table: pa.Table) -> pa.Array:
    """Reward y per row (double, null = missing) by the rules in the module's docstring."""
    return pa.array(endings(table).y, from_pandas=True)
