"""What an engine really enforces, measured in one small container of nothing but the supervisor."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from raysweep.errors import SandboxError
from raysweep.record.evidence import PhaseCounters
from raysweep.sandbox.docker.container import DockerContainer, Site
from raysweep.sandbox.docker.engine import Engine
from raysweep.sandbox.docker.images import Images
from raysweep.sandbox.docker.scratch import load_scratch
from raysweep.sandbox.protocol import Admitted, Capabilities, Check, ExecResult, Sandbox, SandboxSpec
from raysweep.sandbox.supervised.sandbox import SupervisedSandbox
from raysweep.sandbox.supervisor import PLACE
from raysweep.units import MIB, Resources, format_bytes
from raysweep.vocabulary import Enforcement, OomScope

LIMIT = Resources(cpu=250, memory=48 * MIB)
PIDS = 32
BURN_MS = 1000
OUTSIDE = "192.0.2.1"  # TEST-NET-1: nobody's address
RUN = "probe"
MEMORY_REMEDY = (
    "use an engine whose kernel has the memory controller (on a Raspberry Pi: cgroup_enable=memory on the kernel's "
    "command line; rootless: delegate the controllers to the user's cgroup)"
)
CPU_REMEDY = "use an engine whose kernel has CFS quotas (rootless: delegate the cpu controller)"
PIDS_REMEDY = "use an engine whose kernel has the pids controller (rootless: delegate it)"


@dataclass(frozen=True, slots=True)
class Proof:
    """What was measured: capabilities, one check for each bound, facts for the ledger; memsw_free: see `Shape`."""

    capabilities: Capabilities
    checks: tuple[Check, ...]
    facts: Mapping[str, str | int | float | bool | None] = field(default_factory=dict)
    memsw_free: bool = False

    @property
    def problem(self) -> Check | None:
        """The first required check that does not hold."""
        return next((check for check in self.checks if check.required and not check.ok), None)


async def probe(engine: Engine, site: Site) -> Proof:
    """Run the probes; SandboxError when no container can be made at all."""
    try:
        image = await load_scratch(engine, str(site.facts.get("machine_type")))
    except ValueError as error:
        raise SandboxError("image", f"raysweep has no supervisor for this engine's machine: {error}") from error
    name = f"probe-{id(site):x}-{site.shape.owner.rpartition('/')[0].rpartition('/')[2]}"
    spec = SandboxSpec(RUN, name, LIMIT, LIMIT, image=image, pids=PIDS, workdir="/")
    own = replace(site, images=Images("never"), start_timeout_s=120.0)  # no registry has the probes' image
    sandbox = SupervisedSandbox(spec, DockerContainer(spec, own))
    try:
        admitted = await sandbox.start()
        return await _measure(sandbox, admitted)
    finally:
        await sandbox.stop()


async def _measure(sandbox: Sandbox, admitted: Admitted) -> Proof:
    isolated = await _run(sandbox, "net", OUTSIDE, "9", "1000")
    burnt = await _run(sandbox, "burn", str(BURN_MS))
    slept = await _run(sandbox, "sleepers", str(4 * PIDS))
    hog = await _run(sandbox, "alloc", str(4 * (LIMIT.memory or 0)))
    counters = await sandbox.counters()
    group = hog.facts.exit is None and hog.facts.signal is None
    memory, cpu, pids = _memory(hog, counters, group=group), _cpu(burnt, admitted), _pids(slept)
    network = _network(isolated)
    version = admitted.node.get("cgroup")
    capabilities = Capabilities(
        memory=Enforcement.ENFORCED if memory.ok else Enforcement.NONE,
        cpu=Enforcement.ENFORCED if cpu.ok else Enforcement.NONE,
        pids=Enforcement.ENFORCED if pids.ok else Enforcement.NONE,
        disk=Enforcement.NONE,
        oom=OomScope.GROUP if group else OomScope.PROCESS,
        network_isolation=network.ok,
        cgroup=version if isinstance(version, int) else None,
    )
    facts = {"oom": capabilities.oom, "disk": "not enforced", "swap": admitted.node.get("swap")}
    return Proof(capabilities, (memory, cpu, pids, network), facts, version == 1 and facts["swap"] == 0)


async def _run(sandbox: Sandbox, *words: str) -> ExecResult:
    return await sandbox.exec(words[0], [PLACE, *words], timeout_s=60)


def _memory(hog: ExecResult, counters: PhaseCounters, *, group: bool) -> Check:
    killed = (group or hog.facts.signal == 9) and b"held" not in hog.stdout and bool(counters.oom_kills)
    size = format_bytes(LIMIT.memory or 0)
    found = f"killed at {size}" if killed else f"not killed at {size}: {hog.facts}"
    return Check("memory limit", killed, found, "" if killed else MEMORY_REMEDY)


def _cpu(burnt: ExecResult, admitted: Admitted) -> Check:
    """Of one thread that never waits no more than the quota may run, with a period at each end."""
    used = int(burnt.stdout.split()[0]) if burnt.stdout.split() else None
    most = ((LIMIT.cpu or 0) * BURN_MS + 2 * 100_000) * 1.2
    ok = used is not None and used <= most and admitted.limit.cpu == LIMIT.cpu
    spent = "nothing was measured" if used is None else f"{used / 1000:.0f} ms in {BURN_MS} ms"
    found = f"{spent} at {LIMIT.cpu}m"
    return Check("cpu limit", ok, found, "" if ok else CPU_REMEDY)


def _pids(slept: ExecResult) -> Check:
    words = slept.stdout.split()
    count, code = (int(words[0]), int(words[1])) if len(words) == 2 else (-1, 0)
    ok = 0 <= count < PIDS and code == errno.EAGAIN
    found = f"{count} processes of {4 * PIDS} at {PIDS}" if count >= 0 else f"nothing was measured: {slept.facts}"
    return Check("pids limit", ok, found, "" if ok else PIDS_REMEDY)


def _network(tried: ExecResult) -> Check:
    """Without a network the kernel knows no way there; a silence or an answer is a network."""
    words = tried.stdout.split()
    ok = words[:1] == [b"error"] and words[1:2] in ([b"%d" % errno.ENETUNREACH], [b"%d" % errno.EHOSTUNREACH])
    found = "no network in tasks that ask for none" if ok else f"a container without network got {tried.stdout!r}"
    return Check("network isolation", ok, found, "" if ok else "use an engine that obeys the network mode none")
