"""Faults of a real cluster under live sandboxes: each told as what it is, and nothing left behind."""

import asyncio
import os
import subprocess
import sys
import textwrap
import uuid
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from raysweep.apiserver import ApiError, leases, pods
from raysweep.errors import SandboxError, UnsuitableError
from raysweep.record.evidence import Evicted
from raysweep.sandbox.kubernetes.provider import KubernetesProvider
from raysweep.sandbox.protocol import SandboxSpec
from raysweep.units import GIB, MIB, Resources
from support.kubernetes_pods import small_pod
from support.kubernetes_proxy import Proxy, target_of, through

pytestmark = pytest.mark.cluster

PATIENCE_S = 300
FREEZER = Path("/sys/fs/cgroup/freezer")
REQUEST = Resources(cpu=20, memory=32 * MIB, storage=16 * MIB)
LIMIT = Resources(cpu=1000, memory=64 * MIB, storage=256 * MIB)
LITTLE = replace(LIMIT, storage=32 * MIB)
FILL = ["sh", "-c", "dd if=/dev/zero of=/app/big bs=1M count=400; sleep 600"]
"""More than LITTLE and the keeper's room for the spool together."""


@pytest.fixture
def run_id():
    return f"run-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def spec(run_id):
    return SandboxSpec(run_id, "t-1", request=REQUEST, limit=LIMIT)


@pytest.fixture
async def provider(cluster, run_id):
    """A prepared provider, and nothing of its run left at the end."""
    provider = made(cluster)
    await provider.prepare(run_id)
    yield provider
    await provider.gc(run_id)


def made(cluster, **options):
    return KubernetesProvider(**{"owner": "faults", "namespace": cluster.namespace, "image": cluster.image, **options})


@asynccontextmanager
async def started(provider, spec):
    sandbox = provider.open(spec)
    try:
        async with asyncio.timeout(PATIENCE_S):
            await sandbox.start()
            await sandbox.begin_phase("agent")
            yield sandbox
    finally:
        await sandbox.stop()


async def sleeping(sandbox):
    """A command that has begun and will not end by itself."""
    running = asyncio.ensure_future(sandbox.exec("sleep", ["sh", "-c", "touch /tmp/began; sleep 600"]))
    waited = await sandbox.exec("began", ["sh", "-c", "while [ ! -e /tmp/began ]; do sleep 0.05; done"])
    assert waited.facts.exit == 0
    return running


async def refused(provider, spec):
    """The error of a start that must fail."""
    sandbox = provider.open(spec)
    try:
        async with asyncio.timeout(PATIENCE_S):
            with pytest.raises(SandboxError) as caught:
                await sandbox.start()
    finally:
        await sandbox.stop()
    return caught.value


async def nothing_of(api, namespace, run_id):
    for path in (pods(namespace), leases(namespace)):
        found, _ = await api.collect(path, labelSelector=f"raysweep.dev/run={run_id}")
        if [item for item in found if "deletionTimestamp" not in item["metadata"]]:
            return False
    return True


@asynccontextmanager
async def existing(admin, path, body):
    """An object that exists for a while."""
    await admin.create(path, body)
    try:
        yield
    finally:
        await admin.delete(f"{path}/{body['metadata']['name']}")


# -- what happens to a pod that runs


async def test_a_pod_deleted_by_hand(provider, spec, admin, cluster):
    async with started(provider, spec) as sandbox:
        running = await sleeping(sandbox)
        await admin.delete(pods(cluster.namespace, sandbox.container.name))
        facts = (await running).facts
        final_facts = await sandbox.stop()
    assert (facts.exit, facts.signal, facts.timed_out) == (None, None, False)
    assert final_facts.died_in == "agent"
    assert final_facts.platform == "drained"
    assert "deleted by somebody else" in final_facts.platform_detail


async def test_a_pod_evicted_through_the_eviction_api(provider, spec, admin, cluster):
    async with started(provider, spec) as sandbox:
        running = await sleeping(sandbox)
        name = sandbox.container.name
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
        await admin.create(pods(cluster.namespace, name) + "/eviction", eviction)
        facts = (await running).facts
        final_facts = await sandbox.stop()
    assert facts.exit is None
    assert (final_facts.died_in, final_facts.platform) == ("agent", "drained")


async def test_a_full_disk_is_an_eviction_for_the_own_limit(provider, spec):
    async with started(provider, replace(spec, limit=LITTLE)) as sandbox:
        written = await sandbox.exec("fill", FILL)
        final_facts = await sandbox.stop()
    assert written.facts.exit is None
    assert (final_facts.evicted, final_facts.platform) == (Evicted("storage", own_limit=True), None), final_facts
    assert final_facts.died_in == "agent"


