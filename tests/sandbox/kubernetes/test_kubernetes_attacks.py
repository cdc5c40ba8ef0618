"""The attacks of raysweep.testing.attacks on pods of a real cluster, by a task that is root."""

from __future__ import annotations

import pytest

from raysweep.sandbox.kubernetes.provider import KubernetesProvider
from raysweep.testing.attacks import SandboxAttacks

pytestmark = pytest.mark.cluster


class TestKubernetesAttacks(SandboxAttacks):
    @pytest.fixture
    def provider(self, cluster):
        return KubernetesProvider(owner="attacks", namespace=cluster.namespace, image=cluster.image)
