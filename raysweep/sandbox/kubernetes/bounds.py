"""What a pod was really given: quantities read from its spec and its status, and where they differ from what was sent.

Admission (LimitRange, webhooks, Autopilot) alters specs before a pod runs, an in-place resize while it runs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from decimal import ROUND_CEILING, Decimal
from typing import Any

from raysweep.sandbox.kubernetes.pod import KEEPER, TASK
from raysweep.units import Resources

Json = Mapping[str, Any]

_QUANTITY = re.compile(r"([+-]?\d+\.?\d*|[+-]?\.\d+)([eE][+-]?\d+|[numkMGTPE]|[KMGTPE]i)?")
_BINARY = {f"{letter}i": Decimal(1024) ** (i + 1) for i, letter in enumerate("KMGTPE")}
_DECIMAL = {letter: Decimal(10) ** (3 * (i - 3)) for i, letter in enumerate("num kMGTPE") if letter != " "}


def quantity(text: str | float) -> Decimal:
    """The number that a Kubernetes quantity ("250m", "64Mi", "1e3", "0.5") stands for; ValueError for other text."""
    found = _QUANTITY.fullmatch(str(text))
    if found is None:
        raise ValueError(f"{text!r} is not a quantity of Kubernetes")
    number, suffix = Decimal(found[1]), found[2] or ""
    if suffix in _BINARY:
        return number * _BINARY[suffix]
    if suffix in _DECIMAL:
        return number * _DECIMAL[suffix]
    return number * Decimal(10) ** int(suffix[1:]) if suffix else number


def millicores(text: str | float) -> int:
    """Millicores of a cpu quantity, rounded up as Kubernetes does."""
    return int((quantity(text) * 1000).to_integral_value(ROUND_CEILING))


def whole_bytes(text: str | float) -> int:
    """Bytes of a memory or storage quantity, rounded up as Kubernetes does."""
    return int(quantity(text).to_integral_value(ROUND_CEILING))


def resources_of(listed: Json | None) -> Resources:
    """One side (`requests`, `limits`, a node's `allocatable`) as numbers; what is not there is None."""
    listed = listed or {}
    cpu, memory, storage = (listed.get(key) for key in ("cpu", "memory", "ephemeral-storage"))
    return Resources(
        None if cpu is None else millicores(cpu),
        None if memory is None else whole_bytes(memory),
        None if storage is None else whole_bytes(storage),
    )


@dataclass(frozen=True, slots=True)
class Bounds:
    """Request and limit of the task's container; None is no bound."""

    request: Resources = field(default_factory=Resources)
    limit: Resources = field(default_factory=Resources)


def admitted(pod: Json) -> Bounds:
    """The bounds in the pod's spec, as the API server keeps it."""
    return _bounds(_named(pod.get("spec", {}).get("containers"), TASK).get("resources"))


def actual(pod: Json) -> Bounds:
    """The bounds that the kubelet says it has set; those of the spec where the status does not tell them.

    Kubernetes tells cpu and memory since 1.33; an in-place resize shows here once it is done, in the spec at once.
    Storage cannot be resized and is always the spec's.
    """
    spec = admitted(pod)
    told = _named(pod.get("status", {}).get("containerStatuses"), TASK).get("resources")
    if told is None:
        return spec
    seen = _bounds(told)
    return Bounds(replace(seen.request, storage=spec.request.storage), replace(seen.limit, storage=spec.limit.storage))


def _bounds(listed: Json | None) -> Bounds:
    listed = listed or {}
    return Bounds(resources_of(listed.get("requests")), resources_of(listed.get("limits")))


def _named(containers: Any, name: str) -> Json:
    return next((c for c in containers or () if c.get("name") == name), {})


def qos_class(pod: Json) -> str | None:
    """Guaranteed, Burstable or BestEffort, as the API server told it."""
    told = pod.get("status", {}).get("qosClass")
    return None if told is None else str(told)


def alterations(sent: Json, got: Json) -> list[str]:
    """What admission made of a manifest, each difference in words; empty where it is what was sent.

    Looked at is what changes an arm: resources of the pod and its containers, further containers, another image,
    command, runtime or host namespaces. Defaults and what only places or names the pod are left aside.
    """
    return [*_altered_spec(sent["spec"], got["spec"])]


def _altered_spec(sent: Json, got: Json) -> Iterator[str]:
    for key in ("runtimeClassName", "resources", "hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"):
        if (sent.get(key) or None) != (got.get(key) or None):
            yield f"{key}: sent {sent.get(key)}, admitted {got.get(key)}"
    for kind in ("containers", "initContainers"):
        known = [c["name"] for c in sent.get(kind, ())]
        added = [c["name"] for c in got.get(kind, ()) if c["name"] not in known]
        if added:
            yield f"{kind} added by admission: {', '.join(added)}"
    for name in (TASK, KEEPER):
        yield from _altered_container(name, _named(sent.get("containers"), name), _named(got.get("containers"), name))


def _altered_container(name: str, sent: Json, got: Json) -> Iterator[str]:
    if not got:
        yield f"container {name} was removed by admission"
        return
    for key in ("image", "command", "args"):
        if (sent.get(key) or None) != (got.get(key) or None):
            yield f"{name}.{key}: sent {sent.get(key)}, admitted {got.get(key)}"
    for side in ("requests", "limits"):
        was, now = ((c.get("resources") or {}).get(side) or {} for c in (sent, got))
        for resource in sorted({*was, *now}):
            before, after = was.get(resource), now.get(resource)
            if before is None or after is None or quantity(before) != quantity(after):
                yield f"{name} {resource} {side[:-1]}: sent {before or 'none'}, admitted {after or 'none'}"
