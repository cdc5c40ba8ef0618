"""The doctor on a real cluster: what is right passes and leaves nothing behind, what is wrong is named."""

import asyncio
import json
import uuid
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from raysweep import apiserver as paths
from raysweep.apiserver import ApiError
from raysweep.cli.main import app
from raysweep.sandbox.kubernetes.doctor import run_checks
from raysweep.sandbox.kubernetes.pod import Binding, PodOptions, pod_manifest, pod_name
from raysweep.sandbox.kubernetes.preflight import admission_check, namespace_check, node_checks, rights_check
from raysweep.sandbox.kubernetes.probe import probe
from raysweep.sandbox.kubernetes.provider import KubernetesProvider
from raysweep.sandbox.kubernetes.session import ClusterSession
from raysweep.sandbox.protocol import Planned, SandboxSpec
from raysweep.units import GIB, MIB, Resources

pytestmark = pytest.mark.cluster

SPEC = SandboxSpec("run-planned", "planned", Resources(10, 64 * MIB), Resources(100, 64 * MIB), labels={"task": "a",
                   "band": "1x"})  # fmt: skip
UNCAPPED = replace(SPEC, limit=Resources(), labels={"task": "a", "band": "uncapped"})
PATIENCE_S = 180


@pytest.fixture
async def own(cluster_namespace, admin):
    """A namespace of this test alone: what it sets there disturbs nobody, and its caches die with it."""
    name = f"raysweep-doctor-{uuid.uuid4().hex[:8]}"
    await admin.create("/api/v1/namespaces", {"metadata": {"name": name}})

    async def has_its_account():
        accounts, _ = await admin.collect(f"/api/v1/namespaces/{name}/serviceaccounts")
        return any(account["metadata"]["name"] == "default" for account in accounts)

    await until(has_its_account)  # without it no pod is admitted
    yield name
    await admin.delete(f"/api/v1/namespaces/{name}")


def options(cluster_namespace, namespace, **more):
    return PodOptions(namespace=namespace, image=cluster_namespace.image, **more)


async def until(holds):
    """Wait until `await holds()` is true: the API server's caches learn of new objects a moment after they are made."""
    async with asyncio.timeout(PATIENCE_S):
        while not await holds():  # noqa: ASYNC110 - there is nothing to be woken by
            await asyncio.sleep(0.2)


async def refused(admin, pods, spec, *, says=""):
    """The admission check once it fails with these words."""
    last = []

    async def fails():
        last[:] = [await admission_check(admin, pods, [spec])]
        return not last[0].ok and says in last[0].found

    await until(fails)
    assert last[0].required
    return last[0]


async def test_a_cluster_that_is_ready_passes_and_nothing_is_left(cluster, admin):
    provider = KubernetesProvider(owner="doctor", namespace=cluster.namespace, image=cluster.image)
    checks = await run_checks(provider, Planned((SPEC, UNCAPPED, replace(SPEC, image=cluster.image)), ("plug-in",), 2))
    failed = {c.name: c.found for c in checks if c.required and not c.ok}
    assert failed == {}
    found = {c.name: c for c in checks}
    assert {"cluster", "rights", "namespace", "admission", "nodes", "requests", "concurrency", "limits", "images",
            "probe pods",
            "task images", "memory limit", "pids", "network isolation", "clocks", "swap"} == set(found)  # fmt: skip
    assert "enforced (cgroup v" in found["memory limit"].found
    assert found["pids"].required  # an agent that is not ours is planned
    assert all(c.ok or c.remedy for c in checks)
    for path in (paths.pods, paths.leases, paths.config_maps):

        async def gone(path=path):
            left, _ = await admin.collect(path(cluster.namespace))
            return not any("doctor-" in json.dumps(thing["metadata"]) for thing in left)

        await until(gone)


async def test_a_probe_pod_that_is_taken_away_is_made_again(cluster, admin):
    provider = KubernetesProvider(owner="probe", namespace=cluster.namespace, image=cluster.image)
    run_id = f"probe-{uuid.uuid4().hex[:12]}"
    session = await ClusterSession.begin(provider.options.session(), run_id)
    first = pod_name(run_id, f"probe-{session.cluster.lease.runner}-1")

    try:
        measuring = asyncio.create_task(probe(session.cluster, run_id))
        await until(lambda: admin.delete(paths.pods(cluster.namespace, first)))
        assert (await measuring).capabilities.memory == "enforced"
    finally:
        await session.end()
        await provider.gc(run_id)


async def test_isolation_that_is_required_and_not_there_is_refused(cluster):
    known = {"owner": "doctor", "namespace": cluster.namespace, "image": cluster.image}
    lax, strict = [
        {c.name: c for c in await run_checks(KubernetesProvider(**known, require_isolation=required), Planned())}
        for required in (False, True)
    ]
    assert lax["network isolation"].ok == strict["network isolation"].ok
    assert (lax["network isolation"].required, strict["network isolation"].required) == (False, True)


