"""The one function that runs an attempt: sandbox, set-up, agent, verifier, last facts, removal, verdict, row.

It never raises for what happens in or to the sandbox: that becomes a row. It raises only when it is cancelled, after
the sandbox was removed; the row of a cancelled attempt is made by whoever cancelled (`lost_row`). A cancellation that
comes when only the removal is left changes nothing: what was measured is kept.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field, replace

from raysweep.agent import Agent, make_agent
from raysweep.agent.environment import prepare_environment
from raysweep.agent.running import AgentEnd, error_end, run_agent
from raysweep.agent.warming import warm_once
from raysweep.clock import Clock, VirtualClock
from raysweep.errors import BrokenSandboxError, SandboxError
from raysweep.gateway import Gateway
from raysweep.record.evidence import AgentFacts, CommandFacts, Evidence, PhaseCounters, Verdict, VerifierFacts
from raysweep.record.schema import Row
from raysweep.sandbox.protocol import Admitted, FinalFacts, Sandbox, SandboxProvider, SandboxSpec
from raysweep.trial.classify import classify, needs_verifier
from raysweep.trial.images import SeenImages
from raysweep.trial.order import TrialOrder
from raysweep.trial.row import AttemptState, build_row, identity
from raysweep.trial.traces import trace_files
from raysweep.trial.transcript import Listener, Transcript
from raysweep.trial.work_phase import calls_of_lost_runner, work_phase
from raysweep.units import Resources
from raysweep.verifier import read_output, verify
from raysweep.vocabulary import Cause, Phase


@dataclass(frozen=True, slots=True)
class Attempted:
    """What an attempt leaves: its row, the evidence behind it, and the files of its trace by name."""

    row: Row
    evidence: Evidence
    verdict: Verdict
    traces: dict[str, bytes] = field(default_factory=dict)


LIFETIME_SLACK_S = 1800.0
"""What a sandbox may outlive the limits of its phases: commands of our own, and streams that were away for a while."""


def sandbox_spec(order: TrialOrder) -> SandboxSpec:
    """The sandbox an order asks for."""
    trial, task = order.trial, order.task
    return SandboxSpec(
        run_id=order.run_id,
        name=order.attempt_id,
        request=trial.request,
        limit=trial.limit,
        network=order.network,
        env=task.env,
        workdir=task.workdir,
        pids=order.pids,
        image=order.image or task.docker_image,
        build_context=task.build_context,
        build_timeout_s=task.build_timeout_s,
        lifetime_s=task.build_timeout_s + order.agent_timeout_s + task.verifier_timeout_s + LIFETIME_SLACK_S,
        seed=trial.seed,
        egress=order.conditions.egress,
        node_selector=order.conditions.node_selector,
        labels={
            "task": task.name,
            "model": trial.arm.model,
            "band": trial.arm.band,
            "bucket": order.bucket,
            "occasion": order.occasion,
            "repeat": str(order.repeat),
            "trial": trial.trial_id,
            "attempt": str(order.attempt),
            **{f"factor.{name}": level for name, level in trial.arm.factors},
        },
    )


class _Stopwatch:
    """Driver wall time, extrapolated with the runner's monotonic clock."""

    def __init__(self, order: TrialOrder, clock: Clock, state: AttemptState) -> None:
        self.offset = order.now - clock.monotonic()
        self._clock = clock
        self._state = state

    def mark(self, name: str) -> None:
        self._state.times[name] = self.offset + self._clock.monotonic()


async def run_attempt(
    order: TrialOrder,
    provider: SandboxProvider,
    clock: Clock,
    listen: Listener | None = None,
    seen: SeenImages | None = None,
    gateway: Gateway | None = None,
) -> Attempted:
    """Run one attempt to its end, whatever that is, and judge it.

    Phases: set-up (the environment), agent, verifier; each measured apart. After an agent time-out the verifier still
    runs. The sandbox is always removed, its last facts read first. `listen` is told every step as it happens.
    seen: the images of this runner's earlier attempts; one whose tag moved since is void. gateway: this runner's way to
    model APIs, for agents that call one.
    """
    state = AttemptState()
    await _warm(order, clock)
    watch = _Stopwatch(order, clock, state)
    sandbox: Sandbox = provider.open(sandbox_spec(order))
    if order.traces is not None or listen is not None:
        sandbox = Transcript(sandbox, clock, listen or (lambda _: None))
    traces: dict[str, bytes] = {}
    watch.mark("created")
    try:
        await _phases(
            order, sandbox, watch, state, traces, seen or SeenImages(), provider.capabilities().cgroup, clock, gateway
        )
    except SandboxError as error:
        if isinstance(error, BrokenSandboxError) and "agent_start" in state.times:
            state.broken = error.detail
        else:
            state.platform, state.detail = error.cause, error.detail
    finally:
        state.final_facts = await _to_its_end(asyncio.ensure_future(_stop(sandbox)))
        watch.mark("stopped")
    capabilities = provider.capabilities()
    evidence = _evidence(order, state, capabilities.cgroup)
    verdict = classify(evidence)
    if isinstance(sandbox, Transcript):
        traces["transcript.jsonl"] = sandbox.jsonl()
        traces |= trace_files(evidence, verdict, state.final_facts)
    return Attempted(build_row(order, state, evidence, verdict, capabilities), evidence, verdict, traces)


