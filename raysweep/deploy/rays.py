"""RayCluster, RayJob and RayCronJob of a sweep, as KubeRay 1.7 takes them. Pure."""

from __future__ import annotations

import json
from importlib.metadata import version

from raysweep.config.cluster import Cluster, Machine
from raysweep.config.model import Runner
from raysweep.deploy.names import Json, labels
from raysweep.deploy.pods import HARDENED, PULL, SWEEP_FILE, head_pod, runner_pod

API = "ray.io/v1"
IDLE_S = 60
"""A runner without trials is given back after this; the driver kills its actors where the next window is far."""
STORE_SHARE = 0.8
"""Of /dev/shm; the rest is Ray's own."""

PRE_RUNNING_S = 1800
"""Longest time from a RayJob's start to its driver's: nodes are made and images pulled meanwhile.

A driver that fails within seconds leaves its RayJob `Initializing` under KubeRay 1.7 (2 of 5 seen): this ends it.
"""


def entrypoint(*arguments: str) -> str:
    """What the driver runs, on the head."""
    return " ".join(["raysweep", "cluster", "run", SWEEP_FILE, *arguments])


def ray_cluster_spec(cluster: Cluster, runner: Runner, study: str) -> Json:
    """Head without slots, and one pod for each runner actor, which comes and goes by the slots that are asked for."""
    actors, slots = runner.layout
    return {
        "rayVersion": version("ray"),
        "enableInTreeAutoscaling": True,
        "autoscalerOptions": {
            "version": "v2",
            "idleTimeoutSeconds": IDLE_S,
            "imagePullPolicy": PULL[cluster.pull],
            "resources": {
                "requests": {"cpu": "200m", "memory": "512Mi"},
                "limits": {"memory": "512Mi"},
            },
            "securityContext": {k: v for k, v in HARDENED.items() if k != "readOnlyRootFilesystem"},
        },
        # Whoever reaches a Ray port without the token may run code with the account of a runner.
        "authOptions": {"mode": "token"},
        "headGroupSpec": {
            "rayStartParams": {**_start(cluster.head, 0), "dashboard-host": "0.0.0.0"},  # noqa: S104 - for the operator
            "template": head_pod(cluster, study),
        },
        "workerGroupSpecs": [
            {
                "groupName": "runners",
                "replicas": 0,
                "minReplicas": 0,
                "maxReplicas": actors,
                "rayStartParams": {**_start(cluster.runners, 1), "resources": _resources({"trial_slots": slots})},
                "template": runner_pod(cluster, study),
            }
        ],
    }


def _start(machine: Machine, cpus: int) -> Json:
    return {"num-cpus": str(cpus), "object-store-memory": str(int(machine.shm * STORE_SHARE))}


def _resources(wanted: dict[str, int]) -> str:
    """As KubeRay puts it into a shell command: JSON with its quotes escaped, in quotes."""
    return json.dumps(json.dumps(wanted))


def ray_job_spec(cluster: Cluster, runner: Runner, study: str, command: str, deadline: float | None) -> Json:
    """Spec of a RayJob that runs `command` on a cluster of its own; every new start is a new cluster."""
    spec: Json = {
        "entrypoint": command,
        "submissionMode": "SidecarMode",
        "backoffLimit": cluster.retries,
        "deletionStrategy": {"deletionRules": _endings(int(cluster.ttl))},
        "preRunningDeadlineSeconds": PRE_RUNNING_S if deadline is None else min(PRE_RUNNING_S, int(deadline)),
        "rayClusterSpec": ray_cluster_spec(cluster, runner, study),
    }
    if deadline is not None:
        spec["activeDeadlineSeconds"] = int(deadline)
    return spec


def _endings(ttl: int) -> list[Json]:
    """What becomes of the Ray cluster: a driver that ended well is looked at for `ttl` seconds, any other is ended.

    A RayJob that failed by its deadline, or by a lost submitter, may have a driver that goes on, beyond its window and
    with the ledger's lock: `shutdownAfterJobFinishes` would leave it there for `ttl` as well (seen with KubeRay 1.6).
    """
    ends: list[tuple[Json, int]] = [({"jobStatus": "SUCCEEDED"}, ttl), ({"jobDeploymentStatus": "Failed"}, 0)]
    return [{"policy": "DeleteCluster", "condition": {**when, "ttlSeconds": after}} for when, after in ends]


def ray_job(cluster: Cluster, study: str, name: str, spec: Json, **more: str) -> Json:
    """A RayJob of that spec."""
    return {
        "apiVersion": API,
        "kind": "RayJob",
        "metadata": {"name": name, "namespace": cluster.namespace, "labels": labels(study, **more)},
        "spec": spec,
    }


def ray_cluster(cluster: Cluster, runner: Runner, study: str) -> Json:
    """A RayCluster that stays, for work by hand."""
    return {
        "apiVersion": API,
        "kind": "RayCluster",
        "metadata": {"name": study, "namespace": cluster.namespace, "labels": labels(study)},
        "spec": ray_cluster_spec(cluster, runner, study),
    }
