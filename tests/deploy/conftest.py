"""A place on a real cluster with cluster/overlays/kind in it, gone at the end of the session."""

import os
import uuid

import pytest

from support import store
from support.deployed import Place, apply, built, has_cluster, kubectl


@pytest.fixture(scope="session")
def place():
    """Namespaces, accounts, rights and policies as they are shipped, under names of their own."""
    if not has_cluster():
        pytest.skip("KUBECONFIG is not set")
    mark = f"-{uuid.uuid4().hex[:8]}"
    place = Place(f"raysweep-test-control{mark}", f"raysweep-test-sandboxes{mark}", mark)
    manifests = [m for m in place.moved(built("overlays/kind")) if m["kind"] != "CronJob"]
    namespaces = [m for m in manifests if m["kind"] == "Namespace"]
    there = kubectl("get", "priorityclasses", "-o", "name").split()
    try:
        apply(namespaces)
        apply([m for m in manifests if m["kind"] != "Namespace"])
        if made := [name for name in priority_classes(manifests) if name not in there]:
            kubectl("label", "--overwrite", *made, "raysweep.dev/of-tests=true")
        yield place
    finally:
        kubectl("delete", "--wait=false", "namespace", place.control, place.sandboxes, "--ignore-not-found")
        for manifest in manifests:
            if manifest["kind"] in {"ClusterRole", "ClusterRoleBinding"}:
                kubectl("delete", manifest["kind"], manifest["metadata"]["name"], "--ignore-not-found")
        others = kubectl("get", "namespaces", "--field-selector=status.phase=Active", "-o", "name")
        if "/raysweep-test-control-" not in others:  # the last of the tests: these names are of the whole cluster
            kubectl("delete", "priorityclasses", "-l", "raysweep.dev/of-tests=true")


def priority_classes(manifests):
    return [
        f"priorityclass.scheduling.k8s.io/{m['metadata']['name']}" for m in manifests if m["kind"] == "PriorityClass"
    ]


@pytest.fixture(scope="session")
def images():
    """(image of raysweep, image of the sandboxes), both on the nodes; the first may still be on its way."""
    own = os.environ.get("RAYSWEEP_CLUSTER_IMAGE")
    if not own:
        pytest.skip("RAYSWEEP_CLUSTER_IMAGE names no image of cluster/image that the nodes have")
    return own, os.environ.get("RAYSWEEP_TEST_IMAGE", "localhost/task:dev")


@pytest.fixture(scope="session")
def bucket(place, images):
    """A store in the cluster, its Secret `bucket` in the control namespace, and the same for this process."""
    if not os.environ.get("RAYSWEEP_DEVCLUSTER"):
        pytest.skip("the store's binary is mounted from the node, which must be this machine (RAYSWEEP_DEVCLUSTER)")
    namespace = f"raysweep-test-store{place.mark}"
    kubectl("create", "namespace", namespace)
    try:
        environment = store.start(namespace, images[1])
        metadata = {"name": "bucket", "namespace": place.control}
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": environment}
        kubectl("create", "-f", "-", given=secret)
        with pytest.MonkeyPatch.context() as patch:
            for name, value in environment.items():
                patch.setenv(name, value)
            yield f"s3://{store.BUCKET}"
    finally:
        kubectl("delete", "--wait=false", "namespace", namespace)
