"""A picklable recipe that driver and runners turn into providers of a kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from raysweep.clock import Clock
from raysweep.kind import find_kind, load
from raysweep.sandbox.protocol import SandboxProvider


@dataclass(frozen=True, slots=True)
class ProviderRecipe:
    """A kind and its options as plain values; calling it makes a runner's own provider."""

    kind: str
    scratch: Path
    options: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, owner: str, clock: Clock | None = None) -> SandboxProvider:
        """The provider for the runner named `owner`; KeyError for an unknown kind.

        clock: by which simulated faults come; left out: the machine's.
        """
        make: Callable[..., SandboxProvider] = load(find_kind(self.kind).provider)
        return make(owner, self.scratch, clock, self.options)
