"""Options of the docker kind as plain values."""

from __future__ import annotations

from dataclasses import dataclass

DEFAULT_IMAGE = "docker.io/library/python:3.12-slim-bookworm"


@dataclass(frozen=True, slots=True)
class DockerOptions:
    """Keys of the sandbox section that docker has (docs/config.md), and what else a provider can be told.

    start_timeout: seconds. owner: a name for the runner. cgroup_parent: a cgroup of the engine's machine to put all
    containers below.
    """

    owner: str | None = None
    image: str = DEFAULT_IMAGE
    capabilities: str = "package-install"
    pull: str = "missing"
    require_isolation: bool = False
    start_timeout: float = 600.0
    docker_host: str | None = None
    docker_runtime: str | None = None
    cgroup_parent: str | None = None
