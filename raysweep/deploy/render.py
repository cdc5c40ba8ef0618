"""From a sweep to all of its manifests. Pure: the same sweep gives the same text."""

from __future__ import annotations

from typing import Literal, get_args

import yaml

from raysweep.config.buckets import DAY, Buckets
from raysweep.config.cluster import Cluster
from raysweep.config.model import Sweep
from raysweep.deploy.names import Json, labels, study_name
from raysweep.deploy.rays import entrypoint, ray_cluster, ray_job, ray_job_spec
from raysweep.deploy.schedules import cron_jobs, job, job_spec, ray_cron_jobs
from raysweep.errors import bad_input

Form = Literal["schedule", "job", "raycronjobs", "raycluster"]
"""schedule: CronJobs of the windows. job: one RayJob (Job). raycronjobs: KubeRay's alpha. raycluster: no job."""
FORMS: tuple[Form, ...] = get_args(Form)

MAX_TEXT = 1_000_000
"""Bytes of a sweep that fit a ConfigMap."""


def cluster_of(sweep: Sweep) -> Cluster:
    """The sweep's cluster section; InputError where it has none."""
    if sweep.cluster is None:
        raise bad_input(
            "the sweep does not say how it runs on a cluster",
            "add `cluster: {image: ..., run_dir: ...}` (docs/config.md)",
            file=str(sweep.source_path) if sweep.source_path else None,
            key="cluster",
        )
    return sweep.cluster


def default_form(sweep: Sweep) -> Form:
    """`schedule` where windows can be scheduled: by the clock, or (without an operator) as cycles."""
    cluster = cluster_of(sweep)
    timed = sweep.buckets is not None and (sweep.buckets.period >= DAY or cluster.operator == "none")
    return "schedule" if timed else "job"


def render(sweep: Sweep, form: Form | None = None, name: str | None = None) -> list[Json]:
    """The ConfigMap with the sweep, and what runs it in that form. name: of the job, else the study's.

    InputError for a form that the sweep cannot have.
    """
    cluster, study = cluster_of(sweep), study_name(sweep.name)
    form = form or default_form(sweep)
    config = config_map(sweep)
    if form == "job":
        return [config, submission(sweep, name or study)]
    if cluster.operator == "none" and form != "schedule":
        raise _unfit(sweep, f"`{form}` needs an operator", "take `job` or `schedule`, or `operator: kuberay`")
    if form == "raycluster":
        return [config, ray_cluster(cluster, sweep.runner, study)]
    buckets = _timed(sweep, cluster)
    if form == "schedule":
        return [config, *cron_jobs(cluster, buckets, study)]
    return [config, *ray_cron_jobs(cluster, sweep.runner, buckets, study)]


def _timed(sweep: Sweep, cluster: Cluster) -> Buckets:
    if sweep.buckets is None:
        raise _unfit(sweep, "a sweep without `buckets` has no schedule", "take `job`")
    if sweep.buckets.period < DAY and cluster.operator != "none":
        remedy = "take `job`: one driver waits for the windows; or use `period: 24h`, or `operator: none`"
        raise _unfit(sweep, "cycles begin when the run begins, at no time of the clock", remedy)
    return sweep.buckets


def _unfit(sweep: Sweep, message: str, remedy: str) -> Exception:
    return bad_input(message, remedy, file=str(sweep.source_path) if sweep.source_path else None, key="cluster")


def config_map(sweep: Sweep) -> Json:
    """The sweep's file as it was given; InputError where it is too long."""
    cluster, study, text = cluster_of(sweep), study_name(sweep.name), sweep.source_text
    if len(text.encode()) > MAX_TEXT:
        raise _unfit(sweep, "the file is too long for a ConfigMap (1 MiB)", "shorten it")
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": study, "namespace": cluster.namespace, "labels": labels(study)},
        "data": {"sweep.yaml": text},
    }


def submission(
    sweep: Sweep, name: str, arguments: tuple[str, ...] = (), deadline: float | None = None, **more: str
) -> Json:
    """The RayJob (or Job) of that name; `more`: further labels."""
    cluster, study = cluster_of(sweep), study_name(sweep.name)
    until = deadline if deadline is not None else cluster.deadline
    if cluster.operator == "none":
        return job(cluster, study, name, job_spec(cluster, study, arguments, until), **more)
    spec = ray_job_spec(cluster, sweep.runner, study, entrypoint(*arguments), until)
    return ray_job(cluster, study, name, spec, **more)


class _Dumper(yaml.SafeDumper):
    """Texts of several lines stay readable; nothing is an alias."""

    def ignore_aliases(self, _: object) -> bool:
        return True


_Dumper.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, "|" if "\n" in text else None),
)


def as_yaml(manifests: list[Json]) -> str:
    """All of them as one YAML stream."""
    return yaml.dump_all(manifests, Dumper=_Dumper, sort_keys=False, width=120, explicit_start=True)
