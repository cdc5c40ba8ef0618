"""Whole attempts in supervised sandboxes: what counts when the container dies under the agent or the verifier."""

from __future__ import annotations

import asyncio

import pytest

from raysweep.sandbox.supervised.container import Ending
from support.attempts import HOG, REWARD, attempt, verdict
from support.supervised_process import ProcessProvider

pytestmark = pytest.mark.sandbox
WAIT = "touch /app/now; sleep 600"


@pytest.fixture
def provider(needs_process):
    return ProcessProvider(needs_process)


async def attempt_killed(provider, tmp_path, band, solve, test=REWARD, **word):
    """An attempt whose container is killed as a group as soon as /app/now is there."""
    running = asyncio.create_task(attempt(tmp_path, tmp_path, band, solve, test, provider=provider))
    killed = False
    while not running.done() and not killed:
        await asyncio.sleep(0.05)
        for container in provider.made:
            if (container.folder / "root/app/now").exists():
                container.word = Ending(ended=True, **word)
                await asyncio.to_thread(container.kill_all)
                killed = True
    async with asyncio.timeout(120):
        done = await running
    assert killed
    assert provider.traces() == set()
    return done


async def test_a_group_kill_under_the_agent(provider, tmp_path):
    done = await attempt_killed(provider, tmp_path, "1x", WAIT, oom_killed=True)
    assert verdict(done) == ("infra", "oom_limit", "resource", "agent")
    assert done.row["oom_kills"] == 1


async def test_a_group_kill_of_an_uncapped_sandbox_is_the_nodes(provider, tmp_path):
    done = await attempt_killed(provider, tmp_path, "uncapped", WAIT, oom_killed=True)
    assert verdict(done) == ("infra", "oom_node", "platform", "agent")


async def test_a_group_kill_under_the_verifier(provider, tmp_path):
    done = await attempt_killed(provider, tmp_path, "1x", "true", WAIT, oom_killed=True)
    assert verdict(done) == ("infra", "oom_verifier", "resource", "verifier")


async def test_a_drained_node_under_the_agent(provider, tmp_path):
    done = await attempt_killed(provider, tmp_path, "1x", WAIT, oom_killed=False, platform="drained", node={"end": 1})
    assert verdict(done) == ("infra", "drained", "platform", "agent")
    assert (done.row["node"]["name"], done.row["node"]["end"]) == ("here", 1)


async def test_a_hog_in_a_living_container(provider, tmp_path):
    done = await attempt(tmp_path, tmp_path, "1x", HOG.format(sleep=0), provider=provider)
    assert verdict(done) == ("infra", "oom_limit", "resource", "agent")
    assert done.row["transport_down_s"] == 0
