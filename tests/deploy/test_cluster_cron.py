"""The study of the dev overlay: a CronJob opens its windows one after the other, and never two writers at once."""

import json
import re
import time
from itertools import pairwise

import pyarrow.compute as pc
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from raysweep.config import parse
from raysweep.deploy import render
from raysweep.deploy.pods import METRICS_PORT
from raysweep.record.epoch import read_epochs
from raysweep.record.objectlock import holder
from raysweep.record.place import run_path, store_at
from raysweep.record.reader import read_ledger
from raysweep.record.segments import counting, read_segment
from raysweep.units import MIB
from support.deployed import ROOT, apply, kubectl

pytestmark = [pytest.mark.cluster, pytest.mark.e2e]
DASHBOARD = ROOT / "cluster" / "observability" / "dashboard.json"
PATIENCE_S = 1200.0
BAD_INPUT = 2
SANDBOX, BALLAST = 0.6, 0.5
"""Shares of a node's memory that a sandbox and the ballast request: never both have room."""
DECLARED = 64 * MIB
"""Memory of the task of the study."""


@pytest.fixture
def begun(place, images, bucket):
    """Applies configs/cluster-dev.yaml in this place, with so many dates and bytes of memory; its run directory."""
    names = []

    def begin(name, dates=3, memory=None):
        told = yaml.safe_load((ROOT / "configs" / "cluster-dev.yaml").read_text())
        told |= {"name": name, "repeats": dates}
        told["buckets"]["dates"] = dates
        for band in told["bands"] if memory else ():
            band["request"]["memory"] = memory / DECLARED
            band["limit"] = {"cpu": band["limit"], "memory": memory / DECLARED}
        told["sandbox"] |= {"namespace": place.sandboxes, "image": images[1]}
        told["cluster"] |= {"namespace": place.control, "image": images[0], "run_dir": f"{bucket}/{name}"}
        names.append(name)
        apply(render(parse(yaml.safe_dump(told))))
        return run_path(f"{bucket}/{name}")

    yield begin
    for name in names:
        kubectl("delete", "cronjob,job", "-n", place.control, "-l", f"raysweep.dev/study={name}")


