"""Pod templates of head, runners, the one pod without an operator, and submitters. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from raysweep.config.cluster import Cluster, Machine, Pool
from raysweep.deploy.names import ROLE, WINDOW, Json, labels
from raysweep.units import MIB, format_millicores

SWEEP_FOLDER = "/etc/raysweep"
SWEEP_FILE = f"{SWEEP_FOLDER}/sweep.yaml"
PRIORITY = "raysweep-control"
USER = 65532
"""As in cluster/image/Dockerfile."""
SUBMITTER = Machine.model_validate({"cpu": "100m", "memory": "512Mi"})
GRACE_S = 120
"""Time within which a driver that is asked to stop cancels its trials, seals the ledger and removes its pods."""
PULL = {"missing": "IfNotPresent", "never": "Never", "always": "Always"}
METRICS_PORT = 9464
"""Where a driver serves its metrics; the port is called `driver` (cluster/observability)."""
TOLD = {"RAYSWEEP_LOGS": "json", "RAYSWEEP_METRICS_PORT": str(METRICS_PORT)}
"""What a driver in a pod tells machines; `cluster.env` may say otherwise."""
ACCOUNTS = {"head": "raysweep-head", "runner": "raysweep-runner", "submitter": "raysweep-submitter"}
"""Service accounts of cluster/base."""
HARDENED: Json = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


def head_pod(cluster: Cluster, study: str) -> Json:
    """Template of the head, in which the driver runs: it knows the bucket, and no key of a model."""
    container = _container(cluster, "ray-head", cluster.head, cluster.bucket_secrets)
    container["ports"] = [
        {"name": "gcs-server", "containerPort": 6379},
        {"name": "dashboard", "containerPort": 8265},
        {"name": "client", "containerPort": 10001},
        {"name": "metrics", "containerPort": 8080},
        {"name": "driver", "containerPort": METRICS_PORT},
    ]
    return _template(cluster, study, "head", cluster.pools.head, container, cluster.head)


def runner_pod(cluster: Cluster, study: str) -> Json:
    """Template of a runner: it makes sandboxes, writes traces to the bucket, and calls models."""
    container = _container(cluster, "ray-worker", cluster.runners, (*cluster.bucket_secrets, *cluster.keys))
    container["ports"] = [{"name": "metrics", "containerPort": 8080}]
    return _template(cluster, study, "runner", cluster.pools.runners, container, cluster.runners)


def only_pod(cluster: Cluster, study: str, arguments: Sequence[str]) -> Json:
    """Template of the one pod without an operator: driver and runners on a Ray of its own."""
    container = _container(cluster, "driver", cluster.runners, (*cluster.bucket_secrets, *cluster.keys))
    container["ports"] = [{"name": "driver", "containerPort": METRICS_PORT}]
    container["command"] = ["raysweep", "cluster", "run", SWEEP_FILE, *arguments]
    return _template(cluster, study, "runner", cluster.pools.runners, container, cluster.runners)


def submitter_pod(cluster: Cluster, study: str, window: str) -> Json:
    """Template of the pod that creates the RayJob of a window: no key; the bucket, to see whether the study is over."""
    container = _container(cluster, "submitter", SUBMITTER, cluster.bucket_secrets)
    container["command"] = ["raysweep", "cluster", "submit", SWEEP_FILE, "--window", window]
    container["volumeMounts"] = [m for m in container["volumeMounts"] if m["name"] != "shm"]
    template = _template(cluster, study, "submitter", cluster.pools.head, container, None)
    template["metadata"]["labels"][WINDOW] = window
    return template


def _template(cluster: Cluster, study: str, role: str, pool: Pool, container: Json, machine: Machine | None) -> Json:
    volumes: list[Json] = [
        {"name": "sweep", "configMap": {"name": study}},
        {"name": "tmp", "emptyDir": {}},
    ]
    if machine is not None:
        # 64 MiB without it: Ray would put its object store on the disk under /tmp.
        volumes.append({"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": quantity(machine.shm)}})
    return {
        "metadata": {
            "labels": labels(study, **{ROLE: role}),
            "annotations": {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false"},
        },
        "spec": {
            "restartPolicy": "Never",
            "serviceAccountName": ACCOUNTS[role],
            "enableServiceLinks": False,
            "priorityClassName": PRIORITY,
            "terminationGracePeriodSeconds": GRACE_S,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": USER,
                "runAsGroup": USER,
                "fsGroup": USER,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            **_placed(pool),
            **({"imagePullSecrets": [{"name": n} for n in cluster.pull_secrets]} if cluster.pull_secrets else {}),
            "containers": [container],
            "volumes": volumes,
        },
    }


def _placed(pool: Pool) -> Json:
    placed: Json = {}
    if pool.node_selector:
        placed["nodeSelector"] = dict(pool.node_selector)
    if pool.tolerations:
        placed["tolerations"] = [t.model_dump(exclude_none=True) for t in pool.tolerations]
    return placed


def _container(cluster: Cluster, name: str, machine: Machine, secrets: Sequence[str]) -> Json:
    container: Json = {
        "name": name,
        "image": cluster.image,
        "imagePullPolicy": PULL[cluster.pull],
        # No limit of cpu: a runner that is throttled would be seen as a slow cluster.
        "resources": {
            "requests": {"cpu": format_millicores(machine.cpu), "memory": quantity(machine.memory)},
            "limits": {"memory": quantity(machine.memory)},
        },
        "securityContext": {**HARDENED},
        "env": _environment({"HOME": "/tmp", "USER": "raysweep", **TOLD, **cluster.env}),
        "volumeMounts": [
            {"name": "sweep", "mountPath": SWEEP_FOLDER, "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},
            {"name": "shm", "mountPath": "/dev/shm"},
        ],
    }
    if secrets:
        container["envFrom"] = [{"secretRef": {"name": secret}} for secret in secrets]
    return container


def _environment(values: Mapping[str, str]) -> list[dict[str, Any]]:
    return [{"name": name, "value": value} for name, value in values.items()]


def quantity(size: int) -> str:
    """Bytes as Kubernetes spells them, exactly."""
    return f"{size // MIB}Mi" if size % MIB == 0 else str(size)
