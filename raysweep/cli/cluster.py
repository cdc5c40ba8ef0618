"""`raysweep cluster`: the sweep's manifests, printed or applied; its jobs; and what its pods run."""

from __future__ import annotations

import datetime as dt
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from raysweep.cli.options import LogForm, MetricsPort
from raysweep.errors import ExitCode, RaysweepError, UnsuitableError, bad_input

if TYPE_CHECKING:
    from raysweep.config import Sweep
    from raysweep.deploy.client import Cluster
    from raysweep.deploy.names import Json
    from raysweep.deploy.render import Form

app = typer.Typer(no_args_is_help=True, help="Run a sweep on Kubernetes, as its `cluster` section says.")

Config = Annotated[Path, typer.Argument(metavar="CONFIG", help="the sweep's YAML file, with a `cluster` section")]
Context = Annotated[str | None, typer.Option("--context", help="context of the kubeconfig; default the current one")]
FormName = Annotated[
    str | None,
    typer.Option("--form", metavar="FORM", help="schedule, job, raycronjobs or raycluster; default by the buckets"),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="the API server checks everything and stores nothing")]
OWNED = ("CronJob", "RayCronJob", "RayJob", "Job", "RayCluster", "ConfigMap")
"""Kinds that may belong to a study, in the order in which they are deleted: what makes others first."""
SUBMITTER = "ray-job-submitter"
"""Container of the head in which KubeRay shows the driver's output."""


@app.command()
def render(config: Config, form: FormName = None) -> None:
    """Print the manifests, for a look or for a repository that deploys them."""
    from raysweep.deploy.render import as_yaml
    from raysweep.deploy.render import render as manifests

    sys.stdout.write(as_yaml(manifests(_sweep(config), _form(form))))


@app.command()
def prepull(config: Config) -> None:
    """Print a DaemonSet that pulls the sweep's images to every sandbox node: `... | kubectl apply -f -`, then wait."""
    from raysweep.deploy.prepull import prepull as daemon_set
    from raysweep.deploy.render import as_yaml
    from raysweep.study.images import Images, resolve_images
    from raysweep.study.load import load_study

    study = load_study(config)
    images = Images(resolve_images(study))
    names = sorted({name for task in study.tasks if (name := images.of(task)) is not None})
    sys.stdout.write(as_yaml([daemon_set(study.sweep, names)]))


@app.command()
def apply(config: Config, form: FormName = None, context: Context = None, dry_run: DryRun = False) -> None:
    """Apply the manifests (server-side): from then on the cluster begins every window by itself."""
    from raysweep.cli.output import say
    from raysweep.deploy.render import render as manifests

    sweep = _sweep(config)
    made = manifests(sweep, _form(form))
    with _connected(sweep, context, [m["kind"] for m in made]) as cluster:
        for manifest in made:
            cluster.apply(manifest, dry_run=dry_run)
            say(f"{manifest['kind']} {manifest['metadata']['name']} {'would be ' if dry_run else ''}applied")


@app.command()
def submit(
    config: Config,
    window: Annotated[
        str | None, typer.Option("--window", help="only while this window is open, once for its date (for CronJobs)")
    ] = None,
    context: Context = None,
    dry_run: DryRun = False,
) -> None:
    """Begin the sweep, or go on with it: a new job on the same run directory. One unfinished job at a time."""
    sweep = _checked(config)
    raise typer.Exit(_submit_window(sweep, window, context) if window else _submit(sweep, context, dry_run=dry_run))


def _checked(config: Path) -> Sweep:
    """The sweep, after all that `raysweep check` looks at: a job that would end with 2 is not made.

    Tasks in a folder that only the image has cannot be looked at here; the driver does.
    """
    from raysweep.cli.output import tell
    from raysweep.study.load import load_study

    sweep = _sweep(config)
    source = sweep.tasks.source
    if Path(source).is_absolute() and not Path(source).is_dir():
        tell(f"{source} is not here: its tasks are checked in the cluster, by the driver")
        return sweep
    return load_study(config).sweep


def _submit(sweep: Sweep, context: str | None, *, dry_run: bool) -> int:
    from raysweep.cli.output import say
    from raysweep.deploy.names import job_name, study_name
    from raysweep.deploy.render import config_map, submission

    study = study_name(sweep.name)
    job = submission(sweep, job_name(study, dt.datetime.now(dt.UTC)))
    with _connected(sweep, context, [job["kind"]]) as cluster:
        going = unfinished(cluster, study)
        if going:
            raise bad_input(
                f"{' and '.join(going)} is not finished",
                "wait for it (`raysweep cluster status`, `logs`), or `raysweep cluster delete` it",
                file=str(sweep.source_path),
            )
        cluster.apply(config_map(sweep), dry_run=dry_run)
        cluster.create(job, dry_run=dry_run)
    say(f"{job['kind']} {job['metadata']['name']} {'would be ' if dry_run else ''}submitted")
    return ExitCode.OK


