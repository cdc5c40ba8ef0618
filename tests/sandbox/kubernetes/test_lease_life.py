"""Leases of runners on a real cluster, and who is dead."""

import asyncio
import os
import subprocess
import uuid
from datetime import UTC, datetime, timedelta

import pytest

from raysweep.apiserver import ApiError, leases, pods
from raysweep.errors import SandboxError
from raysweep.process import place, process_token
from raysweep.sandbox.kubernetes import lease as lease_module
from raysweep.sandbox.kubernetes.lease import RunnerLease, dead_leases, is_dead
from support.kubernetes_pods import small_pod

PATIENCE_S = 120
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def held(holder="driver@elsewhere/1-2", renewed=NOW):
    spec = {"holderIdentity": holder, "leaseDurationSeconds": 180, "renewTime": renewed.isoformat()}
    return {"metadata": {"name": "x", "uid": "u"}, "spec": spec}


def test_a_lease_dies_of_not_being_renewed():
    assert not is_dead(held(), NOW + timedelta(seconds=180))
    assert is_dead(held(), NOW + timedelta(seconds=181))


def test_a_process_that_is_gone_is_known_at_once_where_it_ran():
    child = subprocess.Popen(["sleep", "100"])
    holder = f"driver@{place()}/{process_token(child.pid)}"
    assert not is_dead(held(holder), NOW)
    child.kill()
    child.wait()
    assert is_dead(held(holder), NOW)
    assert not is_dead(held(holder.replace(place(), "elsewhere")), NOW)


@pytest.fixture
def quick(monkeypatch):
    """Renewals every fifth of a second."""
    monkeypatch.setattr(lease_module, "RENEW_S", 0.2)


async def until(condition):
    async with asyncio.timeout(PATIENCE_S):
        while not await condition():  # noqa: ASYNC110 - the cluster tells no event of this
            await asyncio.sleep(0.1)


@pytest.mark.cluster
async def test_it_is_renewed_counts_its_peers_and_goes_at_the_end(api, cluster, quick):
    run = f"run-{uuid.uuid4().hex[:12]}"
    path = leases(cluster.namespace)

    async def times():
        found, _ = await api.collect(path, labelSelector=f"raysweep.dev/run={run}")
        return {lease["metadata"]["name"]: lease["spec"]["renewTime"] for lease in found}

    async with RunnerLease(api, cluster.namespace, run, "runner-1") as one:
        assert one.runners == 1
        before = await times()
        async with RunnerLease(api, cluster.namespace, run, "runner-2") as two:
            assert two.runners == 2

            async def both_seen():
                return one.runners == 2

            await until(both_seen)

            async def renewed():
                return (await times())[one.name] > before[one.name]

            await until(renewed)

        async def alone():
            return one.runners == 1

        await until(alone)
    assert await times() == {}


@pytest.mark.cluster
async def test_a_deleted_lease_forbids_new_pods(api, cluster, quick):
    async with RunnerLease(api, cluster.namespace, "run-a", "runner-1") as lease:
        assert lease.owner().name == lease.name
        await api.delete(leases(cluster.namespace, lease.name))

        async def refused():
            try:
                lease.owner()
            except SandboxError as error:
                return error.cause == "runner_lost"
            return False

        await until(refused)


@pytest.mark.cluster
async def test_peers_remove_the_lease_of_a_dead_runner_and_kubernetes_its_pods(api, cluster, quick):
    run = f"run-{uuid.uuid4().hex[:12]}"
    dead = RunnerLease(api, cluster.namespace, run, "runner-1")
    stored = await api.create(leases(cluster.namespace), dead._body())
    stored["spec"]["renewTime"] = (datetime.now(UTC) - timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    stored = await api.replace(leases(cluster.namespace, dead.name), stored)
    assert [lease["metadata"]["name"] for lease in dead_leases([stored])] == [dead.name]
    manifest = small_pod(cluster, f"owned-{os.urandom(4).hex()}", {"raysweep.dev/run": run})
    owner = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "name": dead.name,
        "uid": stored["metadata"]["uid"],
    }
    manifest["metadata"]["ownerReferences"] = [owner]
    await api.create(pods(cluster.namespace), manifest)
    async with RunnerLease(api, cluster.namespace, run, "runner-2") as alive:
        assert alive.runners == 1

        async def gone():
            for path in (leases(cluster.namespace, dead.name), pods(cluster.namespace, manifest["metadata"]["name"])):
                try:
                    await api.get(path)
                except ApiError as error:
                    if error.status != 404:
                        raise
                else:
                    return False
            return True

        await until(gone)
        assert alive.owner().name == alive.name
