"""Facts of nodes for the record: what they are, what they give to pods, and who else is on them.

The pods of other namespaces are counted only where our account may list them; the Role of cluster/sandboxes does not
give that, and then others' requests are those of the sandbox namespace.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from raysweep.apiserver import Api, ApiError, Json, nodes, pods
from raysweep.sandbox.kubernetes.bounds import resources_of
from raysweep.sandbox.kubernetes.pod import ARCH, ATTEMPT
from raysweep.sandbox.kubernetes.pod_end import over
from raysweep.units import GIB

FRESH_S = 20.0
"""Facts of a node are read again when they are older than this; hundreds of sandboxes share one reading."""

MACHINE_TYPES = ("node.kubernetes.io/instance-type", "beta.kubernetes.io/instance-type")

Facts = dict[str, str | int | float | bool | None]


@dataclass(frozen=True, slots=True)
class Tenant:
    """A pod on a node: what it asks for (millicores, bytes), and whether it is a sandbox of ours."""

    name: str
    cpu: int
    memory: int
    sandbox: bool


@dataclass(frozen=True, slots=True)
class NodeView:
    """A node (without its images) and the pods on it, read at `at` (monotonic seconds). gone: there is no such node."""

    at: float
    node: Json | None = None
    gone: bool = False
    tenants: tuple[Tenant, ...] = ()


class Nodes:
    """Nodes as last read."""

    def __init__(self, api: Api, namespace: str) -> None:
        self._api = api
        self._namespace = namespace
        self._everywhere = True
        self._views: dict[str, asyncio.Task[NodeView]] = {}

    async def view(self, name: str, *, fresh_s: float = FRESH_S) -> NodeView:
        """The node of this name, at most `fresh_s` old; what could not be read is None or empty."""
        task = self._views.get(name)
        if task is not None and task.done() and time.monotonic() - task.result().at > fresh_s:
            task = None
        if task is None:
            task = self._views[name] = asyncio.create_task(self._read(name))
        return await asyncio.shield(task)

    async def _read(self, name: str) -> NodeView:
        try:
            node = await self._api.get(nodes(name), patience=5.0)
        except ApiError as error:
            return NodeView(time.monotonic(), gone=error.status == 404)
        return NodeView(time.monotonic(), _trimmed(node), tenants=tuple(map(_tenant, await self._pods(name))))

    async def _pods(self, node: str) -> list[Json]:
        for path in ("/api/v1/pods", pods(self._namespace)) if self._everywhere else (pods(self._namespace),):
            try:
                listed, _ = await self._api.collect(
                    path, patience=2.0, fieldSelector=f"spec.nodeName={node}", resourceVersion="0"
                )
            except ApiError as error:
                self._everywhere = self._everywhere and error.status != 403
            else:
                return listed
        return []


def node_facts(view: NodeView, own: str) -> Facts:
    """What the ledger keeps of a node; `own` is the name of the pod that asks."""
    if view.node is None:
        return {}
    metadata, status = view.node["metadata"], view.node["status"]
    info = status.get("nodeInfo") or {}
    allocatable = resources_of(status.get("allocatable"))
    others = [tenant for tenant in view.tenants if tenant.name != own]
    return {
        "name": metadata["name"],
        "machine_type": machine_type(view.node),
        "kernel": info.get("kernelVersion"),
        "os_image": info.get("osImage"),
        "runtime": info.get("containerRuntimeVersion"),
        "kubelet": info.get("kubeletVersion"),
        "allocatable_memory": allocatable.memory,
        "allocatable_cpu": allocatable.cpu,
        "others_cpu_request": sum(tenant.cpu for tenant in others),
        "others_memory_request": sum(tenant.memory for tenant in others),
        "co_tenants": sum(1 for tenant in others if tenant.sandbox),
    }


def machine_type(node: Mapping[str, Any]) -> str:
    """The node's type as its cloud labels it; where nobody does, what it has.

    As in "amd64 8 cpu 31.3Gi (7910m cpu 27.5Gi for pods)": capacity, and what of it pods may have where that is less.
    """
    labels, status = node["metadata"].get("labels") or {}, node["status"]
    labelled = next((str(labels[key]) for key in MACHINE_TYPES if key in labels), None)
    if labelled is not None:
        return labelled
    whole, given = _size(status.get("capacity")), _size(status.get("allocatable"))
    arch = labels.get(ARCH) or (status.get("nodeInfo") or {}).get("architecture")
    for_pods = f"({given} for pods)" if whole and given not in {"", whole} else ""
    return " ".join(filter(None, (arch, whole or given, for_pods))) or "unknown"


def _size(amounts: Mapping[str, str] | None) -> str:
    """Cpu and memory, memory to a tenth of a GiB: machines of one type differ by some KiB."""
    have = resources_of(dict(amounts) if amounts else None)
    if have.cpu is None or have.memory is None:
        return ""
    cpu = f"{have.cpu // 1000} cpu" if have.cpu % 1000 == 0 else f"{have.cpu}m cpu"
    return f"{cpu} {have.memory / GIB:.1f}Gi"


def _trimmed(node: Json) -> Json:
    """The parts of a node that are asked for; a status names up to 50 images, of which nobody asks here."""
    kept = ("capacity", "allocatable", "conditions", "nodeInfo")
    status = {key: node["status"][key] for key in kept if key in node["status"]}
    metadata = {"name": node["metadata"]["name"], "labels": node["metadata"].get("labels") or {}}
    return {"metadata": metadata, "status": status}


def _tenant(pod: Json) -> Tenant:
    ended = over(pod)
    asked = [resources_of((c.get("resources") or {}).get("requests")) for c in pod["spec"]["containers"]]
    return Tenant(
        pod["metadata"]["name"],
        0 if ended else sum(request.cpu or 0 for request in asked),
        0 if ended else sum(request.memory or 0 for request in asked),
        not ended and ATTEMPT in (pod["metadata"].get("labels") or {}),
    )
