"""The simulated provider and sandbox: sleeps as long as the truth says, then ends as the truth says."""

from __future__ import annotations

import asyncio
import io
import tarfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from raysweep.clock import Clock, SystemClock
from raysweep.errors import SandboxError
from raysweep.record.evidence import CommandFacts, PhaseCounters
from raysweep.sandbox.protocol import (
    ARCHIVE_LIMIT,
    Admitted,
    Capabilities,
    Check,
    ExecResult,
    FinalFacts,
    Planned,
    SandboxSpec,
)
from raysweep.sandbox.simulated.faults import Faults
from raysweep.sandbox.simulated.truth import Truth
from raysweep.vocabulary import Enforcement, OomScope

_CAPABILITIES = Capabilities(
    memory=Enforcement.ENFORCED,
    cpu=Enforcement.ENFORCED,
    pids=Enforcement.ENFORCED,
    disk=Enforcement.ENOSPC,
    oom=OomScope.PROCESS,
    network_isolation=True,
    cgroup=2,
)
"""What the truth is about: arms whose bounds hold."""


@cache
def _reward(*, solved: bool) -> bytes:
    """reward.txt as a tar archive."""
    content = b"1\n" if solved else b"0\n"
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as archive:
        info = tarfile.TarInfo("reward.txt")
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))
    return sink.getvalue()


class SimulatedProvider:
    """Makes simulated sandboxes; holds nothing but the truth, the faults and the clock by which they come."""

    kind = "simulated"

    def __init__(self, truth: Truth, faults: Faults | None = None, clock: Clock | None = None) -> None:
        self._truth = truth
        self._faults = faults or Faults()
        self._clock = clock or SystemClock()

    def capabilities(self) -> Capabilities:
        """As SandboxProvider.capabilities."""
        return _CAPABILITIES

    def probe_commands(self) -> None:
        """As SandboxProvider.probe_commands; there is no limit here that could be measured."""

    def doctor(self, planned: Planned | None = None) -> Sequence[Check]:  # noqa: ARG002 - protocol
        """As SandboxProvider.doctor; nothing is needed."""
        return [Check("simulated sandbox", ok=True, found="needs nothing of the machine")]

    async def prepare(self, run_id: str) -> Mapping[str, str | int | float | bool | None]:
        """As SandboxProvider.prepare."""
        return {"sandbox": "simulated", "run_id": run_id}

    def open(self, spec: SandboxSpec) -> SimulatedSandbox:
        """As SandboxProvider.open."""
        return SimulatedSandbox(spec, self._truth, self._faults, self._clock)

    async def gc(self, run_id: str | None, *, keep: frozenset[str] = frozenset()) -> Sequence[str]:  # noqa: ARG002
        """As SandboxProvider.gc; nothing is ever left."""
        return []


