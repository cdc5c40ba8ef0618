"""Faults of streams, containers and platforms under a supervised sandbox, with the real supervisor."""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager

import pytest

from raysweep.errors import SandboxError
from raysweep.record.evidence import AgentFacts, Evicted, Evidence
from raysweep.sandbox.cgroup.bounds import Bounds, apply_bounds
from raysweep.sandbox.supervised.container import Ending
from raysweep.sandbox.supervised.patience import Patience
from raysweep.sandbox.supervised.sandbox import SupervisedSandbox
from raysweep.testing.conformance_bench import LIMIT, Bench, allocate, shell, succeeded
from raysweep.testing.conformance_files import archive_of, files_in
from raysweep.trial.classify import classify
from raysweep.units import MIB, Resources
from support.supervised_process import ProcessContainer, ProcessProvider

pytestmark = pytest.mark.sandbox
PATIENT = 120.0


@pytest.fixture
def provider(needs_process):
    return ProcessProvider(needs_process)


def spec(**changes):
    return Bench().spec(**changes)


@asynccontextmanager
async def running(provider, patience=None, **changes):
    """(sandbox, container) in the agent phase; nothing is left afterwards."""
    sandbox = provider.open(spec(**changes), patience=patience)
    try:
        await sandbox.start()
        await sandbox.begin_phase("agent")
        yield sandbox, sandbox.container
    finally:
        await sandbox.stop()
        assert provider.traces() == set()


async def cut_again_and_again(container, task, pause=0.03):
    """Cut every stream until `task` is done or often enough; it must get through in the end."""
    cuts = 0
    while not task.done() and cuts < 5:
        await asyncio.sleep(pause)
        cuts += bool(container.channels)
        container.cut()
    async with asyncio.timeout(PATIENT):
        return cuts, await task


async def test_streams_cut_during_commands_repeat_and_lose_nothing(provider):
    async with running(provider, Patience(first=0.05, longest=0.1)) as (sandbox, container):
        script = "for i in 1 2 3 4 5 6 7 8 9 10; do echo $i >> /tmp/count; sleep 0.2; done; cat /tmp/count"
        tasks = asyncio.gather(*(shell(sandbox, script.replace("count", f"count{n}")) for n in range(3)))
        cuts, results = await cut_again_and_again(container, tasks, pause=0.2)
        final_facts = await sandbox.stop()
    assert cuts > 0
    for result in results:
        assert succeeded(result)
        assert result.stdout.split() == [str(i).encode() for i in range(1, 11)]
    assert final_facts.transport_down_s > 0
    assert final_facts.platform is None
    assert final_facts.died_in is None


async def test_streams_cut_during_put_and_get_lose_nothing(provider):
    files = {"big": random.Random(3).randbytes(24 * MIB)}
    async with running(provider, Patience(first=0.05, longest=0.1)) as (sandbox, container):
        cuts, _ = await cut_again_and_again(container, asyncio.create_task(sandbox.put(archive_of(files), "/app")))
        assert cuts > 0
        cuts, archive = await cut_again_and_again(container, asyncio.create_task(sandbox.get("/app/big")))
        assert cuts > 0
        assert files_in(archive) == files


async def test_a_cut_between_requests_is_not_noticed(provider):
    async with running(provider) as (sandbox, container):
        container.cut()
        assert succeeded(await shell(sandbox, "true"))
        container.cut()
        assert (await sandbox.counters()).oom_kills == 0


async def test_no_stream_beyond_the_cap_is_the_api_server_and_never_an_exit_code(provider):
    async with running(provider) as (sandbox, container):
        sandbox._client._patience = Patience(cap=1.0, first=0.05)  # not before the start, which may take longer
        command = asyncio.create_task(shell(sandbox, "touch /tmp/began; sleep 600"))
        await shell(sandbox, "while [ ! -e /tmp/began ]; do sleep 0.05; done")
        container.reachable = False
        container.cut()
        with pytest.raises(SandboxError) as caught:
            await command
        assert caught.value.cause == "api_server"
        with pytest.raises(SandboxError):
            await sandbox.put(archive_of({"x": b""}), "/app")
        final_facts = await sandbox.stop()
    assert (final_facts.platform, final_facts.died_in) == ("api_server", None)
    assert final_facts.transport_down_s >= 1.0
    assert set(final_facts.counters) == {"setup", "agent"}


