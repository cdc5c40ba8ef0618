"""The one function that runs a probe over the sandbox protocol and makes its row.

Under the limit first, then the cpu, past the limit last: where a kill takes the whole sandbox nothing is left to do.
It never raises for what happens in or to the sandbox, as `trial.attempt` does not: that becomes a row.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from raysweep.clock import Clock
from raysweep.errors import SandboxError
from raysweep.probe.plan import HOLD_MS, ProbeOrder
from raysweep.record.evidence import AgentFacts, CommandFacts, Evidence, PhaseCounters, Verdict
from raysweep.record.probes import SCHEMA_VERSION
from raysweep.record.schema import Row
from raysweep.sandbox.protocol import (
    Admitted,
    ExecResult,
    FinalFacts,
    ProbeCommands,
    Sandbox,
    SandboxProvider,
    SandboxSpec,
)
from raysweep.trial.classify import classify
from raysweep.units import Resources

SIGKILL = 9
PATIENCE_S = 60.0
"""Beyond what a step should take: a helper that hangs is no proof of anything."""


@dataclass(slots=True)
class _Step:
    """One command of a probe: how it ended, what it printed, seconds as the runner's clock saw them."""

    result: ExecResult
    seconds: float

    @property
    def facts(self) -> CommandFacts:
        return self.result.facts

    @property
    def killed(self) -> bool:
        """Killed by a signal that was not our own time-out; nobody knows how it ended where the sandbox went too."""
        f = self.facts
        return not f.timed_out and (f.signal == SIGKILL or f.exit == 128 + SIGKILL or self.gone)

    @property
    def gone(self) -> bool:
        """The sandbox ended while the command ran."""
        return self.facts.exit is None and self.facts.signal is None

    @property
    def held(self) -> bool:
        """The allocation was there whole, and lived."""
        return self.facts.exit == 0 and b"held" in self.result.stdout


@dataclass(slots=True)
class _ProbeState:
    admitted: Admitted | None = None
    held: _Step | None = None
    past: _Step | None = None
    cpu_used_s: float | None = None
    cpu_wall_s: float | None = None
    final_facts: FinalFacts | None = None
    platform: str | None = None
    detail: str | None = None
    nr_throttled: int | None = None


async def run_probe(order: ProbeOrder, provider: SandboxProvider, clock: Clock) -> Row:
    """Run one probe to its row (columns of record.probes); ValueError for a provider that has no probe commands.

    When cancelled it removes its sandbox first.
    """
    commands = provider.probe_commands()
    if commands is None:
        raise ValueError(f"{provider.kind} sandboxes have no limits to probe")
    state = _ProbeState()
    offset = order.now - clock.monotonic()
    sandbox = provider.open(_spec(order))
    try:
        await _steps(order, commands, sandbox, clock, state)
    except SandboxError as error:
        state.platform, state.detail = error.cause, error.detail
    finally:
        stopping = asyncio.ensure_future(_stop(sandbox))
        try:
            state.final_facts = await asyncio.shield(stopping)
        except asyncio.CancelledError:
            await asyncio.wait({stopping})
            raise
    return _row(order, state, provider.capabilities().cgroup, stopped=offset + clock.monotonic())


def _spec(order: ProbeOrder) -> SandboxSpec:
    return SandboxSpec(
        run_id=order.run_id,
        name=order.probe_id,
        request=order.request,
        limit=order.limit,
        workdir="/",
        pids=order.pids,
        image=order.image,
        labels={
            "probe": order.moment,
            "band": order.band,
            "bucket": order.bucket,
            "occasion": order.occasion,
        },
    )


async def _stop(sandbox: Sandbox) -> FinalFacts:
    try:
        return await sandbox.stop()
    except SandboxError as error:
        none = Resources()
        return FinalFacts(none, none, platform=error.cause, platform_detail=error.detail)


async def _steps(
    order: ProbeOrder, commands: ProbeCommands, sandbox: Sandbox, clock: Clock, state: _ProbeState
) -> None:
    state.admitted = await sandbox.start()
    if order.held_bytes is not None:
        state.held = await _allocate("held", order.held_bytes, commands, sandbox, clock)
        if state.held.gone:
            return
    if order.burners:
        await _burn(order, commands, sandbox, state)
    if order.past_bytes is not None:
        await sandbox.begin_phase("agent")
        state.past = await _allocate("past", order.past_bytes, commands, sandbox, clock)


async def _allocate(name: str, size: int, commands: ProbeCommands, sandbox: Sandbox, clock: Clock) -> _Step:
    began = clock.monotonic()
    argv = [*commands.alloc, str(size), str(HOLD_MS)]
    result = await sandbox.exec(name, argv, timeout_s=PATIENCE_S, cwd="/")
    elapsed = clock.monotonic() - began
    inside_s = result.facts.duration_s
    return _Step(result, elapsed if inside_s is None else inside_s)


