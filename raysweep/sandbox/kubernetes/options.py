"""Options of the kubernetes kind as plain values, and what pods and sessions get of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from raysweep.sandbox.kubernetes.pod import PodOptions
from raysweep.sandbox.kubernetes.session import SessionOptions


@dataclass(frozen=True, slots=True)
class KubernetesOptions:
    """The keys of the sandbox section that kubernetes has (see docs/config.md). start_timeout: seconds."""

    owner: str | None = None
    namespace: str = "raysweep-sandboxes"
    context: str | None = None
    image: str = "docker.io/library/python:3.12-slim-bookworm"
    capabilities: str = "package-install"
    pull: str = "missing"
    require_isolation: bool = False
    start_timeout: float = 600.0
    qos: str = "uniform"
    tenancy: str = "shared"
    runtime_class: str | None = None
    node_selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: Sequence[Mapping[str, Any]] = ()
    pull_secrets: Sequence[str] = ()
    priority_class: str | None = None
    allow_unreachable_limits: bool = False
    create_rate: float = 8.0
    max_pending: int = 50

    def pods(self) -> PodOptions:
        """What all pods have in common."""
        return PodOptions(
            namespace=self.namespace,
            image=self.image,
            capabilities=self.capabilities,
            pull=self.pull,
            qos=self.qos,
            tenancy=self.tenancy,
            runtime_class=self.runtime_class,
            node_selector=self.node_selector,
            tolerations=self.tolerations,
            pull_secrets=self.pull_secrets,
            priority_class=self.priority_class,
        )

    def session(self) -> SessionOptions:
        """What a session in the cluster needs."""
        return SessionOptions(
            pods=self.pods(),
            context=self.context,
            owner=self.owner or "runner",
            create_rate=self.create_rate,
            max_pending=self.max_pending,
            start_timeout_s=self.start_timeout,
        )
