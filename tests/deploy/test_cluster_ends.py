"""What ends with a driver: retries that cannot help, and the schedules of a finished study."""

import asyncio
import json

import pytest

from raysweep.errors import UnsuitableError
from raysweep.record import place as places
from raysweep.record.store import LocalStore
from support.cli_runs import raysweep
from support.kubernetes_fake import serving, status

RAYS = "/apis/ray.io/v1/namespaces/raysweep"
CRONS = "/apis/batch/v1/namespaces/raysweep/cronjobs"
CLUSTER = {"metadata": {"name": "s-1-abcde", "ownerReferences": [{"kind": "RayJob", "name": "s-1"}]}}
SWEEP = """\
name: s
seed: 1
tasks: {source: "synthetic:2"}
models: [{name: m, agent: nop}]
bands: [{name: 1x, request: 1.0, limit: 1.0}]
reference: 1x
repeats: 1
buckets: {windows: {day: "00:00-24:00"}}
sandbox: {kind: simulated}
cluster: {image: "x/y:1", run_dir: "s3://runs/s"}
"""


@pytest.fixture
def sweep(tmp_path, monkeypatch):
    """A sweep whose bucket is a folder."""
    file = tmp_path / "sweep.yaml"
    file.write_text(SWEEP)
    monkeypatch.setattr(places, "run_path", lambda _: tmp_path / "run")
    return file


async def command(tmp_path, monkeypatch, answers, *words, **environment):
    """A command, and what it changed on a cluster that gives these answers by method and path."""

    def answer(request):
        return answers.get((request.method, request.path), (404, status(404, "NotFound"), {}))

    async with serving(answer, tmp_path, monkeypatch) as (fake, _):
        done = await asyncio.to_thread(raysweep, "cluster", *words, **environment)
    return done, [(method, path, body) for method, path, _, body in fake.requests if method != "GET"]


@pytest.mark.parametrize(
    ("code", "remedy"), [(4, "use other nodes"), (2, "give a local path")], ids=["unsuitable", "bad input"]
)
async def test_a_driver_that_another_start_does_not_help_takes_the_retries_from_its_ray_job(
    sweep, tmp_path, monkeypatch, code, remedy
):
    def run(*_, **__):
        if code == 4:
            raise UnsuitableError("no memory limit", remedy)
        raise places.bad_input("not a place", remedy)

    monkeypatch.setattr("raysweep.cli.run.run_command", run)
    patched = ("PATCH", f"{RAYS}/rayjobs/s-1")
    answers = {("GET", f"{RAYS}/rayclusters/s-1-abcde"): (200, CLUSTER, {}), patched: (200, {}, {})}
    done, changed = await command(tmp_path, monkeypatch, answers, "run", sweep, RAY_CLUSTER_NAME="s-1-abcde")
    assert done.returncode == code
    assert "s-1 is not retried" in done.stderr
    assert remedy in done.stderr
    assert changed == [(*patched, {"spec": {"backoffLimit": 0}})]


async def test_an_account_that_may_not_changes_nothing_of_how_the_driver_ends(sweep, tmp_path, monkeypatch):
    def run(*_, **__):
        raise UnsuitableError("no memory limit", "use other nodes")

    monkeypatch.setattr("raysweep.cli.run.run_command", run)
    done, changed = await command(tmp_path, monkeypatch, {}, "run", sweep, RAY_CLUSTER_NAME="s-1-abcde")
    assert (done.returncode, changed) == (4, [])
    assert "the RayJob may be retried" in done.stderr


async def test_a_driver_that_was_lost_or_has_more_to_do_keeps_its_retries(sweep, tmp_path, monkeypatch):
    monkeypatch.setattr("raysweep.cli.run.run_command", lambda *_, **__: 3)
    done, changed = await command(tmp_path, monkeypatch, {}, "run", sweep, RAY_CLUSTER_NAME="s-1-abcde")
    assert (done.returncode, changed) == (0, [])


def crons(*suspended):
    items = [
        {"metadata": {"name": f"s-{n}", "creationTimestamp": f"2026-12-01T00:00:0{n}Z"}, "spec": {"suspend": off}}
        for n, off in enumerate(suspended)
    ]
    return {("GET", CRONS): (200, {"items": items, "metadata": {"resourceVersion": "1"}}, {})}


async def test_a_finished_study_makes_no_job_and_its_schedules_are_suspended(sweep, tmp_path, monkeypatch):
    LocalStore(tmp_path / "run").put_new("stopped.json", json.dumps({"reason": "decided"}).encode())
    LocalStore(tmp_path / "run").put_new("run.json", b"{}")
    answers = {**crons(False, True), ("PATCH", f"{CRONS}/s-0"): (200, {}, {})}
    done, changed = await command(tmp_path, monkeypatch, answers, "submit", sweep, "--window", "day")
    assert (done.returncode, done.stdout) == (0, "the study is finished: s-0 suspended\n")
    assert changed == [("PATCH", f"{CRONS}/s-0", {"spec": {"suspend": True}})]


def test_a_study_whose_trials_are_all_done_is_finished(sweep, tmp_path, monkeypatch):
    whole = tmp_path / "whole.yaml"
    here = [line for line in SWEEP.splitlines() if not line.startswith(("buckets", "cluster"))]
    whole.write_text("\n".join([*here, "runner: {executor: inprocess}"]))
    assert raysweep("run", whole, "--run-dir", tmp_path / "run").returncode == 0
    done, changed = asyncio.run(command(tmp_path, monkeypatch, crons(), "submit", sweep, "--window", "day"))
    assert (done.returncode, changed) == (0, [])
    assert "the study is finished: no further schedule suspended" in done.stdout


async def test_a_study_with_more_to_do_is_submitted(sweep, tmp_path, monkeypatch):
    empty = (200, {"items": [], "metadata": {"resourceVersion": "1"}}, {})
    answers = {
        ("GET", f"{RAYS}/rayjobs"): empty,
        ("GET", "/apis/batch/v1/namespaces/raysweep/jobs"): empty,
        ("POST", f"{RAYS}/rayjobs"): (201, {}, {}),
    }
    done, changed = await command(tmp_path, monkeypatch, answers, "submit", sweep, "--window", "day")
    assert done.returncode == 0, done.stderr
    assert [(method, path) for method, path, _ in changed] == [("POST", f"{RAYS}/rayjobs")]
