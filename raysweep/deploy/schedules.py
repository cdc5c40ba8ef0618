"""What begins a study's windows: CronJobs that submit or run, RayCronJobs. Pure."""

from __future__ import annotations

from raysweep.config.buckets import DAY, Buckets, Window
from raysweep.config.cluster import Cluster
from raysweep.config.model import Runner
from raysweep.deploy.names import WINDOW, Json, labels, window_name
from raysweep.deploy.pods import only_pod, submitter_pod
from raysweep.deploy.rays import API, entrypoint, ray_job_spec

DRAIN_S = 900.0
"""Longest time for which a driver finishes blocks that were begun in the window (schedule.queue)."""
START_S = 900.0
"""A cluster that needs nodes first may take this long to be there."""
UNTIL = "--until-window-end"
EVERY_MINUTE = "* * * * *"
BAD_ENDS = [2, 4]
"""Exit codes that another start does not mend: bad input or a living driver, an unsuitable cluster."""


def cron(buckets: Buckets, window: Window) -> str:
    """When the window opens, as cron writes it, in the buckets' zone; cycles begin when they begin: every minute."""
    if buckets.period < DAY:
        return EVERY_MINUTE
    minute, hour = int(window.start) // 60 % 60, int(window.start) // 3600
    days = (
        "*" if len(buckets.weekdays) == 7 else ",".join(str(d) for d in sorted((d + 1) % 7 for d in buckets.weekdays))
    )
    return f"{minute} {hour} * * {days}"


def window_deadline(window: Window) -> float:
    """Seconds after which a window's job is ended from outside: it should have ended by itself long before."""
    return START_S + window.length + min(window.length, DRAIN_S)


def cron_jobs(cluster: Cluster, buckets: Buckets, study: str) -> list[Json]:
    """One CronJob for each window; without an operator and with cycles one for all, as cycles have no clock time."""
    if cluster.operator == "none" and buckets.period < DAY:
        longest = max(buckets.windows, key=lambda w: w.length)
        return [_cron_job(cluster, buckets, study, study, longest, _running(cluster, study, longest))]
    return [
        _cron_job(
            cluster,
            buckets,
            study,
            window_name(study, window.name),
            window,
            _running(cluster, study, window) if cluster.operator == "none" else _submitting(cluster, study, window),
            **{WINDOW: window.name},
        )
        for window in buckets.windows
    ]


def _cron_job(
    cluster: Cluster, buckets: Buckets, study: str, name: str, window: Window, job: Json, **more: str
) -> Json:
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": name, "namespace": cluster.namespace, "labels": labels(study, **more)},
        "spec": {
            "schedule": cron(buckets, window),
            **({} if buckets.period < DAY else {"timeZone": buckets.timezone}),
            "suspend": False,  # once the study is finished its submitter suspends it
            # A window that overran holds the next one up, and a start that was missed is made up while it is open.
            "concurrencyPolicy": "Forbid",
            "startingDeadlineSeconds": max(60, int(window.length)),
            "successfulJobsHistoryLimit": 3,
            "failedJobsHistoryLimit": 3,
            "jobTemplate": {"metadata": {"labels": labels(study, **more)}, "spec": job},
        },
    }


def _submitting(cluster: Cluster, study: str, window: Window) -> Json:
    """A job that creates the window's RayJob; while one of another window is unfinished it comes again, later."""
    return {
        "backoffLimit": 10,
        "activeDeadlineSeconds": int(window.length),
        "ttlSecondsAfterFinished": int(cluster.ttl),
        "podFailurePolicy": failure_policy("submitter"),
        "template": submitter_pod(cluster, study, window.name),
    }


def _running(cluster: Cluster, study: str, window: Window) -> Json:
    return job_spec(cluster, study, (UNTIL,), window_deadline(window))


def job_spec(cluster: Cluster, study: str, arguments: tuple[str, ...], deadline: float | None) -> Json:
    """Spec of a Job whose one pod runs the sweep."""
    spec: Json = {
        "backoffLimit": cluster.retries,
        "ttlSecondsAfterFinished": int(cluster.ttl),
        "podFailurePolicy": failure_policy("driver"),
        "template": only_pod(cluster, study, arguments),
    }
    if deadline is not None:
        spec["activeDeadlineSeconds"] = int(deadline)
    return spec


def failure_policy(container: str) -> Json:
    """Ends that are not tried again, and pods lost to a drain or preemption, which do not count."""
    return {
        "rules": [
            {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
            {
                "action": "FailJob",
                "onExitCodes": {"containerName": container, "operator": "In", "values": BAD_ENDS},
            },
        ]
    }


def job(cluster: Cluster, study: str, name: str, spec: Json, **more: str) -> Json:
    """A Job of that spec."""
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": cluster.namespace, "labels": labels(study, **more)},
        "spec": spec,
    }


def ray_cron_jobs(cluster: Cluster, runner: Runner, buckets: Buckets, study: str) -> list[Json]:
    """The alpha alternative: KubeRay creates the RayJobs itself; only the ledger's lock keeps two windows apart."""
    return [
        {
            "apiVersion": API,
            "kind": "RayCronJob",
            "metadata": {
                "name": window_name(study, window.name),
                "namespace": cluster.namespace,
                "labels": labels(study, **{WINDOW: window.name}),
            },
            "spec": {
                "schedule": cron(buckets, window),
                "timeZone": buckets.timezone,
                "jobTemplate": ray_job_spec(cluster, runner, study, entrypoint(UNTIL), window_deadline(window)),
            },
        }
        for window in buckets.windows
    ]
