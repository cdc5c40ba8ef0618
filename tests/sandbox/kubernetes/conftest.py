"""A namespace of a real cluster for these tests, and an account with the Roles of cluster/sandboxes and no more."""

import asyncio
import json
import os
import uuid
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from raysweep.apiserver import Api, ApiError, load_configuration, nodes, pods
from support.faulted_sweeps import Held, Parts

MANIFESTS = Path(__file__).parents[3] / "cluster" / "sandboxes"
COLLECTIONS = {
    "ServiceAccount": "/api/v1/namespaces/{namespace}/serviceaccounts",
    "Role": "/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/roles",
    "RoleBinding": "/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings",
    "ClusterRole": "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "ClusterRoleBinding": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
}


def pytest_collection_modifyitems(items):
    """Tests that stop what others stand on come last."""
    items.sort(key=lambda item: item.get_closest_marker("disruptive") is not None)


@dataclass(frozen=True)
class Cluster:
    """admin, restricted: files for $KUBECONFIG. image: one with bash, python3 and procps."""

    namespace: str
    admin: str
    restricted: str
    image: str


@pytest.fixture(scope="session")
def cluster_namespace(tmp_path_factory):
    """A fresh namespace with the account and Roles of cluster/sandboxes; deleted at the end of the session."""
    admin = os.environ.get("KUBECONFIG")
    if not admin:
        pytest.skip("KUBECONFIG is not set")
    namespace = f"raysweep-test-{uuid.uuid4().hex[:8]}"
    folder = tmp_path_factory.mktemp("cluster")
    made = asyncio.run(_make(namespace, folder))
    image = os.environ.get("RAYSWEEP_TEST_IMAGE", "localhost/task:dev")
    yield Cluster(namespace, admin, str(made), image)
    asyncio.run(_remove(namespace))


@pytest.fixture
def cluster(cluster_namespace, monkeypatch):
    """The namespace as the restricted account sees it: what a run may do, and no more."""
    monkeypatch.setenv("KUBECONFIG", cluster_namespace.restricted)
    return cluster_namespace


@pytest.fixture
async def api(cluster):
    """Calls of the restricted account."""
    api = await Api.connect()
    yield api
    await api.close()


@pytest.fixture
async def admin(cluster_namespace, monkeypatch):
    """Calls of the cluster's administrator."""
    before = os.environ["KUBECONFIG"]
    monkeypatch.setenv("KUBECONFIG", cluster_namespace.admin)
    api = await Api.connect()
    monkeypatch.setenv("KUBECONFIG", before)
    yield api
    await api.close()


@pytest.fixture
async def held(tmp_path, cluster, admin):
    """A sweep whose agents wait; its driver is gone at the end."""
    sweep = Held(tmp_path, cluster, admin)
    yield sweep
    await sweep.kill()


@pytest.fixture
async def parts(admin):
    """What the test cluster is made of, to be stopped; at the end all of it runs, and its nodes take pods."""
    script = os.environ.get("RAYSWEEP_DEVCLUSTER")
    if not script:
        pytest.skip("RAYSWEEP_DEVCLUSTER does not name a script that stops and starts parts of the cluster")
    parts = Parts(script, admin)
    yield parts
    await parts.whole()


async def _make(namespace, folder):
    api = await Api.connect()
    try:
        await api.create("/api/v1/namespaces", {"metadata": {"name": namespace}})
        for manifest in _manifests(namespace):
            try:
                await api.create(COLLECTIONS[manifest["kind"]].format(namespace=namespace), manifest)
            except ApiError as error:
                if error.reason != "AlreadyExists":  # the cluster makes the account "default" by itself
                    raise
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/raysweep/token"
        token = (await api.create(path, {"spec": {"expirationSeconds": 7200}}))["status"]["token"]
    finally:
        await api.close()
    configuration = await load_configuration()
    where = {"server": configuration.host, "certificate-authority": str(configuration.ssl_ca_cert)}
    authority = folder / "ca.crt"
    authority.write_bytes(Path(where["certificate-authority"]).read_bytes())
    where["certificate-authority"] = str(authority)
    file = folder / "restricted.kubeconfig"
    told = {
        "clusters": [{"name": "c", "cluster": where}],
        "users": [{"name": "u", "user": {"token": token}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    file.write_text(json.dumps(told))
    await _until_let_in(str(file), namespace)
    return file


async def _until_let_in(kubeconfig, namespace):
    """Wait until the account may do what its Roles say: the API server learns of them a moment after they are made."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KUBECONFIG", kubeconfig)
        api = await Api.connect()
    try:
        async with asyncio.timeout(120):
            for path in (pods(namespace), nodes()):
                while True:
                    try:
                        await api.get(path)
                        break
                    except ApiError as error:
                        if error.status != 403:
                            raise
                    await asyncio.sleep(0.1)
    finally:
        await api.close()


def _manifests(namespace):
    for name in ("account.yaml", "role.yaml", "nodes.yaml"):
        for manifest in yaml.safe_load_all((MANIFESTS / name).read_text()):
            metadata = manifest["metadata"]
            if "namespace" in metadata:
                metadata["namespace"] = namespace
            else:
                metadata["name"] += f"-{namespace}"
            for subject in manifest.get("subjects", ()):
                subject["namespace"] = namespace
            if manifest.get("roleRef", {}).get("kind") == "ClusterRole":
                manifest["roleRef"]["name"] += f"-{namespace}"
            yield manifest


async def _remove(namespace):
    api = await Api.connect()
    try:
        for manifest in _manifests(namespace):
            if manifest["kind"].startswith("Cluster"):
                await api.delete(f"{COLLECTIONS[manifest['kind']]}/{manifest['metadata']['name']}")
        await api.delete(f"/api/v1/namespaces/{namespace}")
    finally:
        await api.close()
