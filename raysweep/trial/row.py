"""From an order, its evidence and its verdict to the row of the ledger; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from raysweep.record.evidence import AgentFacts, ApiFacts, CommandFacts, Evidence, PhaseCounters, Verdict, VerifierFacts
from raysweep.record.schema import COUNTERS, SCHEMA_VERSION, Row, counter_name
from raysweep.sandbox.protocol import Admitted, Capabilities, FinalFacts
from raysweep.trial.order import TrialOrder
from raysweep.units import Resources
from raysweep.vocabulary import ApiFailure, Outcome


@dataclass(slots=True)
class AttemptState:
    """How one attempt went, filled in as it goes: wall times by name, and what each step returned.

    platform, detail: a platform cause that was met on the way. broken: as in Evidence.
    """

    times: dict[str, float] = field(default_factory=dict)
    admitted: Admitted | None = None
    setup: CommandFacts | None = None
    agent: AgentFacts | None = None
    verifier: VerifierFacts | None = None
    final_facts: FinalFacts | None = None
    platform: str | None = None
    detail: str | None = None
    broken: str | None = None


def identity(order: TrialOrder) -> Row:
    """The columns that are known before anything runs."""
    trial = order.trial
    row: Row = {
        "run_id": order.run_id,
        "plan_id": order.plan_id,
        "block_id": trial.block_id,
        "trial_id": trial.trial_id,
        "attempt_id": order.attempt_id,
        "attempt": order.attempt,
        "block_run": order.block_run,
        "position": trial.position,
        "task": order.task.name,
        "task_digest": order.task.digest,
        "model": trial.arm.model,
        "agent": order.agent,
        "band": trial.arm.band,
        "factors": dict(trial.arm.factors),
        "repeat": order.repeat,
        "bucket": order.bucket,
        "occasion": order.occasion,
        "setup_timeout_s": order.task.build_timeout_s,
        "agent_timeout_s": order.agent_timeout_s,
        "verifier_timeout_s": order.task.verifier_timeout_s,
        "seed": trial.seed,
        "schema_version": SCHEMA_VERSION,
        "t_queued": order.now,
    }
    for side, mult, asked in (
        ("request", order.band.request, trial.request),
        ("limit", order.band.limit, trial.limit),
    ):
        for resource in ("cpu", "memory", "storage"):
            row[f"{side}_{resource}_mult"] = mult[resource]
        _put_resources(row, side, "asked", asked)
    return row


def _put_resources(row: Row, side: str, stage: str, value: Resources) -> None:
    row[f"{side}_cpu_{stage}"] = value.cpu
    row[f"{side}_memory_{stage}"] = value.memory
    row[f"{side}_storage_{stage}"] = value.storage


def build_row(
    order: TrialOrder, state: AttemptState, evidence: Evidence, verdict: Verdict, capabilities: Capabilities
) -> Row:
    """The row of one attempt; every value that was not learned stays null."""
    row = identity(order)
    row.update({f"t_{name}": value for name, value in state.times.items()})
    if state.admitted is not None:
        _put_resources(row, "request", "admitted", state.admitted.request)
        _put_resources(row, "limit", "admitted", state.admitted.limit)
        row["node"] = dict(state.admitted.node)
        row["image_pulled"] = state.admitted.image_pulled
    if state.final_facts is not None:
        _put_resources(row, "request", "actual", state.final_facts.actual_request)
        _put_resources(row, "limit", "actual", state.final_facts.actual_limit)
        row["transport_down_s"] = state.final_facts.transport_down_s
        if state.final_facts.node:
            row["node"] = {**row.get("node", {}), **state.final_facts.node}
    row.update(
        outcome=verdict.outcome,
        cause=verdict.cause,
        cause_class=verdict.cause_class,
        phase=verdict.phase,
        detail=_detail(evidence, verdict),
        enforcement={
            "memory": capabilities.memory,
            "cpu": capabilities.cpu,
            "pids": capabilities.pids,
            "disk": capabilities.disk,
            "oom": capabilities.oom,
            **_swept(order, capabilities),
        },
    )
    row.update(_agent_columns(evidence))
    row.update(_counter_columns(evidence.counters))
    return row


def _swept(order: TrialOrder, capabilities: Capabilities) -> dict[str, str]:
    """What the swept factors asked of the sandbox, and whether a bound on egress is honoured there."""
    asked, found = order.conditions, {}
    if "agent_timeout" in asked.swept:
        found["agent_timeout_s"] = f"{order.agent_timeout_s:g}"
    if "egress" in asked.swept:
        found["egress_asked"] = "no bound" if asked.egress is None else str(asked.egress)
        if not order.network and capabilities.network_isolation:
            found["egress"] = NO_NETWORK
        elif asked.egress is None:
            found["egress"] = "no bound asked"
        else:
            found["egress"] = HONOURED[capabilities.egress]
    return found


HONOURED = {"enforced": "honoured", "requested": "unknown", "none": "not honoured"}
"""What a sandbox can say of a bound on egress, by its Capabilities."""
NO_NETWORK = "no network"


def _exit_code(command: CommandFacts | None) -> int | None:
    if command is None:
        return None
    return 128 + command.signal if command.signal is not None else command.exit


def _agent_columns(e: Evidence) -> Row:
    columns: Row = {}
    if e.agent is not None:
        columns["agent_exit"] = _exit_code(e.agent.command)
        columns["timed_out"] = e.agent.timed_out or bool(e.agent.command and e.agent.command.timed_out)
        for name in ("tokens_in", "tokens_out", "tokens_cached", "cost_usd", "api_p50_ms", "api_p95_ms", "api_429"):
            columns[name] = getattr(e.agent, name)
        columns["harness"] = e.agent.harness
        if e.agent.api is not None:  # what the gateway saw, whatever the agent says
            columns.update(model_columns(e.agent.api))
    if e.verifier is not None:
        columns["verifier_exit"] = _exit_code(e.verifier.command)
        columns["reward"] = e.verifier.reward
    return columns


def model_columns(api: ApiFacts) -> Row:
    """The columns of an attempt's model calls."""
    return {
        "tokens_in": api.tokens_in,
        "tokens_out": api.tokens_out,
        "tokens_cached": api.tokens_cached,
        "cost_usd": api.usd,
        "api_p50_ms": api.latency_p50_ms,
        "api_p95_ms": api.latency_p95_ms,
        "api_429": api.errors.get(ApiFailure.RATE_LIMITED, 0),
        "api_calls": api.calls,
        "api_errors": {name: str(number) for name, number in api.errors.items()},
        "api_blocked_s": api.blocked_s,
        "api_waiting_s": api.waiting_s,
        "api_first_token_p50_ms": api.first_token_p50_ms,
        "api_first_token_p95_ms": api.first_token_p95_ms,
        "api_tokens_per_s_p50": api.tokens_per_s_p50,
        "api_tokens_per_s_p95": api.tokens_per_s_p95,
        "api_unpriced": api.unpriced,
        "tokens_cache_write": api.tokens_cache_write,
        "tokens_reasoning": api.tokens_reasoning,
        "models_named": " ".join(api.models_named) or None,
    }


def _counter_columns(counters: Mapping[str, PhaseCounters]) -> Row:
    return {
        counter_name(phase, counter.name): getattr(found, counter.name)
        for phase, found in counters.items()
        for counter in COUNTERS
    }


def _detail(e: Evidence, verdict: Verdict) -> str | None:
    if e.broken or e.platform_detail:
        return e.broken or e.platform_detail
    if verdict.outcome == "infra" and verdict.phase == "agent" and e.agent is not None and e.agent.printed:
        return e.agent.printed
    if verdict.outcome == Outcome.MODEL_API and e.agent is not None and e.agent.api is not None:
        return _model_api_detail(e.agent)
    if e.agent is not None and (e.agent.error or e.agent.model_api_error):
        return e.agent.error or e.agent.model_api_error
    return e.verifier.problem if e.verifier is not None else None


def _model_api_detail(agent: AgentFacts) -> str:
    """The API's exact words, and how long it kept the agent waiting."""
    assert agent.api is not None  # noqa: S101 - the caller's condition
    said = agent.api.refusal or "calls waited for the limits of the sweep"
    blocked = f"; blocked for {agent.api.blocked_s:.0f} s over {agent.api.calls} calls"
    return said + blocked + (f"; {agent.error}" if agent.error else "")