async def _to_its_end(removal: asyncio.Future[FinalFacts]) -> FinalFacts:
    """What `removal` returns; a cancellation meanwhile must not leave half a sandbox behind, so it is waited out."""
    while not removal.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.shield(removal)
    return removal.result()


async def _stop(sandbox: Sandbox) -> FinalFacts:
    none = Resources()
    try:
        return await sandbox.stop()
    except BrokenSandboxError as error:
        return FinalFacts(none, none, broken=error.detail)
    except SandboxError as error:
        return FinalFacts(none, none, platform=error.cause, platform_detail=error.detail)


async def _phases(
    order: TrialOrder,
    sandbox: Sandbox,
    watch: _Stopwatch,
    state: AttemptState,
    traces: dict[str, bytes],
    seen: SeenImages,
    cgroup: int | None,
    clock: Clock,
    gateway: Gateway | None,
) -> None:
    """Set-up, agent, verifier, into `state`; returns as soon as a phase makes the next one pointless.

    cgroup: version of the cgroups that counters come from.
    """
    task = order.task
    state.admitted = await sandbox.start()
    _refuse_altered(order.trial.limit, state.admitted.limit, "at the start")
    seen.refuse_moved(order, state.admitted.node)
    try:
        done = await prepare_environment(sandbox, task, task.build_timeout_s)
        if done is not None:
            state.setup = done.facts
            state.detail = None if done.facts.exit == 0 else f"set-up: {done.ending()}"
    except OSError as error:  # the files do not fit: the set-up failed, and its counters say at which bound
        state.setup, state.detail = CommandFacts(exit=1), f"set-up: {error}"
    watch.mark("ready")
    if state.setup is not None and state.setup.exit != 0:
        return
    agent, prepared = await _prepared(order, sandbox, clock)
    if agent is None:
        state.agent = replace(prepared.facts, phase=Phase.SETUP)
        traces.update(prepared.traces)
        return
    await sandbox.begin_phase("agent")
    watch.mark("agent_start")
    ended = await work_phase(agent, order, sandbox, gateway, watch.offset, cooperative=_cooperative(agent, clock))
    state.agent = ended.facts
    traces.update(ended.traces)
    watch.mark("agent_end")
    if _decided(order, state.admitted, state.agent, await sandbox.counters(), cgroup):
        return
    await sandbox.begin_phase("verifier")
    try:
        state.verifier = await verify(sandbox, task)
    except OSError as error:  # most often the agent filled the disk: row 15 of the table
        state.verifier = VerifierFacts(problem=f"the tests could not be put into the sandbox: {error}")
    watch.mark("verifier_end")
    if order.traces is not None:
        traces["verifier.txt"] = await read_output(sandbox)


async def _prepared(order: TrialOrder, sandbox: Sandbox, clock: Clock) -> tuple[Agent | None, AgentEnd]:
    """The agent, its own part of the set-up done; None and how it ended where that failed."""
    try:
        agent = make_agent(order.agent, order.agent_options)
    except Exception as error:  # noqa: BLE001 - a plug-in's constructor: it was checked on the driver, not here
        return None, error_end(error)
    unwarmed = await _warm(order, clock)
    if unwarmed is not None:
        return None, error_end(unwarmed)
    prepare = getattr(agent, "prepare", None)
    if prepare is None:
        return agent, AgentEnd(AgentFacts())

    async def work(inner: Sandbox) -> AgentFacts:
        await prepare(inner, order.task)
        return AgentFacts()

    try:
        limit_s = float(getattr(agent, "prepare_timeout_s", PREPARE_TIMEOUT_S))
    except (TypeError, ValueError) as error:
        return None, error_end(error)
    ended = await run_agent(work, sandbox, limit_s, cooperative=_cooperative(agent, clock))
    if ended.facts.timed_out:
        return None, AgentEnd(AgentFacts(error=f"prepare: {ended.facts.printed}"), ended.traces)
    return (agent if ended.facts.error is None else None), ended