async def test_an_account_without_rights_is_told_which(cluster, api, own):
    check = await rights_check(api, own)
    assert not check.ok
    assert "create pods" in check.found
    assert "nodes" not in check.found  # these it has everywhere
    assert "kubectl apply -k" in check.remedy
    provider = KubernetesProvider(owner="doctor", namespace=own, image=cluster.image)
    assert [c.name for c in await run_checks(provider, Planned())] == ["cluster", "rights"]
    assert (await rights_check(api, cluster.namespace)).ok


async def test_a_namespace_that_is_not_there(admin):
    check = await namespace_check(admin, f"raysweep-none-{uuid.uuid4().hex[:8]}")
    assert (check.ok, check.required) == (False, True)
    assert "there is no namespace" in check.found


async def test_a_limit_range_that_changes_an_arm(cluster_namespace, admin, own):
    pods = options(cluster_namespace, own)
    assert (await admission_check(admin, pods, [SPEC, UNCAPPED])).ok
    default = {"type": "Container", "default": {"memory": "128Mi", "cpu": "1"}, "defaultRequest": {"cpu": "1"}}
    ranges = f"/api/v1/namespaces/{own}/limitranges"
    await admin.create(ranges, {"metadata": {"name": "defaults"}, "spec": {"limits": [default]}})
    check = await refused(admin, pods, UNCAPPED)
    assert "a in uncapped: task memory limit: sent none, admitted 128Mi" in check.found
    assert "LimitRange" in check.remedy
    # An arm that states all its bounds keeps them; the keeper, which has no cpu limit, is changed all the same.
    assert "a in 1x: task" not in (await admission_check(admin, pods, [SPEC])).found


async def test_a_limit_range_that_refuses(cluster_namespace, admin, own):
    most = {"type": "Container", "max": {"memory": "48Mi"}}
    ranges = f"/api/v1/namespaces/{own}/limitranges"
    await admin.create(ranges, {"metadata": {"name": "most"}, "spec": {"limits": [most]}})
    check = await refused(admin, options(cluster_namespace, own), SPEC)
    assert "maximum memory usage per Container" in check.found
    assert "LimitRange" in check.remedy


async def test_a_full_quota(cluster_namespace, admin, own):
    quotas = f"/api/v1/namespaces/{own}/resourcequotas"
    await admin.create(quotas, {"metadata": {"name": "full"}, "spec": {"hard": {"requests.memory": "80Mi"}}})
    check = await refused(admin, options(cluster_namespace, own), SPEC, says="exceeded quota")
    assert "ResourceQuota" in check.remedy


async def test_pod_security_that_is_tighter_than_our_capabilities(cluster_namespace, admin, own):
    namespace = await admin.get(f"/api/v1/namespaces/{own}")
    namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] = "restricted"
    await admin.replace(f"/api/v1/namespaces/{own}", namespace)
    check = await refused(admin, options(cluster_namespace, own), SPEC)
    assert "PodSecurity" in check.found
    assert "baseline" in check.remedy
    namespace = await admin.get(f"/api/v1/namespaces/{own}")
    namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] = "baseline"
    await admin.replace(f"/api/v1/namespaces/{own}", namespace)

    async def admitted():
        return (await admission_check(admin, options(cluster_namespace, own), [SPEC])).ok

    await until(admitted)


async def test_classes_that_the_cluster_does_not_have(cluster_namespace, admin, own):
    check = await admission_check(admin, options(cluster_namespace, own, runtime_class="nowhere"), [SPEC])
    assert (check.ok, "runtime_class" in check.remedy) == (False, True)
    check = await admission_check(admin, options(cluster_namespace, own, priority_class="nowhere"), [SPEC])
    assert (check.ok, "priority_class" in check.remedy) == (False, True)


async def test_nodes_that_are_too_small_and_images_that_are_not_there(cluster, api):
    pods = options(cluster, cluster.namespace)
    huge = replace(SPEC, request=Resources(10, 4096 * GIB), limit=Resources())
    beyond = replace(SPEC, limit=Resources(10**6, 64 * MIB))
    checks = {c.name: c for c in await node_checks(api, pods, Planned([SPEC, huge, beyond]), allow_unreachable=False)}
    assert not checks["requests"].ok
    assert "4Ti memory" in checks["requests"].found
    assert (checks["limits"].ok, checks["limits"].required) == (False, True)
    assert "cpu limit of 1000 of task a" in checks["limits"].found
    allowed = {
        c.name: c for c in await node_checks(api, pods, Planned([SPEC, beyond], (), 10**6), allow_unreachable=True)
    }
    assert (allowed["limits"].ok, allowed["limits"].required) == (False, False)
    assert (allowed["concurrency"].ok, allowed["concurrency"].required) == (False, False)
    fine = {c.name: c for c in await node_checks(api, pods, Planned([SPEC, UNCAPPED]), allow_unreachable=False)}
    assert fine["requests"].ok
    assert fine["limits"].ok
    assert fine["concurrency"].ok
    missing = replace(SPEC, image="localhost/nowhere:1")
    never = {
        c.name: c
        for c in await node_checks(api, replace(pods, pull="never"), Planned([missing]), allow_unreachable=False)
    }
    assert not never["images"].ok
    assert "localhost/nowhere:1" in never["images"].found
    nowhere = await node_checks(
        api, replace(pods, node_selector={"pool": "none"}), Planned([SPEC]), allow_unreachable=False
    )
    assert [(c.name, c.ok, c.required) for c in nowhere] == [("nodes", False, False)]


