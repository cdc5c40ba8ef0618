"""The docker kind of sandbox: its options, and what it needs and can."""

from __future__ import annotations

from pydantic import Field

from raysweep.config.container import ContainerConfig, Engine, ObjectName
from raysweep.kind import SandboxKind


class DockerConfig(ContainerConfig):
    """Containers of an engine that speaks the Engine API."""

    docker_host: Engine | None = Field(
        None,
        description="address of the engine; left out: $DOCKER_HOST, else the usual sockets",
        examples=["unix:///var/run/docker.sock"],
    )
    docker_runtime: ObjectName | None = Field(
        None, description="runtime of the containers; left out: the engine's own", examples=["runsc"]
    )


KIND = SandboxKind(
    name="docker",
    options=DockerConfig,
    provider="raysweep.sandbox.docker.provider:make",
    images="built",
    here=True,
)
