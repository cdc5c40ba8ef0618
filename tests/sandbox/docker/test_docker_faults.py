"""What becomes of a sandbox when its container, its owner or the whole engine meets with an accident."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from raysweep.errors import SandboxError
from raysweep.sandbox.docker.container import DockerContainer
from raysweep.sandbox.docker.shape import ATTEMPT_LABEL, OWNER_LABEL, RUN_LABEL, container_name
from raysweep.sandbox.supervisor import PLACE

pytestmark = pytest.mark.docker
DOCKERD = Path(__file__).parents[3] / ".ci/dockerd"


@asynccontextmanager
async def started(provider, spec):
    await provider.prepare(spec.run_id)
    sandbox = provider.open(spec)
    try:
        await sandbox.start()
        await sandbox.begin_phase("agent")
        yield sandbox
    finally:
        await sandbox.stop()


async def shell(sandbox, script, command_id="shell"):
    return await sandbox.exec(command_id, ["sh", "-c", script])


async def test_an_oom_kill_of_a_command_is_told_by_counters_not_by_the_engine(provider, spec, engine):
    one = spec()
    async with started(provider, one) as sandbox:
        result = await sandbox.exec("hog", [PLACE, "alloc", str(256 << 20)])
        seen = await engine.inspect(container_name(one))
        counters = await sandbox.counters()
        final_facts = await sandbox.stop()
    assert result.facts.signal == signal.SIGKILL
    assert counters.oom_kills == 1
    assert seen["State"]["Running"] is True
    assert seen["State"]["ExitCode"] == 0
    assert final_facts.died_in is None
    assert final_facts.platform is None


async def stopped_by_hand(engine, name):
    await engine.docker.containers.container(name).kill()


async def removed_by_hand(engine, name):
    await engine.remove(name)


async def restarted_by_hand(engine, name):
    await engine.docker.containers.container(name).restart(t=0)


@pytest.mark.parametrize("accident", [stopped_by_hand, removed_by_hand, restarted_by_hand])
async def test_an_end_from_outside_is_the_platforms(provider, spec, engine, accident):
    one = spec()
    async with started(provider, one) as sandbox:
        running = asyncio.create_task(shell(sandbox, "sleep 600"))
        assert (await shell(sandbox, "true", "first")).facts.exit == 0
        await accident(engine, container_name(one))
        facts = (await running).facts
        final_facts = await sandbox.stop()
    assert (facts.exit, facts.signal, facts.timed_out) == (None, None, False)
    assert final_facts.platform == "node_lost"
    assert final_facts.died_in == "agent"
    assert await engine.inspect(container_name(one)) is None


async def test_a_changed_limit_shows_at_the_end(provider, spec, engine, test_image):
    one = spec()
    async with started(provider, one) as sandbox:
        change = {"Memory": 128 << 20, "MemorySwap": -1}
        await engine.docker._query_json(f"containers/{container_name(one)}/update", "POST", data=change)
        final_facts = await sandbox.stop()
    assert final_facts.actual_limit.memory == 128 << 20


OWNER = """
import asyncio, sys
from raysweep.sandbox.docker.provider import DockerProvider
from raysweep.sandbox.protocol import SandboxSpec
from raysweep.units import Resources

async def main():
    provider = DockerProvider(image=sys.argv[1], pull="never")
    sandbox = provider.open(SandboxSpec(sys.argv[2], "orphan", Resources(), Resources(memory=64 << 20)))
    await sandbox.start()
    print("started", flush=True)
    await sandbox.exec("wait", ["sleep", "600"])