@pytest.fixture
def too_much(place, images):
    """Bytes that a sandbox may request and has no room for while there is the pod `ballast`."""
    (node,) = json.loads(kubectl("get", "nodes", "-l", "!type", "-o", "json"))["items"]
    room = int(node["status"]["allocatable"]["memory"].removesuffix("Ki")) * 1024
    container = {
        "name": "ballast",
        "image": images[1],
        "imagePullPolicy": "Never",
        "command": ["sleep", "infinity"],
        "resources": {"requests": {"memory": f"{BALLAST * room:.0f}"}},
    }
    spec = {"containers": [container], "terminationGracePeriodSeconds": 0, "priorityClassName": "raysweep-control"}
    metadata = {"name": "ballast", "namespace": place.control}
    kubectl("create", "-f", "-", given={"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    kubectl("wait", "pod/ballast", "-n", place.control, "--for=condition=Ready", "--timeout=300s")
    yield SANDBOX * room
    kubectl("delete", "pod", "ballast", "-n", place.control, "--ignore-not-found")


def listed(kind, namespace, *words):
    return json.loads(kubectl("get", kind, "-n", namespace, *words, "-o", "json"))["items"]


def pods(place, study):
    return listed("pods", place.control, "-l", f"raysweep.dev/study={study}")


def logs(place, study):
    names = [pod["metadata"]["name"] for pod in pods(place, study)]
    return "\n".join(f"{n}: {kubectl('logs', '-n', place.control, n, check=False).stdout[-1500:]}" for n in names)


def until(look, why):
    end = time.monotonic() + PATIENCE_S
    while not (found := look()):
        assert time.monotonic() < end, why()
        time.sleep(1)
    return found


def codes(place, study):
    """Exit codes of the pods that have ended, by job."""
    told = {}
    for pod in pods(place, study):
        for status in pod["status"].get("containerStatuses", ()):
            if "terminated" in status["state"]:
                told[pod["metadata"]["labels"]["job-name"]] = status["state"]["terminated"]["exitCode"]
    return told


def waiting_sandboxes(place):
    """Pods of trials (a doctor's have labels of their own) that the scheduler has no room for."""
    return [
        pod
        for pod in listed("pods", place.sandboxes, "-l", "raysweep.dev/run")
        for condition in pod["status"].get("conditions", ())
        if pod["metadata"]["labels"]["raysweep.dev/run"].startswith("run-")
        and (condition["type"], condition["status"]) == ("PodScheduled", "False")
    ]


def held_up(place, name):
    """Whether the CronJob was due and began nothing, because its last job was still there."""
    events = listed("events", place.control, "--field-selector", f"involvedObject.name={name}")
    return [e for e in events if e["reason"] == "JobAlreadyActive"]


def complete(run):
    if not store_at(run).exists("run.json"):
        return False
    view = read_ledger(run)
    finals = [row for row in view.table.to_pylist() if row["is_final"]]
    return finals if len(finals) == len(view.planned) else False


def epochs(run):
    """(moment of its beginning, moment at which its last attempt ended or None), of each epoch in order."""
    store, ends = store_at(run), {}
    for part in counting(store):
        stopped = pc.max(read_segment(store, part.name)["t_stopped"]).as_py().timestamp()
        ends[part.epoch] = max(stopped, ends.get(part.epoch, stopped))
    return [(told["began"], ends.get(epoch)) for epoch, told in sorted(read_epochs(store).items())]


def scraped(place, pod):
    """Families of metrics by the name that queries use, and values without labels, as the pod's port tells them."""
    path = f"/api/v1/namespaces/{place.control}/pods/{pod}:{METRICS_PORT}/proxy/metrics"
    families = list(text_string_to_metric_families(kubectl("get", "--raw", path)))
    queried = {"counter": "_total", "histogram": "_bucket"}
    names = {family.name + queried.get(family.type, "") for family in families}
    return names, {s.name: s.value for family in families for s in family.samples if not s.labels}


def assert_one_writer_at_a_time(run):
    for (_, end), (began, _) in pairwise(epochs(run)):
        assert end is None or end <= began


def test_windows_open_one_after_the_other(place, begun):
    run = begun("dev")
    finals = until(lambda: complete(run), lambda: logs(place, "dev"))
    assert {row["occasion"] for row in finals} == {"cycle 1", "cycle 2", "cycle 3"}
    assert {row["outcome"] for row in finals} == {"scored"}
    assert len({row["trial_id"] for row in finals}) == len(finals)
    # On a slow machine one window may be over before its driver is ready; its block is made up in a later one.
    windows = {row["actual_occasion"] for row in finals}
    drivers = [end for _, end in epochs(run) if end is not None]
    assert len(drivers) >= len(windows) >= 2
    assert_one_writer_at_a_time(run)


def test_a_window_that_overruns_gets_no_second_writer(place, begun, too_much):
    run = begun("long", dates=1, memory=too_much)

    def told():
        return logs(place, "long")

    until(lambda: waiting_sandboxes(place), told)  # and so does the driver, over the end of its window
    (first,) = [pod["metadata"]["name"] for pod in pods(place, "long") if pod["status"]["phase"] == "Running"]
    begun_before = len(epochs(run))
    kubectl("create", "job", "second", "-n", place.control, "--from=cronjob/long")
    until(lambda: "second" in codes(place, "long") and held_up(place, "long"), told)
    assert codes(place, "long")["second"] == BAD_INPUT
    assert f"already being written by process 1 on {first}" in kubectl("logs", "-n", place.control, "job/second")
    assert len(epochs(run)) == begun_before
    assert holder(store_at(run), time.time())["host"] == first
    names, values = scraped(place, first)
    assert set(re.findall(r"raysweep_\w+", DASHBOARD.read_text())) <= names
    assert (values["raysweep_trials_planned"], values["raysweep_trials_done"]) == (2, 0)
    assert values["raysweep_attempts_in_flight"] == 2

    kubectl("delete", "pod", "ballast", "-n", place.control)
    finals = until(lambda: complete(run), told)
    assert {row["outcome"] for row in finals} == {"scored"}
    assert all(row["crossed_boundary"] for row in finals)
    assert_one_writer_at_a_time(run)
