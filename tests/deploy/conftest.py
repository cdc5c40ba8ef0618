"""A place on a real cluster with cluster/overlays/kind in it, gone at the end of the session."""

import uuid

import pytest
from deployed import Place, apply, built, has_cluster, kubectl


@pytest.fixture(scope="session")
def place():
    """Namespaces, accounts, rights and policies as they are shipped, under names of their own."""
    if not has_cluster():
        pytest.skip("KUBECONFIG is not set")
    mark = f"-{uuid.uuid4().hex[:8]}"
    place = Place(f"raysweep-test-control{mark}", f"raysweep-test-sandboxes{mark}", mark)
    manifests = [m for m in place.moved(built("overlays/kind")) if m["kind"] != "CronJob"]
    namespaces = [m for m in manifests if m["kind"] == "Namespace"]
    try:
        apply(namespaces)
        apply([m for m in manifests if m["kind"] != "Namespace"])
        yield place
    finally:
        kubectl("delete", "--wait=false", "namespace", place.control, place.sandboxes, "--ignore-not-found")
        for manifest in manifests:
            if manifest["kind"] in {"ClusterRole", "ClusterRoleBinding"}:
                kubectl("delete", manifest["kind"], manifest["metadata"]["name"], "--ignore-not-found")