def _cooperative(agent: Agent, clock: Clock) -> bool:
    """Whether the agent runs on this event loop: as it says; on virtual time always, which waits for no thread."""
    return bool(getattr(agent, "cooperative", False)) or isinstance(clock, VirtualClock)


async def _warm(order: TrialOrder, clock: Clock) -> BaseException | None:
    """Let the agent import what it needs, once in this process: what that raised, or None."""
    try:
        warm = getattr(make_agent(order.agent, order.agent_options), "warm", None)
        if warm is not None and isinstance(clock, VirtualClock):
            warm()
            return None
    except Exception as error:  # noqa: BLE001 - a plug-in's code
        return error
    if warm is None:
        return None
    return await warm_once((order.agent, repr(sorted(order.agent_options.items()))), warm)


PREPARE_TIMEOUT_S = 600.0


def _decided(
    order: TrialOrder, admitted: Admitted, agent: AgentFacts, counters: PhaseCounters, cgroup: int | None
) -> bool:
    """Whether the agent phase already decided the attempt, whatever a verifier would say."""
    seen = Evidence(
        admitted.request,
        admitted.limit,
        cgroup,
        agent=agent,
        counters={"agent": counters},
        agent_timeout_s=order.agent_timeout_s,
        api_blocked_share=_blocked_share(order),
    )
    return not needs_verifier(seen)


def _refuse_altered(asked: Resources, admitted: Resources, when: str) -> None:
    """SandboxError("altered") when a bound is not the arm's: such an attempt would count for the wrong band."""
    for name, slack in _SLACK.items():
        want, have = getattr(asked, name), getattr(admitted, name)
        if (want is None) != (have is None) or (want is not None and abs(want - have) > slack):
            raise SandboxError("altered", f"{name} limit {when}: asked {want}, found {have}")


_SLACK = {"cpu": 1, "memory": 4095}
"""Rounding of the kernel: quotas to microseconds, memory to pages. Storage is compared by backends that enforce it."""


def _evidence(order: TrialOrder, state: AttemptState, cgroup: int | None) -> Evidence:
    """All that was seen of an attempt; a bound that changed meanwhile voids it (altered)."""
    admitted, final_facts = state.admitted, state.final_facts
    platform, detail, broken = state.platform, state.detail, state.broken
    if final_facts is not None and platform is None:
        platform, detail = final_facts.platform, final_facts.platform_detail or detail
        broken = broken or final_facts.broken
        if broken is not None and "agent_start" not in state.times:
            platform, detail, broken = platform or Cause.RUNNER_LOST, detail or broken, None
        if platform is None and admitted is not None and final_facts.died_in is None:
            try:
                _refuse_altered(admitted.limit, final_facts.actual_limit, "at the end")
            except SandboxError as error:
                platform, detail = error.cause, error.detail
    return Evidence(
        request=admitted.request if admitted else order.trial.request,
        limit=admitted.limit if admitted else order.trial.limit,
        cgroup=cgroup,
        setup=state.setup,
        agent=state.agent,
        verifier=state.verifier,
        counters=final_facts.counters if final_facts else {},
        died_in=final_facts.died_in if final_facts else None,
        evicted=final_facts.evicted if final_facts else None,
        platform=platform,
        platform_detail=detail,
        broken=broken,
        agent_timeout_s=order.agent_timeout_s,
        api_blocked_share=_blocked_share(order),
    )


def _blocked_share(order: TrialOrder) -> float:
    """The share of its time limit from which an agent counts as blocked by the model API."""
    return 1.0 if order.api is None else order.api.blocked_share


def lost_row(order: TrialOrder, verdict: Verdict, detail: str, stopped: float) -> Row:
    """The row of an attempt whose own row never came: its runner was lost, or it was cancelled."""
    return {
        **identity(order),
        "t_stopped": stopped,
        "outcome": verdict.outcome,
        "cause": verdict.cause,
        "cause_class": verdict.cause_class,
        "detail": detail,
        **calls_of_lost_runner(order, stopped),
    }
