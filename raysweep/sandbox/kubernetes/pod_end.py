"""What became of a pod, from its last status, its events and its node: raw facts to causes, pure.

| seen | told as |
|---|---|
| status Evicted, a limit in the message | `evicted`, own limit |
| status Evicted, the node was low (or had a pressure condition) | `evicted`, with the usage that the message names |
| condition DisruptionTarget: PreemptionByScheduler; kubelet's Preempting | preempted |
| condition DisruptionTarget: EvictionByEvictionAPI | drained |
| the same: DeletionByTaintManager | node_lost where the node is gone or not Ready, else drained |
| the same: DeletionByPodGC (it removes pods of nodes that do not exist any more); node shutdown | node_lost |
| DeadlineExceeded | deadline |
| kubelet refused the pod after it was placed (OutOfcpu, NodeAffinity ...) | scheduling |
| another uid | node_lost: what ran is lost |
| the task's container was not started | node_lost where kubelet or runtime went away meanwhile, else image |
| container of unknown state, or restarted: the kubelet lost sight of it (reboot, runtime's state gone) | node_lost |
| the node's object is gone, or it is not Ready and the pod is gone or told no end | node_lost |
| deleted by somebody else, its node Ready | drained: no node was lost, and `drain --disable-eviction` looks the same |
| deleted by somebody else, nothing known of the node | node_lost |
| the task's container was ended by SIGTERM, and nothing says why | node_lost |
| the task's container ended before all that, or for any other reason | no cause: the counters decide, or nobody |

`oom_killed` is the status' word alone: it says that a container's last breath was an OOM kill, never whose limit.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from raysweep.record.evidence import Evicted
from raysweep.sandbox.kubernetes.bounds import actual, whole_bytes
from raysweep.sandbox.kubernetes.pod import GRACE_S, KEEPER, TASK
from raysweep.sandbox.supervised.container import Ending

Json = Mapping[str, Any]
Cause = tuple[str, str]
"""A platform cause and the detail behind it."""

KILLED, TERMINATED = 128 + 9, 128 + 15
_LOW = re.compile(r"The node was low on resource: ([\w-]+)")
_CONDITION = re.compile(r"The node had condition: \[?(\w+?)Pressure")
_USING = re.compile(rf"Container {TASK} was using ([^\s,]+), request is")
_OWN_LIMIT = re.compile(
    r"exceeded its local ephemeral storage limit|exceeds the total limit of containers|Usage of EmptyDir volume"
)
_RESOURCE = {"ephemeral-storage": "storage", "Disk": "storage", "Memory": "memory", "PID": "pids"}

_DISRUPTION = {
    "PreemptionByScheduler": "preempted",
    "EvictionByEvictionAPI": "drained",
    "DeletionByPodGC": "node_lost",
}
_STATUS = {
    "DeadlineExceeded": "deadline",
    "Preempting": "preempted",
    "Terminated": "node_lost",
    "Shutdown": "node_lost",
    "NodeShutdown": "node_lost",
    "NodeLost": "node_lost",
    "NodeAffinity": "scheduling",
    "NodePorts": "scheduling",
    "TaintToleration": "scheduling",
    "UnexpectedAdmissionError": "scheduling",
    "TopologyAffinityError": "scheduling",
    "InvalidNodeInfo": "scheduling",
    "AppArmor": "scheduling",
}
_EVENTS = {
    "Preempted": "preempted",
    "Preempting": "preempted",
    "NodeNotReady": "node_lost",
    "NodeShutdown": "node_lost",
}
_LOST_STATES = ("ContainerStatusUnknown", "Unknown")
_NOT_STARTED = ("StartError", "ContainerCannotRun")
_INTERRUPTED = re.compile(
    r"context canceled|context deadline exceeded|ttrpc: closed|code = Unavailable|error while dialing", re.IGNORECASE
)
"""What runtimes say where a kubelet or containerd that went away broke a start off; all else is the image's."""


