"""Sandboxes whose limits are a stated truth, for probes: what is allocated and burnt is compared with it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace

from raysweep.errors import SandboxError
from raysweep.record.evidence import CommandFacts, PhaseCounters
from raysweep.sandbox.protocol import Admitted, Capabilities, ExecResult, FinalFacts, ProbeCommands


@dataclass
class Truth:
    """memory: bytes at which something is killed (None: never). cpu: cores that a sandbox gets at most.

    own: the kill is that of the own limit. group: it takes the whole sandbox. fault: platform cause at the start.
    tells_wall: burn prints its wall time too.
    """

    memory: int | None
    cpu: float = 8.0
    own: bool = True
    group: bool = False
    fault: str | None = None
    tells_wall: bool = True
    throttled: int | None = 5
    hangs: bool = False
    opened: list = field(default_factory=list)


class StatedSandbox:
    def __init__(self, spec, truth):
        self.spec, self.truth = spec, truth
        self.phase, self.kills, self.dead, self.stopped = "setup", {}, None, False
        self.burning = 0
        self.throttled = 0

    async def start(self):
        if self.truth.fault:
            raise SandboxError(self.truth.fault, "as stated")
        return Admitted(self.spec.request, self.spec.limit, {"node": "n1"})

    async def begin_phase(self, phase):
        self.phase = phase

    async def exec(self, command_id, argv, *, timeout_s=None, env=None, cwd=None, output_limit=1 << 20):
        if self.truth.hangs:
            await asyncio.sleep(timeout_s)
            return ExecResult(CommandFacts(signal=9, timed_out=True, duration_s=timeout_s))
        if argv[0] == "alloc":
            return await self._alloc(int(argv[1]), int(argv[2]) / 1000)
        return await self._burn(int(argv[1]) / 1000)

    async def _alloc(self, size, hold):
        if self.truth.memory is None or size < self.truth.memory:
            await asyncio.sleep(hold)
            return ExecResult(CommandFacts(exit=0, duration_s=hold), b"held\n")
        await asyncio.sleep(0.25)
        self.kills[self.phase] = 1
        if self.truth.group:
            self.dead = self.phase
            return ExecResult(CommandFacts())
        return ExecResult(CommandFacts(signal=9, duration_s=0.25))

    async def _burn(self, seconds):
        self.burning += 1
        await asyncio.sleep(seconds)
        share = min(1.0, self.truth.cpu / self.burning)
        if share < 1.0 and self.truth.throttled is not None:
            self.throttled = self.truth.throttled
        words = [str(round(1e6 * seconds * share))] + ([str(round(1e6 * seconds))] if self.truth.tells_wall else [])
        return ExecResult(CommandFacts(exit=0, duration_s=seconds), " ".join(words).encode())

    def _counters(self, phase):
        kills = self.kills.get(phase, 0)
        throttled = None if self.truth.throttled is None else self.throttled
        return PhaseCounters(
            phase,
            oom_kills=kills,
            own_limit_ooms=kills if self.truth.own else 0,
            unreclaimable_last_bytes=1,
            nr_throttled=throttled,
        )

    async def counters(self):
        return self._counters(self.phase)

    async def stop(self):
        self.stopped = True
        counters = {p: self._counters(p) for p in ("setup", "agent")}
        return FinalFacts(self.spec.request, self.spec.limit, counters, died_in=self.dead)


class StatedProvider:
    """The truth of each band by its name; `truths[""]` for bands that it does not name."""

    kind = "stated"

    def __init__(self, truths):
        self.truths = truths

    def capabilities(self):
        return Capabilities(memory="enforced", cpu="enforced", cgroup=2)

    def probe_commands(self):
        return ProbeCommands(alloc=("alloc",), burn=("burn",))

    async def prepare(self, run_id):
        return {}

    async def gc(self, run_id, *, keep=frozenset()):
        return []

    def open(self, spec):
        truth = self.truths.get(spec.labels["band"], self.truths.get("", Truth(None)))
        made = StatedSandbox(spec, truth)
        truth.opened.append(made)
        return made


def enforcing(spec, **changes):
    """A truth that holds a spec's own limits."""
    cpu = 8.0 if spec.cpu is None else spec.cpu / 1000
    return replace(Truth(spec.memory, cpu), **changes)