async def kill_in_agent_phase(provider, word):
    """FinalFacts and verdict of a container in which everything is killed at once while a command runs."""
    async with running(provider) as (sandbox, container):
        container.word = word
        command = asyncio.create_task(shell(sandbox, "touch /tmp/began; sleep 600"))
        await shell(sandbox, "while [ ! -e /tmp/began ]; do sleep 0.05; done; sleep 1.5")
        seen = len(sandbox._meter.recorder.rows)
        await asyncio.to_thread(container.kill_all)
        async with asyncio.timeout(PATIENT):
            result = await command
        with pytest.raises(OSError, match="has ended"):
            await sandbox.put(archive_of({"x": b""}), "/app")
        with pytest.raises(OSError, match="has ended"):
            await sandbox.get("/app")
        await sandbox.begin_phase("verifier")
        assert (await shell(sandbox, "true")).facts.exit is None
        await sandbox.counters()
        final_facts = await sandbox.stop()
        assert len(sandbox._meter.recorder.rows) > seen, "the keeper tells samples that no stream brought"
    assert (result.facts.exit, result.facts.signal, result.facts.timed_out) == (None, None, False)
    assert set(final_facts.counters) == {"setup", "agent"}
    evidence = Evidence(
        final_facts.actual_request,
        final_facts.actual_limit,
        provider.home.parent.version,
        agent=AgentFacts(result.facts),
        counters=final_facts.counters,
        died_in=final_facts.died_in,
        evicted=final_facts.evicted,
        platform=final_facts.platform,
    )
    found = classify(evidence)
    return final_facts, (found.cause, found.phase, found.cause_class)


async def test_a_group_kill_is_read_from_the_keeper_and_proven_by_room(provider):
    final_facts, verdict = await kill_in_agent_phase(provider, Ending(ended=True, oom_killed=True))
    counters = final_facts.counters["agent"]
    assert (final_facts.died_in, counters.oom_kills, counters.oom_group) == ("agent", 1, True)
    assert counters.ancestor_room_bytes > 2 * LIMIT
    assert verdict == ("oom_limit", "agent", "resource")


async def test_an_end_that_the_platform_explains_is_its_own(provider):
    word = Ending(ended=True, oom_killed=False, platform="drained", platform_detail="node drained", node={"pods": 3})
    final_facts, verdict = await kill_in_agent_phase(provider, word)
    assert (final_facts.platform, final_facts.platform_detail, final_facts.died_in) == (
        "drained",
        "node drained",
        "agent",
    )
    assert final_facts.node["pods"] == 3
    assert verdict == ("drained", "agent", "platform")


async def test_an_eviction_is_passed_on(provider):
    word = Ending(ended=True, evicted=Evicted("storage", own_limit=True))
    _, verdict = await kill_in_agent_phase(provider, word)
    assert verdict == ("evicted_own_use", "agent", "resource")


async def test_an_end_that_nobody_explains_stays_unknown(provider):
    _, verdict = await kill_in_agent_phase(provider, Ending(ended=True))
    assert verdict == ("oom_unknown", "agent", "unknown")


async def test_a_platform_that_admitted_something_else_is_refused(provider):
    container = provider.container(spec())
    container.admitted = Resources(cpu=1000, memory=2 * LIMIT)
    sandbox = SupervisedSandbox(container.spec, container)
    with pytest.raises(SandboxError, match=f"memory: {2 * LIMIT} stated, {LIMIT} measured") as caught:
        await sandbox.start()
    assert caught.value.cause == "altered"
    await sandbox.stop()
    assert provider.traces() == set()


async def test_a_resize_in_mid_trial_shows_at_the_end(provider):
    async with running(provider) as (sandbox, container):
        await asyncio.to_thread(apply_bounds, container.group, Bounds(memory=2 * LIMIT), swap=False)
        final_facts = await sandbox.stop()
    assert final_facts.actual_limit.memory == 2 * LIMIT


