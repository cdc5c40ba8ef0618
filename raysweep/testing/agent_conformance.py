# ruff: noqa: D102 - the names of the cases say what they check
"""The conformance suite for agents: what the runner relies on, without a real sandbox.

An agent's test module subclasses it, gives an agent, and runs under pytest with pytest-asyncio in auto mode:

    class TestMyAgent(AgentConformance):
        @pytest.fixture
        def agent(self):
            return MyAgent({"model": "none"})

A case that finds an agent unable to keep its time limit says so; the runner would cut it off all the same.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Mapping, Sequence

import pytest

from raysweep.agent.protocol import COMMAND_ID, Agent
from raysweep.agent.running import GRACE_S, AgentEnd, run_agent
from raysweep.errors import SandboxError
from raysweep.record.evidence import AgentFacts, CommandFacts, PhaseCounters
from raysweep.sandbox.protocol import ARCHIVE_LIMIT, Admitted, ExecResult, FinalFacts, Sandbox
from raysweep.tasks.model import Task
from raysweep.units import GIB, Resources

LIMIT_S = 60.0
SHORT_S = 1.0


class PaperSandbox:
    """Keeps what was asked; a command ends at once with exit 0, or at its time limit, or the sandbox is lost.

    calls: each call and its arguments, in order.
    """

    def __init__(self, *, slow: bool = False, lost: SandboxError | None = None) -> None:
        self.calls: list[tuple[object, ...]] = []
        self._slow = slow
        self._lost = lost

    async def start(self) -> Admitted:
        return Admitted(Resources(), Resources())

    async def begin_phase(self, phase: str) -> None:
        self.calls.append(("begin_phase", phase))

    async def exec(
        self,
        command_id: str,
        argv: Sequence[str],
        *,
        timeout_s: float | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        output_limit: int = 1 << 20,  # noqa: ARG002 - there is no output
    ) -> ExecResult:
        self.calls.append(("exec", command_id, *argv, tuple(sorted((env or {}).items())), cwd))
        self._answer()
        if self._slow:
            await asyncio.sleep(LIMIT_S if timeout_s is None else timeout_s)
            return ExecResult(CommandFacts(signal=9, timed_out=True, duration_s=timeout_s))
        return ExecResult(CommandFacts(exit=0, duration_s=0.0))

    async def put(self, archive: bytes, dest: str) -> None:
        self.calls.append(("put", archive, dest))
        self._answer()

    async def get(self, path: str, *, limit: int = ARCHIVE_LIMIT) -> bytes:  # noqa: ARG002 - nothing is there
        self.calls.append(("get", path))
        self._answer()
        raise FileNotFoundError(path)

    async def counters(self) -> PhaseCounters:
        return PhaseCounters("agent")

    async def stop(self) -> FinalFacts:
        return FinalFacts(Resources(), Resources())

    def _answer(self) -> None:
        if self._lost is not None:
            raise self._lost


class AgentConformance:
    """All cases; `task` may be replaced by a fixture of that name."""

    @pytest.fixture
    def task(self) -> Task:
        return Task("made-up", "sha256:0", Resources(cpu=1000, memory=GIB), instruction="Make /app/out.")

    async def _run(self, agent: Agent, task: Task, sandbox: Sandbox, limit_s: float = LIMIT_S) -> AgentEnd:
        warm = getattr(agent, "warm", None)
        if warm is not None:
            warm()
        return await run_agent(
            lambda inner: agent.run(inner, task, seed=7, timeout_s=limit_s),
            sandbox,
            limit_s,
            cooperative=getattr(agent, "cooperative", False),
        )

    def test_it_has_what_an_agent_has(self, agent: Agent, task: Task) -> None:
        assert isinstance(agent.kind, str)
        assert agent.kind
        assert inspect.iscoroutinefunction(agent.run)
        reason = agent.unfit(task)
        assert reason is None or isinstance(reason, str)

    async def test_it_gives_facts_and_no_error_where_commands_work(self, agent: Agent, task: Task) -> None:
        ended = await self._run(agent, task, PaperSandbox())
        assert isinstance(ended.facts, AgentFacts)
        assert ended.facts.error is None, ended.facts.error

    async def test_the_same_seed_gives_the_same_calls(self, agent: Agent, task: Task) -> None:
        first, second = PaperSandbox(), PaperSandbox()
        await self._run(agent, task, first)
        await self._run(agent, task, second)
        assert first.calls == second.calls

    async def test_it_names_the_command_that_is_the_agent(self, agent: Agent, task: Task) -> None:
        sandbox = PaperSandbox()
        ended = await self._run(agent, task, sandbox)
        named = [call for call in sandbox.calls if call[:2] == ("exec", COMMAND_ID)]
        assert len(named) <= 1, "a command id is used once"
        assert (ended.facts.command is not None) == bool(named), "facts.command is how the command `agent` ended"

    async def test_a_lost_sandbox_is_the_platforms_failure(self, agent: Agent, task: Task) -> None:
        asked = PaperSandbox()
        await self._run(agent, task, asked)
        sandbox = PaperSandbox(lost=SandboxError("node_lost", "for the test"))
        if asked.calls:
            with pytest.raises(SandboxError, match="for the test"):
                await self._run(agent, task, sandbox)
        else:
            assert (await self._run(agent, task, sandbox)).facts.error is None

    async def test_it_ends_by_itself_at_its_time_limit(self, agent: Agent, task: Task) -> None:
        began = time.monotonic()
        ended = await self._run(agent, task, PaperSandbox(slow=True), limit_s=SHORT_S)
        assert time.monotonic() - began < SHORT_S + GRACE_S, "the runner had to cut it off"
        assert ended.facts.error is None, ended.facts.error

    async def test_it_blocks_nobody_where_it_says_that_it_is_cooperative(self, agent: Agent, task: Task) -> None:
        longest, last = 0.0, time.monotonic()

        async def beat() -> None:
            nonlocal longest, last
            while True:
                await asyncio.sleep(0.01)
                longest, last = max(longest, time.monotonic() - last), time.monotonic()

        beating = asyncio.create_task(beat())
        await asyncio.sleep(0)
        await self._run(agent, task, PaperSandbox(slow=True), limit_s=SHORT_S)
        await asyncio.sleep(0.05)
        beating.cancel()
        assert longest < SHORT_S, f"the event loop stood still for {longest:.1f} s"
