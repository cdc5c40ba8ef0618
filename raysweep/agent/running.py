"""Runs an agent, whoever wrote it: what it raises is a value, its time limit holds, it cannot block the runner.

Belongs here: threads, deadlines and tracebacks around an agent's work. Does not: judging how it ended (trial.classify).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import traceback
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from raysweep.agent.facts import TRACE_LIMIT, plain_text, usable_facts
from raysweep.agent.guard import FromThread, GuardedSandbox
from raysweep.record.evidence import AgentFacts
from raysweep.sandbox.protocol import Sandbox

GRACE_S = 5.0
"""What an agent may take beyond its time limit to end by itself."""
CANCEL_S = 2.0
"""How long an agent that was cancelled may take to end before it is left behind."""
ERROR_TRACE = "agent-error.txt"
_log = logging.getLogger(__name__)
Work = Callable[[Sandbox], Coroutine[Any, Any, AgentFacts]]


@dataclass(frozen=True, slots=True)
class AgentEnd:
    """How an agent ended, and the files that it leaves for the trace, by name.

    busy: when it had commands running in the sandbox, spans of the event loop's time.
    """

    facts: AgentFacts
    traces: Mapping[str, bytes] = field(default_factory=dict)
    busy: tuple[tuple[float, float], ...] = ()


async def run_agent(work: Work, sandbox: Sandbox, limit_s: float, *, cooperative: bool) -> AgentEnd:
    """Let an agent work for `limit_s` seconds at most; never raises for what it does.

    work: makes the coroutine of its work from the sandbox that it may use. cooperative: the agent says that it never
    blocks its thread, so it runs on this event loop; any other gets a thread and an event loop of its own.

    An agent that has not ended GRACE_S after its limit is cut off: `timed_out`. Calls of its sandbox that are open by
    then are waited for: their commands ended in time inside, and an answer that is late is the platform's doing.
    SandboxError where the sandbox met a platform failure, whatever the agent made of it; one that the agent makes
    itself is its own error.
    """
    loop = asyncio.get_running_loop()
    guard = GuardedSandbox(sandbox, loop.time() + limit_s + GRACE_S)
    running = _OnLoop(work, guard) if cooperative else _InThread(work, FromThread(guard, loop), loop)
    try:
        done, _ = await asyncio.wait({running.result}, timeout=limit_s + GRACE_S)
        if not done:
            done = await _after_open_calls(guard, running.result)
        if not done:
            running.cancel()
            await asyncio.wait({running.result}, timeout=CANCEL_S)
    except asyncio.CancelledError:
        running.cancel()
        await asyncio.wait({running.result}, timeout=CANCEL_S)
        running.forget()
        raise
    finally:
        guard.close()
    if guard.lost is not None:
        running.forget()
        raise guard.lost
    if not done:
        stuck = not running.result.done()
        running.forget()
        if stuck:
            _log.warning("an agent did not end %g s after it was cut off; it was left behind", CANCEL_S)
        facts = AgentFacts(timed_out=True, printed=_cut_off(limit_s, stuck=stuck))
        return AgentEnd(facts, busy=tuple(guard.busy))
    return replace(_end_of(running.result), busy=tuple(guard.busy))


async def _after_open_calls(
    guard: GuardedSandbox, result: asyncio.Future[AgentFacts]
) -> set[asyncio.Future[AgentFacts]]:
    """{result} once the agent ended on the answers of its open calls; empty where it goes on all the same."""
    guard.close()
    if guard.idle:
        return set()
    settled: asyncio.Future[Any] = asyncio.ensure_future(guard.settled())
    both: set[asyncio.Future[Any]] = {result, settled}
    try:
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    finally:
        settled.cancel()
    if not result.done():
        await asyncio.wait({result}, timeout=CANCEL_S)
    return {result} if result.done() else set()


def _cut_off(limit_s: float, *, stuck: bool) -> str:
    still = ", and its thread still runs" if stuck else ""
    return f"the agent did not end by itself: cut off {GRACE_S:g} s after its time limit of {limit_s:g} s{still}"


class _OnLoop:
    """An agent's work as a task of this event loop."""

    def __init__(self, work: Work, sandbox: Sandbox) -> None:
        self.result: asyncio.Task[AgentFacts] = asyncio.create_task(self._main(work, sandbox))

    def cancel(self) -> None:
        self.result.cancel()

    def forget(self) -> None:
        """Nobody will ask how it ended; a task that takes no cancellation would keep its loop from closing."""
        self.result.add_done_callback(_retrieve)
        if not self.result.done():
            asyncio._unregister_task(self.result)  # noqa: SLF001 - documented: hides a task from all_tasks

    async def _main(self, work: Work, sandbox: Sandbox) -> AgentFacts:
        try:
            return await work(sandbox)
        except (asyncio.CancelledError, GeneratorExit):  # the latter ends a task that was left behind
            raise
        except BaseException as error:
            raise _AgentRaisedError(error) from error


