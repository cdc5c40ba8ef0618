"""The local kind of sandbox as a provider: options travel, the prepared machine is found again in each process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from raysweep.clock import Clock
from raysweep.errors import UnsuitableError
from raysweep.sandbox.local.command import PYTHON
from raysweep.sandbox.local.doctor import namespace_check, run_checks, scratch_check
from raysweep.sandbox.local.host import Host, LocalOptions, make_host
from raysweep.sandbox.local.leftovers import remove_leftovers
from raysweep.sandbox.local.sandbox import LocalSandbox
from raysweep.sandbox.protocol import Capabilities, Check, Planned, ProbeCommands, Sandbox, SandboxSpec
from raysweep.units import GIB
from raysweep.vocabulary import Enforcement, OomScope

_PYTHON = (PYTHON, "-I", "-S", "-c")
_ALLOC = (
    "import mmap, sys, time\n"
    "size = int(sys.argv[1])\n"
    "memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)\n"
    "for at in range(0, size, 4096): memory[at] = 120\n"
    "print('held', flush=True)\n"
    "time.sleep(int(sys.argv[2]) / 1000)\n"
)
_BURN = (
    "import sys, time\n"
    "began, used = time.monotonic(), time.process_time()\n"
    "end = began + int(sys.argv[1]) / 1000\n"
    "while time.monotonic() < end: pass\n"
    "used, passed = time.process_time() - used, time.monotonic() - began\n"
    "print(round(used * 1e6), round(passed * 1e6), flush=True)\n"
)


class LocalProvider:
    """Bubblewrap sandboxes on this machine. Arguments: see `LocalOptions`. Picklable; one per runner."""

    kind = "local"

    def __init__(
        self,
        *,
        scratch: Path | str | None = None,
        cgroup_parent: str | None = None,
        rootfs: Path | str | None = None,
        owner: str | None = None,
        run_memory: int | None = None,
        reserve: int = 2 * GIB,
        sample_s: float = 1.0,
        start_timeout_s: float = 60.0,
    ) -> None:
        self.options = LocalOptions(
            scratch=Path(scratch) if scratch else None,
            cgroup_parent=cgroup_parent,
            rootfs=Path(rootfs) if rootfs else None,
            owner=owner,
            run_memory=run_memory,
            reserve=reserve,
            sample_s=sample_s,
            start_timeout_s=start_timeout_s,
        )
        self._lock = threading.Lock()
        self._host: Host | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {"options": self.options}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.options = state["options"]
        self._lock = threading.Lock()
        self._host = None

    def host(self) -> Host:
        """The machine made ready (once per process); UnsuitableError when it cannot be. Blocking."""
        with self._lock:
            if self._host is None:
                self._host = make_host(self.options)
            return self._host

    def capabilities(self) -> Capabilities:
        """What is enforced here; nothing where sandboxes cannot be made."""
        try:
            host = self.host()
        except UnsuitableError:
            return Capabilities()
        return Capabilities(
            memory=Enforcement.ENFORCED,
            cpu=Enforcement.ENFORCED,
            pids=Enforcement.ENFORCED,
            disk=Enforcement.ENOSPC if host.disk_problem is None else Enforcement.NONE,
            oom=OomScope.PROCESS,
            network_isolation=True,
            cgroup=host.version,
        )

    def probe_commands(self) -> ProbeCommands:
        """As SandboxProvider.probe_commands, by the Python that every local sandbox has."""
        return ProbeCommands(alloc=(*_PYTHON, _ALLOC), burn=(*_PYTHON, _BURN))

    def doctor(self, planned: Planned | None = None) -> Sequence[Check]:  # noqa: ARG002 - protocol
        """What is missing here and how to get it, proven by a sandbox that is really killed."""
        return run_checks(self)

    async def prepare(self, run_id: str) -> Mapping[str, str | int | float | bool | None]:  # noqa: ARG002 - protocol
        """Make the machine ready and clear what dead runners left; UnsuitableError when bounds cannot be enforced."""
        host = await asyncio.to_thread(self.host)
        await self.gc(None)
        await asyncio.to_thread(self._prove, host)
        return host.facts()

    def _prove(self, host: Host) -> None:
        for look in (scratch_check, namespace_check):
            check = look(host)
            if not check.ok:
                raise UnsuitableError(check.found, check.remedy)

    def open(self, spec: SandboxSpec) -> Sandbox:
        """A sandbox that is not started yet; prepare() must have been awaited in this process."""
        return LocalSandbox(spec, self.host())

    async def gc(self, run_id: str | None, *, keep: frozenset[str] = frozenset()) -> Sequence[str]:
        """Remove one run's sandboxes, or all whose owner is dead."""
        host = await asyncio.to_thread(self.host)
        return await asyncio.to_thread(remove_leftovers, host.parent, host.scratch, run_id, keep)


def make(owner: str, scratch: Path, clock: Clock | None, options: Mapping[str, Any]) -> LocalProvider:  # noqa: ARG001 - one form for all kinds
    """As SandboxKind.provider."""
    return LocalProvider(scratch=scratch, owner=owner, **options)