@pytest.fixture
def containers():
    """Where the test cluster's containerd keeps a folder of each container until it is removed."""
    if not os.environ.get("RAYSWEEP_DEVCLUSTER"):
        pytest.skip("RAYSWEEP_DEVCLUSTER does not name a cluster whose containers run on this machine")
    if not FREEZER.exists():
        pytest.skip(f"{FREEZER} is not there: only version 1 of cgroups keeps what is frozen from dying")
    home = os.environ.get("DEVCLUSTER_HOME") or Path.home() / ".cache" / "devcluster"
    return Path(home) / "run/containerd/root/io.containerd.grpc.v1.cri/containers"


@asynccontextmanager
async def frozen(container):
    """A container whose processes do not even die: what waits for their end waits."""
    [group] = FREEZER.glob(f"**/{container}")
    control = group / "freezer.state"
    control.write_text("FROZEN")
    try:
        yield
    finally:
        control.write_text("THAWED")


async def test_an_eviction_whose_container_is_removed_before_the_pod_has_ended(
    provider, spec, api, cluster, containers
):
    async with started(provider, replace(spec, limit=LITTLE)) as sandbox:
        path = pods(cluster.namespace, sandbox.container.name)
        found = (await api.get(path))["status"]["containerStatuses"]
        ids = {status["name"]: status["containerID"].rpartition("/")[2] for status in found}
        async with frozen(ids["keeper"]):
            assert (containers / ids["task"]).exists()
            writing = asyncio.ensure_future(sandbox.exec("fill", FILL))
            while (containers / ids["task"]).exists():  # noqa: ASYNC110 - the time-out of `started` bounds it
                await asyncio.sleep(0.1)
        facts = (await writing).facts
        task = next(s for s in (await api.get(path))["status"]["containerStatuses"] if s["name"] == "task")
        final_facts = await sandbox.stop()
    assert task["restartCount"] == 1, "the kubelet looked for it in vain"
    assert facts.exit is None
    assert (final_facts.evicted, final_facts.platform) == (Evicted("storage", own_limit=True), None), final_facts
    assert final_facts.died_in == "agent"


async def test_a_resize_in_mid_trial_is_seen_at_the_end(provider, spec, admin, cluster):
    async with started(provider, spec) as sandbox:
        path = pods(cluster.namespace, sandbox.container.name)

        async def asked():
            pod = await admin.get(path)
            pod["spec"]["containers"][0]["resources"]["limits"]["memory"] = str(128 * MIB)
            try:
                await admin.replace(path + "/resize", pod)
            except ApiError as error:
                if error.status != 409:  # the kubelet wrote its status between the two calls
                    raise
                return False
            return True

        while not await asked():
            pass

        async def resized():
            told = (await admin.get(path))["status"]["containerStatuses"]
            return any((c.get("resources") or {}).get("limits", {}).get("memory") == "128Mi" for c in told)

        while not await resized():  # noqa: ASYNC110 - the time-out of `started` bounds it
            await asyncio.sleep(0.2)
        final_facts = await sandbox.stop()
    assert final_facts.actual_limit.memory == 128 * MIB
    assert final_facts.died_in is None


async def test_our_own_deadline_is_no_outcome_of_the_arm(cluster, run_id, spec):
    provider = made(cluster, start_timeout=30.0)
    await provider.prepare(run_id)
    try:
        async with started(provider, replace(spec, lifetime_s=1.0)) as sandbox:
            facts = (await sandbox.exec("sleep", ["sleep", "600"])).facts
            final_facts = await sandbox.stop()
    finally:
        await provider.gc(run_id)
    assert facts.exit is None
    assert (final_facts.died_in, final_facts.platform) == ("agent", "deadline")


# -- pods that cannot be had


@pytest.mark.parametrize("image", ["Not an image", "localhost/there-is-none:dev"])
async def test_an_image_that_cannot_be_had(cluster, run_id, spec, image):
    provider = made(cluster, start_timeout=30.0)
    await provider.prepare(run_id)
    try:
        error = await refused(provider, replace(spec, image=image))
    finally:
        await provider.gc(run_id)
    assert error.cause == "image"


async def test_a_request_larger_than_every_node(cluster, run_id, spec):
    provider = made(cluster, start_timeout=30.0)
    await provider.prepare(run_id)
    huge = Resources(cpu=20, memory=4096 * GIB)
    try:
        error = await refused(provider, replace(spec, request=huge, limit=huge))
    finally:
        await provider.gc(run_id)
    assert error.cause == "scheduling"
    assert "Insufficient memory" in error.detail


