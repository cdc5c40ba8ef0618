"""What became of a container, from the engine's own words about it (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from raysweep.sandbox.docker.shape import read_limit, read_request
from raysweep.sandbox.supervised.container import Ending, Facts
from raysweep.units import Resources

KILLED, TERMINATED = 128 + 9, 128 + 15


@dataclass(frozen=True, slots=True)
class ContainerStart:
    """What tells a container and this life of it from any other."""

    id: str
    started: str


def container_start(inspected: Mapping[str, Any]) -> ContainerStart:
    """Of a container that was just started."""
    return ContainerStart(inspected["Id"], inspected["State"].get("StartedAt", ""))


def is_running(inspected: Mapping[str, Any] | None, began: ContainerStart) -> bool:
    """Whether the same container still lives the same life."""
    return inspected is not None and bool(inspected["State"].get("Running")) and container_start(inspected) == began


def ending_of(inspected: Mapping[str, Any] | None, began: ContainerStart, asked: Resources, node: Facts) -> Ending:
    """The engine's last word.

    A container's process 1 is the supervisor, which no signal from inside can end (the kernel shields process 1 from
    its own namespace): a kill that is no OOM kill, and the supervisor's answer to SIGTERM, came from outside and are
    the platform's, `node_lost`. With any other exit code the container ended by itself: no cause, the counters decide.
    """
    if inspected is None:
        return Ending(ended=True, platform="node_lost", platform_detail="the container was removed by somebody else")
    state = inspected["State"]
    limit, request = read_limit(inspected), read_request(inspected, asked)
    if is_running(inspected, began):
        return Ending(limit=limit, request=request, node=node)
    if container_start(inspected) != began:
        return Ending(
            ended=True,
            platform="node_lost",
            platform_detail="the container was restarted or replaced",
            limit=limit,
            request=request,
            node=node,
        )
    code = state.get("ExitCode")
    killed = bool(state.get("OOMKilled")) and code == KILLED
    words = " ".join(str(state.get("Error") or "").split())
    outside = not killed and (code in {KILLED, TERMINATED} or bool(words))
    how = "was ended from outside" if outside else "ended by itself"
    detail = f"the container {how} (exit {code}) {words}".strip()
    return Ending(
        ended=True,
        oom_killed=killed,
        platform="node_lost" if outside else None,
        platform_detail=None if killed else detail,
        limit=limit,
        request=request,
        node=node,
    )