def _submit_window(sweep: Sweep, window: str, context: str | None) -> int:
    """0: the window's job is there, or the study is finished. 3: not now; the CronJob's pod comes again."""
    from raysweep.apiserver import ApiError
    from raysweep.cli.output import say, tell
    from raysweep.config.fault import nearest
    from raysweep.deploy.ending import suspend_schedules
    from raysweep.deploy.names import WINDOW, open_date, study_name, window_job_name
    from raysweep.deploy.render import submission
    from raysweep.deploy.schedules import UNTIL, window_deadline

    found = next((w for w in sweep.windows if w.name == window), None)
    if found is None or sweep.buckets is None:
        raise bad_input(
            f"there is no window `{window}`", nearest(window, [w.name for w in sweep.windows]), key="window"
        )
    date = open_date(sweep.buckets, found, dt.datetime.now(dt.UTC))
    if date is None:
        tell(f"the window {window} is not open now: nothing is submitted")
        return ExitCode.INCOMPLETE
    study = study_name(sweep.name)
    if _finished(sweep):
        with _connected(sweep, context, ["CronJob"]) as cluster:
            suspended = suspend_schedules(cluster, study)
        say(f"the study is finished: {' and '.join(suspended) or 'no further schedule'} suspended")
        return ExitCode.OK
    name = window_job_name(study, window, date)
    job = submission(sweep, name, (UNTIL,), window_deadline(found), **{WINDOW: window})
    with _connected(sweep, context, [job["kind"]]) as cluster:
        going = [other for other in unfinished(cluster, study) if other != name]
        if going:
            tell(f"{' and '.join(going)} is not finished: {name} is not submitted yet")
            return ExitCode.INCOMPLETE
        try:
            cluster.create(job)
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise
            say(f"{name} is there already")
            return ExitCode.OK
    say(f"{job['kind']} {name} submitted")
    return ExitCode.OK


def _finished(sweep: Sweep) -> bool:
    """Whether all trials are done, or the registered rule ended the sweep, as far as the run directory can be read."""
    from raysweep.cli.output import tell
    from raysweep.deploy.render import cluster_of
    from raysweep.record.place import run_path, store_at
    from raysweep.record.stopped import read_stop
    from raysweep.study.status import read_status

    place = run_path(cluster_of(sweep).run_dir)
    try:
        if not store_at(place).exists("run.json"):
            return False
        return read_stop(store_at(place)) is not None or read_status(place).complete
    except RaysweepError as error:
        tell(f"whether the study is finished cannot be read here, so the window is submitted: {error}")
        return False


@app.command(hidden=True)
def run(
    config: Config,
    until_window_end: Annotated[bool, typer.Option("--until-window-end", help="as of `raysweep run`")] = False,
    metrics_port: MetricsPort = None,
    logs: LogForm = "plain",
) -> None:
    """What pods run: `raysweep run` on the cluster's run directory.

    A run that ended by itself with more to do (3) is a success to whoever starts pods again: another start would not
    do better. What is missing the ledger says.
    """
    from raysweep.cli.run import run_command
    from raysweep.deploy.render import cluster_of
    from raysweep.record.place import run_path

    sweep = _sweep(config)
    place = run_path(cluster_of(sweep).run_dir)
    try:
        code = run_command(
            config,
            place,
            None,
            as_json=False,
            until_window_end=until_window_end,
            metrics_port=metrics_port,
            logs=logs,
        )
    except RaysweepError as error:
        _not_again(sweep, error.exit_code)
        raise
    raise typer.Exit(ExitCode.OK if code == ExitCode.INCOMPLETE else code)


def _not_again(sweep: Sweep, code: int) -> None:
    """Keep KubeRay from retrying a driver whose end another start does not mend; a Job knows that by its policy."""
    from raysweep.apiserver import ApiError
    from raysweep.cli.output import tell
    from raysweep.deploy.client import Cluster
    from raysweep.deploy.ending import CLUSTER_NAME, end_retries
    from raysweep.deploy.render import cluster_of
    from raysweep.deploy.schedules import BAD_ENDS

    if code not in BAD_ENDS or CLUSTER_NAME not in os.environ:
        return
    try:
        with Cluster(cluster_of(sweep).namespace) as cluster:
            job = end_retries(cluster, os.environ)
    except (ApiError, UnsuitableError) as error:  # what the driver ended with is what counts
        tell(f"the RayJob may be retried, which does not help: {error}")
    else:
        tell(f"{job or 'the RayCluster'} is not retried: another start would end the same way")