async def _burn(order: ProbeOrder, commands: ProbeCommands, sandbox: Sandbox, state: _ProbeState) -> None:
    """Cpu used by all burners over the longest wall time of one; unknown when one of them did not end well."""
    argv = [*commands.burn, str(round(1000 * order.cpu_s))]
    limit_s = order.cpu_s + PATIENCE_S
    before = (await sandbox.counters()).nr_throttled
    names = [f"burn-{n}" for n in range(order.burners)]
    done = await asyncio.gather(*(sandbox.exec(name, argv, timeout_s=limit_s, cwd="/") for name in names))
    after = (await sandbox.counters()).nr_throttled
    if after is not None:
        state.nr_throttled = after - (before or 0)
    figures = [_burnt(result) for result in done]
    if all(figures):
        burns = [f for f in figures if f is not None]
        state.cpu_used_s, state.cpu_wall_s = sum(used for used, _ in burns), max(wall for _, wall in burns)


def _burnt(result: ExecResult) -> tuple[float, float] | None:
    """Seconds of cpu used and of wall time; the command's own duration where it does not tell the wall time."""
    try:
        numbers = [int(word) / 1e6 for word in result.stdout.split()]
    except ValueError:
        return None
    wall = numbers[1] if len(numbers) > 1 else result.facts.duration_s
    if result.facts.exit != 0 or not numbers or not wall:
        return None
    return numbers[0], wall


def _row(order: ProbeOrder, state: _ProbeState, cgroup: int | None, *, stopped: float) -> Row:
    final_facts = state.final_facts
    platform, detail = state.platform, state.detail
    if final_facts is not None and platform is None:
        platform, detail = final_facts.platform, final_facts.platform_detail
    row = {**_identity(order), "t_stopped": stopped, "platform": platform, "detail": detail}
    if state.admitted is not None:
        row["limit_memory_admitted"] = state.admitted.limit.memory
        row["limit_cpu_admitted"] = state.admitted.limit.cpu
        row["node"] = dict(state.admitted.node)
    if state.cpu_used_s is not None:
        row.update(cpu_used_s=state.cpu_used_s, cpu_wall_s=state.cpu_wall_s)
    row["nr_throttled"] = state.nr_throttled
    if state.held is not None:
        row.update(_held(order, state, cgroup))
    if state.past is not None:
        row.update(_past(order, state, cgroup))
    return row


def _held(order: ProbeOrder, state: _ProbeState, cgroup: int | None) -> Row:
    step = state.held
    assert step is not None  # noqa: S101 - tells mypy what the caller looked at
    row: Row = {"held": True, "held_s": step.seconds} if step.held else {"held_s": step.seconds}
    if step.killed:
        verdict = _judge(order, state, step, "setup", cgroup)
        row.update(held=False, held_cause=verdict.cause, held_cause_class=verdict.cause_class)
    return row


def _past(order: ProbeOrder, state: _ProbeState, cgroup: int | None) -> Row:
    """Whether it was killed, how fast, by what (one process or the group), and whether the own limit is proven."""
    step = state.past
    assert step is not None  # noqa: S101 - as above
    row: Row = {"past_exit": step.facts.exit}
    counters = _counters(state, "agent")
    row["oom_kills"] = counters.oom_kills if counters else None
    if step.killed:
        verdict = _judge(order, state, step, "agent", cgroup)
        row.update(
            past_cause=verdict.cause,
            past_cause_class=verdict.cause_class,
            killed=True,
            own_limit=verdict.cause == "oom_limit",
            kill_s=step.seconds,
            kill_of="group" if step.gone else "process",
        )
    elif step.held:
        row["killed"] = False
    return row


def _counters(state: _ProbeState, phase: str) -> PhaseCounters | None:
    return state.final_facts.counters.get(phase) if state.final_facts is not None else None


def _judge(order: ProbeOrder, state: _ProbeState, step: _Step, phase: str, cgroup: int | None) -> Verdict:
    """The verdict that a trial's agent would have got that ended like this: the one proof of whose limit was full."""
    counters = _counters(state, phase)
    admitted, final_facts = state.admitted, state.final_facts
    return classify(
        Evidence(
            request=admitted.request if admitted else order.request,
            limit=admitted.limit if admitted else order.limit,
            cgroup=cgroup,
            agent=AgentFacts(step.facts),
            counters={} if counters is None else {"agent": counters},
            died_in="agent" if step.gone else None,
            evicted=final_facts.evicted if final_facts else None,
            platform=final_facts.platform if final_facts else None,
        )
    )


def lost_probe(order: ProbeOrder, cause: str, detail: str, stopped: float) -> Row:
    """The row of a probe whose own row never came."""
    return {**_identity(order), "t_stopped": stopped, "platform": cause, "detail": detail}


def _identity(order: ProbeOrder) -> Row:
    """The columns that are known before anything runs."""
    return {
        "run_id": order.run_id,
        "probe_id": order.probe_id,
        "bucket": order.bucket,
        "occasion": order.occasion,
        "moment": order.moment,
        "band": order.band,
        "limit_memory_mult": order.memory_mult,
        "limit_cpu_mult": order.cpu_mult,
        "spec_memory": order.spec.memory,
        "spec_cpu": order.spec.cpu,
        "limit_memory_asked": order.limit.memory,
        "limit_cpu_asked": order.limit.cpu,
        "t_queued": order.now,
        "held_bytes": order.held_bytes,
        "past_bytes": order.past_bytes,
        "schema_version": SCHEMA_VERSION,
    }