async def test_an_image_that_cannot_be_had_fails_the_probe_pods(cluster):
    provider = KubernetesProvider(
        owner="doctor", namespace=cluster.namespace, image="localhost/nowhere:1", pull="never"
    )
    checks = await run_checks(provider, Planned())
    failed = [c for c in checks if c.required and not c.ok]
    assert [c.name for c in failed] == ["probe pods"]
    assert "localhost/nowhere:1" in failed[0].found


@pytest.mark.parametrize("qos", ["uniform", "native"])
async def test_manifests_of_every_option_are_taken_as_they_are(cluster_namespace, admin, own, qos):
    equal = Resources(250, 64 * MIB, GIB)
    uniform = replace(equal, cpu=249)
    specs = [
        replace(SPEC, request=equal if qos == "native" else uniform, limit=equal),
        replace(SPEC, request=equal, limit=Resources(750, 192 * MIB, GIB), network=True),
        replace(SPEC, request=equal, limit=Resources(250, 320 * MIB, None)),
        replace(SPEC, request=Resources(), limit=equal),
        UNCAPPED,
    ]
    pods = options(
        cluster_namespace, own, qos=qos, tenancy="exclusive", pull_secrets=("registry",),
        tolerations=({"key": "a", "operator": "Exists", "value": None, "effect": "NoSchedule"},),
    )  # fmt: skip
    for spec in specs:
        check = await admission_check(admin, pods, [spec])
        assert check.ok, check.found
    made = await admin.create(
        paths.pods(own), pod_manifest(specs[0], pods, Binding("doctor", "0" * 32, "x", 60.0)), dry_run=True
    )
    assert made["status"]["qosClass"] == ("Guaranteed" if qos == "native" else "Burstable")


async def test_a_token_is_not_in_the_pods_reach(cluster, api):
    pods = options(cluster, cluster.namespace)
    manifest = pod_manifest(SPEC, pods, Binding("doctor", "0" * 32, "x", 60.0))
    admitted = await api.create(paths.pods(cluster.namespace), manifest, dry_run=True)
    mounts = [m["mountPath"] for c in admitted["spec"]["containers"] for m in c["volumeMounts"]]
    assert set(mounts) == {"/.raysweep", "/.raysweep-spool", "/.raysweep-kept"}
    assert "0" * 32 not in json.dumps(admitted)
    assert admitted["spec"]["automountServiceAccountToken"] is False


def test_the_command_ends_with_4_and_names_the_remedy(cluster, tmp_path):
    text = f"""\
name: doctor
tasks: {{source: "bundled:headroom", include: [sort-lines]}}
models: [{{name: lean, agent: scripted, strategy: lean}}]
bands: [{{name: huge, request: {{cpu: 0.1}}, limit: 1000}}]
reference: huge
repeats: 1
sandbox: {{kind: kubernetes, namespace: {cluster.namespace}, image: "{cluster.image}"}}
"""
    file = tmp_path / "sweep.yaml"
    file.write_text(text)
    done = CliRunner().invoke(app, ["doctor", "--config", str(file), "--json"])
    told = json.loads(done.stdout)
    assert (done.exit_code, told["kind"], told["ok"]) == (4, "kubernetes", False)
    assert [c["name"] for c in told["checks"] if c["required"] and not c["ok"]] == ["limits"]


def test_no_cluster_at_all_is_one_line_and_a_remedy(tmp_path, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    monkeypatch.setenv("HOME", str(tmp_path))
    (check,) = KubernetesProvider(owner="doctor").doctor(Planned())
    assert (check.name, check.ok) == ("cluster", False)
    assert "KUBECONFIG" in check.remedy


async def test_a_cluster_that_does_not_answer(tmp_path, monkeypatch):
    where = {"cluster": {"server": "http://127.0.0.1:1"}, "name": "c"}
    told = {"clusters": [where], "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "users": [{"name": "u", "user": {"token": "t"}}], "current-context": "x"}  # fmt: skip
    (tmp_path / "config").write_text(json.dumps(told))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    monkeypatch.setattr("raysweep.sandbox.kubernetes.preflight.ANSWER_S", 0.5)
    (check,) = await run_checks(KubernetesProvider(owner="doctor"), Planned())
    assert (check.name, check.ok) == ("cluster", False)
    assert "does not answer" in check.found


async def test_dry_runs_store_nothing(cluster_namespace, admin, own):
    assert (await admission_check(admin, options(cluster_namespace, own), [SPEC, UNCAPPED])).ok
    assert (await admin.collect(paths.pods(own)))[0] == []
    with pytest.raises(ApiError):
        await admin.get(paths.config_maps(own, "raysweep-doctor"))
