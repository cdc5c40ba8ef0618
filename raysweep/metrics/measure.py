"""The list of metrics, and what one attempt adds to them. Pure: names, labels and numbers, no library, no clock."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
"""Upper bounds of the histograms of waits, seconds: from a local sandbox to a node that an autoscaler adds."""
LONG = (1, 5, 15, 60, 180, 600, 1800, 3600, 10800)
"""The same for agent phases."""
API_ERRORS = "api_errors"
"""Node fact of an attempt: failed calls of its runner since the runner's last attempt, as `429=2 none=1`."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. name: as Prometheus has it (counters end in _total). doc: meaning and unit."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    doc: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Sample:
    """A value for a metric: to be added to a counter, set as a gauge, or observed by a histogram."""

    name: str
    value: float
    labels: tuple[str, ...] = ()


METRICS: tuple[Metric, ...] = (
    Metric("raysweep_trials_planned", "gauge", "trials of the plan"),
    Metric("raysweep_trials_done", "gauge", "trials whose final attempt is an outcome, those before this driver too"),
    Metric("raysweep_attempts_in_flight", "gauge", "attempts launched and not ended"),
    Metric(
        "raysweep_trials_waiting_to_retry", "gauge", "trials that wait for another attempt after a platform failure"
    ),
    Metric("raysweep_window_opens_timestamp_seconds", "gauge", "when the awaited window opens; 0: none is awaited"),
    Metric(
        "raysweep_attempts_total",
        "counter",
        "attempts that ended; cause and class (resource, platform, unknown) are empty unless the outcome is infra",
        ("model", "band", "outcome", "cause", "class"),
    ),
    Metric("raysweep_oom_kills_total", "counter", "processes killed by any OOM killer", ("band", "phase")),
    Metric("raysweep_agent_timeouts_total", "counter", "agents that ran into their time limit", ("model", "band")),
    Metric("raysweep_queue_wait_seconds", "histogram", "from dispatch until a runner began the attempt", (), SECONDS),
    Metric(
        "raysweep_sandbox_start_seconds",
        "histogram",
        "from asking for the sandbox until it was ready; pulled: whether an image was pulled for it (yes, no, unknown)",
        ("pulled",),
        SECONDS,
    ),
    Metric("raysweep_agent_seconds", "histogram", "length of the agent phase", ("model", "band"), LONG),
    Metric("raysweep_transport_down_seconds_total", "counter", "seconds in which a runner could not reach a sandbox"),
    Metric("raysweep_model_api_throttled_total", "counter", "model calls answered 429", ("model",)),
    Metric(
        "raysweep_api_errors_total",
        "counter",
        "calls of runners to the Kubernetes API that failed; status: HTTP status, or none where no answer came",
        ("status",),
    ),
)
"""Every metric of a driver. What runners see travels to it in the rows of their attempts."""


def attempt_samples(row: Mapping[str, Any]) -> Iterator[Sample]:
    """What one row of the ledger adds (times in seconds since the epoch); a value that is unknown adds nothing."""
    model, band = str(row["model"]), str(row["band"])
    verdict = (str(row["outcome"]), row.get("cause") or "", row.get("cause_class") or "")
    yield Sample("raysweep_attempts_total", 1, (model, band, *verdict))
    for phase, column in (("agent", "oom_kills"), ("verifier", "verifier_oom_kills")):
        if row.get(column):
            yield Sample("raysweep_oom_kills_total", row[column], (band, phase))
    if row.get("timed_out"):
        yield Sample("raysweep_agent_timeouts_total", 1, (model, band))
    if row.get("transport_down_s"):
        yield Sample("raysweep_transport_down_seconds_total", row["transport_down_s"])
    if row.get("api_429"):
        yield Sample("raysweep_model_api_throttled_total", row["api_429"], (model,))
    for entry in (dict(row.get("node") or ()).get(API_ERRORS) or "").split():
        status, _, count = entry.partition("=")
        yield Sample("raysweep_api_errors_total", float(count), (status,))
    pulled = {True: "yes", False: "no", None: "unknown"}[row.get("image_pulled")]
    for name, begin, end, labels in (
        ("raysweep_queue_wait_seconds", "t_queued", "t_created", ()),
        ("raysweep_sandbox_start_seconds", "t_created", "t_ready", (pulled,)),
        ("raysweep_agent_seconds", "t_agent_start", "t_agent_end", (model, band)),
    ):
        if row.get(begin) is not None and row.get(end) is not None:
            yield Sample(name, max(0.0, row[end] - row[begin]), labels)
