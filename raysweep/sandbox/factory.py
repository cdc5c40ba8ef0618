"""Which provider a kind of sandbox gets: a picklable recipe that driver and runners turn into providers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from raysweep.clock import Clock
from raysweep.sandbox.protocol import SandboxProvider
from raysweep.sandbox.simulated import Faults, SimulatedProvider, Truth


@dataclass(frozen=True, slots=True)
class ProviderRecipe:
    """A kind and its options as plain values; calling it makes a runner's own provider."""

    kind: str
    scratch: Path
    options: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, owner: str, clock: Clock | None = None) -> SandboxProvider:
        """The provider for the runner named `owner`; ValueError for an unknown kind.

        clock: by which simulated faults come; left out: the machine's.
        """
        if self.kind == "simulated":
            truth = dict(self.options)
            faults = Faults.of(truth.pop("faults", {}))
            return SimulatedProvider(Truth(**truth), faults, clock)
        if self.kind == "local":
            from raysweep.sandbox.local import LocalProvider  # noqa: PLC0415 - Linux only

            return LocalProvider(scratch=self.scratch, owner=owner, **self.options)
        if self.kind == "kubernetes":
            from raysweep.sandbox.kubernetes.provider import KubernetesProvider  # noqa: PLC0415 - 0.3 s of imports

            return KubernetesProvider(owner=owner, **self.options)
        if self.kind == "docker":
            from raysweep.sandbox.docker import DockerProvider  # noqa: PLC0415 - 0.2 s of imports

            return DockerProvider(owner=owner, **self.options)
        raise ValueError(f"sandbox kind {self.kind!r} is not known")
