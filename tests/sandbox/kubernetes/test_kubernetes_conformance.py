"""The conformance suite on pods of a real cluster."""

import os
from pathlib import Path

import pytest

from raysweep.sandbox.kubernetes.api import Api, config_maps, leases, pods
from raysweep.sandbox.kubernetes.provider import KubernetesProvider, in_thread
from raysweep.sandbox.kubernetes.sandbox import PodSandbox
from raysweep.testing.conformance import SandboxConformance
from raysweep.units import MIB

pytestmark = pytest.mark.cluster


async def names_of(admin, namespace):
    """Pods, Leases and ConfigMaps of a namespace but the cluster's own."""
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


class CrowdedSandbox(PodSandbox):
    """One whose pod has room for 96 MiB, whatever its container's limit is (nodes on this machine only)."""

    async def start(self):
        admitted = await super().start()
        uid = self.container._uid
        limits = [
            *Path("/sys/fs/cgroup").glob(f"memory/kubepods*/**/*pod{uid}/memory.limit_in_bytes"),
            *Path("/sys/fs/cgroup").glob(f"kubepods*/**/*pod{uid}/memory.max"),
        ]
        if not limits:
            pytest.skip("the node's cgroups are not those of this machine")
        limits[0].write_text(str(96 * MIB))
        return admitted


class CrowdedProvider(KubernetesProvider):
    def open(self, spec):
        return CrowdedSandbox(spec, super().open(spec).ground)


class TestKubernetesConformance(SandboxConformance):
    @pytest.fixture
    def provider(self, cluster):
        return KubernetesProvider(
            owner="conformance", namespace=cluster.namespace, image=cluster.image, capabilities="strict"
        )

    @pytest.fixture
    def crowded_provider(self, cluster):
        return CrowdedProvider(owner="crowded", namespace=cluster.namespace, image=cluster.image)

    @pytest.fixture
    def traces(self, cluster):
        return lambda: in_thread(names_of(cluster.admin, cluster.namespace))
