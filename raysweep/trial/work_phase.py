"""The agent's phase; for an agent that calls a model its way to the gateway, and what the gateway saw."""

from __future__ import annotations

from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

from raysweep.agent import Agent
from raysweep.agent.running import AgentEnd, run_agent
from raysweep.errors import InputError
from raysweep.gateway import Gateway
from raysweep.gateway.journal import read_journal
from raysweep.gateway.sums import sum_calls
from raysweep.gateway.table import NAME as CALLS
from raysweep.gateway.table import calls_parquet, read_calls
from raysweep.record.evidence import AgentFacts, ApiFacts
from raysweep.record.schema import Row
from raysweep.sandbox.protocol import Sandbox
from raysweep.trial.order import TrialOrder
from raysweep.trial.row import model_columns
from raysweep.vocabulary import ApiFailure


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
        folder = order.traces if isinstance(order.traces, Path) else None  # a bucket takes no appending
        attempt, access = await gateway.admit(order.api_name, order.api, offset, order.most_usd, folder)
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
    facts = replace(ended.facts, api=attempt.facts(ended.busy))
    traces = {**ended.traces, CALLS: calls_parquet(attempt.calls)} if attempt.calls else ended.traces
    return replace(ended, facts=facts, traces=traces)


def calls_of_lost_runner(order: TrialOrder, stopped: float) -> Row:
    """The columns of an attempt's model calls where its runner died with it; empty where nothing is known of any."""
    if order.api is None or not isinstance(order.traces, Path):
        return {}
    whole = order.traces / CALLS  # where the runner died after it had written this
    calls = read_calls(whole.read_bytes()) if whole.exists() else read_journal(order.traces)
    for call in calls:
        if call.ended is None:
            call.failure, call.error = ApiFailure.CUT, "the runner died during the call"
    return model_columns(sum_calls(calls, stopped)) if calls else {}
