"""What the API server's object of a pod tells about it, pure: whose it is, what runs in it, what the record keeps.

How a pod ended is judged in `pod_end`, what keeps one from starting in `hindrance`.
"""

from __future__ import annotations

from raysweep.apiserver import Json
from raysweep.sandbox.kubernetes.bounds import qos_class
from raysweep.sandbox.kubernetes.pod import TASK
from raysweep.sandbox.supervised.container import Facts
from raysweep.sandbox.supervised.frames import digest_of


def made_for(pod: Json, token: str) -> bool:
    """Whether the pod was made for the supervisor of that token: so we know one that we asked for."""
    commands = [container.get("command") or () for container in pod["spec"]["containers"]]
    return any(digest_of(token) in command for command in commands)


def lives(pod: Json, container: str) -> bool:
    """Whether a container of the pod runs."""
    statuses = pod.get("status", {}).get("containerStatuses") or ()
    return any(s["name"] == container and "running" in (s.get("state") or {}) for s in statuses)


def pod_facts(pod: Json) -> Facts:
    """Facts of the pod itself that the record keeps beside those of its node."""
    statuses = pod["status"].get("containerStatuses") or ()
    image = next((s.get("imageID") for s in statuses if s["name"] == TASK), None)
    return {"qos_class": qos_class(pod), "image_digest": image}


def facts_at_end(facts: Facts) -> Facts:
    """Facts of a node that change while an attempt runs, under names of their own for its end."""
    kept = ("allocatable_memory", "allocatable_cpu", "others_memory_request", "others_cpu_request", "co_tenants")
    return {f"{key}_end": facts[key] for key in kept if key in facts}
