"""What a cluster really enforces, measured in one small pod by the supervisor's helpers."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from raysweep.errors import SandboxError
from raysweep.sandbox.kubernetes.container import ClusterContext
from raysweep.sandbox.kubernetes.pod import BINARY
from raysweep.sandbox.kubernetes.sandbox import PodSandbox
from raysweep.sandbox.protocol import Capabilities, ExecResult, SandboxSpec
from raysweep.units import MIB, Resources
from raysweep.vocabulary import Enforcement, OomScope

REQUEST = Resources(cpu=10, memory=32 * MIB)
LIMIT = Resources(cpu=1000, memory=512 * MIB)
"""Room for all sleepers; what is allocated beyond it must be killed."""

SLEEPERS = 2048
"""Processes that the probe tries to have at once; a limit above this counts as none."""

NET_MS = 3000

LOST = frozenset({"preempted", "drained", "node_lost", "node_pressure"})
"""Causes by which a cluster takes a pod away that did nothing wrong: it says nothing of what is enforced."""
TRIES = 3


@dataclass(frozen=True, slots=True)
class Proof:
    """What was measured. pids_limit: how many processes there could be, None where all were. node: where it ran."""

    capabilities: Capabilities
    pids_limit: int | None = None
    node: str | None = None
    clock_offset_s: float | None = None

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Proof:
        """From `to_json`."""
        return cls(**{**data, "capabilities": Capabilities(**data["capabilities"])})


Measured = TypeVar("Measured")


async def unless_lost(measure: Callable[[int], Awaitable[Measured]]) -> Measured:
    """What `measure(1)` gives; where the cluster took its pods away `measure(2)`, and so on, up to TRIES."""
    for number in range(1, TRIES):
        try:
            return await measure(number)
        except SandboxError as error:
            if error.cause not in LOST:
                raise
    return await measure(TRIES)


async def probe(cluster: ClusterContext, run_id: str) -> Proof:
    """Run the probe pod on `cluster`, again where it is lost; SandboxError when there can be none."""
    return await unless_lost(lambda number: _measured(cluster, run_id, number))


async def _measured(cluster: ClusterContext, run_id: str, number: int) -> Proof:
    name = f"probe-{cluster.lease.runner}-{number}"
    spec = SandboxSpec(run_id, name, REQUEST, LIMIT, workdir="/", lifetime_s=600.0)
    sandbox = PodSandbox(spec, cluster)
    try:
        admitted = await sandbox.start()
        host = (await sandbox.environment()).get("KUBERNETES_SERVICE_HOST")
        port = (await sandbox.environment()).get("KUBERNETES_SERVICE_PORT", "443")
        reached = await _run(sandbox, "net", host, port, str(NET_MS)) if host else None
        slept = await _run(sandbox, "sleepers", str(SLEEPERS))
        hog = await _run(sandbox, "alloc", str(2 * (LIMIT.memory or 0)))
        survived = b"held" in hog.stdout
        group = hog.facts.exit is None and hog.facts.signal is None
        pids_limit = _pids_limit(slept)
        version, offset, node = (admitted.node.get(key) for key in ("cgroup", "clock_offset_s", "name"))
        capabilities = Capabilities(
            memory=Enforcement.NONE if survived else Enforcement.ENFORCED,
            cpu=Enforcement.ENFORCED,
            pids=Enforcement.NONE if pids_limit is None else Enforcement.NODE_SETTING,
            disk=Enforcement.EVICT,
            oom=OomScope.GROUP if group else OomScope.PROCESS,
            network_isolation=reached is not None and _isolated(reached),
            cgroup=version if isinstance(version, int) else None,
            egress=Enforcement.REQUESTED,
        )
        return Proof(
            capabilities, pids_limit, str(node) if node else None, offset if isinstance(offset, float) else None
        )
    finally:
        await asyncio.shield(sandbox.stop())


async def _run(sandbox: PodSandbox, *words: str) -> ExecResult:
    return await sandbox.exec(words[0], [BINARY, *words], timeout_s=120)


def _pids_limit(slept: ExecResult) -> int | None:
    """How many processes there were when a fork was refused; None when none was."""
    words = slept.stdout.split()
    if len(words) != 2 or int(words[0]) >= SLEEPERS or int(words[1]) != errno.EAGAIN:
        return None
    return int(words[0])


def _isolated(reached: ExecResult) -> bool:
    """Neither an answer nor a refusal came back from the API server's address."""
    return reached.stdout.split()[:1] not in ([b"open"], [b"refused"], [])