class SimulatedSandbox:
    """One simulated attempt."""

    def __init__(self, spec: SandboxSpec, truth: Truth, faults: Faults, clock: Clock) -> None:
        self._spec = spec
        self._truth = truth
        self._faults = faults
        self._clock = clock
        self._node: int | None = None
        self._began: float | None = None
        self._phase = "setup"
        self._killed = False
        self._ended = False
        self._outcome: str | None = None
        self._counters: dict[str, PhaseCounters] = {}

    async def start(self) -> Admitted:
        """As Sandbox.start; meets the platform fault of this attempt, if it has one, and the API server's outages."""
        self._began = self._clock.now()
        await self._reach()
        self._node = self._faults.place(self._spec.labels["trial"], self._spec.labels["attempt"], self._clock.now())
        if self._node is None:
            away = self._faults.node_loss.lasts if self._faults.node_loss else 0.0
            await asyncio.sleep(away)
            raise SandboxError("scheduling", f"every simulated node is lost; waited for {away:g} s")
        fault = self._truth.platform_fault(self._spec.labels)
        if fault is not None:
            await self._live(self._truth.seconds(self._spec.labels) / 2)
            raise SandboxError(fault, "stated by the truth")
        facts = {"sandbox": "simulated"} | ({"name": f"node-{self._node + 1}"} if self._faults.nodes > 1 else {})
        return Admitted(self._spec.request, self._spec.limit, facts, image_pulled=False)

    async def _reach(self) -> None:
        """Wait until the API server answers; SandboxError after as long as an attempt is patient."""
        now = self._clock.now()
        wait = self._faults.back(now) - now
        patience = self._faults.api_outage.patience if self._faults.api_outage else 0.0
        if wait > patience:
            await asyncio.sleep(patience)
            raise SandboxError("api_server", f"no answer from the simulated API server for {patience:g} s")
        if wait > 0:
            await asyncio.sleep(wait)

    async def _live(self, seconds: float) -> None:
        """Let the time of a command pass; SandboxError when the node is lost meanwhile."""
        now = self._clock.now()
        lost = self._faults.lost(self._node or 0, now, now + seconds)
        if lost is None:
            await asyncio.sleep(seconds)
            return
        await asyncio.sleep(lost - now)
        raise SandboxError("node_lost", f"simulated node {(self._node or 0) + 1} was lost")

    async def begin_phase(self, phase: str) -> None:
        """As Sandbox.begin_phase."""
        if (
            self._phase == "agent" and self._outcome is None
        ):  # an agent without a command of its own dies as stated, too
            self._outcome = self._truth.outcome_of(self._spec.labels)
            self._killed = self._ended = self._outcome == "dies"
        self._counters[self._phase] = await self.counters()
        self._phase = phase

    async def exec(
        self,
        command_id: str,
        argv: Sequence[str],  # noqa: ARG002 - only the truth decides
        *,
        timeout_s: float | None = None,
        env: Mapping[str, str] | None = None,  # noqa: ARG002 - as above
        cwd: str | None = None,  # noqa: ARG002 - as above
        output_limit: int = 1 << 20,  # noqa: ARG002 - there is no output
    ) -> ExecResult:
        """As Sandbox.exec; only the agent's command takes time and can die."""
        if self._ended:
            return ExecResult(CommandFacts())
        if command_id != "agent":
            return ExecResult(CommandFacts(exit=0, duration_s=0.0))
        seconds = self._truth.seconds(self._spec.labels) * self._faults.slowness(self._clock.now())
        if timeout_s is not None and seconds > timeout_s:
            await self._live(timeout_s)
            await self._reach()
            return ExecResult(CommandFacts(signal=9, timed_out=True, duration_s=timeout_s))
        self._outcome = self._truth.outcome_of(self._spec.labels)
        self._killed = self._outcome == "dies"
        lived = seconds / 2 if self._killed else seconds
        await self._live(lived)
        await self._reach()
        facts = CommandFacts(signal=9, duration_s=lived) if self._killed else CommandFacts(exit=0, duration_s=lived)
        return ExecResult(facts)

    async def put(self, archive: bytes, dest: str) -> None:
        """As Sandbox.put; nothing is kept."""

    async def get(self, path: str, *, limit: int = ARCHIVE_LIMIT) -> bytes:
        """As Sandbox.get; the only file there is the reward."""
        del limit
        if not path.endswith("reward.txt"):
            raise FileNotFoundError(path)
        self._outcome = self._outcome or self._truth.outcome_of(self._spec.labels)
        return _reward(solved=self._outcome == "solves")

    async def counters(self) -> PhaseCounters:
        """As Sandbox.counters; a death is one OOM kill, proven at the own limit where there is one."""
        died = int(self._phase == "agent" and self._killed)
        over = (self._spec.limit.memory or self._spec.request.memory or 0) + 1
        return PhaseCounters(
            self._phase,
            oom_kills=died,
            own_limit_ooms=died if self._spec.limit.memory is not None else 0,
            unreclaimable_last_bytes=over if died else None,
        )

    async def stop(self) -> FinalFacts:
        """As Sandbox.stop."""
        counters = {**self._counters, self._phase: await self.counters()}
        silent = None
        if self._faults.api_outage is not None and self._began is not None:
            silent = self._faults.silence(self._began, self._clock.now())
        died_in = "agent" if self._ended else None
        return FinalFacts(self._spec.request, self._spec.limit, counters, died_in=died_in, transport_down_s=silent)


def make(
    owner: str,  # noqa: ARG001 - one form for all kinds
    scratch: Path,  # noqa: ARG001 - the same
    clock: Clock | None,
    options: Mapping[str, Any],
) -> SimulatedProvider:
    """As SandboxKind.provider. clock: by which faults come; None: the machine's."""
    truth = dict(options)
    faults = Faults.of(truth.pop("faults", {}))
    return SimulatedProvider(Truth(**truth), faults, clock)
