"""Checks of a cluster for sandboxes in pods, in the order in which they should be mended; the last by probe pods."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from raysweep.apiserver import Api, ApiError
from raysweep.errors import SandboxError, UnsuitableError
from raysweep.sandbox.kubernetes.container import ClusterContext
from raysweep.sandbox.kubernetes.options import KubernetesOptions
from raysweep.sandbox.kubernetes.pod import BINARY, pod_name
from raysweep.sandbox.kubernetes.preflight import (
    admission_check,
    cluster_check,
    namespace_check,
    node_checks,
    rights_check,
    shortened,
)
from raysweep.sandbox.kubernetes.priorities import priority_check
from raysweep.sandbox.kubernetes.probe import LOST, SLEEPERS, Proof, probe, unless_lost
from raysweep.sandbox.kubernetes.sandbox import PodSandbox
from raysweep.sandbox.kubernetes.session import ClusterSession
from raysweep.sandbox.protocol import Check, Planned, SandboxSpec
from raysweep.units import MIB, Resources
from raysweep.vocabulary import Enforcement, OomScope

PROBE = Resources(cpu=10, memory=32 * MIB), Resources(cpu=500, memory=64 * MIB)
"""Request and limit of the pods that look at the network."""
NET_MS = 3000
METADATA = ("169.254.169.254", "80")
CLOSED_PORT = "9"
"""A port on which no sandbox listens: where pods reach each other the answer is a refusal, not silence."""
CLOCK_OFF_S = 2.0
IMAGES_TRIED = 2
"""Planned images that a pod is started from, beside sandbox.image; all would take as long as the pre-pull."""


class Examined(Protocol):
    """What the checks need of a provider."""

    @property
    def options(self) -> KubernetesOptions:
        """The sweep's options."""
        ...

    @property
    def checked(self) -> Callable[[Check], None]:
        """Told each check as soon as it is known."""
        ...

    def remember(self, proof: Proof) -> None:
        """Keep what a probe pod measured."""
        ...

    async def gc(self, run_id: str | None) -> Sequence[str]:
        """Remove what a run left."""
        ...


class _Told(list[Check]):
    """The checks so far, each told when it is added."""

    def __init__(self, tell: Callable[[Check], None]) -> None:
        super().__init__()
        self._tell = tell

    def take(self, *checks: Check) -> None:
        """Add checks."""
        for check in checks:
            self._tell(check)
            self.append(check)


async def run_checks(provider: Examined, planned: Planned) -> Sequence[Check]:
    """All checks; later ones are left out where an earlier one fails that they stand on."""
    checks = _Told(provider.checked)
    try:
        api = await Api.connect(provider.options.context)
    except UnsuitableError as error:
        checks.take(Check("cluster", ok=False, found=error.missing, remedy=error.remedy))
        return checks
    try:
        if not await _looked(api, provider.options, planned, checks):
            return checks
    except ApiError as error:
        checks.take(Check("cluster", ok=False, found=str(error), remedy="see the message, and try again"))
        return checks
    finally:
        await api.close()
    if all(check.ok for check in checks if check.required):
        checks.take(*await _probed(provider, planned))
    return checks


async def _looked(api: Api, options: KubernetesOptions, planned: Planned, checks: _Told) -> bool:
    """What can be seen without a pod; False where a later check could not be asked for."""
    checks.take(await cluster_check(api))
    for look in (rights_check, namespace_check):
        if not checks[-1].ok:
            return False
        checks.take(await look(api, options.namespace))
    if not checks[-1].ok:
        return False
    pods, specs = options.pods(), planned.specs
    if specs:
        checks.take(await admission_check(api, pods, specs))
    checks.take(*await node_checks(api, pods, planned, allow_unreachable=options.allow_unreachable_limits))
    priorities = await priority_check(api, options.priority_class)
    if priorities is not None:
        checks.take(priorities)
    return True


async def _probed(provider: Examined, planned: Planned) -> list[Check]:
    """What probe pods show; one failed check where none can run."""
    try:
        proof, network, images = await unless_lost(lambda _: _shown(provider, planned))
    except (SandboxError, ApiError, OSError) as error:
        remedy = "see the message: the image, the nodes' room, or the namespace's quota stands in the way"
        return [Check("probe pods", ok=False, found=f"cannot run: {error}", remedy=remedy)]
    except UnsuitableError as error:
        return [Check("probe pods", ok=False, found=error.missing, remedy=error.remedy)]
    provider.remember(proof)
    return [
        Check("probe pods", ok=True, found=f"ran from {provider.options.image} on {proof.node}"),
        *images,
        *judge(proof, network, planned.untrusted, require_isolation=provider.options.require_isolation),
    ]


async def _shown(provider: Examined, planned: Planned) -> tuple[Proof, Network, list[Check]]:
    """What probe pods of a run of their own measured; nothing of it is left."""
    run_id = f"doctor-{uuid.uuid4().hex[:12]}"
    session = await ClusterSession.begin(provider.options.session(), run_id)
    try:
        return await asyncio.gather(
            probe(session.cluster, run_id),
            look_at_network(session.cluster, run_id),
            _images(session.cluster, run_id, planned),
        )
    finally:
        await session.end()
        await provider.gc(run_id)


@dataclass(frozen=True, slots=True)
class Network:
    """What pods reached. closed: from a pod without network. open: from one with it. swap: bytes of the node's swap."""

    closed: tuple[str, ...] = ()
    open: tuple[str, ...] = ()
    swap: int | None = None


