"""cluster/reaper: the API server takes it, and its account may clear what a dead run left, by its own command."""

import asyncio
import copy
import json
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
import yaml

from raysweep import apiserver as paths
from raysweep.apiserver import ApiError
from support.kubernetes_pods import small_pod

FOLDER = Path(__file__).parents[3] / "cluster" / "reaper"
KUSTOMIZATION = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
MANIFESTS = [m for name in KUSTOMIZATION["resources"] for m in yaml.safe_load_all((FOLDER / name).read_text())]
COLLECTIONS = {
    "Namespace": "/api/v1/namespaces",
    "ServiceAccount": "/api/v1/namespaces/{}/serviceaccounts",
    "Role": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/roles",
    "RoleBinding": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/rolebindings",
    "CronJob": "/apis/batch/v1/namespaces/{}/cronjobs",
}
PATIENCE_S = 300


def container():
    cron_job = next(m for m in MANIFESTS if m["kind"] == "CronJob")
    (only,) = cron_job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    return only


def test_the_image_is_the_one_that_the_kustomization_names():
    assert [image["name"] for image in KUSTOMIZATION["images"]] == [container()["image"]]


@pytest.mark.cluster
async def test_the_api_server_takes_every_manifest(cluster, admin):
    for manifest in copy.deepcopy(MANIFESTS):
        metadata = manifest["metadata"]
        metadata["name"] += "-dry-run"
        if "namespace" in metadata:
            metadata["namespace"] = cluster.namespace
        path = COLLECTIONS[manifest["kind"]].format(cluster.namespace)
        made = await admin.create(path, manifest, dry_run=True)
        assert made["metadata"]["name"] == metadata["name"]


async def reaper(admin, cluster, folder):
    """A kubeconfig of the reaper's account, its Role in the sandbox namespace of these tests."""
    for manifest in copy.deepcopy(MANIFESTS):
        if manifest["kind"] in {"ServiceAccount", "Role", "RoleBinding"}:
            manifest["metadata"]["namespace"] = cluster.namespace
            for subject in manifest.get("subjects", ()):
                subject["namespace"] = cluster.namespace
            await admin.create(COLLECTIONS[manifest["kind"]].format(cluster.namespace), manifest)
    accounts = COLLECTIONS["ServiceAccount"].format(cluster.namespace)
    told = await admin.create(f"{accounts}/raysweep-reaper/token", {"spec": {"expirationSeconds": 3600}})
    config = json.loads(Path(cluster.restricted).read_text())
    config["users"][0]["user"]["token"] = told["status"]["token"]
    (folder / "reaper.kubeconfig").write_text(json.dumps(config))
    return folder / "reaper.kubeconfig"


@pytest.mark.cluster
async def test_its_command_and_rights_clear_a_dead_run_and_spare_a_living_one(cluster, admin, tmp_path, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", str(await reaper(admin, cluster, tmp_path)))
    runs = {}
    for state, renewed in (("dead", "2020-01-01T00:00:00.000000Z"), ("alive", "2099-01-01T00:00:00.000000Z")):
        name = f"rs-{state}-{uuid.uuid4().hex[:8]}"
        labels = {"raysweep.dev/run": name}
        spec = {"holderIdentity": "x@elsewhere/1-1", "leaseDurationSeconds": 60, "renewTime": renewed}
        lease = await admin.create(paths.leases(cluster.namespace), {"metadata": {"name": name, "labels": labels},
                                                                     "spec": spec})  # fmt: skip
        owner = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "name": name, "uid": lease["metadata"]["uid"]}
        pod = small_pod(cluster, name, labels)
        pod["metadata"]["ownerReferences"] = [owner]
        await admin.create(paths.pods(cluster.namespace), pod)
        await admin.create(paths.config_maps(cluster.namespace), {"metadata": {"name": name}})
        runs[state] = name
    command = [str(Path(sys.executable).parent / container()["command"][0]), *container()["command"][1:]]
    command = [cluster.namespace if word == "raysweep-sandboxes" else word for word in command]
    async with asyncio.timeout(PATIENCE_S):  # the API server learns of new rights a moment after they are given
        while True:
            done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
            if done.returncode == 0:
                break
    assert runs["alive"] not in done.stdout
    for path in (paths.pods, paths.leases, paths.config_maps):
        with pytest.raises(ApiError) as caught:
            await admin.get(path(cluster.namespace, runs["dead"]))
        assert caught.value.status == 404
        there = await admin.get(path(cluster.namespace, runs["alive"]))
        assert "deletionTimestamp" not in there["metadata"]
        await admin.delete(path(cluster.namespace, runs["alive"]))