@app.command()
def status(config: Config, as_json: Annotated[bool, typer.Option("--json", help="JSON")] = False) -> None:
    """Say how far the run is, from its ledger in the bucket."""
    from raysweep.cli.status import status_command
    from raysweep.deploy.render import cluster_of
    from raysweep.record.place import run_path

    status_command(run_path(cluster_of(_sweep(config)).run_dir), as_json=as_json)


@app.command()
def logs(
    config: Config,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="until the driver ends")] = False,
    context: Context = None,
) -> None:
    """Print what the newest driver of the study printed, or what is known of it when its pods are gone."""
    from raysweep.deploy.names import ROLE, STUDY, study_name
    from raysweep.deploy.render import cluster_of

    sweep = _sweep(config)
    role = "head" if cluster_of(sweep).operator == "kuberay" else "runner"
    study = study_name(sweep.name)
    with _connected(sweep, context, ["Pod"]) as cluster:
        pods = cluster.find("Pod", f"{STUDY}={study},{ROLE}={role}")
        if not pods:
            _last_words(cluster, study)
            return
        names = [c["name"] for c in pods[-1]["spec"]["containers"]]
        container = SUBMITTER if SUBMITTER in names else names[0]
        for piece in cluster.log(pods[-1]["metadata"]["name"], container, follow=follow):
            sys.stdout.buffer.write(piece)
            sys.stdout.buffer.flush()


def _last_words(cluster: Cluster, study: str) -> None:
    """What KubeRay kept of the newest job whose pods are gone: the end of its output, or why it was ended."""
    from raysweep.cli.output import say, tell
    from raysweep.deploy.names import STUDY

    jobs = cluster.find("RayJob", f"{STUDY}={study}")
    status = jobs[-1].get("status", {}) if jobs else {}
    if not status.get("message"):
        raise bad_input(f"no driver of {study} is in the cluster", "begin one: `raysweep cluster submit`")
    tell(f"the pods of {jobs[-1]['metadata']['name']} are gone; what KubeRay kept:")
    say(" ".join(filter(None, (status.get("jobDeploymentStatus"), status.get("reason")))) + f": {status['message']}")


@app.command()
def delete(config: Config, context: Context = None) -> None:
    """Take the study's objects out of the cluster: schedules, jobs, clusters. The run directory stays."""
    from raysweep.cli.output import say
    from raysweep.deploy.names import STUDY, study_name

    sweep = _sweep(config)
    with _connected(sweep, context, OWNED) as cluster:
        for kind in OWNED:
            for item in cluster.find(kind, f"{STUDY}={study_name(sweep.name)}"):
                cluster.delete(kind, item["metadata"]["name"])
                say(f"{kind} {item['metadata']['name']} deleted")


def unfinished(cluster: Cluster, study: str) -> list[str]:
    """Names of the study's jobs that have not ended; those that only create others do not count."""
    from raysweep.deploy.names import STUDY

    selector = f"{STUDY}={study}"
    rays = [job for job in cluster.find("RayJob", selector) if not _ray_job_ended(job)]
    jobs = [job for job in cluster.find("Job", selector) if not _job_ended(job) and not _submits(job)]
    return [job["metadata"]["name"] for job in (*rays, *jobs)]


def _ray_job_ended(job: Json) -> bool:
    return job.get("status", {}).get("jobDeploymentStatus") in {"Complete", "Failed", "ValidationFailed"}


def _job_ended(job: Json) -> bool:
    conditions = job.get("status", {}).get("conditions", [])
    return any(c["type"] in {"Complete", "Failed"} and c["status"] == "True" for c in conditions)


def _submits(job: Json) -> bool:
    from raysweep.deploy.names import ROLE

    told: dict[str, Any] = job["spec"]["template"]["metadata"].get("labels", {})
    return told.get(ROLE) == "submitter"


def _sweep(path: Path) -> Sweep:
    from raysweep.config import load
    from raysweep.deploy.render import cluster_of

    sweep = load(path)
    cluster_of(sweep)
    return sweep


def _form(text: str | None) -> Form | None:
    from raysweep.config.fault import nearest
    from raysweep.deploy.render import FORMS

    found = next((form for form in FORMS if form == text), None)
    if text is not None and found is None:
        raise bad_input("is not a form", nearest(text, FORMS), key="--form", value=text)
    return found


@contextmanager
def _connected(sweep: Sweep, context: str | None, kinds: list[str] | tuple[str, ...]) -> Iterator[Cluster]:
    """The cluster of the kubeconfig; what it refuses is told with its remedy."""
    from raysweep.apiserver import ApiError
    from raysweep.deploy.client import Cluster, explained
    from raysweep.deploy.render import cluster_of

    with Cluster(cluster_of(sweep).namespace, context) as cluster:
        try:
            yield cluster
        except ApiError as error:
            raise explained(error, kinds) from error
