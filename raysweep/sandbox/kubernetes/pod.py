"""The pod of one attempt as a value: exactly the arm's bounds, the keeper beside it, nothing that the arm did not ask.

Pure: names, labels and manifests. Creating, watching and reading pods is done elsewhere.
"""

from __future__ import annotations

import hashlib
import math
import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from raysweep.sandbox.kubernetes.profiles import hardening, security_context
from raysweep.sandbox.protocol import SandboxSpec
from raysweep.sandbox.supervised.frames import digest_of, keeper_proof
from raysweep.sandbox.supervisor import KEPT, PLACE, SPOOL
from raysweep.units import MIB, Resources

Json = dict[str, Any]

DOMAIN = "raysweep.dev"
RUN, ATTEMPT, RUNNER, NETWORK = (f"{DOMAIN}/{key}" for key in ("run", "attempt", "runner", "network"))
"""Keys of the labels on every sandbox's pod. NETWORK is what the NetworkPolicies select by: `open` or `none`."""
ARCH = "kubernetes.io/arch"

TASK, KEEPER = "task", "keeper"
BINARY, BINARY_FOLDER = PLACE, PLACE.rpartition("/")[0]

KEEPER_MEMORY = 32 * MIB
KEEPER_CPU = 1
"""Millicores that the keeper asks for under uniform QoS, without a limit."""
KEEPER_CPU_NATIVE = 10
"""Request and limit under native QoS: the smallest cpu quota that the kubelet sets (1 ms in 100 ms)."""
SPOOL_STORAGE = 256 * MIB
"""Room for outputs and samples beside a task's own storage limit: the kubelet counts a pod's emptyDirs against the sum
of its containers' limits. Where the task has none the keeper has none either, or its own would become the pod's."""

GRACE_S = 5
"""Seconds between SIGTERM and SIGKILL for a pod that the cluster removes; our own removals wait for nothing."""

EGRESS = "kubernetes.io/egress-bandwidth"
PULL = {"missing": "IfNotPresent", "never": "Never", "always": "Always"}


@dataclass(frozen=True, slots=True)
class PodOptions:
    """What all pods of a run have in common, as `raysweep.config.sandbox` has it key by key."""

    namespace: str
    image: str
    capabilities: str = "package-install"
    pull: str = "missing"
    qos: str = "uniform"
    tenancy: str = "shared"
    runtime_class: str | None = None
    node_selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: Sequence[Mapping[str, Any]] = ()
    pull_secrets: Sequence[str] = ()
    priority_class: str | None = None

    @property
    def arch(self) -> str:
        """Architecture of the nodes: one per sweep, because the pod must name its supervisor before it has a node."""
        return self.node_selector.get(ARCH, "amd64")


@dataclass(frozen=True, slots=True)
class Owner:
    """The run's Lease: when it is gone the cluster removes the pods that name it."""

    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class Binding:
    """What ties one pod to the process that makes it.

    runner: name of the runner, for its watch. token: secret of the supervisor, of which the pod shows digests only.
    config_map: name of the ConfigMap that `supervisor_config_map` describes. deadline_s: seconds after which the
    cluster ends the pod whatever became of us.
    """

    runner: str
    token: str
    config_map: str
    deadline_s: float
    owner: Owner | None = None


def pod_name(run_id: str, name: str) -> str:
    """Name of the pod of sandbox `name`: the same for the same pair, another for another, valid in Kubernetes."""
    plain = f"rs-{run_id.removeprefix('run-')}-{name}"
    tidy = re.sub(r"[^a-z0-9-]+", "-", plain.lower()).strip("-")
    if tidy == plain and len(tidy) <= 63:
        return tidy
    mark = hashlib.sha256(f"{run_id}/{name}".encode()).hexdigest()[:10]
    return f"{tidy[:52].rstrip('-')}-{mark}"


def label_value(text: str) -> str:
    """`text` where a label can hold it, else what is left of it with a digest, so that two texts stay two."""
    if re.fullmatch(r"([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?", text):
        return text
    tidy = re.sub(r"[^A-Za-z0-9._-]+", "-", text)[:52].strip("-._")
    return f"{tidy}-{hashlib.sha256(text.encode()).hexdigest()[:10]}".lstrip("-")


def supervisor_config_map(namespace: str, binaries: Mapping[str, bytes]) -> Json:
    """The ConfigMap with the supervisor for each architecture, named by its content: another version is another one."""
    name = hashlib.sha256(b"".join(key.encode() + data for key, data in sorted(binaries.items()))).hexdigest()[:12]
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": f"raysweep-supervisor-{name}",
            "namespace": namespace,
            "labels": {"app.kubernetes.io/managed-by": "raysweep"},
        },
        "immutable": True,
        "binaryData": {arch: b64encode(data).decode() for arch, data in sorted(binaries.items())},
    }


def pod_manifest(spec: SandboxSpec, options: PodOptions, binding: Binding) -> Json:
    """The pod of one sandbox.

    Every bound that is None in `spec` is absent; a request that is None beside a limit is written as 0, because
    Kubernetes would else take the limit for it. The working folder is left to each command: a container's workingDir
    would be made by the runtime.
    """
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": _metadata(spec, options, binding),
        "spec": _spec(spec, options, binding),
    }