async def test_a_resize_that_only_the_platform_tells_shows_too(provider):
    async with running(provider) as (sandbox, container):
        told = Ending(limit=Resources(cpu=1000, memory=3 * LIMIT), request=sandbox.spec.request)
        container.ending = lambda: asyncio.sleep(0, told)
        final_facts = await sandbox.stop()
    assert final_facts.actual_limit.memory == 3 * LIMIT
    async with running(provider) as (sandbox, container):
        told = Ending(request=Resources(cpu=1, memory=1))
        container.ending = lambda: asyncio.sleep(0, told)
        final_facts = await sandbox.stop()
    assert final_facts.platform == "altered"


async def test_stop_while_the_platform_still_makes_it(provider):
    class Slow(ProcessContainer):
        removed = 0

        async def create(self):
            await super().create()
            made.set()
            await asyncio.Event().wait()

        async def remove(self):
            self.removed += 1
            await super().remove()

    made = asyncio.Event()
    container = provider.container(spec())
    container.__class__ = Slow
    provider.made.append(container)
    sandbox = SupervisedSandbox(container.spec, container)
    starting = asyncio.create_task(sandbox.start())
    async with asyncio.timeout(PATIENT):
        await made.wait()
    first, second = await asyncio.gather(sandbox.stop(), sandbox.stop())
    assert first == second
    await asyncio.wait({starting})
    assert starting.cancelled()
    assert container.removed == 1
    assert provider.traces() == set()


async def test_a_container_that_ends_as_it_starts_is_no_arms_doing(provider):
    class Broken(ProcessContainer):
        def _mounts(self):
            return "echo no such image layer >&2; exit 5"

    container = provider.container(spec())
    container.__class__ = Broken
    sandbox = SupervisedSandbox(container.spec, container)
    with pytest.raises(SandboxError, match="no such image layer") as caught:
        await sandbox.start()
    assert caught.value.cause == "node_lost"
    await sandbox.stop()
    assert provider.traces() == set()


async def test_a_full_page_cache_in_set_up_does_not_hide_the_agents_own_oom(provider):
    sandbox = provider.open(spec())
    try:
        await sandbox.start()
        assert succeeded(await shell(sandbox, "head -c 100M /dev/zero > /tmp/cache; sync"))
        await sandbox.begin_phase("agent")
        result = await allocate(sandbox, 2 * LIMIT)
        final_facts = await sandbox.stop()
    finally:
        await sandbox.stop()
    setup, agent = final_facts.counters["setup"], final_facts.counters["agent"]
    assert (setup.oom_kills, agent.oom_kills) == (0, 1)
    assert setup.mem_peak_bytes > 0.9 * LIMIT, "cache counts as peak, and kills nobody"
    evidence = Evidence(
        final_facts.actual_request,
        final_facts.actual_limit,
        provider.home.parent.version,
        agent=AgentFacts(result.facts),
        counters=final_facts.counters,
    )
    assert classify(evidence).cause == "oom_limit"


async def test_a_nul_in_a_command_is_its_own_failure(provider):
    async with running(provider) as (sandbox, _):
        result = await sandbox.exec("nul", ["echo", "a\0b"])
    assert result.facts.exit == 126
    assert b"NUL" in result.stderr


async def test_commands_get_the_images_environment_below_the_tasks_own(provider):
    container = provider.container(spec(env={"B": "task"}))
    container.environment = {"A": "image", "B": "image", "C": "image", "KUBERNETES_SERVICE_HOST": "192.0.2.1"}
    sandbox = SupervisedSandbox(container.spec, container)
    try:
        await sandbox.start()
        shown = await sandbox.exec("env", ["sh", "-c", "echo $A $B $C $LANG; env"], env={"C": "command"})
    finally:
        await sandbox.stop()
    assert shown.stdout.startswith(b"image task command C.UTF-8\n")
    assert b"KUBERNETES" not in shown.stdout
    assert container.token.encode() not in shown.stdout


async def test_nothing_can_be_asked_before_start(provider):
    sandbox = provider.open(spec())
    with pytest.raises(SandboxError, match="not started"):
        await sandbox.exec("x", ["true"])
    with pytest.raises(SandboxError, match="not started"):
        await sandbox.counters()
