"""What run_agent makes of agents that raise, report nonsense, leave work behind or take no cancellation."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import threading
import time

import pytest

from raysweep.agent import running
from raysweep.agent.facts import TEXT_LIMIT
from raysweep.agent.running import ERROR_TRACE, run_agent
from raysweep.agent.warming import warm_once
from raysweep.errors import SandboxError
from raysweep.record.evidence import AgentFacts, CommandFacts
from raysweep.sandbox.protocol import ExecResult
from raysweep.testing.agent_conformance import PaperSandbox

BOTH = pytest.mark.parametrize("cooperative", [True, False])


@pytest.fixture
def hasty(monkeypatch):
    """Cut off at once: no grace, and a short wait for the end."""
    monkeypatch.setattr(running, "GRACE_S", 0.0)
    monkeypatch.setattr(running, "CANCEL_S", 0.1)


def returning(facts):
    async def work(sandbox):
        return facts

    return work


@BOTH
@pytest.mark.parametrize("raised", [SystemExit(3), KeyboardInterrupt(), StopIteration(), OSError(5, "gone")])
async def test_whatever_an_agent_raises_is_its_error(raised, cooperative):
    async def work(sandbox):
        raise raised

    ended = await run_agent(work, PaperSandbox(), 5.0, cooperative=cooperative)
    assert type(raised).__name__ in ended.facts.error
    assert b"in work" in ended.traces[ERROR_TRACE]


@BOTH
async def test_a_run_that_is_no_coroutine_is_its_error(cooperative):
    def work(sandbox):
        raise TypeError("run() got an unexpected keyword argument 'seed'")

    ended = await run_agent(work, PaperSandbox(), 5.0, cooperative=cooperative)
    assert "unexpected keyword argument 'seed'" in ended.facts.error


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        (AgentFacts(tokens_in="many"), "AgentFacts.tokens_in is str, not Integral"),
        (AgentFacts(tokens_out=1 << 63), "AgentFacts.tokens_out is too large"),
        (AgentFacts(error=ValueError("x")), "AgentFacts.error is ValueError, not str"),
        (AgentFacts(command={"exit": 0}), "AgentFacts.command is dict, not CommandFacts"),
        (AgentFacts(command=CommandFacts(exit="0")), "CommandFacts.exit is str, not Integral"),
        (AgentFacts(timed_out=None), "AgentFacts.timed_out is NoneType, not bool"),
        (AgentFacts(traces={"a": 5}), "AgentFacts.traces has int under 'a'"),
        (AgentFacts(traces=None), "AgentFacts.traces is NoneType, not Mapping"),
    ],
)
async def test_facts_that_no_row_can_hold_are_its_error(facts, words):
    ended = await run_agent(returning(facts), PaperSandbox(), 5.0, cooperative=True)
    assert words in ended.facts.error
    assert ended.facts.tokens_in is None


async def test_texts_and_names_of_traces_are_made_fit_for_files():
    facts = AgentFacts(error="\ud800" + "x" * TEXT_LIMIT, traces={"../a b\x00": b"1", "..": b"2"})
    ended = await run_agent(returning(facts), PaperSandbox(), 5.0, cooperative=True)
    ended.facts.error.encode()
    assert ended.facts.error.startswith("\\ud800x")
    assert ended.traces == {"agent-_a_b_": b"1"}
    assert ended.facts.printed.endswith(": ..")


@BOTH
async def test_a_platform_failure_that_the_agent_swallows_is_still_the_platforms(cooperative):
    async def work(sandbox):
        try:
            await sandbox.exec("agent", ["true"])
        except SandboxError:
            return AgentFacts()

    with pytest.raises(SandboxError, match="power cut"):
        await run_agent(work, PaperSandbox(lost=SandboxError("node_lost", "power cut")), 5.0, cooperative=cooperative)


def test_an_agent_that_takes_no_cancellation_does_not_keep_the_event_loop_from_closing(hasty):
    async def work(sandbox):
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(3600)

    ends = []

    def main():
        ends.append(asyncio.run(run_agent(work, PaperSandbox(), 0.05, cooperative=True)))

    thread = threading.Thread(target=main, daemon=True)
    thread.start()
    thread.join(120)
    assert not thread.is_alive(), "the loop waits for the agent"
    assert ends[0].facts.timed_out
    assert "still runs" in ends[0].facts.printed
    gc.collect()  # nothing is said of the task that was left behind when it is taken apart


async def test_work_left_behind_delays_nothing_and_tasks_are_named(caplog):
    left = []

    async def work(sandbox):
        left.append(asyncio.create_task(asyncio.sleep(3600), name="forgotten"))
        asyncio.get_running_loop().run_in_executor(None, time.sleep, 3)
        return AgentFacts(tokens_in=1)

    began = time.monotonic()
    with caplog.at_level(logging.WARNING):
        ended = await run_agent(work, PaperSandbox(), 30.0, cooperative=False)
        assert time.monotonic() - began < 2.5
        assert ended.facts.tokens_in == 1
        while "forgotten" not in caplog.text:
            assert time.monotonic() - began < 20
            await asyncio.sleep(0.01)


async def test_warm_is_called_once_and_every_trial_waits_for_its_end():
    calls = []

    def warm():
        time.sleep(0.2)
        calls.append(1)

    key = object()
    assert await asyncio.gather(*(warm_once(key, warm) for _ in range(3))) == [None] * 3
    assert calls == [1]


async def test_a_warm_that_raises_or_does_not_end_is_an_error_of_every_trial():
    def fails():
        raise SystemExit("no licence")

    key = object()
    for _ in range(2):
        assert isinstance(await warm_once(key, fails), SystemExit)
    key, gate = object(), threading.Event()
    for _ in range(2):
        assert "did not end within 0.05 s" in str(await warm_once(key, gate.wait, timeout_s=0.05))
    gate.set()


@pytest.mark.parametrize("cooperative", [True, False])
async def test_an_answer_that_is_late_is_not_the_agents(monkeypatch, cooperative):
    """The command ended in time inside; its answer had to wait for a lost stream."""
    monkeypatch.setattr(running, "GRACE_S", 0.0)

    class Late(PaperSandbox):
        async def exec(self, command_id, argv, **options):
            await asyncio.sleep(0.6)
            return ExecResult(CommandFacts(exit=0, duration_s=0.1))

    async def work(sandbox):
        done = await sandbox.exec("agent", ["true"], timeout_s=0.2)
        with contextlib.suppress(RuntimeError):
            await sandbox.exec("another", ["true"])
        return AgentFacts(command=done.facts)

    ended = await run_agent(work, Late(), 0.2, cooperative=cooperative)
    assert ended.facts.command == CommandFacts(exit=0, duration_s=0.1)
    assert not ended.facts.timed_out