async def look_at_network(cluster: ClusterContext, run_id: str) -> Network:
    """What a pod with and one without network reach of the cluster: the API server, another sandbox, metadata."""
    cluster = replace(cluster, options=replace(cluster.options, tenancy="shared"))  # they look at each other
    names = {"closed": False, "open": True, "other": False}
    pods = {name: PodSandbox(_spec(run_id, f"network-{name}", network=open_), cluster) for name, open_ in names.items()}
    try:
        admitted, *_ = await asyncio.gather(*(pod.start() for pod in pods.values()))
        environment = await pods["closed"].environment()
        other = cluster.watcher.pod(pod_name(run_id, "network-other"))
        targets: dict[str, tuple[str, str]] = {"the metadata server": METADATA}
        if "KUBERNETES_SERVICE_HOST" in environment:
            api_server = environment["KUBERNETES_SERVICE_HOST"], environment.get("KUBERNETES_SERVICE_PORT", "443")
            targets["the API server"] = api_server
        if other is not None and "podIP" in other.pod["status"]:
            targets["another sandbox"] = str(other.pod["status"]["podIP"]), CLOSED_PORT
        closed, opened = await asyncio.gather(*(_reached(pods[name], targets) for name in ("closed", "open")))
        swap = admitted.node.get("swap")
        return Network(closed, opened, swap if isinstance(swap, int) else None)
    finally:
        await asyncio.shield(asyncio.gather(*(pod.stop() for pod in pods.values()), return_exceptions=True))


async def _reached(pod: PodSandbox, targets: Mapping[str, tuple[str, str]]) -> tuple[str, ...]:
    """Those of `targets` from which an answer came, be it a refusal."""
    found = []
    for number, (name, (host, port)) in enumerate(sorted(targets.items())):
        done = await pod.exec(f"net-{number}", [BINARY, "net", host, port, str(NET_MS)], timeout_s=60)
        if done.stdout.split()[:1] in ([b"open"], [b"refused"]):
            found.append(name)
    return tuple(found)


def _spec(run_id: str, name: str, *, network: bool = False, image: str | None = None) -> SandboxSpec:
    request, limit = PROBE
    return SandboxSpec(run_id, name, request, limit, network=network, image=image, workdir="/", lifetime_s=900.0)


async def _images(cluster: ClusterContext, run_id: str, planned: Planned) -> list[Check]:
    """Whether a pod starts from some of the planned images."""
    wanted = sorted({spec.image for spec in planned.specs if spec.image is not None})
    failed = []
    for number, image in enumerate(wanted[:IMAGES_TRIED]):
        pod = PodSandbox(_spec(run_id, f"image-{number}", image=image), cluster)
        try:
            await pod.start()
        except SandboxError as error:
            if error.cause in LOST:
                raise
            failed.append(f"{image}: {error.detail}")
        finally:
            await asyncio.shield(pod.stop())
    if not wanted:
        return []
    said = shortened(failed) if failed else f"a pod starts from {' and '.join(wanted[:IMAGES_TRIED])}"
    more = f"; {len(wanted) - IMAGES_TRIED} were not tried" if len(wanted) > IMAGES_TRIED else ""
    remedy = "push the image where the nodes can pull it, or name its pull secret in sandbox.pull_secrets"
    return [Check("task images", not failed, said + more, remedy if failed else "")]


def judge(proof: Proof, network: Network, untrusted: Sequence[str], *, require_isolation: bool) -> list[Check]:
    """What was measured, as checks."""
    found = proof.capabilities
    enforced, whole = found.memory == Enforcement.ENFORCED, found.oom == OomScope.GROUP
    reached = [f"without network: {name}" for name in network.closed]
    reached += [f"with network: {name}" for name in network.open]
    offset = proof.clock_offset_s
    in_time = offset is not None and abs(offset) <= CLOCK_OFF_S
    return [
        Check(
            "memory limit",
            enforced,
            f"{'enforced' if enforced else 'NOT enforced'} (cgroup v{found.cgroup}); what is past it ends "
            f"{'the whole container' if whole else 'one process'}",
            "" if enforced else "the nodes' kubelet or runtime does not set memory limits: use other nodes",
        ),
        pids_check(proof.pids_limit, untrusted),
        Check(
            "network isolation",
            not reached,
            f"not enforced, reached {'; '.join(reached)}" if reached else "enforced, as far as probe pods reached",
            "use a network plug-in that enforces NetworkPolicies, and apply cluster/sandboxes" if reached else "",
            required=require_isolation,
        ),
        Check(
            "clocks",
            in_time,
            "not measured" if offset is None else f"the nodes' differ from ours by {offset:.3f} s",
            "" if in_time else "synchronise the clocks (NTP) of this machine and of the nodes",
            required=False,
        ),
        Check(
            "swap",
            not network.swap,
            "unknown" if network.swap is None else ("on" if network.swap else "off"),
            "turn swap off on the nodes for steadier timings" if network.swap else "",
            required=False,
        ),
    ]


def pids_check(limit: int | None, untrusted: Sequence[str]) -> Check:
    """A bound on processes is the kubelet's to set; without one an agent that we do not know can fill a node."""
    if limit is not None:
        return Check("pids", ok=True, found=f"a fork is refused at about {limit} processes in a pod")
    who = f", and untrusted agents are planned: {', '.join(untrusted)}" if untrusted else ""
    return Check(
        "pids",
        ok=False,
        found=f"{SLEEPERS} processes in a pod were not refused{who}",
        remedy="set podPidsLimit in the kubelet's configuration of the sandbox nodes (1024 is enough)",
        required=bool(untrusted),
    )