asyncio.run(main())
"""


async def test_gc_removes_what_a_killed_owner_left_and_nothing_else(provider, spec, engine, test_image, engine_traces):
    mine = spec()
    async with started(provider, mine):
        before = engine_traces()
        run_id = f"orphans-{os.getpid()}"
        argv = [sys.executable, "-c", OWNER, test_image, run_id]
        owner = await asyncio.create_subprocess_exec(*argv, stdout=subprocess.PIPE)
        try:
            assert await asyncio.wait_for(owner.stdout.readline(), 120) == b"started\n"
            assert await provider.gc(None) == [], "a live owner's sandbox was removed"
        finally:
            owner.kill()
            await owner.wait()
        assert len(engine_traces() - before) == 1
        removed = await provider.gc(None)
        assert removed == [f"container rs-{run_id}-orphan"]
        assert engine_traces() == before


async def test_owners_elsewhere_are_left_alone_unless_their_run_is_named(provider, engine, test_image):
    run_id = f"elsewhere-{os.getpid()}"
    owner = "0123456789abcdef/boot/1/2/3"
    labels = {RUN_LABEL: run_id, ATTEMPT_LABEL: "a-1", OWNER_LABEL: owner}
    name = f"rs-{run_id}-a-1"
    await engine.create(name, {"Image": test_image, "Cmd": ["true"], "Labels": labels})
    assert f"container {name}" not in await provider.gc(None)
    assert await provider.gc(run_id, keep=frozenset({"a-1"})) == []
    assert await provider.gc(run_id) == [f"container {name}"]


async def test_a_leftover_of_the_same_attempt_is_replaced_but_not_a_live_owners(provider, spec, engine, test_image):
    one = spec()
    name = container_name(one)
    dead = "/".join([*provider.shape().owner.split("/")[:3], "999999999", "1"])
    labels = {RUN_LABEL: one.run_id, ATTEMPT_LABEL: one.name, OWNER_LABEL: dead}
    leftover = await engine.create(name, {"Image": test_image, "Cmd": ["true"], "Labels": labels})
    async with started(provider, one) as sandbox:
        assert (await shell(sandbox, "echo new")).stdout == b"new\n"
        assert (await engine.inspect(name))["Id"] != leftover
    foreign = await engine.create(name, {"Image": test_image, "Cmd": ["true"], "Labels": {}})
    second = provider.open(one)
    with pytest.raises(SandboxError, match="belongs to another"):
        await second.start()
    await second.stop()
    assert (await engine.inspect(name))["Id"] == foreign, "another's container was removed"
    await engine.remove(name)


async def test_creation_that_is_given_up_leaves_nothing(provider, spec, engine_traces):
    await provider.prepare("run")
    before = engine_traces()
    for turns in (0, 1, 3, 10, 30):
        container = DockerContainer(spec(), provider.open(spec()).container.site)
        making = asyncio.create_task(container.create())
        for _ in range(turns):
            await asyncio.sleep(0.005)
        making.cancel()
        await asyncio.wait({making})
        await container.remove()
        await container.remove()
        assert engine_traces() == before


async def test_the_supervisors_file_stays_and_a_new_stream_is_still_had(provider, spec):
    """`rm -rf /` of a clumsy agent must not turn the next hiccup of the engine into a lost attempt."""
    async with started(provider, spec()) as sandbox:
        assert (await shell(sandbox, "rm -rf /.raysweep")).facts.exit != 0
        channel = await sandbox.container.connect()
        await channel.close()


@pytest.fixture
def dockerd():
    """Commands of the engine that the tests own; skips where the engine is somebody else's."""
    if "RAYSWEEP_DOCKERD_HOME" not in os.environ:
        pytest.skip("needs an engine that may be killed: eval $(.ci/dockerd up ARCHIVE)")

    async def run(*words):
        process = await asyncio.create_subprocess_exec(DOCKERD, *words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        _, errors = await process.communicate()
        assert process.returncode == 0, errors.decode()

    return run


async def test_an_engine_that_comes_back_with_its_containers_costs_nothing(provider, spec, dockerd):
    one = spec()
    await dockerd("kill", "TERM")
    await dockerd("start", "--live-restore")
    try:
        async with started(provider, one) as sandbox:
            before = sandbox.container
            script = "touch /tmp/began; while [ ! -e /tmp/go ]; do sleep 0.1; done; echo survived"
            running = asyncio.create_task(shell(sandbox, script))
            await shell(sandbox, "while [ ! -e /tmp/began ]; do sleep 0.1; done", "wait")
            await dockerd("kill")
            # Asked while there is nobody to hear it: it is sent again when there is.
            going = asyncio.create_task(shell(sandbox, "touch /tmp/go", "go"))
            await asyncio.sleep(0)
            await dockerd("start", "--live-restore")
            assert (await going).facts.exit == 0
            result = await running
            final_facts = await sandbox.stop()
        assert before is sandbox.container
        assert result.facts.exit == 0
        assert result.stdout == b"survived\n"
        assert final_facts.platform is None
        assert final_facts.died_in is None
        assert final_facts.transport_down_s > 0
        assert "agent" in final_facts.counters
    finally:
        await dockerd("kill", "TERM")
        await dockerd("start")


async def test_an_engine_that_comes_back_without_them_is_a_lost_node(provider, spec, dockerd, engine_traces):
    before = engine_traces()
    async with started(provider, spec()) as sandbox:
        running = asyncio.create_task(shell(sandbox, "touch /tmp/began; sleep 600"))
        await shell(sandbox, "while [ ! -e /tmp/began ]; do sleep 0.1; done", "wait")
        await dockerd("kill")
        await dockerd("start")
        facts = (await running).facts
        final_facts = await sandbox.stop()
    assert (facts.exit, facts.signal, facts.timed_out) == (None, None, False)
    assert final_facts.platform == "node_lost"
    assert final_facts.died_in == "agent"
    assert engine_traces() == before