class _InThread:
    """An agent's work in a daemon thread with an event loop of its own, so that nothing ever waits for its end."""

    def __init__(self, work: Work, sandbox: Sandbox, loop: asyncio.AbstractEventLoop) -> None:
        self.result: asyncio.Future[AgentFacts] = loop.create_future()
        self._loop = loop
        self._own: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._cancelled = False
        threading.Thread(target=self._main, args=(work, sandbox), name="raysweep-agent", daemon=True).start()

    def cancel(self) -> None:
        self._cancelled = True
        if self._own is not None and self._task is not None:
            with contextlib.suppress(RuntimeError):  # its loop has ended meanwhile
                self._own.call_soon_threadsafe(self._task.cancel)

    def forget(self) -> None:
        """Nobody will ask how it ended."""
        self.result.add_done_callback(_retrieve)

    def _main(self, work: Work, sandbox: Sandbox) -> None:
        async def main() -> None:
            self._own, self._task = asyncio.get_running_loop(), asyncio.current_task()
            if self._cancelled:
                return
            try:
                facts = await work(sandbox)
            except BaseException as error:  # noqa: BLE001 - SystemExit of an agent is an error like any other
                self._tell(_failed, error)
            else:
                self._tell(_succeeded, facts)
            _name_leaks()

        with contextlib.suppress(BaseException):  # tasks and threads that the agent left behind: its end is known
            asyncio.run(main())
        self._tell(_failed, asyncio.CancelledError("the agent was cut off"))

    def _tell(self, how: Callable[[asyncio.Future[AgentFacts], Any], None], what: object) -> None:
        with contextlib.suppress(RuntimeError):  # the runner's loop has ended: nobody waits any more
            self._loop.call_soon_threadsafe(how, self.result, what)


def _name_leaks() -> None:
    """Log which tasks an agent leaves on the event loop of its own, which ends them."""
    left = sorted(task.get_name() for task in asyncio.all_tasks() if task is not asyncio.current_task())
    if left:
        _log.warning("an agent left tasks behind, which were cancelled: %s", ", ".join(left))


def _succeeded(result: asyncio.Future[AgentFacts], facts: AgentFacts) -> None:
    if not result.done():
        result.set_result(facts)


def _failed(result: asyncio.Future[AgentFacts], error: BaseException) -> None:
    if not result.done():
        result.set_exception(_AgentRaisedError(error))


class _AgentRaisedError(Exception):
    """Carries what an agent raised in its thread: no future takes StopIteration, and SystemExit would end the loop."""


def _retrieve(result: asyncio.Future[AgentFacts]) -> None:
    if not result.cancelled():
        result.exception()


def _end_of(result: asyncio.Future[AgentFacts]) -> AgentEnd:
    if result.cancelled():
        return error_end(asyncio.CancelledError("the agent cancelled itself"))
    error = result.exception()
    if error is not None:
        cause = error.args[0] if isinstance(error, _AgentRaisedError) else error
        return error_end(cause)
    try:
        return AgentEnd(*usable_facts(result.result()))
    except (TypeError, ValueError) as wrong:
        return error_end(wrong)


def error_end(error: BaseException) -> AgentEnd:
    """An agent that raised: its last line as the error, the traceback as a file of the trace."""
    text = "".join(traceback.format_exception(error))
    last = traceback.format_exception_only(error)[-1].strip()
    return AgentEnd(
        AgentFacts(error=plain_text(last)), {ERROR_TRACE: text.encode(errors="backslashreplace")[-TRACE_LIMIT:]}
    )
