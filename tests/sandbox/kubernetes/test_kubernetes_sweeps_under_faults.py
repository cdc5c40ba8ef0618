"""Whole sweeps while parts of the cluster go and come back: pods that start or end, and agents at work."""

import pytest

from raysweep.apiserver import pods
from support.faulted_sweeps import Sweep, cordoned, evict

pytestmark = [pytest.mark.cluster, pytest.mark.e2e, pytest.mark.disruptive]
CAUSES = {"kubelet": {"node_lost"}, "apiserver": {"api_server"}, "containerd": {"node_lost"}}


@pytest.fixture
async def sweep(tmp_path, cluster, admin):
    sweep = Sweep(tmp_path, cluster, admin, work="sleep 1", repeats=2, concurrency=3)
    yield sweep
    await sweep.kill()


@pytest.mark.parametrize(
    ("part", "seconds", "sent"), [("kubelet", 60.0, "TERM"), ("apiserver", 10.0, "KILL"), ("containerd", 5.0, "TERM")]
)
async def test_a_part_of_the_cluster_goes_and_comes_back(parts, sweep, part, seconds, sent):
    await sweep.begin()
    await sweep.sealed(3)
    await parts.out(part, seconds, sent)
    rows = await sweep.end()
    await parts.whole()
    await sweep.expect_undisturbed(rows)
    assert {r["cause"] for r in rows if r["cause_class"] == "platform"} <= CAUSES[part]


async def test_parts_of_the_cluster_go_and_come_back_while_every_agent_is_at_work(parts, held):
    await held.begin()
    working = await held.at_work()
    for part, seconds, sent in (("kubelet", 60.0, "TERM"), ("apiserver", 10.0, "KILL"), ("containerd", 5.0, "TERM")):
        await parts.out(part, seconds, sent)
        await parts.whole()
    await held.go(working.values())
    await held.expect_unharmed(await held.end())


async def test_the_node_is_cordoned_and_drained_while_every_agent_is_at_work(held, admin, cluster):
    await held.begin()
    working = await held.at_work()
    (node,) = {(await admin.get(pods(cluster.namespace, name)))["spec"]["nodeName"] for name in working.values()}
    await cordoned(admin, node, unschedulable=True)
    try:
        for name in working.values():
            await evict(admin, cluster.namespace, name)
        await held.sealed(held.TRIALS)
    finally:
        await cordoned(admin, node, unschedulable=False)
    await held.go((await held.at_work(but=working)).values())
    rows = await held.end()
    assert {(r["attempt"], r["outcome"], r["cause"]) for r in rows if not r["is_final"]} == {(1, "infra", "drained")}
    assert len(rows) == 2 * held.TRIALS
    await held.expect_undisturbed(rows)
