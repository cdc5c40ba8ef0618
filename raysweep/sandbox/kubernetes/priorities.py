"""Which pods would displace which: what the cluster's PriorityClasses mean for sandboxes and for those beside them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from raysweep.apiserver import Api, ApiError
from raysweep.sandbox.protocol import Check

PATH = "/apis/scheduling.k8s.io/v1/priorityclasses"
SYSTEM = "system-"
"""Kubernetes' own classes, which are above all others everywhere."""
OWN = frozenset({"raysweep-control", "raysweep-sandboxes"})
OPERATOR = "raysweep-operator"
REMEDY = "give it `preemptionPolicy: Never`, or sandbox.priority_class one that nothing is above (docs/kubernetes.md)"


async def priority_check(api: Api, chosen: str | None) -> Check | None:
    """What may be displaced, as a note; None where our account may not list PriorityClasses."""
    try:
        classes, _ = await api.collect(PATH, patience=5.0)
    except ApiError as error:
        if error.status in {403, 404}:
            return None
        raise
    warnings = list(displaced(classes, chosen))
    found = "; ".join(warnings) or "no pod of another class displaces sandboxes, and they displace none"
    return Check("priorities", not warnings, found, REMEDY if warnings else "", required=False)


def displaced(classes: Sequence[Mapping[str, Any]], chosen: str | None) -> Iterator[str]:
    """One line for each class that may displace a sandbox of class `chosen`, or whose pods sandboxes may displace."""
    values = {one["metadata"]["name"]: int(one["value"]) for one in classes}
    preempting = {one["metadata"]["name"] for one in classes if one.get("preemptionPolicy") != "Never"}
    default = next((one["metadata"]["name"] for one in classes if one.get("globalDefault")), None)
    own = chosen or default
    value = values.get(own or "", 0)
    above = sorted(
        name for name in preempting if values[name] > value and not name.startswith(SYSTEM) and name != OPERATOR
    )
    if above:
        yield f"pods of {', '.join(above)} may displace sandboxes, whose trials then run again"
    if own in preempting and value > values.get(default or "", 0):
        yield f"sandboxes of {own} may displace pods of lower priority, operators among them"
    for name in sorted(OWN & preempting):
        yield f"{name} is of an earlier version and displaces others: delete it, then apply cluster/base"
