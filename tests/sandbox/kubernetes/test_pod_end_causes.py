"""Causes from status, events and node. recorded.json holds what a real cluster told; the rest is Kubernetes' wording.

Each pod of the recording is named by what was done to it: `byhand` was deleted by kubectl, `oomdel` died of an OOM kill
and was deleted later, `<name>-leaving` is the same pod while it still ran.
"""

import copy
import json
from pathlib import Path

import pytest

from raysweep.record.evidence import Evicted, Evidence
from raysweep.sandbox.kubernetes.bounds import Bounds, actual, admitted
from raysweep.sandbox.kubernetes.hindrance import SOON_S, fits_nowhere, hindrance
from raysweep.sandbox.kubernetes.pod_end import (
    cause_at_start,
    end_of_pod,
    lost_sight,
    node_ready,
    parse_eviction,
    running,
)
from raysweep.trial.classify import classify
from raysweep.units import GIB, MIB, Resources
from raysweep.vocabulary import PLATFORM_CAUSES

RECORDED = json.loads((Path(__file__).parent / "recorded.json").read_text())
READY, NOT_READY = ({"status": {"conditions": [{"type": "Ready", "status": s}]}} for s in ("True", "Unknown"))
OWN_STORAGE = Evicted("storage", own_limit=True)


def told(name, *, node=READY, **known):
    record = RECORDED[name]
    return end_of_pod(record["pod"], gone=record["gone"], events=record["events"], node=node, **known)


@pytest.mark.parametrize(
    ("name", "ended", "platform", "evicted", "oom_killed"),
    [
        ("running", False, None, None, None),
        ("running1m", False, None, None, None),
        ("toolarge", False, None, None, None),
        ("exit3", True, None, None, False),
        ("killed", True, None, None, None),
        ("oom", True, None, None, True),
        ("oomdel", True, None, None, True),
        ("storage", True, None, OWN_STORAGE, False),
        ("podstorage", True, None, OWN_STORAGE, False),
        ("storagelost", True, None, OWN_STORAGE, None),
        ("storageunknown", True, None, OWN_STORAGE, False),
        ("deadline", True, "deadline", None, False),
        ("evictapi", True, "drained", None, False),
        ("evictapi-leaving", True, "drained", None, None),
        ("byhand", True, "drained", None, False),
        ("byhand-leaving", True, "drained", None, None),
        ("force", True, "drained", None, None),
        ("taint", True, "drained", None, None),
        ("victim", True, "preempted", None, False),
        ("victim-leaving", True, "preempted", None, None),
        ("podgc", True, "node_lost", None, None),
        ("outofmem", True, "scheduling", None, None),
        ("affinity", True, "scheduling", None, None),
        ("notcommand", True, "image", None, False),
    ],
)
def test_what_a_real_cluster_told(name, ended, platform, evicted, oom_killed):
    ending = told(name)
    assert (ending.ended, ending.platform, ending.evicted, ending.oom_killed) == (ended, platform, evicted, oom_killed)
    assert (ending.platform_detail is not None) == ended
    assert platform is None or platform in PLATFORM_CAUSES
    assert ending.limit == admitted(RECORDED[name]["pod"]).limit


@pytest.mark.parametrize(
    ("name", "node", "node_gone", "cause"),
    [
        ("taint", NOT_READY, False, "node_lost"),
        ("taint", None, False, "drained"),
        ("force", NOT_READY, False, "node_lost"),
        ("force", None, True, "node_lost"),
        ("force", None, False, "node_lost"),
        ("running", None, True, "node_lost"),
        ("running", NOT_READY, False, None),
        ("victim", None, True, "preempted"),
        ("oom", NOT_READY, False, None),
        ("oomdel", NOT_READY, False, None),
        ("storage", NOT_READY, False, None),
    ],
)
def test_the_node_decides_where_the_status_does_not(name, node, node_gone, cause):
    assert told(name, node=node, node_gone=node_gone).platform == cause


def state(name, **terminated):
    """The recorded pod `name` with other facts of how the task's container ended."""
    pod = copy.deepcopy(RECORDED[name]["pod"])
    task = next(s for s in pod["status"]["containerStatuses"] if s["name"] == "task")
    task["state"] = {"terminated": {"exitCode": 137, "finishedAt": "2026-11-24T08:38:50Z", **terminated}}
    return pod


@pytest.mark.parametrize(
    ("name", "finished", "platform"),
    [
        ("byhand", "2026-11-24T08:38:30Z", None),  # long before the keeper: nobody had asked for its removal yet
        ("byhand", "2026-11-24T08:38:52Z", "drained"),
        ("byhand-leaving", "2026-11-24T08:38:40Z", None),
        ("byhand-leaving", "2026-11-24T08:38:51Z", "drained"),
        ("force", "2026-11-24T08:38:48Z", None),
        ("evictapi", "2026-11-24T08:38:30Z", None),
    ],
)
def test_a_container_that_ended_before_the_removal_ended_by_itself(name, finished, platform):
    pod = state(name, reason="Error", finishedAt=finished)
    assert end_of_pod(pod, gone=True, node=READY).platform == platform