def _metadata(spec: SandboxSpec, options: PodOptions, binding: Binding) -> Json:
    metadata: Json = {
        "name": pod_name(spec.run_id, spec.name),
        "namespace": options.namespace,
        "labels": {
            "app.kubernetes.io/managed-by": "raysweep",
            RUN: label_value(spec.run_id),
            ATTEMPT: label_value(spec.name),
            RUNNER: label_value(binding.runner),
            NETWORK: "open" if spec.network else "none",
        },
        "annotations": {**{f"{DOMAIN}/{key}": value for key, value in spec.labels.items()}, **_bandwidth(spec)},
    }
    if binding.owner is not None:
        metadata["ownerReferences"] = [
            {
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "name": binding.owner.name,
                "uid": binding.owner.uid,
            }
        ]
    return metadata


def _bandwidth(spec: SandboxSpec) -> dict[str, str]:
    """The annotation that the bandwidth plug-in of the node's network reads, in bits a second; others ignore it."""
    return {} if spec.egress is None else {EGRESS: str(8 * spec.egress)}


def _spec(spec: SandboxSpec, options: PodOptions, binding: Binding) -> Json:
    return {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": GRACE_S,
        "activeDeadlineSeconds": max(1, math.ceil(binding.deadline_s)),
        **hardening(),
        **_placing(spec, options),
        "volumes": [
            {
                "name": "supervisor",
                "configMap": {
                    "name": binding.config_map,
                    "defaultMode": 0o555,
                    "items": [{"key": options.arch, "path": "supervisor"}],
                },
            },
            {"name": "spool", "emptyDir": {}},
            {"name": "kept", "emptyDir": {}},
        ],
        "containers": [
            {
                **_container(TASK, spec, options, "spool", SPOOL),
                "command": [BINARY, "init", TASK, SPOOL, digest_of(binding.token), KEEPER],
                "resources": bounds(spec.request, spec.limit),
                "securityContext": security_context(options.capabilities),
            },
            {
                **_container(KEEPER, spec, options, "kept", KEPT),
                "command": [BINARY, "keep", KEEPER, digest_of(keeper_proof(binding.token)), KEPT],
                "resources": keeper_bounds(options.qos, spec.limit),
                "securityContext": security_context("strict"),
            },
        ],
    }


def _placing(spec: SandboxSpec, options: PodOptions) -> Json:
    """Where the pod may run."""
    placing: Json = {
        "nodeSelector": {ARCH: options.arch, **options.node_selector, **spec.node_selector},
        "tolerations": [{k: v for k, v in t.items() if v is not None} for t in options.tolerations],
        "imagePullSecrets": [{"name": name} for name in options.pull_secrets],
        "runtimeClassName": options.runtime_class,
        "priorityClassName": options.priority_class,
    }
    if options.tenancy == "exclusive":
        term = {
            "labelSelector": {"matchExpressions": [{"key": ATTEMPT, "operator": "Exists"}]},
            "topologyKey": "kubernetes.io/hostname",
        }
        placing["affinity"] = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    return {key: value for key, value in placing.items() if value}


def _container(name: str, spec: SandboxSpec, options: PodOptions, volume: str, place: str) -> Json:
    """What both containers have. Each mount is directly below /: a folder above one could be renamed."""
    return {
        "name": name,
        "image": spec.image or options.image,
        "imagePullPolicy": PULL[options.pull],
        "volumeMounts": [
            {"name": "supervisor", "mountPath": BINARY_FOLDER, "readOnly": True},
            {"name": volume, "mountPath": place},
        ],
    }


def bounds(request: Resources, limit: Resources) -> Json:
    """A container's `resources`: millicores and bytes as Kubernetes spells them."""
    requests, limits = {}, {}
    for key, name, unit in (("cpu", "cpu", "m"), ("memory", "memory", ""), ("storage", "ephemeral-storage", "")):
        asked, most = getattr(request, key), getattr(limit, key)
        if most is not None:
            limits[name] = f"{most}{unit}"
        if asked is not None or most is not None:
            requests[name] = f"{asked or 0}{unit if asked else ''}"
    return {key: value for key, value in (("requests", requests), ("limits", limits)) if value}


def keeper_bounds(qos: str, task_limit: Resources) -> Json:
    """The keeper's `resources`, the same in all arms but for the storage that a limit of the task's calls for.

    It keeps samples readable when the task's container dies as a group, and makes the pod's memory limit
    larger than the task's, without which the kernel does not tell whose limit was full.
    """
    storage = None if task_limit.storage is None else SPOOL_STORAGE
    requested = None if storage is None else 0
    if qos == "native":
        cpu = KEEPER_CPU_NATIVE
        return bounds(Resources(cpu, KEEPER_MEMORY, requested), Resources(cpu, KEEPER_MEMORY, storage))
    return bounds(Resources(KEEPER_CPU, KEEPER_MEMORY, requested), Resources(None, KEEPER_MEMORY, storage))