async def _full(admin, cluster):
    """Wait until admission itself refuses a pod for the quota: it learns of one later than who asks for the object."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                await _admitted(admin, cluster, small_pod(cluster, "dry", {}))
            except ApiError as error:
                if "exceeded quota" in error.message:
                    return
            await asyncio.sleep(0.1)


async def _admitted(admin, cluster, manifest):
    made = await admin.create(pods(cluster.namespace), manifest, dry_run=True)
    return made["spec"]["containers"][0]["resources"]


async def test_a_limit_range_that_would_change_the_arm(provider, spec, admin, cluster):
    path = f"/api/v1/namespaces/{cluster.namespace}/limitranges"
    limits = [{"type": "Container", "default": {"memory": "48Mi"}, "defaultRequest": {"memory": "16Mi"}}]
    dry = small_pod(cluster, "dry", {})
    async with existing(admin, path, {"metadata": {"name": "tight"}, "spec": {"limits": limits}}):
        async with asyncio.timeout(PATIENCE_S):
            while "limits" not in (await _admitted(admin, cluster, dry)):  # noqa: ASYNC110 - the API server takes its moment
                await asyncio.sleep(0.1)
        error = await refused(provider, replace(spec, limit=replace(LIMIT, memory=None)))
    async with asyncio.timeout(PATIENCE_S):  # nor may it change the pods of the next test
        while "limits" in (await _admitted(admin, cluster, dry)):  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.1)
    assert error.cause == "altered"
    assert "memory limit" in error.detail


async def test_a_full_quota_is_waited_for(cluster, run_id, spec, admin):
    provider = made(cluster, start_timeout=180.0)
    await provider.prepare(run_id)
    path = f"/api/v1/namespaces/{cluster.namespace}/resourcequotas"
    quota = {"metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}}
    sandbox = provider.open(spec)
    try:
        async with asyncio.timeout(PATIENCE_S):
            async with existing(admin, path, quota):
                await _full(admin, cluster)
                starting = asyncio.ensure_future(sandbox.start())
                done, _ = await asyncio.wait([starting], timeout=3.0)
                assert not done
                with pytest.raises(ApiError):
                    await admin.get(pods(cluster.namespace, sandbox.container.name))
            assert (await starting).limit == LIMIT
    finally:
        await sandbox.stop()
        await provider.gc(run_id)


async def test_a_quota_that_stays_full(cluster, run_id, spec, admin):
    provider = made(cluster, start_timeout=5.0)
    await provider.prepare(run_id)
    path = f"/api/v1/namespaces/{cluster.namespace}/resourcequotas"
    try:
        async with existing(admin, path, {"metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}}):
            await _full(admin, cluster)
            error = await refused(provider, spec)
    finally:
        await provider.gc(run_id)
    assert error.cause == "scheduling"
    assert "exceeded quota" in error.detail


async def test_a_namespace_that_is_not_there_is_said_with_the_remedy(cluster, run_id):
    with pytest.raises(UnsuitableError, match="cluster/sandboxes"):
        await made(cluster, namespace="raysweep-nowhere").prepare(run_id)


# -- names that are taken


async def test_the_pod_of_a_lost_runner_is_replaced(provider, spec, cluster):
    async with started(provider, spec) as lost:
        again = made(cluster, owner="successor")
        await again.prepare(spec.run_id)
        async with started(again, spec) as sandbox:
            assert sandbox.container.name == lost.container.name
            assert (await sandbox.exec("a", ["true"])).facts.exit == 0
            number = 0
            while (await lost.exec(f"b-{number}", ["true"])).facts.exit is not None:  # a node takes its moment
                number += 1
        assert (await lost.stop()).died_in == "agent"


async def test_a_pod_whose_answer_was_lost_is_adopted(provider, spec, api, cluster, monkeypatch):
    sandbox = provider.open(spec)
    create, calls = sandbox.cluster.api.create, []

    async def lost_the_first_time(*args, **kwargs):
        calls.append(await create(*args, **kwargs))
        if len(calls) == 1:
            raise ApiError(0, "Connection", "the answer was lost")
        return calls[-1]

    monkeypatch.setattr(sandbox.cluster.api, "create", lost_the_first_time)
    try:
        async with asyncio.timeout(PATIENCE_S):
            await sandbox.start()
            assert (await sandbox.exec("a", ["true"])).facts.exit == 0
        there = await api.get(pods(cluster.namespace, sandbox.container.name))
    finally:
        await sandbox.stop()
    assert len(calls) == 1
    assert there["metadata"]["uid"] == calls[0]["metadata"]["uid"]
    with pytest.raises(ApiError, match="not found"):
        await api.get(pods(cluster.namespace, sandbox.container.name))


async def test_a_pod_made_by_a_call_that_was_given_up_is_removed(provider, spec, api, cluster, monkeypatch):
    sandbox = provider.open(spec)
    create, sent, answer = sandbox.cluster.api.create, asyncio.Event(), asyncio.Event()

    async def slow(*args, **kwargs):
        made = await create(*args, **kwargs)
        sent.set()
        await answer.wait()
        return made

    monkeypatch.setattr(sandbox.cluster.api, "create", slow)
    async with asyncio.timeout(PATIENCE_S):
        starting = asyncio.ensure_future(sandbox.start())
        await sent.wait()
        stopping = asyncio.ensure_future(sandbox.stop())
        await asyncio.sleep(0)
        answer.set()
        await stopping
        await asyncio.wait([starting])
    with pytest.raises(ApiError, match="not found"):
        await api.get(pods(cluster.namespace, sandbox.container.name))


async def test_a_pod_of_somebody_else_is_left_alone(provider, spec, admin, cluster):
    sandbox = provider.open(spec)
    name = sandbox.container.name
    other = await admin.create(pods(cluster.namespace), small_pod(cluster, name, {"app": "other"}))
    try:
        with pytest.raises(SandboxError, match="belongs to something else") as caught:
            await sandbox.start()
        await sandbox.stop()
        assert (await admin.get(pods(cluster.namespace, name)))["metadata"]["uid"] == other["metadata"]["uid"]
    finally:
        await admin.delete(pods(cluster.namespace, name))
    assert caught.value.cause == "scheduling"


# -- the way there


async def test_cut_streams_and_an_outage_lose_nothing(cluster, run_id, spec, tmp_path, monkeypatch):
    script = "for i in 1 2 3 4 5 6 7 8 9 10; do echo $i; sleep 0.5; done; echo once >> /app/count; cat /app/count"
    async with Proxy(target_of(cluster.restricted)) as proxy:
        monkeypatch.setenv("KUBECONFIG", through(cluster.restricted, proxy, tmp_path))
        provider = made(cluster)
        await provider.prepare(run_id)
        try:
            async with started(provider, spec) as sandbox:
                running = asyncio.ensure_future(sandbox.exec("count", ["sh", "-c", script]))
                for _ in range(3):
                    await asyncio.sleep(0.5)
                    before = proxy.served
                    proxy.cut()
                    while proxy.served == before:  # noqa: ASYNC110 - as above
                        await asyncio.sleep(0.05)
                proxy.away = True
                proxy.cut()
                await asyncio.sleep(2.0)
                proxy.away = False
                result = await running
                final_facts = await sandbox.stop()
        finally:
            await provider.gc(run_id)
    assert result.facts.exit == 0
    assert result.stdout.split() == [str(i).encode() for i in range(1, 11)] + [b"once"]
    assert final_facts.died_in is None
    assert final_facts.platform is None
    assert final_facts.transport_down_s > 0


# -- who is killed


async def test_what_a_killed_driver_left_is_removed(cluster, run_id, api):
    code = textwrap.dedent(f"""
        import asyncio
        from raysweep.sandbox.kubernetes.provider import KubernetesProvider
        from raysweep.sandbox.protocol import SandboxSpec
        from raysweep.units import MIB, Resources

        async def main():
            provider = KubernetesProvider(owner="victim", namespace={cluster.namespace!r}, image={cluster.image!r})
            await provider.prepare({run_id!r})
            sandbox = provider.open(SandboxSpec({run_id!r}, "t-9", Resources(20, 32 * MIB), Resources(100, 64 * MIB)))
            await sandbox.start()
            print("started", flush=True)
            await asyncio.Event().wait()

        asyncio.run(main())
    """)
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=subprocess.PIPE, env=os.environ)
    try:
        async with asyncio.timeout(PATIENCE_S):
            assert await process.stdout.readline() == b"started\n"
    finally:
        process.kill()
        await process.wait()
    assert not await nothing_of(api, cluster.namespace, run_id)
    removed = await made(cluster, owner="other").gc(None)
    assert {entry.split()[0] for entry in removed} >= {"pod", "lease"}  # Kubernetes may be faster with the rest
    assert await nothing_of(api, cluster.namespace, run_id)
