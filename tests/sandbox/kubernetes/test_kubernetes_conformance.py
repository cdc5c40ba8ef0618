"""The conformance suite on pods of a real cluster."""

import os
from pathlib import Path

import pytest

from raysweep.apiserver import Api, config_maps, leases, pods
from raysweep.sandbox.kubernetes.provider import KubernetesProvider
from raysweep.sandbox.kubernetes.sandbox import PodSandbox
from raysweep.sandbox.threads import in_thread
from raysweep.testing.conformance import SandboxConformance
from raysweep.units import MIB

pytestmark = pytest.mark.cluster


async def names_of(admin, namespace):
    """Pods, Leases and ConfigMaps of a namespace but the cluster's own.

    Without ConfigMaps whose Lease is gone, such as those of the cases before: Kubernetes removes them at its own time.
    """
    before, os.environ["KUBECONFIG"] = os.environ["KUBECONFIG"], admin
    try:
        api = await Api.connect()
    finally:
        os.environ["KUBECONFIG"] = before
    try:
        running, _ = await api.collect(pods(namespace))
        maps, _ = await api.collect(config_maps(namespace))
        held, _ = await api.collect(leases(namespace))
    finally:
        await api.close()
    there = {lease["metadata"]["uid"] for lease in held}
    owners = [{owner["uid"] for owner in one["metadata"].get("ownerReferences", ())} for one in maps]
    maps = [one for one, uids in zip(maps, owners, strict=True) if not uids or uids & there]
    kinds = {"pods": running, "leases": held, "configmaps": maps}
    found = {f"{kind} {item['metadata']['name']}" for kind, items in kinds.items() for item in items}
    return found - {"configmaps kube-root-ca.crt"}


class CrowdedSandbox(PodSandbox):
    """One whose pod has room for 96 MiB, whatever its container's limit is (nodes on this machine only)."""

    async def start(self):
        admitted = await super().start()
        uid = self.container._uid
        # os.walk goes on where a cgroup of another pod vanishes under it, which Path.glob does not
        top = Path("/sys/fs/cgroup")
        limits = [
            Path(folder, name)
            for root in (*top.glob("memory/kubepods*"), *top.glob("kubepods*"))
            for folder, _, names in os.walk(root)
            if folder.endswith(f"pod{uid}")
            for name in names
            if name in {"memory.limit_in_bytes", "memory.max"}
        ]
        if not limits:
            pytest.skip("the node's cgroups are not those of this machine")
        limits[0].write_text(str(96 * MIB))
        return admitted


class CrowdedProvider(KubernetesProvider):
    def open(self, spec):
        return CrowdedSandbox(spec, super().open(spec).cluster)


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
