"""Facts of nodes for the record: what they are, what they give to pods, and who else is on them.

The pods of other namespaces are counted only where our account may list them; the Role of cluster/sandboxes does not
give that, and then others' requests are those of the sandbox namespace.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from raysweep.sandbox.kubernetes.api import Api, ApiError, Json, nodes, pods
from raysweep.sandbox.kubernetes.bounds import resources_of
from raysweep.sandbox.kubernetes.pod import ATTEMPT
from raysweep.sandbox.kubernetes.pod_end import over

FRESH_S = 20.0
"""Facts of a node are read again when they are older than this; hundreds of sandboxes share one reading."""

MACHINE_TYPES = ("node.kubernetes.io/instance-type", "beta.kubernetes.io/instance-type", "kubernetes.io/arch")

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
    info, labels = status.get("nodeInfo") or {}, metadata.get("labels") or {}
    allocatable = resources_of(status.get("allocatable"))
    others = [tenant for tenant in view.tenants if tenant.name != own]
    return {
        "name": metadata["name"],
        "machine_type": next((labels[key] for key in MACHINE_TYPES if key in labels), None),
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


def _trimmed(node: Json) -> Json:
    """The parts of a node that are asked for; a status names up to 50 images, of which nobody asks here."""
    status = {key: node["status"][key] for key in ("allocatable", "conditions", "nodeInfo") if key in node["status"]}
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
