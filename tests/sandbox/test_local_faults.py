"""A runner that dies leaves no process; what it leaves on disk and in cgroups goes with gc, live ones are spared."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from raysweep.errors import SandboxError
from raysweep.process import is_alive, process_token
from raysweep.sandbox.local.names import Home, parse_home, run_name
from raysweep.sandbox.protocol import SandboxSpec
from raysweep.testing.conformance_bench import RUN_ID
from raysweep.units import MIB, Resources
from support.local_sandboxes import make_provider, traces_of

pytestmark = pytest.mark.sandbox
RUNNER = """
import asyncio, sys
from raysweep.sandbox.local.provider import LocalProvider
from raysweep.sandbox.protocol import SandboxSpec
from raysweep.units import MIB, Resources

async def main():
    provider = LocalProvider(scratch=sys.argv[1])
    await provider.prepare(sys.argv[2])
    for number, storage in enumerate((None, 32 * MIB)):
        limit = Resources(memory=64 * MIB, storage=storage)
        sandbox = provider.open(SandboxSpec(sys.argv[2], f"orphan-{number}", limit, limit))
        await sandbox.start()
        await sandbox.exec("background", ["sh", "-c", "setsid sleep 600 & echo"])
        asyncio.create_task(sandbox.exec("hang", ["sh", "-c", "trap '' TERM; while :; do sleep 1; done"]))
    print("ready", flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


@pytest.fixture
def provider(tmp_path):
    return make_provider(tmp_path / "scratch")


def kill_a_runner(scratch):
    """Start a runner with two busy sandboxes and SIGKILL it in the middle."""
    runner = subprocess.Popen([sys.executable, "-c", RUNNER, str(scratch), RUN_ID], stdout=subprocess.PIPE)
    assert runner.stdout is not None
    assert runner.stdout.readline() == b"ready\n"
    runner.kill()
    runner.wait()
    runner.stdout.close()


def wait_until(condition):
    deadline = time.monotonic() + 120
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert condition()


def processes_of(provider):
    return {trace for trace in traces_of(provider) if trace.startswith(("process", "/sys/block"))}


async def test_a_killed_runner_leaves_no_process_mount_or_loop_device(provider, tmp_path):
    await provider.prepare(RUN_ID)
    kill_a_runner(tmp_path / "scratch")
    wait_until(lambda: not processes_of(provider))
    run = provider.host().run_group(RUN_ID)
    wait_until(lambda: not any(group.pids() for group in run.walk()))
    # Another provider's gc on this machine may take the cgroups of dead owners, but never this one's folders.
    homes = run.children() | {path.name for path in (tmp_path / "scratch" / run_name(RUN_ID)).iterdir()}
    assert {home.split("@")[0] for home in homes} == {"orphan-0", "orphan-1"}, "gc must have work to do"
    removed = await provider.gc(None)
    assert {Path(path).name.split("@")[0] for path in removed} >= {"orphan-0", "orphan-1"}
    assert traces_of(provider) == set()
    assert [path for path in await provider.gc(None) if run_name(RUN_ID) in path] == []


async def test_the_next_prepare_clears_what_a_killed_runner_left(provider, tmp_path):
    kill_a_runner(tmp_path / "scratch")
    await provider.prepare(RUN_ID)
    assert traces_of(provider) == set()


async def test_a_sandbox_that_is_killed_from_outside_says_so(provider):
    await provider.prepare(RUN_ID)
    limit = Resources(memory=64 * MIB)
    sandbox = provider.open(SandboxSpec(RUN_ID, "victim", limit, limit))
    await sandbox.start()
    await sandbox.begin_phase("agent")
    running = asyncio.create_task(sandbox.exec("hang", ["sleep", "600"]))
    await sandbox.exec("sync", ["true"])
    for pid in sandbox.groups.keeper.pids():
        with contextlib.suppress(ProcessLookupError):  # gone with the one before
            os.kill(pid, signal.SIGKILL)
    facts = (await running).facts
    assert (facts.exit, facts.signal) == (None, None)
    with pytest.raises(OSError, match="has ended"):
        await sandbox.get("/tmp")
    final_facts = await sandbox.stop()
    assert final_facts.died_in == "agent"
    assert (final_facts.platform, final_facts.platform_detail) == (
        "node_lost",
        "the sandbox's process 1 was killed from outside",
    )
    assert traces_of(provider) == set()


async def test_an_end_while_a_sample_is_read_is_seen_at_the_stop(tmp_path):
    provider = make_provider(tmp_path / "scratch", sample_s=0.01)
    await provider.prepare(RUN_ID)
    limit = Resources(memory=64 * MIB)
    sandbox = provider.open(SandboxSpec(RUN_ID, "victim", limit, limit))
    await sandbox.start()
    await sandbox.begin_phase("agent")
    async with sandbox._phase_lock, asyncio.timeout(120):  # held: the next sample does not come to its end
        while not sandbox._phase_lock._waiters:  # noqa: ASYNC110 - a lock has no event for it
            await asyncio.sleep(0.01)
        os.kill(min(sandbox.groups.keeper.pids()), signal.SIGKILL)
        await sandbox._link.closed.wait()
        stopping = asyncio.create_task(sandbox.stop())
        await asyncio.wait({sandbox._sampling})
    assert (await stopping).died_in == "agent"
    assert traces_of(provider) == set()


async def test_a_sandbox_that_cannot_be_made_leaves_nothing_and_says_why(provider):
    await provider.prepare(RUN_ID)
    provider._host = replace(provider.host(), bwrap=Path("/no/such/bwrap"))
    sandbox = provider.open(SandboxSpec(RUN_ID, "broken", Resources(), Resources(memory=64 * MIB)))
    with pytest.raises(SandboxError, match="no/such/bwrap"):
        await sandbox.start()
    await sandbox.stop()
    assert traces_of(provider) == set()


def test_the_name_of_a_home_carries_the_process_that_owns_it():
    assert is_alive(process_token())
    assert parse_home(str(Home("t1-1", process_token()))) == Home("t1-1", process_token())
    assert parse_home("keeper") is None
