"""The watcher on a real cluster."""

import asyncio
import os

import pytest

from raysweep.apiserver import pods
from raysweep.sandbox.kubernetes.watch import Watcher
from support.kubernetes_pods import runs, small_pod

pytestmark = pytest.mark.cluster
PATIENCE_S = 180


async def test_a_pod_is_seen_from_its_creation_to_after_its_deletion(api, cluster):
    name, other = f"seen-{os.urandom(4).hex()}", f"other-{os.urandom(4).hex()}"
    label = os.urandom(4).hex()
    async with Watcher(api, cluster.namespace, f"test={label}") as watcher, asyncio.timeout(PATIENCE_S):
        watcher.follow(name)
        made = await api.create(pods(cluster.namespace), small_pod(cluster, name, {"test": label}, command=["true"]))
        await api.create(pods(cluster.namespace), small_pod(cluster, other, {"test": label}))
        seen = await watcher.until(name, lambda s: s.pod["status"]["phase"] == "Succeeded")
        assert seen.uid == made["metadata"]["uid"]
        assert seen.pod["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 0
        assert await api.delete(pods(cluster.namespace, name), uid=seen.uid)
        last = await watcher.until(name, lambda s: s.gone)
        assert last.pod["status"]["phase"] == "Succeeded"
        assert last.pod["spec"]["nodeName"]
        assert watcher.pod(other) is None
        assert (watcher.lists, watcher.failures) == (1, 0)
        await api.delete(pods(cluster.namespace, other))


async def test_a_waiter_gives_up_by_its_own_time_out(api, cluster):
    async with Watcher(api, cluster.namespace, "test=nothing") as watcher:
        watcher.follow("nobody")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await watcher.until("nobody", runs)
