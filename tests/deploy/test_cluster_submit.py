"""`raysweep cluster submit | apply | delete` on a real API server, with the rights of those who run it."""

import datetime as dt
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from support.deployed import kubectl

pytestmark = pytest.mark.cluster
RAYSWEEP = str(Path(sys.executable).parent / "raysweep")


def raysweep(*words, env=None):
    return subprocess.run([RAYSWEEP, *map(str, words)], capture_output=True, text=True, check=False, env=env)


@pytest.fixture
def sweep(place, tmp_path):
    """A sweep whose one window is always open, as a file; nothing of it is left in the cluster."""
    if "rayjobs.ray.io" not in kubectl("get", "crd", "-o", "name"):
        pytest.skip("the cluster has no KubeRay schemas")
    told = {
        "name": "submits",
        "seed": 1,
        "tasks": {"source": "bundled:headroom"},
        "models": [{"name": "lean", "agent": "scripted", "strategy": "lean"}],
        "bands": [{"name": "1x", "limit": 1.0}],
        "reference": "1x",
        "repeats": 1,
        "buckets": {"windows": {"day": "00:00-24:00"}},
        "sandbox": {"kind": "kubernetes", "namespace": place.sandboxes},
        "cluster": {"image": "x/y:1", "run_dir": "s3://runs/submits", "namespace": place.control},
    }
    file = tmp_path / "sweep.yaml"
    file.write_text(yaml.safe_dump(told))
    yield file
    raysweep("cluster", "delete", file)


@pytest.fixture
def as_submitter(place, tmp_path):
    """Environment in which the command is raysweep-submitter, as in a CronJob's pod."""
    token = kubectl("create", "token", "raysweep-submitter", "-n", place.control).strip()
    config = json.loads(kubectl("config", "view", "--raw", "--flatten", "-o", "json"))
    for user in config["users"]:
        user["user"] = {"token": token}
    (tmp_path / "submitter.kubeconfig").write_text(json.dumps(config))
    return {**os.environ, "KUBECONFIG": str(tmp_path / "submitter.kubeconfig")}


def names(place):
    listed = json.loads(kubectl("get", "rayjobs", "-n", place.control, "-o", "json"))["items"]
    return [job["metadata"]["name"] for job in listed]


def end(place, name, **more):
    told = json.dumps({"status": {"jobDeploymentStatus": "Complete", **more}})
    kubectl("patch", "rayjob", name, "-n", place.control, "--subresource=status", "--type=merge", "-p", told)


def test_a_window_is_submitted_once_and_only_when_nothing_else_of_the_study_runs(sweep, place, as_submitter):
    assert raysweep("cluster", "submit", sweep).returncode == 0
    (by_hand,) = names(place)
    refused = raysweep("cluster", "submit", sweep)
    assert (refused.returncode, names(place)) == (2, [by_hand])
    assert f"{by_hand} is not finished" in refused.stderr
    later = raysweep("cluster", "submit", sweep, "--window", "day", env=as_submitter)
    assert (later.returncode, names(place)) == (3, [by_hand])

    end(place, by_hand, message="Job finished successfully.")
    gone = raysweep("cluster", "logs", sweep)
    assert (gone.returncode, gone.stdout) == (0, "Complete: Job finished successfully.\n")
    assert by_hand in gone.stderr
    before = dt.datetime.now(dt.UTC).date()
    first = raysweep("cluster", "submit", sweep, "--window", "day", env=as_submitter)
    assert first.returncode == 0, first.stderr
    (window,) = set(names(place)) - {by_hand}
    assert window in {f"submits-{date:%Y%m%d}-day" for date in (before, dt.datetime.now(dt.UTC).date())}
    again = raysweep("cluster", "submit", sweep, "--window", "day", env=as_submitter)
    if dt.datetime.now(dt.UTC).date() == before:
        assert again.returncode == 0, again.stderr
        assert "is there already" in again.stdout
        assert len(names(place)) == 2

    deleted = raysweep("cluster", "delete", sweep)
    assert deleted.returncode == 0, deleted.stderr
    assert names(place) == []


def test_apply_makes_the_schedule_and_may_be_repeated(sweep, place):
    tried = raysweep("cluster", "apply", sweep, "--dry-run")
    assert tried.returncode == 0, tried.stderr
    assert "submits-day" not in kubectl("get", "cronjobs", "-n", place.control, "-o", "name")
    for _ in range(2):
        done = raysweep("cluster", "apply", sweep)
        assert done.returncode == 0, done.stderr
    assert "submits-day" in kubectl("get", "cronjobs", "-n", place.control, "-o", "name")
    rendered = list(yaml.safe_load_all(raysweep("cluster", "render", sweep).stdout))
    assert [m["kind"] for m in rendered] == ["ConfigMap", "CronJob"]


def test_a_namespace_that_is_not_there_is_told_with_its_remedy(sweep):
    told = yaml.safe_load(sweep.read_text())
    told["cluster"]["namespace"] = "raysweep-is-not-here"
    elsewhere = sweep.with_name("elsewhere.yaml")
    elsewhere.write_text(yaml.safe_dump(told))
    refused = raysweep("cluster", "submit", elsewhere)
    assert refused.returncode == 4
    assert "kubectl apply -k cluster/base" in refused.stderr


def test_logs_without_a_driver_say_how_to_begin_one(sweep):
    refused = raysweep("cluster", "logs", sweep)
    assert refused.returncode == 2
    assert "raysweep cluster submit" in refused.stderr
