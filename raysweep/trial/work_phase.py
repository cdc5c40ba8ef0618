"""The agent's phase; for an agent that calls a model its way to the gateway, and what the gateway saw."""

from __future__ import annotations

from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

from raysweep.agent import Agent
from raysweep.agent.running import AgentEnd, run_agent
from raysweep.errors import InputError
from raysweep.gateway import Gateway
from raysweep.gateway.table import calls_parquet
from raysweep.record.evidence import AgentFacts, ApiFacts
from raysweep.sandbox.protocol import Sandbox
from raysweep.trial.order import TrialOrder
from raysweep.vocabulary import ApiFailure

CALLS_TRACE = "calls.parquet"


async def work_phase(
    agent: Agent, order: TrialOrder, sandbox: Sandbox, gateway: Gateway | None, offset: float, *, cooperative: bool
) -> AgentEnd:
    """Let the agent work, with a way to its model where the order names an API.

    offset: the driver's wall time less this process's monotonic time.
    """
    if gateway is not None and order.api is not None:
        return await _with_model(agent, order, sandbox, gateway, offset, cooperative=cooperative)

    def work(inner: Sandbox) -> Coroutine[Any, Any, AgentFacts]:
        return agent.run(inner, order.task, seed=order.trial.seed, timeout_s=order.agent_timeout_s)

    return await run_agent(work, sandbox, order.agent_timeout_s, cooperative=cooperative)


async def _with_model(
    agent: Agent, order: TrialOrder, sandbox: Sandbox, gateway: Gateway, offset: float, *, cooperative: bool
) -> AgentEnd:
    """Let the agent work with a token of its own; with its end the token ends, and open calls are cut.

    Counts, tokens and money are the gateway's, whatever the agent says of them.
    """
    assert order.api is not None  # noqa: S101 - the caller's condition
    assert order.api_name is not None  # noqa: S101 - comes with the API
    try:
        attempt, access = await gateway.admit(order.api_name, order.api, offset, order.most_usd)
    except InputError as error:
        said = str(error)
        refused = ApiFacts(last_failure=ApiFailure.REFUSED, main_failure=ApiFailure.REFUSED, refusal=said)
        return AgentEnd(AgentFacts(error=said, api=refused))

    def work(inner: Sandbox) -> Coroutine[Any, Any, AgentFacts]:
        run: Any = agent.run  # the keyword is for agents with `calls_model`
        coroutine: Coroutine[Any, Any, AgentFacts] = run(
            inner, order.task, seed=order.trial.seed, timeout_s=order.agent_timeout_s, api=access
        )
        return coroutine

    try:
        ended = await run_agent(work, sandbox, order.agent_timeout_s, cooperative=cooperative)
    finally:
        await gateway.dismiss(attempt)
    api = attempt.facts(ended.busy)
    facts = replace(
        ended.facts,
        api=api,
        tokens_in=api.tokens_in,
        tokens_out=api.tokens_out,
        tokens_cached=api.tokens_cached,
        cost_usd=api.usd,
        api_p50_ms=api.latency_p50_ms,
        api_p95_ms=api.latency_p95_ms,
        api_429=api.errors.get("rate_limited", 0),
    )
    traces = {**ended.traces, CALLS_TRACE: calls_parquet(attempt.calls)} if attempt.calls else ended.traces
    return replace(ended, facts=facts, traces=traces)