@pytest.mark.parametrize("reason", ["ContainerStatusUnknown", "Unknown"])
def test_a_state_that_the_kubelet_lost_is_a_lost_node(reason):
    ending = end_of_pod(state("running", reason=reason), node=READY)
    assert (ending.platform, ending.oom_killed) == ("node_lost", False)
    assert reason in ending.platform_detail


@pytest.mark.parametrize("name", ["storagelost", "storageunknown"])
def test_a_container_that_an_eviction_removed_at_once_is_no_lost_node(name):
    """Before the kubelet tells of the eviction it may tell that it finds no container; that is not its last word."""
    pod = copy.deepcopy(RECORDED[name]["pod"])
    pod["status"] |= {"phase": "Running", "reason": None, "message": None}
    assert lost_sight(pod)
    lost = end_of_pod(pod, node=READY)
    assert (lost.ended, lost.platform, lost.evicted) == (True, "node_lost", None)
    assert "ContainerStatusUnknown" in lost.platform_detail
    ending = end_of_pod(pod, events=RECORDED[name]["events"], node=READY)
    assert (ending.ended, ending.platform, ending.evicted) == (True, None, OWN_STORAGE)


def test_a_container_that_is_lost_while_its_pod_is_deleted_has_no_end_to_compare():
    pod = state("byhand", reason="ContainerStatusUnknown", finishedAt=None)
    assert end_of_pod(pod, gone=True, node=READY).platform == "node_lost"
    keeper = state("byhand", reason="Error", finishedAt="2026-11-24T08:38:30Z")
    next(s for s in keeper["status"]["containerStatuses"] if s["name"] == "keeper")["state"] = {
        "terminated": {"exitCode": 137, "reason": "ContainerStatusUnknown", "finishedAt": None}
    }
    ending = end_of_pod(keeper, gone=True, node=READY)
    assert (ending.ended, ending.platform) == (True, None), "it had ended before anybody asked for its removal"


@pytest.mark.parametrize(
    ("message", "platform"),
    [
        ("context canceled", "node_lost"),
        ("failed to create containerd task: failed to start shim: ttrpc: closed: unknown", "node_lost"),
        ("rpc error: code = Unavailable desc = error reading from server: EOF", "node_lost"),
        ('exec: "/raysweep/supervisor": permission denied: unknown', "image"),
        ("", "image"),
    ],
)
def test_a_start_that_the_node_broke_off_is_not_the_images_fault(message, platform):
    ending = end_of_pod(state("running", exitCode=128, reason="StartError", message=message), node=READY)
    assert (ending.ended, ending.platform, ending.oom_killed) == (True, platform, False)
    assert message in ending.platform_detail


@pytest.mark.parametrize(
    ("reason", "message", "platform"),
    [
        ("Terminated", "Pod was terminated in response to imminent node shutdown.", "node_lost"),
        ("NodeShutdown", "Pod was rejected as the node is shutting down.", "node_lost"),
        ("Preempting", "Preempted in order to admit critical pod", "preempted"),
        ("OutOfcpu", "Node didn't have enough resource: cpu", "scheduling"),
        ("UnexpectedAdmissionError", "Allocate failed", "scheduling"),
        ("DeadlineExceeded", "Pod was active on the node longer than the specified deadline", "deadline"),
        ("SomethingNew", "of a later version", None),
    ],
)
def test_reasons_of_the_kubelet(reason, message, platform):
    ending = end_of_pod({"status": {"phase": "Failed", "reason": reason, "message": message}}, node=READY)
    assert (ending.ended, ending.platform) == (True, platform)
    assert platform is None or message in ending.platform_detail


@pytest.mark.parametrize(
    ("reason", "platform"),
    [("Preempted", "preempted"), ("NodeNotReady", "node_lost"), ("NodeShutdown", "node_lost"), ("Killing", "drained")],
)
def test_events_tell_it_where_the_last_status_was_not_seen(reason, platform):
    events = [{"reason": "Pulled", "message": ""}, {"reason": reason, "message": "as the event says"}]
    ending = end_of_pod(RECORDED["running"]["pod"], gone=True, events=events, node=READY)
    assert ending.platform == platform


def test_a_pod_of_which_nothing_was_ever_seen():
    assert end_of_pod(None).ended is False
    ending = end_of_pod(None, gone=True)
    assert (ending.ended, ending.platform, ending.limit) == (True, "node_lost", None)
    assert "could not be read" in ending.platform_detail


