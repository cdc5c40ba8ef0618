"""The local kind of sandbox: its options, and what it needs and can."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from raysweep.config.base import Text
from raysweep.config.sandbox import SandboxConfig
from raysweep.kind import SandboxKind


class LocalConfig(SandboxConfig):
    """Sandboxes on this machine: bubblewrap and a cgroup."""

    rootfs: Text | None = Field(
        None, description="folder that holds the sandbox's root file system; left out: the host's /usr and /etc"
    )
    cgroup_parent: Text | None = Field(
        None, description="path of a delegated cgroup; left out: found or made as doctor says"
    )
    network: Literal["task", "none"] = Field(
        "task", description="`task` gives network to tasks that declare it, `none` to nobody"
    )


KIND = SandboxKind(name="local", options=LocalConfig, provider="raysweep.sandbox.local.provider:make", here=True)
