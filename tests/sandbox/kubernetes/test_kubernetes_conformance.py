"""The conformance suite on pods of a real cluster."""

import pytest

from raysweep.sandbox.kubernetes.api import Api, config_maps, leases, pods
from raysweep.sandbox.kubernetes.provider import KubernetesProvider, in_thread
from raysweep.testing.conformance import SandboxConformance

pytestmark = pytest.mark.cluster


async def names_of(admin, namespace):
    """Pods, Leases and ConfigMaps of a namespace but the cluster's own."""
    import os

    before, os.environ["KUBECONFIG"] = os.environ["KUBECONFIG"], admin
    try:
        api = await Api.connect()
    finally:
        os.environ["KUBECONFIG"] = before
    try:
        found = set()
        for path in (pods(namespace), leases(namespace), config_maps(namespace)):
            items, _ = await api.collect(path)
            found |= {f"{path.rpartition('/')[2]} {item['metadata']['name']}" for item in items}
    finally:
        await api.close()
    return found - {"configmaps kube-root-ca.crt"}


class TestKubernetesConformance(SandboxConformance):
    @pytest.fixture
    def provider(self, cluster):
        return KubernetesProvider(
            owner="conformance", namespace=cluster.namespace, image=cluster.image, capabilities="strict"
        )

    @pytest.fixture
    def traces(self, cluster):
        return lambda: in_thread(names_of(cluster.admin, cluster.namespace))
