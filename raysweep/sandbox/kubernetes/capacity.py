"""What the nodes of a cluster can give to planned pods; pure, from the objects of nodes and pods."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from raysweep.sandbox.kubernetes.bounds import resources_of
from raysweep.sandbox.kubernetes.nodes import machine_type
from raysweep.sandbox.kubernetes.pod import ARCH, ATTEMPT, KEEPER_CPU, KEEPER_MEMORY, PodOptions
from raysweep.sandbox.kubernetes.pod_end import node_ready, over
from raysweep.sandbox.protocol import SandboxSpec
from raysweep.units import Resources, format_bytes, format_millicores

Json = Mapping[str, Any]
NAMES = ("cpu", "memory", "storage")
DEFAULT_SLOTS = 110
"""Pods on a node where the kubelet does not say otherwise."""
IMAGES_LISTED = 50
"""A node's status names at most so many of its images; with fewer the list is complete."""


@dataclass(frozen=True, slots=True)
class Room:
    """A node and what it has for sandboxes: allocatable less what all pods that are none of ours ask for.

    slots: how many pods more it may have. allocatable: what it has for pods at all; None where only `free` is known.
    """

    node: str
    machine: str
    free: Resources
    slots: int
    images: frozenset[str]
    images_complete: bool
    allocatable: Resources | None = None

    def emptied(self) -> Room:
        """The same node once the pods that are none of ours have ended."""
        return self if self.allocatable is None else replace(self, free=self.allocatable)


def rooms(nodes: Iterable[Json], pods: Iterable[Json], options: PodOptions) -> list[Room]:
    """The nodes that sandboxes may be placed on: Ready, not cordoned, selected, their taints tolerated."""
    others: dict[str, list[Json]] = {}
    for pod in pods:
        if not over(pod) and ATTEMPT not in (pod["metadata"].get("labels") or {}):
            others.setdefault(pod["spec"].get("nodeName", ""), []).append(pod)
    return [_room(node, others.get(node["metadata"]["name"], ())) for node in nodes if _may_hold(node, options)]


def _room(node: Json, others: Sequence[Json]) -> Room:
    status = node["status"]
    free = allocatable = resources_of(status.get("allocatable"))
    slots = int(status.get("allocatable", {}).get("pods", DEFAULT_SLOTS)) - len(others)
    for pod in others:
        free = _less(free, pod_request(pod["spec"]))
    images = status.get("images") or ()
    return Room(
        node["metadata"]["name"],
        machine_type(node),
        free,
        slots,
        frozenset(name for image in images for name in image.get("names") or ()),
        images_complete=len(images) < IMAGES_LISTED,
        allocatable=allocatable,
    )


def pod_request(spec: Json) -> Resources:
    """What the scheduler counts for a pod: the sum of its containers, an init container where it asks for more."""
    sums = [_added(spec.get("containers", ()), name) for name in NAMES]
    firsts = [_asked(c) for c in spec.get("initContainers") or ()]
    tops = [max([total, *(getattr(f, name) or 0 for f in firsts)]) for total, name in zip(sums, NAMES, strict=True)]
    return Resources(*tops)


def _asked(container: Json) -> Resources:
    return resources_of((container.get("resources") or {}).get("requests"))


def _added(containers: Iterable[Json], name: str) -> int:
    return sum(getattr(_asked(c), name) or 0 for c in containers)


def _less(free: Resources, taken: Resources) -> Resources:
    def one(name: str) -> int | None:
        have = getattr(free, name)
        return None if have is None else max(0, have - (getattr(taken, name) or 0))

    return Resources(one("cpu"), one("memory"), one("storage"))


def _may_hold(node: Json, options: PodOptions) -> bool:
    labels, spec = node["metadata"].get("labels") or {}, node.get("spec", {})
    wanted = {ARCH: options.arch, **options.node_selector}
    selected = all(labels.get(key) == value for key, value in wanted.items())
    hard = [t for t in spec.get("taints") or () if t.get("effect") in {"NoSchedule", "NoExecute"}]
    tolerated = all(any(_tolerates(toleration, taint) for toleration in options.tolerations) for taint in hard)
    return node_ready(node) and not spec.get("unschedulable") and selected and tolerated