def end_of_pod(
    pod: Json | None,
    *,
    gone: bool = False,
    events: Iterable[Json] = (),
    node: Json | None = None,
    node_gone: bool = False,
    uid: str | None = None,
) -> Ending:
    """The platform's last word on a pod, by the table above; facts of the node are left to the caller.

    pod: its last object that was seen, None where none was. gone: it does not exist any more, or its deletion was
    seen, and not by us. events: those of this pod. node: its node's object, None where it could not be read; node_gone:
    there is no such node. uid: the pod's identity when it was made.

    A pod that another is deleting counts as ended: the platform has spoken, and no stream to it will last.
    """
    pod = pod or {}
    state = _task_state(pod)
    leaving = "deletionTimestamp" in pod.get("metadata", {})
    found = pod.get("metadata", {}).get("uid", uid)
    if uid is not None and found != uid:
        detail = f"the pod was replaced: uid {uid} at the start, now {found}"
        return Ending(ended=True, platform="node_lost", platform_detail=detail)
    if not ("terminated" in state or over(pod) or gone or leaving or node_gone or lost_sight(pod)):
        return _ending(pod)
    evicted = evicted_of(pod, events := list(events))
    if evicted is not None:
        return _ending(pod, ended=True, evicted=evicted, cause=(None, _message(pod)))
    removed = (gone or leaving) and not _ended_by_itself(pod)
    causes = _causes(pod, events, node, node_gone=node_gone, removed=removed)
    return _ending(pod, ended=True, cause=next(causes, _unexplained(state)))


def _ending(
    pod: Json,
    *,
    ended: bool = False,
    evicted: Evicted | None = None,
    cause: tuple[str | None, str | None] = (None, None),
) -> Ending:
    terminated = _task_state(pod).get("terminated")
    bounds = actual(pod) if pod else None
    explained = evicted is not None or cause[0] is not None
    return Ending(
        ended=ended,
        oom_killed=None if terminated is None else _oom_killed(terminated, explained=explained),
        evicted=evicted,
        platform=cause[0],
        platform_detail=cause[1],
        request=bounds.request if bounds else None,
        limit=bounds.limit if bounds else None,
    )


def _oom_killed(terminated: Json, *, explained: bool) -> bool | None:
    """The status' word; unknown for a kill without a reason, since containerd may learn of the OOM after the end.

    The reason alone is not enough: a child's OOM kill can put it on a container that ended otherwise much later.
    """
    killed = terminated.get("exitCode") == KILLED
    if terminated.get("reason") == "OOMKilled":
        return killed
    return None if killed and not explained else False


def _causes(pod: Json, events: Sequence[Json], node: Json | None, *, node_gone: bool, removed: bool) -> Iterator[Cause]:
    """Platform causes in the order of how much they tell; the first counts."""
    reason, message = str(pod.get("status", {}).get("reason", "")), _message(pod)
    node_lost = node_gone or (node is not None and not node_ready(node))
    condition, terminated = _condition(pod, "DisruptionTarget"), _task_state(pod).get("terminated") or {}
    if condition.get("status") == "True" and (removed or not terminated):
        why = str(condition.get("reason", ""))
        text = f"{why}: {condition.get('message', '')}"
        if why in _DISRUPTION:
            yield _DISRUPTION[why], text
        if why == "DeletionByTaintManager":
            yield "node_lost" if node_lost else "drained", f"{text}; {_node_words(node, node_gone=node_gone)}"
    if reason in _STATUS or reason.startswith("OutOf"):
        yield _STATUS.get(reason, "scheduling"), f"{reason}: {message}"
    if lost_sight(pod):
        last = terminated or (_status_of(pod, TASK).get("lastState") or {}).get("terminated") or {}
        yield "node_lost", f"container state {last.get('reason', 'lost')}: {last.get('message', 'it was restarted')}"
    if terminated.get("reason") in _NOT_STARTED:
        said = str(terminated.get("message", ""))
        broken_off = _INTERRUPTED.search(said)
        yield "node_lost" if broken_off else "image", f"the container could not be started: {said}"
    if removed:
        yield from ((_EVENTS[e["reason"]], _event_words(e)) for e in reversed(events) if e.get("reason") in _EVENTS)
    if node_lost and (removed or not terminated):
        yield "node_lost", _node_words(node, node_gone=node_gone)
    if removed:
        words = f"the pod was deleted by somebody else; {_node_words(node, node_gone=node_gone)}"
        yield "node_lost" if node is None else "drained", words


def evicted_of(pod: Json, events: Sequence[Json] = ()) -> Evicted | None:
    """The kubelet's eviction of a pod, None where there was none; the event tells it where the status is lost."""
    if pod.get("status", {}).get("reason") == "Evicted":
        return parse_eviction(_message(pod))
    by_kubelet = _condition(pod, "DisruptionTarget")
    if by_kubelet.get("reason") == "TerminationByKubelet" and _LOW.search(str(by_kubelet.get("message"))):
        return parse_eviction(str(by_kubelet["message"]))
    if "status" in pod and _phase(pod) not in {"Running", "Succeeded"}:  # Succeeded: all containers ended with 0
        return None
    words = (str(e.get("message", "")) for e in reversed(events) if e.get("reason") == "Evicted")
    return next((parse_eviction(text) for text in words), None)