def test_another_pod_of_that_name_is_a_loss():
    pod = RECORDED["running"]["pod"]
    uid = pod["metadata"]["uid"]
    assert end_of_pod(pod, uid=uid).ended is False
    replaced = end_of_pod(pod, uid="another", node=READY)
    assert (replaced.ended, replaced.platform, replaced.limit) == (True, "node_lost", None)


def test_a_container_that_runs_again_is_not_the_one_that_was_lost():
    pod = copy.deepcopy(RECORDED["running"]["pod"])
    for status in pod["status"]["containerStatuses"]:
        status["restartCount"] = 1
    ending = end_of_pod(pod, uid=pod["metadata"]["uid"], node=READY)
    assert (ending.ended, ending.platform) == (True, "node_lost")
    assert "restarted" in ending.platform_detail


LOW = "The node was low on resource: {}. Threshold quantity: 100Mi, available: 51148Ki. "
USING = "Container {} was using {}, request is {}, has larger consumption of {}. "


@pytest.mark.parametrize(
    ("message", "evicted", "outcome"),
    [
        ('Container task exceeded its local ephemeral storage limit "10485760". ', OWN_STORAGE, "evicted_own_use"),
        ("Pod ephemeral local storage usage exceeds the total limit of containers 278921216. ", OWN_STORAGE,
         "evicted_own_use"),
        ('Usage of EmptyDir volume "spool" exceeds the limit "1Gi". ', OWN_STORAGE, "evicted_own_use"),
        (LOW.format("memory") + USING.format("task", "98304Ki", "64Mi", "memory"),
         Evicted("memory", own_limit=False, usage=96 * MIB), "evicted_own_use"),
        (LOW.format("memory") + USING.format("keeper", "40Mi", "32Mi", "memory"),
         Evicted("memory", own_limit=False), "node_pressure"),
        (LOW.format("memory"), Evicted("memory", own_limit=False), "node_pressure"),
        (LOW.format("ephemeral-storage") + USING.format("keeper", "4Ki", "0", "ephemeral-storage")
         + USING.format("task", "2Gi", "1Gi", "ephemeral-storage"),
         Evicted("storage", own_limit=False, usage=2 * GIB), "evicted_own_use"),
        (LOW.format("inodes"), Evicted("inodes", own_limit=False), "node_pressure"),
        ("The node was low on resource: pids. ", Evicted("pids", own_limit=False), "node_pressure"),
        ("The node had condition: [MemoryPressure]. ", Evicted("memory", own_limit=False), "node_pressure"),
        ("The node had condition: [DiskPressure]. ", Evicted("storage", own_limit=False), "node_pressure"),
        ("words of a later version", Evicted("unknown", own_limit=False), "node_pressure"),
    ],
)  # fmt: skip
def test_evictions_by_the_kubelets_own_words(message, evicted, outcome):
    assert parse_eviction(message) == evicted
    pod = {"status": {"phase": "Failed", "reason": "Evicted", "message": message}}
    assert end_of_pod(pod, node=READY).evicted == evicted
    request = Resources(250, 64 * MIB, GIB)
    assert classify(Evidence(request, cgroup=1, evicted=evicted, died_in="agent")).cause == outcome


def test_an_eviction_whose_status_is_lost_is_told_by_its_event_or_condition():
    message = LOW.format("memory") + USING.format("task", "98304Ki", "64Mi", "memory")
    evicted = Evicted("memory", own_limit=False, usage=96 * MIB)
    assert end_of_pod(None, gone=True, events=[{"reason": "Evicted", "message": message}]).evicted == evicted
    pod = copy.deepcopy(RECORDED["running"]["pod"])
    pod["metadata"]["deletionTimestamp"] = "2026-11-24T08:38:54Z"
    condition = {"type": "DisruptionTarget", "status": "True", "reason": "TerminationByKubelet", "message": message}
    pod["status"]["conditions"] = [condition]
    assert end_of_pod(pod, node=READY).evicted == evicted


@pytest.mark.parametrize(
    ("name", "cause", "patience"),
    [
        ("badname", "image", 0.0),
        ("neverpull", "image", 0.0),
        ("noimage", "image", None),
        ("toolarge", "scheduling", SOON_S),
        ("noselector", "scheduling", SOON_S),
        ("running", None, None),
        ("oom", None, None),
    ],
)
def test_what_keeps_a_real_pod_from_running(name, cause, patience):
    found = hindrance(RECORDED[name]["pod"], RECORDED[name]["events"])
    assert (found and found.cause, found and found.patience_s) == (cause, patience)
    assert running(RECORDED[name]["pod"]) == (name == "running")