def _tolerates(toleration: Json, taint: Json) -> bool:
    if toleration.get("effect") not in {None, taint.get("effect")}:
        return False
    if toleration.get("operator") == "Exists":
        return toleration.get("key") in {None, taint["key"]}
    return toleration.get("key") == taint["key"] and (toleration.get("value") or "") == (taint.get("value") or "")


def with_keeper(request: Resources) -> Resources:
    """What the scheduler counts for a sandbox of this request (uniform QoS)."""
    return Resources((request.cpu or 0) + KEEPER_CPU, (request.memory or 0) + KEEPER_MEMORY, request.storage or 0)


def at_once(specs: Sequence[SandboxSpec], node_rooms: Sequence[Room], *, exclusive: bool = False) -> int:
    """How many sandboxes the nodes can hold at once when all are as large as the largest in each resource."""
    asked = [with_keeper(spec.request) for spec in specs]
    largest = {name: max(getattr(one, name) for one in asked) for name in NAMES}

    def held(room: Room) -> int:
        fits: list[int] = [
            getattr(room.free, name) // wanted
            for name, wanted in largest.items()
            if wanted and getattr(room.free, name) is not None
        ]
        return max(0, min([*fits, room.slots, *([1] if exclusive else [])]))

    return sum(held(room) for room in node_rooms)


def too_large(specs: Sequence[SandboxSpec], node_rooms: Sequence[Room]) -> Iterator[str]:
    """Requests that no node can hold, one line for each resource, the largest of it named."""
    for name in NAMES:
        spec = max(specs, key=lambda s: getattr(s.request, name) or 0)
        wanted = getattr(with_keeper(spec.request), name)
        most = max((getattr(room.free, name) or 0 for room in node_rooms), default=0)
        if wanted > most and any(getattr(room.free, name) is not None for room in node_rooms):
            said = f"{_spelt(name, wanted)} {name} (keeper included) is requested by {_who(spec)}"
            yield f"{said}; no node has more than {_spelt(name, most)}"


def unreachable(specs: Sequence[SandboxSpec], node_rooms: Sequence[Room]) -> Iterator[str]:
    """Finite limits that a pod would not reach on a node it may get, one line for each resource, the largest named.

    Such a limit is admitted all the same: the pod meets the node's end before its own.
    """
    for name in NAMES:
        limited = [s for s in specs if getattr(s.limit, name) is not None]
        free = [(getattr(room.free, name), room.node) for room in node_rooms if getattr(room.free, name) is not None]
        if not limited or not free:
            continue
        spec = max(limited, key=lambda s: getattr(s.limit, name))
        least, node = min(free)
        if getattr(spec.limit, name) > least:
            said = f"{name} limit of {_spelt(name, getattr(spec.limit, name))} of {_who(spec)}"
            yield f"{said}; {node} has {_spelt(name, least)} beside other pods' requests"


def extremes(specs: Sequence[SandboxSpec]) -> list[SandboxSpec]:
    """The largest and the smallest of each kind of bounds (which are finite, which absent)."""
    kinds: dict[tuple[bool, ...], list[SandboxSpec]] = {}
    for spec in specs:
        kinds.setdefault(tuple(getattr(spec.limit, name) is None for name in NAMES), []).append(spec)
    chosen = [s for members in kinds.values() for s in (min(members, key=_size), max(members, key=_size))]
    return list({id(s): s for s in chosen}.values())


def _size(spec: SandboxSpec) -> tuple[int, ...]:
    sides = (spec.limit, spec.request)
    return tuple(getattr(side, name) or 0 for name in ("memory", "cpu", "storage") for side in sides)


def _who(spec: SandboxSpec) -> str:
    task, band = spec.labels.get("task"), spec.labels.get("band")
    return f"task {task} in band {band}" if task and band else spec.name


def _spelt(name: str, amount: int) -> str:
    return format_millicores(amount) if name == "cpu" else format_bytes(amount)
