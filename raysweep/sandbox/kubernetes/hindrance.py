"""Why a pod that was created does not run yet, and how long that may be borne; pure.

Transient trouble (a registry that does not answer, a full cluster, an autoscaler at work) may last until the start
time-out; what waiting cannot mend (a name that is no image's, a pod larger than every node) is given up earlier.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from raysweep.sandbox.kubernetes.pod import KEEPER

Json = Mapping[str, Any]

SOON_S = 60.0
"""Patience with what looks final but might be a moment's: an image just pushed, a node group just added."""

_AT_ONCE = ("InvalidImageName", "ErrImageNeverPull")
_IMAGE = (
    "ErrImagePull", "ImagePullBackOff", "ImageInspectError", "RegistryUnavailable", "SignatureValidationFailed",
    "CreateContainerError", "CreateContainerConfigError", "RunContainerError", *_AT_ONCE,
)  # fmt: skip
_ABSENT = re.compile(
    r"not found|does not exist|manifest unknown|denied|unauthorized|authorization failed", re.IGNORECASE
)
_NOT_SET_UP = ("FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox")
_SCALING = ("TriggeredScaleUp",)
_TOO_SMALL = re.compile(r"Insufficient |didn't match Pod's node affinity/selector")
_TAINTED = re.compile(r"had untolerated taint")
_HELPLESS = re.compile(r"preemption: 0/(\d+) nodes are available: (\d+) Preemption is not helpful for scheduling")


@dataclass(frozen=True, slots=True)
class Hindrance:
    """What keeps a pod from running. patience_s: seconds that it may last, None until the start time-out."""

    cause: str
    detail: str
    patience_s: float | None = None


def hindrance(pod: Json, events: Iterable[Json] = ()) -> Hindrance | None:
    """What keeps a pending pod from running, None where it is simply on its way.

    events: those of this pod; without them an autoscaler at work and failing mounts are not told.
    """
    known = list(events)
    status = pod.get("status", {})
    for container in status.get("containerStatuses") or ():
        terminated = container.get("state", {}).get("terminated")
        if terminated and container.get("name") == KEEPER:  # the task's own end is judged in pod_end.py
            return _ended_early(terminated)
    if status.get("phase", "Pending") != "Pending":
        return None
    for condition in status.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return _unscheduled(str(condition.get("reason", "")), str(condition.get("message", "")), known)
    for container in [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]:
        waiting = container.get("state", {}).get("waiting") or {}
        if waiting.get("reason") in _IMAGE:
            return _image(str(waiting["reason"]), str(waiting.get("message", "")))
    failed = [e for e in known if e.get("reason") in _NOT_SET_UP]
    if failed and status.get("containerStatuses"):
        return Hindrance("scheduling", f"{failed[-1]['reason']}: {failed[-1].get('message', '')}")
    return None


def _ended_early(terminated: Json) -> Hindrance:
    """The keeper ended before the pod ran: a kubelet that stopped between two starts leaves such pods."""
    reason, message = terminated.get("reason", "no reason"), terminated.get("message", "")
    return Hindrance("node_lost", f"container {KEEPER} ended before the pod ran: {reason}: {message}", 0.0)


def _image(reason: str, message: str) -> Hindrance:
    detail = f"{reason}: {message}"
    if reason in _AT_ONCE:
        return Hindrance("image", detail, 0.0)
    lasting = _ABSENT.search(message) or reason in {"CreateContainerConfigError", "RunContainerError"}
    return Hindrance("image", detail, SOON_S if lasting else None)


def _unscheduled(reason: str, message: str, events: Sequence[Json]) -> Hindrance:
    scaling = [e for e in events if e.get("reason") in _SCALING]
    if scaling:
        return Hindrance("scheduling", f"waits for the autoscaler: {scaling[-1].get('message', '')}")
    return Hindrance("scheduling", f"{reason}: {message}", SOON_S if fits_nowhere(message) else None)


def fits_nowhere(message: str) -> bool:
    """Whether the scheduler's message says that no present node could run the pod even when it was empty.

    Since Kubernetes 1.31 a request above a node's allocatable counts as what preemption cannot help. So do cordons and
    taints, which may pass and whose keys are not told: where there is nothing else the pod waits.
    """
    helpless = _HELPLESS.search(message)
    if helpless is None or helpless[1] != helpless[2]:
        return False
    reasons = message.partition(" nodes are available: ")[2].partition(" preemption: ")[0]
    clauses = re.split(r", (?=\d+ )", reasons.rstrip(". "))
    known = all(_TOO_SMALL.search(clause) or _TAINTED.search(clause) for clause in clauses)
    return known and any(_TOO_SMALL.search(clause) for clause in clauses)
