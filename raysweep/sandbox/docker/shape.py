"""A container as a value: what the engine is asked for, and the bounds in its answer (pure).

Cpu limits are given as quota and period, not as NanoCpus: the engine refuses NanoCpus above the machine's cores, while
the kernel takes any quota, as it does for the local kind and for pods.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from raysweep.errors import SandboxError
from raysweep.sandbox.docker.payload import volume_mount
from raysweep.sandbox.protocol import SandboxSpec
from raysweep.sandbox.supervised.frames import digest_of
from raysweep.sandbox.supervisor import PLACE, SPOOL
from raysweep.units import Resources

PERIOD_US = 100_000
PROFILES = {
    "package-install": (
        "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "SETUID", "SETGID", "SETPCAP", "SETFCAP", "KILL",
        "NET_BIND_SERVICE", "SYS_CHROOT",
    ),
    "strict": (),
}  # fmt: skip
RUN_LABEL = "raysweep.dev/run"
ATTEMPT_LABEL = "raysweep.dev/attempt"
RUNNER_LABEL = "raysweep.dev/runner"
OWNER_LABEL = "raysweep.dev/owner"
TASK_FOLDERS = ("/app", "/logs/agent", "/logs/verifier", "/tests", "/solution")
_UNSAFE = re.compile(r"[^a-z0-9_.-]+")


@dataclass(frozen=True, slots=True)
class Shape:
    """What is the same for all containers of a provider.

    capabilities: a key of PROFILES. owner: token of the process that owns them. runtime: OCI runtime of the engine.
    cgroup_parent: cgroup to put containers into (Linux engines). network: the engine's network for tasks that ask for
    one. labels: further ones. memsw_free: cgroup v1 on a machine without swap: a bound on memory and swap together
    would be hit in place of the memory limit, whose failcnt is evidence.
    """

    capabilities: str = "package-install"
    runner: str | None = None
    owner: str = ""
    runtime: str | None = None
    cgroup_parent: str | None = None
    network: str = "bridge"
    memsw_free: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)


def container_name(spec: SandboxSpec) -> str:
    """Deterministic, so that an attempt cannot have two containers on one engine."""
    run, attempt = (_UNSAFE.sub("-", text.lower()) for text in (spec.run_id, spec.name))
    return f"rs-{run[-24:].lstrip('-_.')}-{attempt}"


def create_request(spec: SandboxSpec, shape: Shape, image: str, architecture: str, token: str) -> dict[str, Any]:
    """Body of POST /containers/create; of the token it has the digest only."""
    labels = {
        **{f"raysweep.dev/{key}": value for key, value in spec.labels.items()},
        RUN_LABEL: spec.run_id,
        ATTEMPT_LABEL: spec.name,
        RUNNER_LABEL: shape.runner or "",
        OWNER_LABEL: shape.owner,
        **shape.labels,
    }
    return {
        "Image": image,
        "Entrypoint": [PLACE, "init", "task", SPOOL, digest_of(token)],
        "Cmd": [],
        "User": "0:0",  # whatever the image's USER is: task files, /logs and the supervisor's spool are root's
        "WorkingDir": "/",
        "Hostname": "sandbox",
        "Labels": labels,
        "Healthcheck": {"Test": ["NONE"]},
        "StopTimeout": 5,
        "HostConfig": {**_host_config(spec, shape), "Mounts": [volume_mount(architecture)]},
    }


def _host_config(spec: SandboxSpec, shape: Shape) -> dict[str, Any]:
    if shape.capabilities not in PROFILES:
        raise SandboxError("scheduling", f"{shape.capabilities!r} is not a capability profile")
    config: dict[str, Any] = {
        "PidsLimit": spec.pids,
        "CapDrop": ["ALL"],
        "CapAdd": list(PROFILES[shape.capabilities]),
        "SecurityOpt": ["no-new-privileges"],
        "NetworkMode": shape.network if spec.network else "none",
        "RestartPolicy": {"Name": "no"},
        "Init": False,
        "AutoRemove": False,
        "IpcMode": "private",
        "CgroupnsMode": "private",
        "LogConfig": {"Type": "none"},
    }
    if spec.limit.memory is not None:
        config |= {"Memory": spec.limit.memory, "MemorySwap": -1 if shape.memsw_free else spec.limit.memory}
    if spec.request.memory is not None:
        config["MemoryReservation"] = min(spec.request.memory, spec.limit.memory or spec.request.memory)
    if spec.limit.cpu is not None:
        config |= {"CpuPeriod": PERIOD_US, "CpuQuota": spec.limit.cpu * PERIOD_US // 1000}
    if spec.request.cpu is not None:
        config["CpuShares"] = max(2, spec.request.cpu * 1024 // 1000)
    if shape.runtime is not None:
        config["Runtime"] = shape.runtime
    if shape.cgroup_parent is not None:
        config["CgroupParent"] = shape.cgroup_parent
    return config


def read_limit(inspected: Mapping[str, Any]) -> Resources:
    """The limit that the engine says it applies; None where there is none."""
    config = inspected["HostConfig"]
    memory, quota, nano = (int(config.get(key) or 0) for key in ("Memory", "CpuQuota", "NanoCpus"))
    period = int(config.get("CpuPeriod") or PERIOD_US)
    cpu = quota * 1000 // period if quota > 0 else nano // 1_000_000
    return Resources(cpu=cpu or None, memory=memory or None)


def read_request(inspected: Mapping[str, Any], asked: Resources) -> Resources:
    """The request as the engine holds it; where its unit is coarser than ours, the asked value that it stands for."""
    config = inspected["HostConfig"]
    shares, reservation = int(config.get("CpuShares") or 0), int(config.get("MemoryReservation") or 0)
    cpu = asked.cpu
    if asked.cpu is None or shares != max(2, asked.cpu * 1024 // 1000):
        cpu = shares * 1000 // 1024 or None
    return Resources(cpu=cpu, memory=reservation or None, storage=asked.storage)
