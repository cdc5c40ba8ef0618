# ruff: noqa: D102 - the names of the cases say what they check
"""Cases of a sandbox's life: many at once, stop at any moment, and nothing left behind."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Callable

from raysweep.sandbox.protocol import SandboxProvider
from raysweep.testing.conformance_bench import RUN_ID, Bench, shell, succeeded

Traces = Callable[[], set[str]]


class LifeCases(Bench):
    """Start, stop, and no trace."""

    async def test_nothing_is_left(self, provider: SandboxProvider, traces: Traces) -> None:
        await provider.prepare(RUN_ID)
        before = traces()
        for script in ("true", "setsid sleep 4713 & mkdir -m 0 /tmp/closed; chmod 0 /app; true"):
            async with self.sandbox(provider) as sandbox:
                await shell(sandbox, script)
                assert traces() != before, "the traces of a live sandbox must show, or this case proves nothing"
            assert traces() == before

    async def test_stop_during_a_command(self, provider: SandboxProvider, traces: Traces) -> None:
        await provider.prepare(RUN_ID)
        before = traces()
        async with self.sandbox(provider) as sandbox:
            running = asyncio.create_task(shell(sandbox, "touch /tmp/began; sleep 600"))
            await shell(sandbox, "while [ ! -e /tmp/began ]; do sleep 0.05; done")
            final_facts = await sandbox.stop()
            facts = (await running).facts
        assert facts.exit is None
        assert not facts.timed_out
        assert final_facts.died_in is None
        assert traces() == before

    async def test_stop_twice_and_stop_before_start(self, provider: SandboxProvider, traces: Traces) -> None:
        await provider.prepare(RUN_ID)
        before = traces()
        sandbox = provider.open(self.spec())
        await sandbox.start()
        first, second = await asyncio.gather(sandbox.stop(), sandbox.stop())
        assert first == second == await sandbox.stop()
        await provider.open(self.spec()).stop()
        assert traces() == before

    async def test_stop_while_it_starts(self, provider: SandboxProvider, traces: Traces) -> None:
        await provider.prepare(RUN_ID)
        before = traces()
        for moment_s in (0.0, 0.003, 0.01, 0.03, 0.1, 0.3):
            sandbox = provider.open(self.spec())
            starting = asyncio.create_task(sandbox.start())
            await asyncio.sleep(moment_s)
            starting.cancel()
            await asyncio.wait({starting})
            await sandbox.stop()
            assert traces() == before, f"stopped {moment_s} s after the start began"

    async def test_many_at_once(self, provider: SandboxProvider, traces: Traces) -> None:
        await provider.prepare(RUN_ID)
        before = traces()

        async def one(number: int) -> bytes:
            async with self.sandbox(provider) as sandbox:
                return (await shell(sandbox, f"sleep 0.2; echo {number}")).stdout

        assert await asyncio.gather(*map(one, range(8))) == [b"%d\n" % number for number in range(8)]
        assert traces() == before

    async def test_gc_of_a_run_removes_live_sandboxes_but_those_kept(self, provider: SandboxProvider) -> None:
        await provider.prepare(RUN_ID)
        kept, removed = provider.open(self.spec()), provider.open(self.spec())
        try:
            await asyncio.gather(kept.start(), removed.start())
            await provider.gc(RUN_ID, keep=frozenset({kept.spec.name}))  # type: ignore[attr-defined]
            assert succeeded(await shell(kept, "true"))
            assert (await shell(removed, "true")).facts.exit is None
            await provider.gc(None)
            assert succeeded(await shell(kept, "true")), "gc of everything must spare a live owner's"
        finally:
            await asyncio.gather(kept.stop(), removed.stop())

    async def test_samples_and_counters_reach_the_farewell(self, provider: SandboxProvider) -> None:
        async with self.sandbox(provider) as sandbox:
            await shell(sandbox, "sleep 1.5")
            final_facts = await sandbox.stop()
        times = [sample.t for sample in final_facts.samples]
        assert len(times) >= 3
        assert times == sorted(times)
        assert {"setup", "agent"} == set(final_facts.counters)
        assert all(phase == counters.phase for phase, counters in final_facts.counters.items())

    async def test_a_provider_travels_between_processes(self, provider: SandboxProvider) -> None:
        await provider.prepare(RUN_ID)
        twin: SandboxProvider = pickle.loads(pickle.dumps(provider))  # noqa: S301 - our own bytes
        async with self.sandbox(twin) as sandbox:
            assert succeeded(await shell(sandbox, "true"))