def lost_sight(pod: Json) -> bool:
    """Whether the kubelet has no state of the task's container any more, which it also counts as a restart.

    That alone is no last word: a kubelet that evicts a pod removes each container as soon as it has ended, and where
    another one lingers, it looks for the first in vain before it tells that the pod was evicted.
    """
    terminated = _task_state(pod).get("terminated") or {}
    return terminated.get("reason") in _LOST_STATES or _status_of(pod, TASK).get("restartCount", 0) > 0


def parse_eviction(message: str) -> Evicted:
    """Which resource an eviction was for, whether by the pod's own limit, and the task's usage where it is named.

    Own limits exist for storage alone; their message tells no usage. Under node pressure the kubelet names the usage of
    those containers that are above their request, so no usage means at or below it.
    """
    if _OWN_LIMIT.search(message):
        return Evicted("storage", own_limit=True)
    found = _LOW.search(message) or _CONDITION.search(message)
    resource = _RESOURCE.get(found[1], found[1]) if found else "unknown"
    using = _USING.search(message)
    return Evicted(resource, own_limit=False, usage=whole_bytes(using[1]) if using else None)


def cause_at_start(ending: Ending) -> Cause:
    """The platform cause of a pod that ended before its trial began; nothing that happens then is the arm's doing."""
    if ending.platform is not None:
        return ending.platform, ending.platform_detail or ""
    if ending.evicted is not None:
        return "node_pressure", ending.platform_detail or f"evicted for {ending.evicted.resource}"
    return "node_lost", ending.platform_detail or "the pod ended before it was ready, nothing says why"


def node_ready(node: Json) -> bool:
    """Whether a node's object says that it is Ready."""
    conditions = node.get("status", {}).get("conditions", ())
    return any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)


def over(pod: Json) -> bool:
    """Whether all its containers have ended for good and the kubelet has told its last word."""
    return _phase(pod) in {"Succeeded", "Failed"}


def running(pod: Json) -> bool:
    """Whether both containers run."""
    statuses = pod.get("status", {}).get("containerStatuses") or ()
    return len(statuses) >= 2 and all("running" in s.get("state", {}) for s in statuses)


def _ended_by_itself(pod: Json) -> bool:
    """Whether the task's container had ended before the pod's removal ended it.

    A removal ends both containers within the grace period, and nothing but a removal ends the keeper. While the keeper
    still runs the deletion's own time counts (the last object of a deleted pod has another one).
    """
    task = _status_of(pod, TASK).get("state", {}).get("terminated")
    if task is None or lost_sight(pod):
        return False
    metadata = pod.get("metadata", {})
    if task.get("reason") == "OOMKilled" or "deletionTimestamp" not in metadata:
        return True
    keeper = (_status_of(pod, KEEPER).get("state", {}).get("terminated") or {}).get("finishedAt")
    finished = datetime.fromisoformat(task["finishedAt"])
    if keeper is not None:
        return datetime.fromisoformat(keeper) - finished > timedelta(seconds=GRACE_S)
    grace = metadata.get("deletionGracePeriodSeconds")
    asked = datetime.fromisoformat(metadata["deletionTimestamp"]) - timedelta(seconds=grace or 0)
    return grace is not None and finished < asked


def _node_words(node: Json | None, *, node_gone: bool) -> str:
    if node_gone:
        return "its node does not exist any more"
    if node is None:
        return "its node could not be read"
    return "its node is Ready" if node_ready(node) else "its node is not Ready"


def _event_words(event: Json) -> str:
    return f"event {event['reason']}: {event.get('message', '')}"


def _unexplained(state: Json) -> tuple[str | None, str | None]:
    """What an end says for itself: SIGTERM comes from outside only."""
    terminated = state.get("terminated") or {}
    return ("node_lost" if terminated.get("exitCode") == TERMINATED else None), _last_words(state)


def _last_words(state: Json) -> str | None:
    terminated = state.get("terminated")
    if terminated is None:
        return None
    message = f": {terminated['message']}" if terminated.get("message") else ""
    return f"container ended with {terminated.get('exitCode')} ({terminated.get('reason', 'no reason')}){message}"


def _message(pod: Json) -> str:
    return str(pod.get("status", {}).get("message", ""))


def _phase(pod: Json) -> str:
    return str(pod.get("status", {}).get("phase", ""))


def _condition(pod: Json, kind: str) -> Json:
    return next((c for c in pod.get("status", {}).get("conditions") or () if c.get("type") == kind), {})


def _status_of(pod: Json, name: str) -> Json:
    return next((s for s in pod.get("status", {}).get("containerStatuses") or () if s.get("name") == name), {})


def _task_state(pod: Json) -> Json:
    state: Json = _status_of(pod, TASK).get("state") or {}
    return state
