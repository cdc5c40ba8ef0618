"""Whole sweeps that lose their streams or their driver while every agent is at work: nothing is lost or done twice."""

import asyncio

import pytest

from support.kubernetes_proxy import Proxy, target_of, through

pytestmark = [pytest.mark.cluster, pytest.mark.e2e]


async def test_streams_are_cut_while_every_agent_is_at_work(tmp_path, cluster, held, monkeypatch):
    async with Proxy(target_of(cluster.restricted)) as proxy:
        monkeypatch.setenv("KUBECONFIG", through(cluster.restricted, proxy, tmp_path))
        await held.begin()
        working = await held.at_work()
        for _ in range(2):
            before = proxy.served
            proxy.cut()
            while proxy.served < before + held.TRIALS:  # noqa: ASYNC110 - the proxy tells nobody
                await asyncio.sleep(0.05)
        proxy.away = True
        proxy.cut()
        await held.go(working.values())  # the agents go on while nobody can reach them
        await asyncio.sleep(3.0)
        proxy.away = False
        rows = await held.end()
    await held.expect_unharmed(rows)


async def test_the_driver_is_killed_while_agents_are_at_work_and_the_same_command_goes_on(held):
    await held.begin()
    working = await held.at_work()
    await held.go([*working.values()][:2])
    await held.sealed(2)
    await held.kill()
    before = held.rows()
    await held.begin()
    await held.go((await held.at_work(held.TRIALS - len(before), but=working)).values())
    rows = await held.end()
    assert [r for r in rows if r["attempt_id"] in {b["attempt_id"] for b in before}] == before, "what is sealed stays"
    await held.expect_undisturbed(rows)