def pending(reason, message):
    waiting = {"name": "task", "state": {"waiting": {"reason": reason, "message": message}}}
    return {"status": {"phase": "Pending", "containerStatuses": [waiting]}}


@pytest.mark.parametrize(
    ("reason", "message", "patience"),
    [
        ("ErrImagePull", "rpc error: code = NotFound desc = failed to pull: docker.io/library/x:1: not found", SOON_S),
        ("ImagePullBackOff", "pull access denied, repository does not exist or may require authorization", SOON_S),
        ("ErrImagePull", "toomanyrequests: You have reached your unauthenticated pull rate limit", None),
        ("ErrImagePull", "dial tcp 1.2.3.4:443: i/o timeout", None),
        ("ImageInspectError", "", None),
        ("CreateContainerConfigError", "container has runAsNonRoot and image will run as root", SOON_S),
        ("CreateContainerError", "context deadline exceeded", None),
    ],
)
def test_images_that_may_still_come_are_waited_for(reason, message, patience):
    found = hindrance(pending(reason, message))
    assert (found.cause, found.patience_s) == ("image", patience)
    assert message in found.detail


def test_a_container_that_ended_before_the_other_ran_is_not_waited_for():
    ended = {"terminated": {"exitCode": 128, "reason": "StartError", "message": "context canceled"}}
    statuses = [{"name": "keeper", "state": ended}, {"name": "task", "state": {"running": {}}}]
    found = hindrance({"status": {"phase": "Running", "containerStatuses": statuses}})
    assert (found.cause, found.patience_s) == ("node_lost", 0.0)
    assert "keeper" in found.detail
    assert "StartError: context canceled" in found.detail


def test_a_pod_on_its_way_is_not_hindered():
    assert hindrance({"status": {"phase": "Pending"}}) is None
    assert hindrance(pending("ContainerCreating", "")) is None
    assert hindrance(pending("PodInitializing", ""), [{"reason": "Pulling", "message": "x"}]) is None


def test_a_node_that_cannot_set_the_pod_up_is_named():
    events = [{"reason": "FailedMount", "message": 'configmap "raysweep-supervisor-x" not found'}]
    found = hindrance(pending("ContainerCreating", ""), events)
    assert (found.cause, found.patience_s) == ("scheduling", None)
    assert "raysweep-supervisor-x" in found.detail


VICTIMS = " preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod."
HELP = (
    " no new claims to deallocate, preemption: 0/{0} nodes are available: {0} Preemption is not helpful for scheduling."
)


@pytest.mark.parametrize(
    ("message", "nowhere"),
    [
        ("0/1 nodes are available: 1 Insufficient memory." + HELP.format(1), True),
        ("0/3 nodes are available: 1 Insufficient cpu, 2 node(s) had untolerated taint(s)." + HELP.format(3), True),
        ("0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector." + HELP.format(2), True),
        ("0/1 nodes are available: 1 node(s) had untolerated taint(s)." + HELP.format(1), False),
        ("0/2 nodes are available: 1 Insufficient memory, 1 node(s) were unschedulable." + HELP.format(2), False),
        ("0/1 nodes are available: 1 Insufficient memory." + VICTIMS, False),
        ("0/1 nodes are available: 1 node(s) didn't match pod anti-affinity rules." + VICTIMS, False),
        ("no nodes available to schedule pods", False),
    ],
)  # fmt: skip
def test_impossible_is_told_from_full(message, nowhere):
    assert fits_nowhere(message) is nowhere
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    pod = {"status": {"phase": "Pending", "conditions": [condition]}}
    assert hindrance(pod).patience_s == (SOON_S if nowhere else None)
    scaling = hindrance(pod, [{"reason": "TriggeredScaleUp", "message": "pod triggered scale-up: [{pool 1->2}]"}])
    assert (scaling.cause, scaling.patience_s) == ("scheduling", None)
    assert "autoscaler" in scaling.detail


def test_nothing_before_the_trial_is_the_arms_doing():
    assert cause_at_start(told("outofmem"))[0] == "scheduling"
    cause, detail = cause_at_start(told("storage"))
    assert cause == "node_pressure"
    assert "ephemeral" in detail
    assert cause_at_start(told("exit3"))[0] == "node_lost"


def test_real_statuses_tell_bounds():
    pod = RECORDED["running"]["pod"]
    want = Bounds(Resources(9, 64 * MIB, GIB), Resources(10, 64 * MIB, GIB))
    assert actual(pod) == admitted(pod) == want
    assert actual(RECORDED["running1m"]["pod"]) == Bounds(Resources(1, 64 * MIB), Resources())


def test_a_node_without_conditions_is_not_ready():
    assert [node_ready(n) for n in (READY, NOT_READY, {})] == [True, False, False]
